"""What a full trace costs at least: a recorder by hand, one thing that it must do after the other.

    python tests/benchmarks/trace_floor.py [--rounds N] [--requests N] [--json FILE] [CASE ...]

Each variant is an app with the kit and tracing off, and a recorder that is written for this one
benchmark: it knows that each context is a request of a server, that nobody re-enters, streams or
shares a context, and it has no one to tell. What is left is what no recorder in Python can leave
out. Each does what the one before it does, and more:

- ``seams``: a function of its own around each hook, the view, the pushes and the pops, the match
  and ``start_response``, which does nothing but call;
- ``times``: each of the 15 steps of a request with its start and end, in a ring of the last
  traces, and what runs now where others can see it;
- ``whole``: what each step changed in ``g``, the session and the response, redacted as it is
  noted; exceptions, functions inside of functions, the bounds of a record, the WSGI variables, the
  unit, the places of failed and slow traces, and whether the trace is known to be sound.

Ratios are to bare Flask in the same run, as in ``request_cost.py``; ``trace`` is the kit's own.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import time
import typing as t
from collections import OrderedDict, deque
from pathlib import Path

from flask.ctx import AppContext

from flask_ctxkit import internals
from flask_ctxkit.redact import Redactor
from flask_ctxkit.session.mapping import TELLING
from flask_ctxkit.trace.captures import Captures
from flask_ctxkit.trace.watcher import Tracked, Watcher, tracked, written
from flask_ctxkit.units import current_unit

if t.TYPE_CHECKING:
    from flask import Flask

if __package__:
    from . import request_cost
else:  # run as a file
    import request_cost  # type: ignore[import-not-found,no-redef]

now: t.Final = time.perf_counter_ns
top: t.Final[t.Any] = internals.current_app_context
STEPS: t.Final = 15
LAST: t.Final = 200
ENDPOINT: t.Final = 5
MOST: t.Final = 4000
MATCH: t.Final = ("match", "match")
MADE: t.Final = ("make_response", "make_response")
SAVED: t.Final = ("save_session", "save_session")
SENT: t.Final = ("make_response", "start_response")
POP: t.Final = ("pop", "pop")
OPENING: t.Final = tuple(
    (phase, phase) for phase in ("make_request", "push_app", "push_request", "open_session")
)

Site = tuple[str, str]
Function = t.Callable[..., t.Any]


class Record:
    """What is known of one request."""

    __slots__ = (
        "__weakref__", "changes", "current", "endpoint", "environ", "error", "g", "headers",
        "known", "log", "made", "match_end", "match_start", "method", "pairs", "path", "push_end",
        "push_start", "response", "seen", "serial", "session", "status", "touched", "unit", "wall",
    )  # fmt: skip


class Seams:
    """Calls through everywhere, and does nothing else."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.records: deque[Record] = deque(maxlen=LAST)
        self.known: dict[t.Any, Function] = {}
        own = app.extensions["ctxkit"].own_hooks
        self.known.update((function, function) for function in own)
        app.ensure_sync = self.ensure_sync()  # type: ignore[method-assign]
        app.request_context = self.request_context()  # type: ignore[method-assign]
        if not internals.ONE_CONTEXT:
            app.app_context = self.app_context()  # type: ignore[method-assign]
        app.wsgi_app = self.wsgi_app(app.wsgi_app)  # type: ignore[method-assign]

    def ensure_sync(self) -> Function:
        known, make, phases = self.known, self.app.ensure_sync, _phases(self.app)

        def ensure_sync(function: t.Any) -> t.Any:
            try:
                return known[function]
            except KeyError:
                phase = phases[function]
                wrap = {"after_request": self.after, "view": self.view}.get(phase, self.hook)
                if phase.startswith("teardown"):
                    wrap = self.teardown
                known[function] = wrap((phase, function.__name__), make(function))
                return known[function]

        return ensure_sync

    def hook(self, site: Site, function: Function) -> Function:
        def call() -> t.Any:
            return function()

        return call

    def view(self, site: Site, function: Function) -> Function:
        def call(**kwargs: t.Any) -> t.Any:
            return function(**kwargs)

        return call

    def after(self, site: Site, function: Function) -> Function:
        def call(response: t.Any) -> t.Any:
            return function(response)

        return call

    def teardown(self, site: Site, function: Function) -> Function:
        def call(exc: t.Any) -> t.Any:
            return function(exc)

        return call

    def request_context(self) -> Function:
        observed = self.observed(internals.CONTEXT_CLASSES[-1])
        make, app = internals.request_context_maker(observed), self.app

        def request_context(environ: t.Any) -> t.Any:
            return make(app, environ)

        return request_context

    def observed(self, base: t.Any) -> type:
        class Observed(base):  # type: ignore[misc]
            def push(self) -> None:
                base.push(self)

            def match_request(self) -> None:
                base.match_request(self)

            def pop(self, *args: t.Any) -> None:
                base.pop(self, *args)

        return Observed

    def app_context(self) -> Function:
        observed, app = self.observed_app(), self.app

        def app_context() -> t.Any:
            return observed(app)

        return app_context

    def observed_app(self) -> type:
        class Observed(AppContext):
            def push(self) -> None:
                AppContext.push(self)

        return Observed

    def wsgi_app(self, inner: Function) -> Function:
        def wsgi_app(environ: t.Any, start_response: t.Any) -> t.Any:
            def start(status: str, headers: t.Any, exc_info: t.Any = None) -> t.Any:
                return start_response(status, headers)

            return inner(environ, start)

        return wsgi_app


