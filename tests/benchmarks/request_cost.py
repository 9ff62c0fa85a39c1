"""What the kit costs a request, as ratios to bare Flask in the same run.

    python tests/benchmarks/request_cost.py [--json FILE] [--rounds N] [--requests N]
                                            [--memory N] [--only requests|pages|memory]

Three apps serve the same requests: without the kit ("bare"), with the kit and tracing off
("off"), and with a full trace of each request ("trace"). Rounds of them are interleaved, and
the clock counts the thread's own time, so that a busy machine disturbs all alike. Each variant
must deliver its whole product before it is timed. Nothing is asserted about time.
"""

from __future__ import annotations

import argparse
import gc
import io
import json
import logging
import platform
import statistics
import sys
import time
import typing as t
from importlib.metadata import version
from pathlib import Path

from flask import Flask, current_app, g, render_template, render_template_string, session
from jinja2 import DictLoader

from flask_ctxkit import CtxKit

if t.TYPE_CHECKING:
    from flask import Response

    from flask_ctxkit.state import State
    from flask_ctxkit.trace.model import Trace

Headers = list[tuple[str, str]]

VARIANTS: t.Final = ("bare", "off", "trace")
CASES: t.Final[dict[str, tuple[str, bool]]] = {
    "json": ("/plain/5", False),
    "html": ("/html", False),
    "template": ("/page", False),
    "session untouched": ("/plain/5", True),
    "session read": ("/read", True),
    "session written": ("/write", True),
}
"""Each case's path, and whether the request brings a session cookie."""


def make_app(variant: str, **config: t.Any) -> Flask:
    """The app under test: views with JSON, HTML and a template, some on the session; five hooks."""
    app = Flask(f"bench_{variant}")
    app.secret_key = "k" * 32
    app.config.update(config)
    _add_hooks(app)
    _add_views(app)
    if variant != "bare":
        app.config.update(CTXKIT_TRACE=variant == "trace")
        app.config.setdefault("CTXKIT_PAGES", False)
        CtxKit(app)
    return app


def _add_hooks(app: Flask) -> None:
    app.before_request(count)
    app.before_request(load_user)
    app.after_request(mark)
    app.teardown_request(end_request)
    app.teardown_appcontext(end_context)


def _add_views(app: Flask) -> None:
    app.get("/plain/<int:n>")(plain)
    app.get("/html")(html)
    app.get("/page")(page)
    app.jinja_loader = DictLoader({"page.html": PAGE})
    app.get("/read")(read)
    app.get("/write")(write)
    app.get("/live")(live)
    app.get("/many/<int:n>")(many)


def count() -> None:
    g.x = 123


def load_user() -> None:
    g.user = None


def mark(response: Response) -> Response:
    response.headers["X-A"] = "1"
    return response


def end_request(exc: BaseException | None) -> None:
    pass


def end_context(exc: BaseException | None) -> None:
    pass


def plain(n: int) -> dict[str, int]:
    return {"n": n, "x": g.x}


def html() -> str:
    return "<html><body><p>%s</p></body></html>" % ("x" * 2000)


PAGE: t.Final = "<html><body>{% for n in range(20) %}<p>{{ n }}</p>{% endfor %}</body></html>"


def page() -> str:
    return render_template("page.html")


def read() -> dict[str, t.Any]:
    return {"user": session.get("user_id")}


def write() -> dict[str, t.Any]:
    session["n"] = session.get("n", 0) + 1
    return {"n": session["n"]}


def live() -> dict[str, t.Any]:
    """What is pushed now, asked from inside."""
    rows = current_app.extensions["ctxkit"].registry.contexts()
    return {"live": [[row.method, row.path, row.phase, row.hook] for row in rows]}


def many(n: int) -> str:
    """As many events as asked for."""
    for _ in range(n):
        render_template_string("x")
    return "many"


def environ(path: str, cookie: str | None = None, query: str = "") -> dict[str, t.Any]:
    """What a server would hand over for a GET of *path*."""
    made = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "HTTP_HOST": "localhost",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.input": io.BytesIO(),
    }
    return {**made, "HTTP_COOKIE": cookie} if cookie else made


def call(
    app: Flask, path: str, cookie: str | None = None, query: str = ""
) -> tuple[Headers, bytes]:
    """The headers and the body that *app* answers a GET of *path* with."""
    told: list[t.Any] = []

    def start_response(status: str, headers: Headers, exc_info: t.Any = None) -> t.Any:
        told[:] = [status, headers]

    body = app(environ(path, cookie, query), start_response)
    read = b"".join(body)
    close = getattr(body, "close", None)
    if close is not None:
        close()
    assert told[0].startswith("200"), told
    return told[1], read


def cookie_of(app: Flask) -> str:
    """A session cookie of *app*, as a client would send it back."""
    headers, _ = call(app, "/write")
    set_cookie = next(value for name, value in headers if name.lower() == "set-cookie")
    return set_cookie.split(";")[0]


