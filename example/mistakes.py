"""Blueprint: the "break it" page, whose switches plant mistakes."""

from __future__ import annotations

import inspect
import textwrap
import typing as t
from dataclasses import dataclass
from functools import cached_property

from flask import Blueprint, abort, current_app, redirect, render_template, url_for

from flask_ctxkit import current_ctxkit, report

from . import borrowed, planted
from .background import start

if t.TYPE_CHECKING:
    from flask import Flask
    from werkzeug import Response

    from .switchboard import Switchboard

mistakes = Blueprint("mistakes", __name__)


@dataclass(frozen=True)
class Mistake:
    """``plant`` puts it into an app; ``codes`` are the findings that it should raise. One that
    ``hangs`` is found while it does.
    """

    plant: t.Callable[[Flask, Blueprint], None]
    codes: tuple[str, ...]
    title: str
    story: str
    visits: int = 1
    hangs: bool = False

    @property
    def name(self) -> str:
        return self.plant.__name__.replace("_", "-")

    @property
    def path(self) -> str:
        return f"/broken/{self.name}"

    @cached_property
    def source(self) -> str:
        _, _, body = inspect.getsource(self.plant).partition("\n")
        return textwrap.dedent(body).strip("\n")


MISTAKES = {
    mistake.name: mistake
    for mistake in (
        Mistake(
            planted.hook_order,
            ("hook-order",),
            "A hook asks too early",
            "One hook greets the visitor, the next one finds out who that is.",
        ),
        Mistake(
            planted.registered_twice,
            ("hook-registered-twice",),
            "A hook is registered twice",
            "A decorator and an init function both register it, so every visit counts double.",
        ),
        Mistake(
            planted.guard_skipped,
            ("hook-skips-guard",),
            "A cache answers before the door is checked",
            "Whoever comes second gets the page of the first, without being asked who they are.",
            visits=2,
        ),
        Mistake(
            planted.slow_hook,
            ("hook-slow",),
            "A hook is slow",
            "It asks the weather service before every single view.",
        ),
        Mistake(
            planted.forgotten_pop,
            ("context-wrong-pop", "context-popped-wrongly"),
            "A view forgets to pop",
            "It pushes an application context for some work and leaves it on top of its own.",
        ),
        Mistake(
            planted.never_popped,
            ("context-never-popped",),
            "A thread never pops",
            "It pushes an application context, as many a script does, and ends.",
        ),
        Mistake(
            planted.abandoned_stream,
            ("context-left-current",),
            "A stream is abandoned",
            "A body is begun, kept, and never read to its end: its context stays on the thread.",
        ),
        Mistake(
            planted.late_stream,
            ("context-missing",),
            "A stream reads the request too late",
            "The body is made after the request's context was popped.",
        ),
        Mistake(
            planted.thread_without_guest,
            ("g-elsewhere",),
            "A thread expects the request's g",
            "It pushes a context of its own, whose g is empty.",
            visits=2,
        ),
        Mistake(
            planted.thread_without_context,
            ("context-missing",),
            "A thread has no context",
            "current_app leads nowhere in it, and the traceback alone doesn't say who started it.",
        ),
        Mistake(
            planted.header_overwritten,
            ("header-overwritten",),
            "Two hooks fight over a header",
            "One lets nobody frame the page, the other lets the whole site.",
        ),
        Mistake(
            planted.cookie_for_everyone,
            ("header-cookie-public",),
            "A cookie that a cache may share",
            "The page is public for an hour, and carries one visitor's session.",
        ),
        Mistake(
            planted.masked_error,
            ("teardown-masked-error",),
            "A teardown hides the real error",
            "The view fails, then the cleaning up fails as well, and only that is reported.",
        ),
        Mistake(
            planted.after_request_fails,
            ("after-request-raised",),
            "An after_request function fails",
            "The answer becomes a 500, and what the view wrote to the session is lost.",
        ),
        Mistake(
            planted.session_too_late,
            ("session-changed-too-late",),
            "The session changes after it was saved",
            "A teardown function counts the visit when the cookie is long gone.",
        ),
        Mistake(
            planted.reopened,
            ("g-reopened",),
            "What was closed is opened again",
            "One teardown function closes the ledger, the next one looks something up in it.",
        ),
        Mistake(
            borrowed.connection_kept,
            ("resource-not-closed",),
            "A connection is never given back",
            "A generator reads rows inside a block, and nobody reads it to its end.",
        ),
        Mistake(
            borrowed.slow_call_inside,
            ("resource-held-while-slow",),
            "A connection waits for somebody else",
            "The bank is asked for the rate of the day while the block is open.",
        ),
        Mistake(
            borrowed.hangs_with_connection,
            ("resource-held-by-stuck",),
            "A request hangs, and keeps its connection",
            "It waits for a harbour that doesn't answer, and nobody else gets what it has "
            "borrowed. To see that takes some seconds.",
            hangs=True,
        ),
        Mistake(
            borrowed.close_that_fails,
            ("resource-close-failed",),
            "Giving back fails",
            "The cleaning up drops a table that nobody made, and never gets to the closing.",
        ),
        Mistake(
            borrowed.pool_too_narrow,
            ("pool-exhausted",),
            "The pool runs dry",
            "A function opens a block of its own, and its caller holds the only connection.",
        ),
        Mistake(
            borrowed.question_in_a_loop,
            ("statement-repeated",),
            "A question is asked in a loop",
            "Twelve statements, where one would bring all the rows.",
        ),
        Mistake(
            borrowed.one_copy_for_two,
            ("context-copy-shared",),
            "Two workers share one copy of a context",
            "The function is copied once and started twice: both push the same context.",
        ),
        Mistake(
            borrowed.proxy_handed_over,
            ("work-proxy-captured",),
            "A thread is handed a proxy",
            "It is given session, which asks anew, over there, which session is meant.",
        ),
        Mistake(
            borrowed.table_left_behind,
            ("work-without-g",),
            "Work elsewhere expects the request's g",
            "It has a context of its own, and nobody said what to take along.",
        ),
        Mistake(
            borrowed.mail_after_the_answer,
            ("work-outlives-request",),
            "Work goes on when its request has ended",
            "It shares the request's own context, whose files and session are gone by then.",
        ),
        Mistake(
            planted.weak_secret,
            ("secret-weak",),
            "The secret is one that everybody knows",
            "Whoever guesses it can write any session they like.",
        ),
    )
}