class Times(Seams):
    """Notes when each step began and ended, and what runs now."""

    def __init__(self, app: Flask) -> None:
        self.live: dict[int, Record] = {}
        self.serials = itertools.count()
        super().__init__(app)

    def hook(self, site: Site, function: Function) -> Function:
        def call() -> t.Any:
            record: t.Any = top()._ctxfloor
            record.current = site
            start = now()
            result = function()
            record.log += (site, start, now(), None)
            record.current = None
            return result

        return call

    def view(self, site: Site, function: Function) -> Function:
        def call(**kwargs: t.Any) -> t.Any:
            record: t.Any = top()._ctxfloor
            record.current = site
            start = now()
            result = function(**kwargs)
            record.log += (site, start, now(), None)
            record.current = None
            return result

        return call

    def after(self, site: Site, function: Function) -> Function:
        def call(response: t.Any) -> t.Any:
            record: t.Any = top()._ctxfloor
            record.current = site
            start = now()
            if record.response is None:
                record.response = response
                record.log += (MADE, record.log[-2], start, None)
            result = function(response)
            record.log += (site, start, now(), None)
            record.current = None
            return result

        return call

    def teardown(self, site: Site, function: Function) -> Function:
        def call(exc: t.Any) -> t.Any:
            record: t.Any = top()._ctxfloor
            record.current = site
            start = now()
            result = function(exc)
            record.log += (site, start, now(), None)
            record.current = None
            return result

        return call

    def request_context(self) -> Function:
        observed = self.observed(internals.CONTEXT_CLASSES[-1])
        make, app = internals.request_context_maker(observed), self.app

        def request_context(environ: t.Any) -> t.Any:
            start = now()
            ctx = make(app, environ)
            ctx._ctxfloor_made = (start, now())
            return ctx

        return request_context

    def observed(self, base: t.Any) -> type:
        begin, finish = self.begin, self.finish

        class Observed(base):  # type: ignore[misc]
            def push(self) -> None:
                self._ctxfloor = begin(self, now())
                base.push(self)

            def match_request(self) -> None:
                record: t.Any = self._ctxfloor
                start = record.match_start = now()
                app_context, _ = internals.app_context_of(self)
                app_context._ctxfloor = record
                record.push_end = getattr(app_context, "_ctxfloor_pushed", start)
                self._ctxfloor_bind(record, app_context)
                record.current = MATCH
                base.match_request(self)
                record.match_end = now()
                record.current = None

            def pop(self, *args: t.Any) -> None:
                record: t.Any = self._ctxfloor
                record.response = None
                base.pop(self, *args)
                finish(self, record)

            _ctxfloor_bind = staticmethod(self.bind)

        return Observed

    def observed_app(self) -> type:
        class Observed(AppContext):
            def push(self) -> None:
                AppContext.push(self)
                self._ctxfloor_pushed = now()

        return Observed

    def begin(self, ctx: t.Any, start: int) -> t.Any:
        record: t.Any = Record()
        record.serial = next(self.serials)
        record.made, record.push_start = ctx._ctxfloor_made, start
        record.log, record.response, record.current = [], None, OPENING[-1]
        request = internals.request_in(ctx)
        record.method, record.path = request.method, request.path
        self.live[record.serial] = record
        return record

    def bind(self, record: t.Any, app_context: t.Any) -> None:
        record.log += (MATCH, record.match_start, record.match_start, None)

    def finish(self, ctx: t.Any, record: t.Any) -> None:
        end = now()
        record.log += (POP, record.log[-2], end, None)
        request = internals.request_in(ctx)
        record.endpoint = request.endpoint
        del self.live[record.serial]
        self.records.append(record)

    def wsgi_app(self, inner: Function) -> Function:
        def wsgi_app(environ: t.Any, start_response: t.Any) -> t.Any:
            def start(status: str, headers: t.Any, exc_info: t.Any = None) -> t.Any:
                record: t.Any = top()._ctxfloor
                end = now()
                record.log += (SAVED, record.log[-2], end, None, SENT, end, end, None)
                return start_response(status, headers)

            return inner(environ, start)

        return wsgi_app