# ---------------------------------------------------------------------------- the product

EVENTS: t.Final = [
    "make_request", "push_app", "push_request", "open_session", "match",
    "before_request count", "before_request load_user", "view plain", "make_response",
    "after_request mark", "save_session", "make_response start_response",
    "teardown_request end_request", "teardown_appcontext end_context", "pop",
]  # fmt: skip
"""What a full trace of the JSON view tells, in its order."""


def check_product(app: Flask, variant: str) -> None:
    """Assert that *app* delivers all that its variant promises.

    :raises AssertionError: if an event, a diff, a live entry or a trace is missing.
    """
    _, body = call(app, "/plain/5")
    assert json.loads(body) == {"n": 5, "x": 123}
    if variant == "bare":
        return
    state: State = app.extensions["ctxkit"]
    _, body = call(app, "/live")
    assert ["GET", "/live"] in [row[:2] for row in json.loads(body)["live"]]
    if variant == "off":
        assert len(state.store) == 0
        return
    assert json.loads(body)["live"] == [["GET", "/live", "view", "live"]]
    assert state.registry.contexts() == []
    before = len(state.store)
    call(app, "/plain/5")
    assert len(state.store) == before + 1
    check_trace(next(state.store.newest()))
    assert state.recorder.cost()["failures"] == []
    cookie = cookie_of(app)
    call(app, "/write", cookie)
    written = next(state.store.newest())
    change = next(event for event in written.events if event.phase == "view").session
    assert change.changed == {"n": [1, 2]}, change
    assert "Set-Cookie" in event_of(written, "save_session").response.added
    assert cookie.partition("=")[2] not in repr(written), "the cookie's value was not redacted"


def check_trace(trace: Trace) -> None:
    """Assert that *trace*, of the JSON view, tells every event and every change."""
    names = [e.phase if e.name == e.phase else f"{e.phase} {e.name}" for e in trace.events]
    assert names == EVENTS, names
    assert (trace.state, trace.status, trace.endpoint) == ("finished", 200, "plain")
    assert event_of(trace, "count").g.added == {"x": 123}
    assert event_of(trace, "load_user").g.added == {"user": None}
    assert event_of(trace, "mark").response.added == {"X-A": "1"}
    made = event_of(trace, "make_response").response
    assert made.status == (None, 200)
    assert made.added["Content-Type"] == "application/json"
    assert trace.g == {"x": 123, "user": None}
    assert trace.environ["REMOTE_ADDR"] == "127.0.0.1"
    assert trace.session is not None
    assert trace.session["state"] == "absent"
    assert all(event.duration_us >= 0 for event in trace.events)
    assert trace.duration_ms is not None
    assert trace.duration_ms > 0


def event_of(trace: Trace, name: str) -> t.Any:
    """The first event called *name*."""
    return next(event for event in trace.events if event.name == name)


# -------------------------------------------------------------------------------- requests


def time_requests(rounds: int, requests: int) -> dict[str, dict[str, dict[str, float]]]:
    """Each case's microseconds per variant: least and median, and ratios to bare Flask.

    ``ratio`` is the median of the ratios of each round, ``ratio_of_least`` that of the least
    times.
    """
    apps = {variant: make_app(variant) for variant in VARIANTS}
    for variant, app in apps.items():
        check_product(app, variant)
    cookies = {variant: cookie_of(app) for variant, app in apps.items()}
    found: dict[str, dict[str, dict[str, float]]] = {}
    for case, (path, sends) in CASES.items():
        sent = {variant: cookies[variant] if sends else None for variant in VARIANTS}
        for variant, app in apps.items():  # the store gets full, and the caches warm
            time_calls(app, path, sent[variant], 2 * requests)
        rows: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
        for _ in range(rounds):
            for variant, app in apps.items():
                rows[variant].append(time_calls(app, path, sent[variant], requests))
        found[case] = {variant: _summary(rows[variant], rows["bare"]) for variant in VARIANTS}
    return found


def time_calls(app: Flask, path: str, cookie: str | None, requests: int) -> float:
    """Microseconds of this thread that one of *requests* to *app* takes."""
    start = time.thread_time()
    for _ in range(requests):
        call(app, path, cookie)
    return (time.thread_time() - start) / requests * 1e6


def _summary(times: list[float], bare: list[float]) -> dict[str, float]:
    return {
        "least_us": round(min(times), 2),
        "median_us": round(statistics.median(times), 2),
        "ratio": round(statistics.median(a / b for a, b in zip(times, bare, strict=True)), 3),
        "ratio_of_least": round(min(times) / min(bare), 3),
    }


# ----------------------------------------------------------------------------------- pages