def init_app(app: Flask, names: t.Collection[str]) -> None:
    app.register_blueprint(mistakes)
    for name in names:
        blueprint = Blueprint(name, __name__, url_prefix=MISTAKES[name].path)
        MISTAKES[name].plant(app, blueprint)
        app.register_blueprint(blueprint)


def switchboard() -> Switchboard:
    return t.cast("Switchboard", current_app.extensions["switchboard"])


@mistakes.get("/break")
def switches() -> str:
    said: dict[str, list[str]] = {}
    for finding in report.findings(current_ctxkit)["findings"]:
        said.setdefault(finding["code"], []).append(finding["message"])
    return render_template(
        "switches.html",
        mistakes=MISTAKES.values(),
        planted=switchboard().planted,
        said={
            mistake.name: [text for code in mistake.codes for text in said.get(code, ())]
            for mistake in MISTAKES.values()
            if mistake.name in switchboard().planted
        },
    )


@mistakes.post("/break/<name>")
def switch(name: str) -> Response:
    """Plant the mistake, or take it out again; the app starts anew."""
    if name not in MISTAKES:
        abort(404)
    board = switchboard()
    board.plant(board.planted ^ {name})
    return redirect(url_for("mistakes.switches", _anchor=name))


@mistakes.post("/break/<name>/make")
def make(name: str) -> Response:
    """Visit the broken page as a browser would, in a thread of its own."""
    if name not in switchboard().planted:
        abort(404)
    mistake = MISTAKES[name]
    # A little longer than it takes to be called stuck.
    patience = 1.2 * current_ctxkit.config.stuck_after if mistake.hangs else None
    for _ in range(mistake.visits):
        start(f"visit-{name}", visit, mistake.path).join(patience)
    return redirect(url_for("mistakes.switches", _anchor=name))


def visit(app: Flask, path: str) -> None:
    try:
        # In debug an error comes through, as to a debugger.
        app.test_client().get(path, buffered=True)
    except Exception as error:
        app.logger.info("%s raised %s, as it was asked to", path, type(error).__name__)
