"""Leaks: contexts that did not end as they should."""

from __future__ import annotations

import typing as t

from .model import Evidence, Finding, Rule

if t.TYPE_CHECKING:
    from ..contexts.registry import Leak, Live

POP: t.Final = "Pop contexts in the unit that pushed them, the last one first: use with blocks."


def left_current(_lives: t.Sequence[Live], leaks: t.Sequence[Leak]) -> t.Iterator[Finding]:
    """A context outlived the call or the request that it was pushed for."""
    for leak in leaks:
        # That a request started inside it is the same mistake, once more. Where nobody recorded
        # the context, its owner may be using it still: a test, for example.
        started_in = leak.kind == "dirty-start" and leak.trace is not None
        if leak.kind != "left-current" and not started_in:
            continue
        yield Finding(
            f"{_subject(leak)} stayed current in {leak.unit.name} after the call that pushed it "
            f"had ended{_pushed_at(leak)}.",
            (Evidence(leak.message), *_pushed(leak)),
            "Whoever pushes a context must pop it: use a with block. A body made with "
            "stream_with_context keeps its context until it is read to the end or closed.",
            f"{leak.method} {leak.path} {_place(leak)}",
            trace=leak.trace,
        )


def never_popped(_lives: t.Sequence[Live], leaks: t.Sequence[Leak]) -> t.Iterator[Finding]:
    """A context was dropped without a pop."""
    for leak in leaks:
        if leak.kind == "never-popped":
            yield Finding(
                f"{_subject(leak)} of {leak.unit.name} was dropped without being popped"
                f"{_pushed_at(leak)}: its teardown functions did not run.",
                _pushed(leak),
                "Use a with block, which pops it: with app.app_context(): ...",
                f"{leak.method} {leak.path} {_place(leak)}",
                trace=leak.trace,
            )


def popped_wrongly(_lives: t.Sequence[Live], leaks: t.Sequence[Leak]) -> t.Iterator[Finding]:
    """Popping a context failed."""
    for leak in leaks:
        if leak.kind == "wrong-pop":
            yield Finding(
                f"{_subject(leak)} was popped in the wrong order or place{_popped_at(leak)}. "
                f"It was pushed in {leak.unit.name}{_pushed_at(leak)}.",
                (Evidence(leak.message), *_pushed(leak)),
                "Pop contexts in the unit that pushed them, the last one first: use with blocks.",
                f"{leak.method} {leak.path} {_place(leak)}",
                trace=leak.trace,
            )


def _subject(leak: Leak) -> str:
    if leak.path:
        return f"The context of {leak.method} {leak.path}"
    return "An application context"


def _place(leak: Leak) -> str | None:
    # Flask's own wsgi_app pushes the contexts of requests: nothing to look at there.
    return None if leak.pushed is None or leak.pushed.startswith("flask/") else leak.pushed


def _pushed_at(leak: Leak) -> str:
    place = _place(leak)
    return f" (pushed at {place})" if place else ""


def _popped_at(leak: Leak) -> str:
    return f", at {leak.popped}" if leak.popped else ""


def _pushed(leak: Leak) -> tuple[Evidence, ...]:
    place = _place(leak)
    return (Evidence(f"It was pushed at {place}.", None, place),) if place else ()


RULES: t.Final = (
    Rule(
        "context-left-current",
        "error",
        "contexts",
        "A context outlived its request",
        "Something pushed a context and did not pop it before the worker's call ended, often a "
        "stream_with_context body that was dropped unread (pallets/flask#6123). The next request "
        "of that thread starts inside it.",
        "Use a with block; let the server close the body, or don't stream with the context.",
        left_current,
        when="live",
    ),
    Rule(
        "context-never-popped",
        "warning",
        "contexts",
        "A context was dropped without being popped",
        "push() was called without pop(), and the unit ended or let go of the context, so "
        "teardown functions never ran.",
        "Use a with block: with app.app_context(): ...",
        never_popped,
        when="live",
    ),
    Rule(
        "context-popped-wrongly",
        "error",
        "contexts",
        "A context was popped in the wrong order or place",
        "pop() was called while another context was on top, or in another thread or task.",
        POP,
        popped_wrongly,
        when="live",
    ),
)