class Whole(Times):
    """Does all that the kit does for a request on which nothing is out of the ordinary."""

    def __init__(self, app: Flask) -> None:
        self.redactor = Redactor()
        self.captures = Captures(self.redactor)
        self.failures = 0
        self.failed: deque[Record] = deque(maxlen=50)
        self.slow: list[tuple[int, int]] = []
        self.least_slow = 10**9
        self.rings: OrderedDict[str | None, deque[Record]] = OrderedDict()
        self.sound: dict[t.Any, None] = {}
        super().__init__(app)

    def stepped(self) -> t.Callable[[t.Any, Site, int], None]:
        capture, session_change = self.redactor.capture, self.session_change

        def stepped(record: t.Any, site: Site, start: int) -> None:
            end = now()
            changes: t.Any = None
            if record.g.log:
                changes = written(record.g, record.known, capture)
            if record.touched:
                changes = (changes, session_change(record))
            if len(record.log) < MOST:
                record.log += (site, start, end, changes)

        return stepped

    def session_change(self, record: t.Any) -> t.Any:
        record.touched = False
        return record.seen.look(record.session) if record.seen is not None else None

    def touched(self, record: t.Any) -> Function:
        capture = self.redactor.capture

        def touched(session: t.Any) -> None:
            record.touched = True
            if record.seen is None:
                record.seen = Watcher(capture, None if session.writes else session)

        return touched

    def raised(self, record: t.Any, site: Site, start: int, error: BaseException) -> None:
        record.error = error
        record.log += (site, start, now(), type(error).__name__)

    def hook(self, site: Site, function: Function) -> Function:
        stepped = self.stepped()

        def call() -> t.Any:
            try:
                record: t.Any = top()._ctxfloor
            except (LookupError, AttributeError):
                return function()
            outer, record.current = record.current, site
            start = now()
            try:
                result = function()
            except BaseException as error:
                self.raised(record, site, start, error)
                raise
            record.current = outer
            try:
                stepped(record, site, start)
            except BaseException:
                self.failures += 1
            return result

        return call

    def view(self, site: Site, function: Function) -> Function:
        stepped = self.stepped()

        def call(*args: t.Any, **kwargs: t.Any) -> t.Any:
            try:
                record: t.Any = top()._ctxfloor
            except (LookupError, AttributeError):
                return function(*args, **kwargs)
            outer, record.current = record.current, site
            start = now()
            try:
                result = function(*args, **kwargs)
            except BaseException as error:
                self.raised(record, site, start, error)
                raise
            record.current = outer
            try:
                stepped(record, site, start)
            except BaseException:
                self.failures += 1
            return result

        return call

    def teardown(self, site: Site, function: Function) -> Function:
        stepped = self.stepped()

        def call(exc: t.Any) -> t.Any:
            try:
                record: t.Any = top()._ctxfloor
            except (LookupError, AttributeError):
                return function(exc)
            outer, record.current = record.current, site
            start = now()
            try:
                result = function(exc)
            except BaseException as error:
                self.raised(record, site, start, error)
                raise
            record.current = outer
            try:
                stepped(record, site, start)
            except BaseException:
                self.failures += 1
            return result

        return call

    def after(self, site: Site, function: Function) -> Function:
        look = self.look

        def call(response: t.Any) -> t.Any:
            try:
                record: t.Any = top()._ctxfloor
            except (LookupError, AttributeError):
                return function(response)
            outer, record.current = record.current, site
            if record.response is None:
                moment = now()
                record.log += (MADE, record.log[-2], moment, look(record, response))
            start = now()
            try:
                result = function(response)
            except BaseException as error:
                self.raised(record, site, start, error)
                raise
            end = now()
            record.current = outer
            try:
                if len(record.log) < MOST:
                    record.log += (site, start, end, look(record, result))
            except BaseException:
                self.failures += 1
            return result

        return call

    def look(self, record: t.Any, response: t.Any) -> t.Any:
        g: t.Any = None
        if record.g.log:
            g = written(record.g, record.known, self.redactor.capture)
        if record.touched:
            g = (g, self.session_change(record))
        pairs, status = internals.header_pairs(response.headers), internals.status_of(response)
        record.response = response
        if pairs == record.pairs and status == record.status:
            return g
        record.pairs, record.status = pairs.copy(), status
        record.headers = self.captures.headers(pairs)
        return (g, record.headers, status)

    def begin(self, ctx: t.Any, start: int) -> t.Any:
        record = super().begin(ctx, start)
        record.unit, record.wall, record.error = current_unit(), time.time(), None
        record.status, record.pairs, record.headers, record.known = None, [], (), {}
        record.touched, record.seen = False, None
        record.path = self.captures.path(record.path)
        return record

    def bind(self, record: t.Any, app_context: t.Any) -> None:
        super().bind(record, app_context)
        record.session = session = internals.raw_session(internals.current_request_context())
        if type(session) in TELLING:
            session.on_touch = self.touched(record)
        live = record.g = tracked(app_context.g.__dict__)
        object.__setattr__(app_context.g, "__dict__", live)

    def wsgi_app(self, inner: Function) -> Function:
        look, captures = self.look, self.captures

        def wsgi_app(environ: t.Any, start_response: t.Any) -> t.Any:
            def start(status: str, headers: t.Any, exc_info: t.Any = None) -> t.Any:
                try:
                    record: t.Any = top()._ctxfloor
                    end, changes = now(), look(record, record.response)
                    if headers != record.pairs:
                        record.headers = captures.headers(headers)
                    record.status = int(status[:3])
                    record.log += (SAVED, record.log[-2], end, changes, SENT, end, end, None)
                except BaseException:
                    self.failures += 1
                if exc_info is None:
                    return start_response(status, headers)
                return start_response(status, headers, exc_info)

            return inner(environ, start)

        return wsgi_app

    def finish(self, ctx: t.Any, record: t.Any) -> None:
        try:
            if internals.pushes_of(ctx):
                return
            super().finish(ctx, record)
            session = record.session
            session.on_touch = None
            record.session = (session.loaded, session.modified, record.touched)
            if record.seen is not None:
                record.seen.release()
            record.environ = self.captures.environ(internals.request_in(ctx).environ)
            record.g, record.pairs = NO_G, []
            self.keep(record)
        except BaseException:
            self.failures += 1

    def keep(self, record: t.Any) -> None:
        lasted = record.log[-2] - record.made[0]
        ring = self.rings.get(record.endpoint)
        if ring is None:
            ring = self.rings.setdefault(record.endpoint, deque(maxlen=ENDPOINT))
        ring.append(record)
        if record.error is not None or (record.status or 0) >= 500:
            self.failed.append(record)
        if lasted > self.least_slow:
            self.slow.append((lasted, record.serial))
        names = [*record.known]
        shape = (record.endpoint, record.status, tuple(record.log[::4]), *names)
        if shape not in self.sound:
            self.sound[shape] = None


