"""Hostile, huge, cyclic and countless values: a bounded trace, in bounded time."""

from __future__ import annotations

import json
import sys
import threading
import time
import typing as t

import pytest
from flask import Flask, Response, g, render_template, session
from flask.sessions import SecureCookieSession, SessionInterface

from flask_ctxkit import CtxKit
from flask_ctxkit.report import trace as trace_report

MEGABYTE = 1_000_000


class TouchedError(BaseException):
    """The kit ran code of the user's by looking."""


def touched(*_: t.Any, **__: t.Any) -> t.NoReturn:
    raise TouchedError


SPECIAL = (
    "__repr__", "__str__", "__eq__", "__ne__", "__hash__", "__bool__", "__len__", "__iter__",
    "__getattribute__", "__getattr__", "__format__", "__reduce_ex__", "__sizeof__", "__dir__",
    "__contains__", "__getitem__", "__int__", "__index__", "__call__", "__lt__", "__copy__",
    "__deepcopy__", "__next__", "__enter__", "__await__", "__bytes__", "__fspath__", "keys",
)  # fmt: skip
Hostile: t.Any = type("Hostile", (), dict.fromkeys(SPECIAL, touched))
HostileList: t.Any = type("HostileList", (list,), dict.fromkeys(SPECIAL, touched))
HostileStr: t.Any = type(
    "HostileStr", (str,), {**dict.fromkeys(SPECIAL, touched), "__hash__": str.__hash__}
)


class Liar:
    """Says that it is of another class, and is slow to say it."""

    @property  # type: ignore[misc]  # that is the lie
    def __class__(self) -> t.Any:
        time.sleep(5)
        return str

    @property
    def slow(self) -> str:
        time.sleep(5)
        return "never asked"


def cyclic() -> t.Any:
    row: list[t.Any] = []
    table = {"row": row}
    row.extend([table, row, (row, table)])
    return table


def deep() -> t.Any:
    value: t.Any = "bottom"
    for _ in range(100_000):
        value = [value]
    return value


def wide() -> t.Any:
    """Each level names the next one twice: 2 ** 60 paths."""
    value: t.Any = "leaf"
    for _ in range(60):
        value = [value, value]
    return value


VALUES: dict[str, t.Callable[[], t.Any]] = {
    "hostile": Hostile,
    "hostile list": lambda: HostileList([1, 2]),
    "hostile text": lambda: HostileStr("text"),
    "hostile inside": lambda: {"a": [Hostile()], "b": (Hostile(),), "c": {"d": Hostile()}},
    "liar": Liar,
    "huge text": lambda: "x" * (100 * MEGABYTE),
    "huge bytes": lambda: b"x" * (100 * MEGABYTE),
    "huge secret": lambda: "Bearer " + "eyJ" * (10 * MEGABYTE),
    "huge list": lambda: [0] * (10 * MEGABYTE),
    "huge range": lambda: range(10**18),
    "huge number": lambda: 1 << (8 * MEGABYTE),
    "huge dict": lambda: dict.fromkeys(range(MEGABYTE)),
    "cyclic": cyclic,
    "deep": deep,
    "wide": wide,
    "not finite": lambda: [float("nan"), float("inf"), -float("inf")],
    "lone surrogate": lambda: "\ud800",
    "null": lambda: "a\0b\x1b[31m",
    "odd keys": lambda: {None: 1, (1, 2): 2, 3.5: 3, "$type": "str", "": 5},
    "generator": lambda: (touched() for _ in range(3)),
    "type": lambda: type("Meta", (type,), {"__repr__": touched})("Made", (), {}),
    "module": lambda: sys,
    "lock": threading.Lock,
    "frame": sys._getframe,
}


def traced(**config: t.Any) -> Flask:
    app = Flask("bad")
    app.config.update(SECRET_KEY="k" * 32, CTXKIT_TRACE=True, **config)
    CtxKit(app)
    return app


def look(app: Flask) -> tuple[t.Any, str]:
    """The newest trace, and all of it as text; nothing of the kit's has failed by then."""
    state = app.extensions["ctxkit"]
    trace = next(state.store.newest())
    text = json.dumps(trace_report(state, trace.id), allow_nan=False)
    assert state.recorder.cost()["failures"] == []
    return trace, text


@pytest.mark.parametrize("name", VALUES)
def test_any_value_in_g_makes_a_bounded_trace(name: str) -> None:
    app = traced()
    value = VALUES[name]()

    @app.get("/")
    def index() -> str:
        g.value = value
        g.value = value
        g.other = [value]
        del g.other
        return "fine"

    start = time.perf_counter()
    assert app.test_client().get("/").data == b"fine"
    trace, text = look(app)
    assert time.perf_counter() - start < 2
    assert len(text) < 60_000
    [view] = [event for event in trace.events if event.phase == "view"]
    assert list(view.g.added) == ["value"]


class Held(SecureCookieSession):
    pass


class Holding(SessionInterface):
    """A server-side session, which may hold anything."""

    def __init__(self, values: dict[str, t.Any]) -> None:
        self.values = values

    def open_session(self, app: Flask, request: t.Any) -> Held:
        return Held(self.values)

    def save_session(self, app: Flask, session: t.Any, response: Response) -> None:
        self.values = dict(session)


@pytest.mark.parametrize("name", VALUES)
def test_any_value_in_the_session_makes_a_bounded_trace(name: str) -> None:
    app = traced()
    value = VALUES[name]()
    app.session_interface = Holding({"old": value})

    @app.get("/")
    def index() -> str:
        session["new"] = value
        session.pop("old", None)
        return "fine"

    start = time.perf_counter()
    assert app.test_client().get("/").data == b"fine"
    _, text = look(app)
    assert time.perf_counter() - start < 2
    assert len(text) < 60_000


