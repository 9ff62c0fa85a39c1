"""A tiny server that answers as the pages do, and a way to run a command as a user does."""

from __future__ import annotations

import io
import json
import sys
import threading
import typing as t
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from flask.cli import ScriptInfo

from flask_ctxkit.cli import ctx

if t.TYPE_CHECKING:
    from flask import Flask

ESCAPE = "\x1b]0;pwned\x07\x1b[2J\u202e\u2028\x9b31m"
"""Sets the title, clears the screen, turns the direction, breaks the line, turns red."""


@dataclass
class Asked:
    """One request that the server got."""

    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]


@dataclass
class Canned:
    """A server with a body for each path; ``asked`` holds the requests in their order."""

    bodies: dict[str, t.Any] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    url: str = ""

    def answer(self, path: str) -> tuple[int, bytes, dict[str, str]]:
        found = self.bodies.get(path, (404, b"<h1>Not Found</h1>"))
        if callable(found):
            found = found(self)
        status, body, *headers = found if isinstance(found, tuple) else (200, found)
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return status, raw, headers[0] if headers else {"Content-Type": "application/json"}


def _handler(canned: Canned) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            canned.asked.append(Asked(parts.path, parse_qs(parts.query), headers))
            status, body, extra = canned.answer(parts.path)
            self.send_response(status)
            for name, value in extra.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: t.Any) -> None:
            """The test's output is the command's."""

    return Handler


@pytest.fixture
def canned() -> t.Iterator[Canned]:
    served = Canned()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(served))
    server.daemon_threads = True
    served.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield served
    server.shutdown()
    server.server_close()
    thread.join()


@dataclass
class Outcome:
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    def json(self) -> t.Any:
        return json.loads(self.out)