NO_G: t.Final[Tracked] = tracked({})
CASES: t.Final = tuple(case for case in request_cost.CASES if case != "template")
"""Those of ``request_cost.py`` that take the same steps: a template is a step more."""
LEVELS: t.Final[dict[str, type[Seams]]] = {"seams": Seams, "times": Times, "whole": Whole}


def _phases(app: Flask) -> dict[t.Any, str]:
    tables: dict[str, t.Mapping[t.Any, t.Iterable[t.Any]]] = {
        "before_request": app.before_request_funcs,
        "after_request": app.after_request_funcs,
        "teardown_request": app.teardown_request_funcs,
        "teardown_appcontext": {None: app.teardown_appcontext_funcs},
        "view": {None: app.view_functions.values()},
    }
    return {
        function: phase
        for phase, table in tables.items()
        for functions in table.values()
        for function in functions
    }


def make_app(variant: str) -> Flask:
    """The app of ``request_cost.py``, with the recorder of that level if it is one of these."""
    if variant not in LEVELS:
        return request_cost.make_app(variant)
    app = request_cost.make_app("off")
    app.extensions["ctxfloor"] = LEVELS[variant](app)
    return app


def check(app: Flask, variant: str) -> None:
    """Assert that a recorder of this level noted all that its level promises.

    :raises AssertionError: if it did not.
    """
    request_cost.call(app, "/plain/5")
    recorder = app.extensions["ctxfloor"]
    if variant == "seams":
        assert recorder.known, "no function goes through the seams"
        return
    record = recorder.records[-1]
    sites = [*OPENING, *record.log[::4]]
    assert len(sites) == STEPS, sites
    assert not recorder.live
    if variant == "whole":
        assert recorder.failures == 0
        assert record.known == {"x": 123, "user": None}
        assert ("X-A", "1") in record.headers
        assert record.environ[0]["REMOTE_ADDR"] == "127.0.0.1"
        assert len(recorder.sound) == 1
        if not internals.ACCESS_IS_TOLD:
            return  # before Flask 3.1.3 no session tells of itself
        request_cost.call(app, "/write", request_cost.cookie_of(app))
        record = recorder.records[-1]
        view = record.log.index(("view", "write"))
        assert record.log[view + 3] == (None, ({}, {"n": [1, 2]}, {})), record.log


