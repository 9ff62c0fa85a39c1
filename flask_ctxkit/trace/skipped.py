"""What Flask did not run, since something before it raised: told as steps, never guessed.

Flask runs the functions of a table one after the other, so what stands behind the one that
raised did not run. The tables are read when the context ends; functions that were registered
meanwhile would be told as well.
"""

from __future__ import annotations

import typing as t

from flask.sessions import NullSession

from .. import internals
from .recording import Remark
from .site import SAVE_SESSION, make_site

if t.TYPE_CHECKING:
    from flask import Flask

    from .model import Phase
    from .recording import Noted, Recording
    from .site import Site

AFTER: t.Final = frozenset({"after_this_request", "after_request"})
TEARDOWN: t.Final = frozenset({"teardown_request", "teardown_appcontext"})

Planned = list[tuple["Phase", t.Any]]
"""The functions that Flask runs one after the other, each with its phase."""


def note_skipped(recording: Recording, ctx: t.Any) -> None:
    """Note each step that Flask left out before *ctx* was popped."""
    steps = recording.all_steps()
    raised = {site.phase for site in recording.raisers}
    if raised & AFTER:
        _after_response(recording, ctx, steps)
    if recording.kind == "request" and not recording.sent and _saves(recording):
        _not_answered(recording, steps)
    if internals.ONE_CONTEXT or not raised & TEARDOWN:
        return  # since 3.2 every teardown function runs, whatever the others raise
    for phase, planned in _teardown_functions(recording, ctx):
        for step, left in _left_out(steps, phase, planned):
            _note(recording, step, left, ctx.app)


def _after_response(recording: Recording, ctx: t.Any, steps: list[Noted]) -> None:
    first: Planned = [
        ("after_this_request", function) for function in internals.after_this_request_functions(ctx)
    ]
    then = _in_scopes("after_request", ctx.app.after_request_funcs, ctx)
    left_out = [
        *((step, left + then) for step, left in _left_out(steps, "after_this_request", first)),
        *_left_out(steps, "after_request", then),
    ]
    for step, left in left_out:
        _note(recording, step, left, ctx.app)
        if _saves(recording):
            _note_unsaved(recording, step, "the session is saved after these functions")


def _teardown_functions(recording: Recording, ctx: t.Any) -> t.Iterator[tuple[str, Planned]]:
    app = ctx.app
    if recording.has_request:
        planned = _in_scopes("teardown_request", app.teardown_request_funcs, ctx)
        yield "teardown_request", planned
    functions = reversed(app.teardown_appcontext_funcs)
    yield "teardown_appcontext", _without_own([("teardown_appcontext", f) for f in functions])


def _in_scopes(phase: Phase, table: t.Any, ctx: t.Any) -> Planned:
    """The functions in *table* that Flask runs for the request of *ctx*, last in first out."""
    request: t.Any = internals.request_of(ctx)
    scopes = (*request.blueprints, None)
    return _without_own([(phase, f) for name in scopes for f in reversed(table.get(name, ()))])


def _without_own(planned: Planned) -> Planned:
    return [row for row in planned if not _is_own(row[1])]


def _is_own(function: t.Any) -> bool:
    return str(getattr(function, "__module__", "")).startswith("flask_ctxkit.")


def _left_out(
    steps: list[Noted], phase: str, planned: Planned
) -> t.Iterator[tuple[Noted, Planned]]:
    """Each of *steps* that raised and so ended a run through *planned*, with the rest of it."""
    ran = 0
    for step in steps:
        if step[0].phase != phase or step[0].definition.source == "flask_ctxkit":
            continue
        ran += 1
        if step[4] is not None and step[4].outcome == "raised":
            yield step, planned[ran:]
        elif ran < len(planned):
            continue
        ran = 0


def _note(recording: Recording, step: Noted, left: Planned, app: Flask) -> None:
    remark = Remark("skipped", note=f"{_raised(step)}, and Flask ran nothing after it")
    for phase, function in left:
        site, _ = make_site(phase, function, app)
        _note_at(recording, site, step, remark)


def _note_unsaved(recording: Recording, step: Noted, why: str) -> None:
    _note_at(recording, SAVE_SESSION, step, Remark("skipped", note=f"{_raised(step)}: {why}"))


def _not_answered(recording: Recording, steps: list[Noted]) -> None:
    """No response was made: what raised was propagated, or is no Exception."""
    raised = [
        step
        for step in steps
        if step[4] is not None
        and step[4].outcome == "raised"
        and not step[0].phase.startswith("teardown")
    ]
    if raised:
        _note_unsaved(recording, raised[-1], "no response was made to save the session with")


def _note_at(recording: Recording, site: Site, step: Noted, remark: Remark) -> None:
    recording.add((site, step[2], step[2], None, remark))


def _raised(step: Noted) -> str:
    error = step[4].error if step[4] is not None else None
    return f"{step[0].definition.name} raised {error.type if error else 'an exception'}"


def _saves(recording: Recording) -> bool:
    """Whether there is a session that Flask would save."""
    return recording.session is not None and not isinstance(recording.session, NullSession)