def time_pages(repeats: int, traces: int, events: int, contexts: int) -> dict[str, float]:
    """The least milliseconds of each page: many traces, a long trace, many live contexts."""
    app = make_app("trace", CTXKIT_PAGES="auto", CTXKIT_MAX_EVENTS=4 * events)
    app.debug = True
    for _ in range(traces):
        call(app, "/plain/5")
    _, body = call(app, "/_ctx/requests.json", query=f"limit={traces}")
    assert json.loads(body)["shown"] == traces
    found = {}
    for suffix in ("", ".json"):
        path = f"/_ctx/requests{suffix}"
        found[f"{path} of {traces} traces"] = _page_ms(app, path, repeats, f"limit={traces}")
    call(app, f"/many/{events}")
    state: State = app.extensions["ctxkit"]
    trace = next(state.store.newest())
    assert len(trace.events) >= events, len(trace.events)
    for suffix in ("", ".json"):
        path = f"/_ctx/requests/{trace.id}{suffix}"
        found[f"/_ctx/requests/ID{suffix} of {events} events"] = _page_ms(app, path, repeats)
    for suffix in ("", ".json"):
        path = f"/_ctx/live{suffix}"
        found[f"{path} over {contexts} contexts"] = _live_ms(app, path, repeats, contexts)
    return found


def _page_ms(app: Flask, path: str, repeats: int, query: str = "") -> float:
    least = float("inf")
    for _ in range(repeats):
        start = time.thread_time()
        call(app, path, query=query)
        least = min(least, time.thread_time() - start)
    return round(least * 1000, 2)


def _live_ms(app: Flask, path: str, repeats: int, contexts: int) -> float:
    pushed = []
    for n in range(contexts):
        ctx = app.test_request_context(f"/plain/{n}")
        ctx.push()
        pushed.append(ctx)
    try:
        state: State = app.extensions["ctxkit"]
        assert len(state.registry.contexts()) == contexts
        return _page_ms(app, path, repeats)
    finally:
        while pushed:
            pushed.pop().pop()


# ---------------------------------------------------------------------------------- memory


def measure_memory(requests: int, first: int = 1000) -> dict[str, float]:
    """How many KiB the process grew by in *requests* requests, after the *first* ones."""
    app = make_app("trace")
    for _ in range(first):
        call(app, "/plain/5")
    gc.collect()
    before = resident_kib()
    for _ in range(requests):
        call(app, "/plain/5")
    gc.collect()
    return {"requests": requests, "grew_kib": resident_kib() - before}


def resident_kib() -> float:
    """The resident memory of this process; its peak where there is no ``/proc``."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        import resource

        return int(statm.read_text().split()[1]) * resource.getpagesize() / 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024 if sys.platform == "darwin" else float(peak)


# ------------------------------------------------------------------------------------ main


def versions() -> dict[str, str]:
    """What was measured with."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        **{name: version(name) for name in ("flask", "werkzeug")},
    }


def main(argv: t.Sequence[str] | None = None) -> dict[str, t.Any]:
    """Measure, print, and return the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", metavar="FILE", help="write the figures to FILE too")
    parser.add_argument("--rounds", type=int, default=41)
    parser.add_argument("--requests", type=int, default=200, help="requests per round")
    parser.add_argument("--memory", type=int, default=100_000, help="requests for the memory")
    parser.add_argument("--pages", type=int, default=5, help="repeats of each page")
    parser.add_argument("--small", action="store_true", help="tiny pages, to try it out")
    parser.add_argument("--only", choices=("requests", "pages", "memory"))
    given = parser.parse_args(argv)
    # With debug on, the log tells of each page's address and each finding.
    logging.getLogger("flask_ctxkit").setLevel(logging.CRITICAL)
    figures: dict[str, t.Any] = {"versions": versions()}
    print("  ".join(f"{name} {number}" for name, number in figures["versions"].items()))
    if given.only in (None, "requests"):
        figures["requests"] = time_requests(given.rounds, given.requests)
        print_requests(figures["requests"])
    if given.only in (None, "pages"):
        sizes = (20, 100, 20) if given.small else (200, 10_000, 1000)
        figures["pages"] = time_pages(given.pages, *sizes)
        for name, took in figures["pages"].items():
            print(f"{name:50} {took:9.2f} ms")
    if given.only in (None, "memory"):
        figures["memory"] = measure_memory(given.memory)
        print(
            "memory: {grew_kib:.0f} KiB more after {requests} requests".format_map(
                figures["memory"]
            )
        )
    if given.json:
        Path(given.json).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return figures


def print_requests(found: dict[str, dict[str, dict[str, float]]]) -> None:
    """Print a line per case and variant."""
    for case, variants in found.items():
        for variant, row in variants.items():
            print(
                f"{case:18} {variant:6} {row['least_us']:8.1f} us least {row['median_us']:8.1f} "
                f"median {row['ratio']:7.3f}x  {row['ratio_of_least']:6.3f}x of the least"
            )


if __name__ == "__main__":
    main()