Run = t.Callable[..., Outcome]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run ``flask ctx`` in this process with its streams in memory."""
    for name in ("CTXKIT_URL", "CTXKIT_TOKEN", "NO_COLOR", "COLUMNS", "FLASK_RUN_PORT"):
        monkeypatch.delenv(name, raising=False)

    def command(
        *args: str, columns: int | None = None, encoding: str = "utf-8", serving: t.Any = None
    ) -> Outcome:
        if columns is not None:
            monkeypatch.setenv("COLUMNS", str(columns))
        out = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="")
        err = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="")
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", io.StringIO())
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            with pytest.raises(SystemExit) as ended:
                ctx.main(list(args), prog_name="flask ctx", obj=_script(serving))
        code = ended.value.code
        assert isinstance(code, int)
        return Outcome(code, _text(out), _text(err))

    return command


def _script(serving: Flask | None) -> ScriptInfo | None:
    # As FlaskGroup hands it to a command of an app that is made by a function.
    return None if serving is None else ScriptInfo(create_app=lambda: serving)


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    buffer = t.cast("io.BytesIO", stream.buffer)
    return buffer.getvalue().decode(stream.encoding)


def summary(**changes: t.Any) -> dict[str, t.Any]:
    """A row of the list of requests."""
    row = {
        "id": "8f3a1c07", "kind": "request", "state": "finished", "name": "GET /cart",
        "method": "GET", "path": "/cart", "endpoint": "shop.cart", "status": 200,
        "started_at": "2026-04-01T10:44:12.031000Z", "age_s": 8.2, "duration_ms": 41.8,
        "streamed": False, "unit": "4711/thread-5", "worker": 4711,
        "strip": [["plumbing", 0.2], ["hooks", 7.5], ["view", 33.1], ["session", 0.1]],
        "findings": [{"code": "session-nested-change", "severity": "error"}],
        "exception": None, "note": None,
    }  # fmt: skip
    return row | changes


UNIT = {
    "kind": "thread", "name": "Thread-5", "ident": 140221, "serial": 5, "worker": 4711,
    "key": "4711/thread-5",
}  # fmt: skip


def live(**changes: t.Any) -> dict[str, t.Any]:
    """A row of the list of live contexts."""
    row = {
        "id": "aa31c907", "kind": "request", "app": "shop", "unit": UNIT, "method": "GET",
        "path": "/report", "endpoint": "shop.report", "age_s": 31.2, "age_exact": True,
        "phase": "view", "hook": "shop.report", "where": "shop/views.py:88",
        "pushed": "flask/app.py:1529", "state": "running", "stuck": True, "parent": None,
        "frames": [
            {"file": "python3.11/ssl.py", "line": 1106, "function": "SSLSocket.recv"},
            {"file": "shop/views.py", "line": 88, "function": "report"},
            {"file": "flask/app.py", "line": 902, "function": "Flask.dispatch_request"},
            {"file": "flask/app.py", "line": 917, "function": "Flask.full_dispatch_request"},
        ],
    }  # fmt: skip
    return row | changes


FINDING = {
    "code": "session-nested-change", "severity": "error",
    "message": 'session["cart"] changed in shop.cart but was not saved: only a nested change.',
    "evidence": [{"text": "the list inside changed", "event": 8, "where": "shop/views.py:36"}],
    "fix": "Write session.modified = True after the change.", "trace": "8f3a1c07", "count": 2,
    "first_at": "2026-04-01T10:44:12Z", "last_at": "2026-04-01T10:44:12Z", "traces": ["8f3a1c07"],
}  # fmt: skip


def index_report(**changes: t.Any) -> dict[str, t.Any]:
    report = {
        "schema": 1,
        "app": {
            "name": "shop", "flask": "3.1.3", "python": "3.11.2", "debug": True, "pid": 4711,
            "started_at": "2026-04-01T10:32:04Z", "uptime_s": 724.0, "recording": "full",
            "url_prefix": "/_ctx", "kit": "0.1.0",
        },
        "findings": [FINDING],
        "checks": {"rules": 24, "requests": 214},
        "contexts": [live()],
        "buckets": [],
        "requests": [
            summary(),
            summary(id="77e0b2aa", method="POST", path="/login", status=302, duration_ms=6.0,
                    findings=[], note="-> GET /cart", age_s=9.0),
            summary(id="51ac09bb", path="/boom", status=500, duration_ms=11.2, findings=[],
                    exception="ZeroDivisionError", age_s=125.0,
                    strip=[["hooks", 1.0], ["view", 9.0], ["error", 0.0]]),
        ],
        "totals": {
            "ok": 198, "redirect": 12, "client_error": 3, "server_error": 1, "median_ms": 4.1,
            "p95_ms": 38.0, "worst_ms": 2310.0, "folded": {"static": 8, "health": 61},
        },
        "cost": {"us_per_request": 9.0, "dropped": 0, "failures": []},
    }  # fmt: skip
    return report | changes


def event(index: int, phase: str, name: str, **changes: t.Any) -> dict[str, t.Any]:
    row = {
        "index": index, "phase": phase, "name": name, "blueprint": None, "where": None,
        "source": None, "start_us": index * 1000.0, "duration_us": 900.0, "outcome": "ok",
        "depth": 0, "members": [], "note": None, "error": None,
        "g": {"added": {}, "changed": {}, "removed": {}},
        "session": {"added": {}, "changed": {}, "removed": {}},
        "response": {"status": None, "added": {}, "changed": {}, "removed": {}},
    }  # fmt: skip
    return row | changes


def change(**parts: t.Any) -> dict[str, t.Any]:
    return {"added": {}, "changed": {}, "removed": {}} | parts


def trace_report(**changes: t.Any) -> dict[str, t.Any]:
    events = [
        event(0, "make_request", "make_request"),
        event(1, "push_app", "push_app"),
        event(2, "push_request", "push_request"),
        event(3, "before_request", "load_user", where="shop/auth.py:12", source="this app",
              g=change(added={"user": {"$type": "shop.User", "$attributes": {"id": 7}}})),
        event(4, "view", "shop.cart", where="shop/views.py:36", source="blueprint shop",
              duration_us=33100.0, session=change(changed={"cart": [[1], [1, 2]]})),
        event(5, "after_request", "frame_options", where="app.py:19", source="Flask-Talisman",
              start_us=38000.0,
              response={"status": None} | change(added={"X-Frame-Options": "DENY"})),
        event(6, "save_session", "save_session", start_us=39000.0, note="not saved"),
        event(7, "teardown_request", "close_db", where="db.py:20", source="this app",
              start_us=40000.0, g=change(removed={"user": None})),
        event(8, "pop", "pop", start_us=41000.0),
    ]  # fmt: skip
    trace = summary() | {
        "query": "", "unit": UNIT, "events": events, "parent": None, "findings": [FINDING],
        "session": {"state": "changed", "names": {"cart": [1, 2]}, "accessed_by": 4,
                    "saved": False},
        "response": {"status": 200, "streamed": False,
                     "headers": [["Content-Type", "text/html", None],
                                 ["X-Frame-Options", "DENY", 5]]},
        "signals": [], "templates": [], "exception": None,
        "contexts": [{"kind": "app", "app": "shop", "pushed": "flask/app.py:1529",
                      "reused": False}],
        "environ": {}, "g": {"user": {"$type": "shop.User", "$attributes": {"id": 7}}},
        "dropped_events": 0, "own_cost_us": 9.0, "curl": "curl http://127.0.0.1:5000/cart",
        "previous": None, "next": None, "previous_same": None, "next_same": None,
        "usual_ms": 9.1, "usual_of": 98, "concurrent": ["77e0b2aa", "51ac09bb"],
        "story": ["Answered by view shop.cart (shop/views.py:36).", "2 hooks ran."],
    }  # fmt: skip
    return {"schema": 1, "trace": trace | changes}


@pytest.fixture
def made() -> t.Any:
    """The makers of canned reports, for tests that change one thing in them."""

    class Made:
        index = staticmethod(index_report)
        summary = staticmethod(summary)
        live = staticmethod(live)
        trace = staticmethod(trace_report)
        event = staticmethod(event)
        change = staticmethod(change)
        escape = ESCAPE

    return Made


@pytest.fixture
def shop(canned: Canned) -> Canned:
    """A server with an answer to every question."""
    rows = index_report()["requests"]
    canned.bodies |= {
        "/_ctx/index.json": index_report(),
        "/_ctx/live.json": {
            "schema": 1,
            "contexts": [live(), live(method="POST", path="/cart", age_s=0.4, stuck=False)],
            "leaks": [
                {"kind": "left-current", "at": "2026-04-01T10:41:00Z", "age_s": 190.0,
                 "unit": UNIT, "method": "GET", "path": "/feed", "pushed": "shop/views.py:120",
                 "message": "Thread-4 still has the context of GET /feed.",
                 "trace": "8f3a1c07", "still": True},
            ],
            "missing": ["Bare app contexts can't be seen while recording is off."],
        },
        "/_ctx/stacks.json": {
            "schema": 1,
            "app_stack": {"4711/thread-5": {
                "kind": "thread", "name": "Thread-5", "ident": 140221,
                "stack": [_context("app", top=True, g={"user": 1})]}},
            "request_stack": {"4711/thread-5": {
                "kind": "thread", "name": "Thread-5", "ident": 140221,
                "stack": [_context("request"), _context("request", top=True, path="/inner",
                                                        pushed_times=2)]}},
            "locals": {"mine": {"4711/thread-5": {"name": "value"}}},
            "current": "4711/thread-5", "missing": [],
        },
        "/_ctx/requests.json": {
            "schema": 1, "requests": rows, "total": 214, "shown": 3,
            "folded": {"static": 8}, "query": {"limit": "20"}, "near": {},
        },
        "/_ctx/requests/latest.json": trace_report(),
        "/_ctx/requests/8f3a1c07.json": trace_report(),
        "/_ctx/requests/8f3.json": trace_report(),
    }  # fmt: skip
    return canned


def _context(kind: str, **changes: t.Any) -> dict[str, t.Any]:
    row = {
        "kind": kind, "app": "shop", "pushed": "flask/app.py:1529", "method": "GET",
        "path": "/cart", "endpoint": "shop.cart", "age_s": 0.2, "g": {},
        "session": {"state": "open", "names": {"cart": [1]}} if kind == "request" else None,
        "pushed_times": 1, "zombie": False, "top": False,
    }  # fmt: skip
    return row | changes