def test_ten_thousand_names_in_g_are_cut_and_counted() -> None:
    app = traced()

    @app.before_request
    def fill() -> None:
        for n in range(10_000):
            setattr(g, f"name_{n}", n)

    @app.get("/")
    def index() -> str:
        g.name_9999 = "changed"
        return "fine"

    start = time.perf_counter()
    assert app.test_client().get("/").data == b"fine"
    trace, text = look(app)
    assert time.perf_counter() - start < 2
    assert len(text) < 100_000
    [fill_event] = [e for e in trace.events if e.phase == "before_request"]
    assert len(fill_event.g.added) <= 201
    assert fill_event.g.added["$cut"] == 9_800
    [view] = [event for event in trace.events if event.phase == "view"]
    assert "name_9999" in view.g.changed


def test_ten_thousand_session_names_and_headers_are_cut() -> None:
    app = traced()
    app.session_interface = Holding({})

    @app.get("/")
    def index() -> Response:
        session.update({f"name_{n}": n for n in range(10_000)})
        return Response("fine", headers=[(f"X-{n}", "v" * 100) for n in range(10_000)])

    start = time.perf_counter()
    answer = app.test_client().get("/")
    assert len(answer.headers) > 10_000
    _, text = look(app)
    assert time.perf_counter() - start < 2
    assert len(text) < 300_000


def test_of_ten_thousand_events_the_middle_is_dropped_and_counted() -> None:
    app = traced(CTXKIT_MAX_EVENTS=100)
    app.jinja_env.globals["nothing"] = lambda: ""

    @app.get("/")
    def index() -> str:
        template = app.jinja_env.from_string("{{ nothing() }}")

        return "".join(render_template(template) for _ in range(5_000))

    start = time.perf_counter()
    assert app.test_client().get("/").data == b""
    trace, text = look(app)
    assert time.perf_counter() - start < 10
    assert len(trace.events) <= 120
    assert trace.dropped_events > 4_500
    assert trace.events[0].phase == "make_request"
    assert trace.events[-1].phase == "pop"
    assert len(text) < 200_000


@pytest.mark.parametrize(
    "environ",
    [
        {"PATH_INFO": "/" + "x" * MEGABYTE},
        {"QUERY_STRING": "a=" + "b" * MEGABYTE},
        {"QUERY_STRING": "&".join(f"k{n}={n}" for n in range(50_000))},
        {"HTTP_COOKIE": "session=" + "." * MEGABYTE},
        {"HTTP_COOKIE": "; ".join(f"session={n}" for n in range(10_000))},
        {"HTTP_COOKIE": "session=\xff\xfe\0; ;;=;"},
        {f"HTTP_X_{n}": "y" * 100 for n in range(10_000)},
        {"HTTP_HOST": "<script>alert(1)</script>"},
        {"REQUEST_METHOD": "X" * 10_000},
        {"PATH_INFO": "/\x00\xff\r\nSet-Cookie: a=b"},
        {"HTTP_AUTHORIZATION": "Basic " + "A" * MEGABYTE},
        {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"},
        {"REMOTE_ADDR": "not an address"},
        {"own.object": Hostile(), "own.cycle": cyclic()},
    ],
    ids=lambda environ: ",".join(sorted(environ)[:2]),
)
def test_any_request_makes_a_bounded_trace(environ: dict[str, t.Any]) -> None:
    app = traced()
    app.add_url_rule("/", "index", lambda: str(session.get("n")))
    start = time.perf_counter()
    assert app.test_client().get("/", environ_overrides=environ).status_code < 500
    _, text = look(app)
    assert time.perf_counter() - start < 3
    assert len(text) < 600_000
    assert "\ud800" not in text


class OddError(Exception):
    def __str__(self) -> str:
        raise TouchedError

    __repr__ = __str__


@pytest.mark.parametrize(
    "error",
    [
        lambda: OddError(Hostile(), "x" * (10 * MEGABYTE)),
        lambda: OddError(HostileStr("message")),
        lambda: ValueError(cyclic()),
        lambda: RecursionError("deep"),
        MemoryError,
        lambda: KeyError(Hostile()),
        lambda: UnicodeDecodeError("utf-8", b"\xff" * MEGABYTE, 0, 1, "odd"),
        lambda: StopIteration(1),
    ],
)
def test_any_exception_makes_a_bounded_trace(error: t.Callable[[], BaseException]) -> None:
    app = traced()
    app.logger.disabled = True

    @app.get("/")
    def index() -> t.NoReturn:
        raise error()

    assert app.test_client().get("/").status_code == 500
    trace, text = look(app)
    assert trace.exception is not None
    assert len(text) < 60_000


def test_a_recursion_without_end_is_told_and_cut() -> None:
    app = traced()
    app.logger.disabled = True

    @app.get("/")
    def index() -> t.Any:
        return index()

    assert app.test_client().get("/").status_code == 500
    trace, text = look(app)
    assert trace.exception.type == "RecursionError"
    assert len(text) < 60_000


def test_g_that_changes_in_another_thread_is_read_all_the_same() -> None:
    app = traced()
    stop = threading.Event()

    @app.get("/")
    def index() -> str:
        names = g._get_current_object()

        def write() -> None:
            n = 0
            while not stop.is_set():
                n = (n + 1) % 50
                setattr(names, f"name_{n}", n)
                names.pop(f"name_{(n * 7) % 50}", None)

        threads = [threading.Thread(target=write) for _ in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(0.05)
        return "fine"

    app.teardown_request(lambda _exc: None)
    try:
        for _ in range(5):
            assert app.test_client().get("/").data == b"fine"
    finally:
        stop.set()
    assert len(app.extensions["ctxkit"].store) == 5
