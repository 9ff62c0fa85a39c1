"""Contexts: missing, popped wrongly, or with a ``g`` that is shared by accident."""

from __future__ import annotations

import typing as t

from .facts import Known, Writer, shared_context
from .leaks import POP
from .model import Evidence, Failure, Finding, Rule
from .wording import identity, listed, phased, raiser, short, told

if t.TYPE_CHECKING:
    from ..trace.model import Error, Event, Trace
    from .facts import Hook

OUTSIDE: t.Final = {
    "Working outside of application context": "application",
    "Working outside of request context": "request",
    "There is no request in this context": "request",
}
"""How Flask's messages begin, and the context that was missing."""
ASKED: t.Final = " was asked for outside of a context, "
"""Follows, in the kit's own message, the name of what lives in a context."""
UNPROPAGATED: t.Final = "No context is current, so "
"""How the kit's message begins where there is none to take along."""
ONLY_IN_REQUESTS: t.Final = (
    "request and session exist only while a request is handled: pass what you need as an "
    "argument, or test with app.test_request_context()."
)
RUNNERS: t.Final[t.Mapping[str, str]] = {
    "futures/thread.py": "thread of a pool",
    "gevent/threadpool.py": "thread of a pool",
    "gevent/greenlet.py": "greenlet",
}
"""Files that run a function in another unit, whose errors whoever waits for it gets."""
OUT_OF_ORDER: t.Final = ("Popped wrong ", "it is not the active context")
TWICE: t.Final = ("has already been used once", "it is not pushed")

# -------------------------------------------------------------------------- exceptions


def outside(failure: Failure, _known: Known) -> t.Iterator[Finding]:
    """Something that needs a context was used without one."""
    error = failure.error
    kind = _missing(error)
    if kind is None:
        return
    article = "an" if kind == "application" else "a"
    line = f"{raiser(error, 'The line')} needs {article} {kind} context{_purpose(error)}"
    why, fix = _why_outside(failure, kind)
    index = None if failure.event is None else failure.event.index
    yield Finding(
        f"{line}, and {why}.",
        (Evidence(f"{error.where} asked for it.", index, error.where),),
        fix,
        f"{kind} {error.where}",
    )


def _missing(error: Error) -> str | None:
    """The context that was missing, if Flask or the kit raised *error* for want of it."""
    if error.type == "RuntimeError":
        return next((k for m, k in OUTSIDE.items() if error.message.startswith(m)), None)
    # By its words as well: an error of the app's own may have the name of the kit's.
    if error.type == "OutsideContextError" and (
        ASKED in error.message or error.message.startswith(UNPROPAGATED)
    ):
        return "application"
    return None


def _purpose(error: Error) -> str:
    what, found, _ = error.message.partition(ASKED)
    return f" for {short(what)}" if found else ""


def _why_outside(failure: Failure, kind: str) -> tuple[str, str]:
    trace, event = failure.trace, failure.event
    if event is not None and event.phase == "stream":
        return (
            "the body is streamed after the request's context was popped",
            (
                "Wrap the generator: return Response(stream_with_context(generate())). Or read "
                "what it needs before, and pass it in."
            ),
        )
    other = _elsewhere(failure.error)
    if other is not None and trace is not None:
        why = f"none is pushed in the {other} that ran it for {trace.name}"
        return why, _taken_along(trace, kind)
    if kind == "request" and trace is not None and trace.method is None:
        return f"only an application context is pushed here, by {trace.name}", ONLY_IN_REQUESTS
    unit = "here" if failure.unit is None else f"in {failure.unit}"
    if failure.started is not None:
        unit = f"{unit}, which {failure.started} started"
    if kind == "application":
        fix = "Push one around the work: with app.app_context(): ... "
    else:
        fix = "Read what you need from the request before, and pass it as arguments. "
    return (
        f"none is pushed {unit}",
        fix + "A new thread starts without contexts; propagate(function) runs a function in one.",
    )


def _taken_along(trace: Trace, kind: str) -> str:
    if trace.method is None and kind == "request":
        return ONLY_IN_REQUESTS
    copied = "" if trace.method is None else ", with a copy of the request"
    return (
        "Start propagate(function), or use a ContextExecutor: each call then has a context of its "
        f"own{copied}."
    )


def _elsewhere(error: Error) -> str | None:
    """What ran the line that raised, where somebody else waited for it and raised it again."""
    files = (frame.partition(":")[0] for frame in error.frames)
    return next((RUNNERS[name] for name in files if name in RUNNERS), None)


def wrong_pop(failure: Failure, _known: Known) -> t.Iterator[Finding]:
    """Flask refused to pop a context."""
    why = _why_wrong(failure.error)
    if why is None:
        return
    copied = _is_copied(failure.trace)
    fix = "Pop a context in the unit that pushed it, the last one first: use a with block."
    if copied:
        fix = (
            "copy_current_request_context makes one context: give each worker a copy of its own, "
            "or use propagate(function), which makes one per call."
        )
    trace = failure.trace
    what = "A context" if trace is None else f"The context of {trace.name}"
    yield Finding(
        f"{what} {why}{', and it is a copy that was pushed more than once' if copied else ''}.",
        tuple(
            Evidence("Pushed again.", event.index)
            for event in (trace.events if trace is not None else ())
            if event.note == "pushed again"
        ),
        fix,
        f"{why} {failure.error.where}",
    )


