"""What is done with a resource stands on the trace of the context that asked for it."""

from __future__ import annotations

import typing as t

from flask import Flask

from flask_ctxkit import CtxKit, current_ctxkit
from flask_ctxkit.resources.steps import Step, now, tell


def make_app(view: t.Callable[[], str]) -> Flask:
    app = Flask(__name__)
    app.config.update(CTXKIT_TRACE=True)
    CtxKit(app)
    app.add_url_rule("/", "view", view)
    return app


def events_of(app: Flask) -> list[t.Any]:
    [trace] = app.extensions["ctxkit"].store.newest()
    return [event for event in trace.events if event.phase == "resource"]


def test_a_step_stands_on_the_trace() -> None:
    """With what it was, where it was asked for, and what there is to say."""

    def view() -> str:
        start = now()
        tell(Step("open", "open db", "app.py:7", start, now(), None, "the third"))
        return ""

    app = make_app(view)
    app.test_client().get("/")
    [event] = events_of(app)
    assert (event.name, event.where, event.note, event.depth) == (
        "open db", "app.py:7", "the third", 1,
    )  # fmt: skip


def test_a_step_that_failed_is_told_with_its_error() -> None:
    """As the outcome of the step, and whatever became of the request."""

    def view() -> str:
        tell(Step("close", "close db", None, now(), now(), OSError("gone")))
        return ""

    app = make_app(view)
    assert app.test_client().get("/").status_code == 200
    [event] = events_of(app)
    assert (event.outcome, event.error.type, event.error.message) == ("raised", "OSError", "gone")


def test_a_step_outside_of_a_recorded_context_is_nobodys() -> None:
    """Outside of a context, in an app without a kit, and with tracing off."""
    step = Step("open", "open db", None, now(), now())
    tell(step)
    with Flask(__name__).app_context():
        tell(step)
    app = Flask(__name__)
    CtxKit(app)
    with app.app_context():
        tell(step)
        assert len(current_ctxkit.store) == 0


def test_a_step_in_a_block_is_inside_of_it() -> None:
    """What a script does since its push, it does in its block, which took all that time."""
    app = make_app(str)
    app.extensions["ctxkit"].trace_on()
    with app.app_context():
        tell(Step("open", "open db", "script.py:7", now(), now()))
    [trace] = app.extensions["ctxkit"].store.newest()
    block = next(event for event in trace.events if event.phase == "view")
    [event] = [event for event in trace.events if event.phase == "resource"]
    assert (block.depth, event.depth) == (0, 1)
    assert block.start_us <= event.start_us