def measure(case: str, rounds: int, requests: int) -> dict[str, dict[str, float]]:
    """Of one case: each variant's microseconds, and ratios to bare Flask."""
    path, sends = request_cost.CASES[case]
    apps = {variant: make_app(variant) for variant in ("bare", "off", *LEVELS, "trace")}
    cookies: dict[str, str | None] = {}
    times: dict[str, list[float]] = {variant: [] for variant in apps}
    for variant, app in apps.items():
        if variant in LEVELS:
            check(app, variant)
        cookies[variant] = request_cost.cookie_of(app) if sends else None
        request_cost.time_calls(app, path, cookies[variant], 5 * requests)
    for _ in range(rounds):
        for variant, app in apps.items():
            took = request_cost.time_calls(app, path, cookies[variant], requests)
            times[variant].append(took)
    return {
        variant: {
            "least_us": round(min(took), 2),
            "ratio": round(
                statistics.median(a / b for a, b in zip(took, times["bare"], strict=True)), 3
            ),
        }
        for variant, took in times.items()
    }


def main(argv: t.Sequence[str] | None = None) -> dict[str, t.Any]:
    """Measure, print, and return the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", metavar="FILE", help="write the figures to FILE too")
    parser.add_argument("--rounds", type=int, default=41)
    parser.add_argument("--requests", type=int, default=200, help="requests per round")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    given = parser.parse_args(argv)
    if unknown := set(given.cases).difference(CASES):
        parser.error(f"there is no case {', '.join(unknown)}: choose from {', '.join(CASES)}")
    figures: dict[str, t.Any] = {"versions": request_cost.versions()}
    print("  ".join(f"{name} {number}" for name, number in figures["versions"].items()))
    figures["floor"] = {}
    for case in given.cases or CASES:
        figures["floor"][case] = rows = measure(case, given.rounds, given.requests)
        for variant, row in rows.items():
            print(f"{case:18} {variant:6} {row['least_us']:8.1f} us least {row['ratio']:7.3f}x")
    if given.json:
        Path(given.json).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return figures


if __name__ == "__main__":
    main(sys.argv[1:])
