"""Who touched the session first, and who changed it, in ways that are easy to miss."""

from __future__ import annotations

import functools
import threading
import typing as t

import pytest
from flask import Flask, copy_current_request_context, g, request, session

from flask_ctxkit import CtxKit, propagate
from flask_ctxkit.internals import ACCESS_IS_TOLD, current_request_context, raw_session

Threads = t.Callable[[t.Callable[[], object]], None]


def make() -> Flask:
    app = Flask(__name__)
    app.secret_key = "k" * 32
    app.config["CTXKIT_TRACE"] = True
    CtxKit(app)

    @app.get("/set")
    def set_user() -> str:
        session["user"] = "ann"
        return ""

    return app


def in_thread(work: t.Callable[[], object]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def trace_of(app: Flask, path: str) -> t.Any:
    traces = app.extensions["ctxkit"].store.newest()
    return next(x for x in traces if x.kind == "request" and x.path == path)


def touched_by(trace: t.Any) -> str | None:
    index = trace.session["accessed_by"]
    return None if index is None else trace.events[index - 1].name


def answer(app: Flask, view: t.Callable[[], str], *, visited: bool = True) -> t.Any:
    """The trace of *view*, for a visitor who brings a session cookie."""
    app.get("/")(view)
    client = app.test_client()
    if visited:
        client.get("/set")
    assert client.get("/").status_code == 200
    trace = trace_of(app, "/")
    assert app.extensions["ctxkit"].recorder.cost()["failures"] == []
    return trace


@pytest.mark.parametrize("visited", [True, False])
def test_a_change_is_told_though_a_copy_of_the_context_was_pushed_before(*, visited: bool) -> None:
    """Flask hands the copy the same session, which both contexts watch."""
    app = make()

    def view() -> str:
        in_thread(copy_current_request_context(lambda: None))
        session["user"] = "bob"
        return ""

    trace = answer(app, view, visited=visited)
    view_event = next(event for event in trace.events if event.phase == "view")
    assert touched_by(trace) == view_event.name
    assert trace.session["state"] == "changed"
    change = view_event.session
    assert change.changed if visited else change.added


def test_a_change_inside_a_copy_is_told_once_the_copy_made_it() -> None:
    """Whichever of both contexts the session tells."""
    app = make()

    def view() -> str:
        def work() -> None:
            session["user"] = "bob"

        in_thread(copy_current_request_context(work))
        return ""

    answer(app, view)
    tasks = [x for x in app.extensions["ctxkit"].store.newest() if x.kind == "task"]
    assert [x.session["state"] for x in tasks] == ["changed"]


def look(raw: t.Any) -> None:
    len(raw)


def load_by_propagate(_: t.Any) -> None:
    propagate(lambda: None)()


told = pytest.mark.skipif(not ACCESS_IS_TOLD, reason="before 3.1.3 any way of use is an access")


@pytest.mark.parametrize("before", [pytest.param(look, marks=told), load_by_propagate])
def test_who_reads_a_session_is_told_though_it_was_loaded_before(
    before: t.Callable[[t.Any], None],
) -> None:
    """To load it is not to touch it: that is the view, which causes ``Vary: Cookie``."""
    app = make()

    @app.before_request
    def start() -> None:
        if request.path == "/":
            before(raw_session(current_request_context()))

    def view() -> str:
        return str(session.get("user", ""))

    trace = answer(app, view)
    assert (trace.session["state"], touched_by(trace)) == (
        "read", next(event.name for event in trace.events if event.phase == "view"),
    )  # fmt: skip


@told
def test_what_is_written_past_flask_is_told_with_the_first_access() -> None:
    """Some extensions write to the session that the context holds."""
    app = make()

    @app.before_request
    def start() -> None:
        if request.path == "/":
            raw_session(current_request_context())["late"] = 1

    def view() -> str:
        return str(session.get("user", ""))

    trace = answer(app, view)
    assert trace.session["names"] == {"user": "ann", "late": 1}
    assert [event.session.added for event in trace.events if event.phase == "view"] == [{"late": 1}]


@pytest.mark.parametrize("refresh", [True, False])
def test_to_save_a_session_is_not_to_touch_it(*, refresh: bool) -> None:
    """Flask asks whether it is permanent, which before 3.1.3 is an access like any."""
    app = make()
    app.config["SESSION_REFRESH_EACH_REQUEST"] = refresh

    @app.before_request
    def keep() -> None:
        if request.path == "/set":
            session.permanent = True

    trace = answer(app, str)
    assert (trace.session["state"], touched_by(trace)) == ("untouched", None)
    assert trace.session["saved"] is refresh


class Task:
    def __call__(self, *_: object) -> str:
        return ""


def looped() -> t.Any:
    work: t.Any = lambda: ""
    work.__wrapped__ = work
    return work


WRAPPED: dict[str, t.Any] = {
    "a partial": lambda: functools.wraps(functools.partial(Task(), 1))(lambda: ""),
    "a class": lambda: functools.wraps(dict)(lambda: ""),
    "an object": lambda: functools.update_wrapper(lambda: "", Task()),
    "itself": looped,
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_work_that_wraps_what_is_no_function_is_recorded(kind: str) -> None:
    """Its own line then stands for it."""
    app = make()

    def view() -> str:
        in_thread(copy_current_request_context(WRAPPED[kind]()))
        return ""

    answer(app, view)
    assert [x.kind for x in app.extensions["ctxkit"].store.newest()].count("task") == 1


def test_the_parent_of_work_is_who_started_it_wherever_it_runs() -> None:
    """Also inside of a context of the thread that runs it."""
    app = make()

    def view() -> str:
        work: t.Any = copy_current_request_context(lambda: g.get("user"))

        def in_a_context_of_its_own() -> None:
            with app.app_context():
                work()

        in_thread(in_a_context_of_its_own)
        return ""

    trace = answer(app, view)
    [task] = [x for x in app.extensions["ctxkit"].store.newest() if x.kind == "task"]
    assert (task.parent, task.lineage["by"]) == (trace.id, "GET /")


def test_a_token_that_was_seen_before_the_rules_were_known_is_hidden_after() -> None:
    """A test may record contexts before the first request, at which the rules are read."""
    app, token = make(), "Zx9secretsecret42"

    @app.get("/reset/<token>")
    def reset(token: str) -> str:
        return token[:0]

    app.extensions["ctxkit"].trace_on()
    with app.test_request_context(f"/reset/{token}"):
        pass
    app.test_client().get(f"/reset/{token}")
    trace = next(iter(app.extensions["ctxkit"].store.newest()))
    assert trace.path == "/reset/•••"
    assert token not in repr(trace)


def test_variables_that_can_not_be_captured_keep_nothing_of_the_users(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The recording is finished and lets go all the same."""
    app = make()
    recorder = app.extensions["ctxkit"].recorder
    finished: list[t.Any] = []
    recorder.sinks.append(finished.append)

    def broken(_: object) -> t.NoReturn:
        raise ZeroDivisionError

    monkeypatch.setattr(recorder.captures, "environ", broken)
    assert app.test_client().get("/set").status_code == 200
    [recording] = finished
    assert (recording.session, recording.request, dict(recording.g)) == (None, None, {})
    assert [row["step"] for row in recorder.cost()["failures"]] == ["environ"]