def _why_wrong(error: Error) -> str | None:
    """What went wrong, if *error* was raised by Flask's own ``pop``."""
    last = error.frames[-1] if error.frames else ""
    if not (last.startswith("flask/ctx.py:") and last.endswith(" pop")):
        return None
    if any(part in error.message for part in OUT_OF_ORDER):
        return "was popped while another one was on top of it"
    if any(part in error.message for part in TWICE):
        return "was popped more often than it was pushed"
    if error.type in {"LookupError", "ValueError"} or "no active context" in error.message:
        return "was popped in another thread, greenlet or task than it was pushed in"
    return None


def _is_copied(trace: Trace | None) -> bool:
    if trace is None or trace.kind != "task":
        return False
    return any(event.note == "pushed again" for event in trace.events)


# ---------------------------------------------------------------------------------- g


def two_owners(trace: Trace, known: Known) -> t.Iterator[Finding]:
    """An extension and the app, or two extensions, both write the same name of ``g``."""
    if known.facts is None:
        return
    owners: dict[str, tuple[Event, Hook]] = {}
    watched = frozenset[str]().union(*(hook.sets for hook in known.facts.hooks))
    for event in trace.events:
        if not event.g:
            continue
        for name in watched.intersection((*event.g.added, *event.g.changed)):
            hook = _writing_hook(event, name, known)
            if hook is None:
                continue
            first = owners.setdefault(name, (event, hook))
            if name in event.g.changed and _owner(first[1]) != _owner(hook):
                yield _two_owners(name, first[0], event)


def _writing_hook(event: Event, name: str, known: Known) -> Hook | None:
    # That the name changed while a hook ran doesn't tell that the hook wrote it: it may have
    # called another's code. That g.NAME = ... stands in it does.
    assert known.facts is not None
    return next((h for h in known.facts.setters(name) if h.is_in(event)), None)


def _owner(hook: Hook) -> str:
    return "this app" if hook.source.startswith("blueprint ") else hook.source


def _two_owners(name: str, first: Event, then: Event) -> Finding:
    return Finding(
        f"g.{name} is written by two owners: {phased(first)} sets it and {phased(then)} "
        "overwrites it.",
        (
            Evidence(f"{told(first)} set g.{name}.", first.index, first.where),
            Evidence(f"{told(then)} overwrote it.", then.index, then.where),
        ),
        f"Give the app's own value another name than g.{name}.",
        f"g.{name} {identity(first)} {identity(then)}",
    )


def shared_g(trace: Trace, known: Known) -> t.Iterator[Finding]:
    """A request sees what an earlier one left in the ``g`` of an outer application context."""
    outer = shared_context(trace)
    if outer is None:
        return
    added = {name for event in trace.events for name in event.g.added}
    left = known.memory.left_in(outer)
    seen = {n: w for n, w in left.items() if n in trace.g and n not in added and _earlier(w, trace)}
    if not seen:
        return
    names = listed(f"g.{name}" for name in seen)
    writer = next(iter(seen.values()))
    yield Finding(
        f"{trace.name} sees {names} of {writer.request}: both ran inside one application context, "
        "and so share its g.",
        tuple(
            Evidence(
                f"{told(w.event, w.kind)} set g.{name} in {w.request} (trace {w.trace}).",
                None,
                w.event.where,
            )
            for name, w in seen.items()
        ),
        "Don't make requests inside with app.app_context(): before Flask 3.2 they use its g, and "
        "teardown_appcontext functions don't run between them. Leave the block first.",
        f"{names} {identity(writer.event)}",
    )


def _earlier(writer: Writer, trace: Trace) -> bool:
    return writer.started_at < trace.started_at and writer.trace != trace.id


RULES: t.Final = (
    Rule(
        "context-wrong-pop",
        "error",
        "contexts",
        "Flask refused to pop a context",
        "Contexts must be popped once, by the unit that pushed them, in reverse order. One copy "
        "of a context that several workers push breaks this.",
        POP,
        wrong_pop,
        when="escape",
    ),
    Rule(
        "context-missing",
        "error",
        "contexts",
        "Work outside of a context",
        "request, session, g, current_app or what the kit keeps in a context was used where none "
        "is pushed: in a thread, in a body that is streamed later, or in a script.",
        "Push an application context around the work, or pass values as arguments.",
        outside,
        when="escape",
    ),
    Rule(
        "g-two-owners",
        "warning",
        "contexts",
        "Two owners write the same name of g",
        "An extension and the app, or two extensions, keep different things under one name.",
        "Give the app's own value another name.",
        two_owners,
    ),
    Rule(
        "g-shared",
        "warning",
        "contexts",
        "Requests share the g of an outer application context",
        "Before Flask 3.2 a request that finds an application context of its app pushed uses it, "
        "with its g; often in tests.",
        "Leave the with app.app_context() block before making requests.",
        shared_g,
        timed=True,
        needs="shared",
    ),
)
