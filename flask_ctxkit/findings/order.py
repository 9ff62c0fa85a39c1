"""Hooks: a name of ``g`` that was asked for before, or without, being set.

Flask raises ``AttributeError(name)`` for it. Who should have set the name is known from the
hooks in which ``g.NAME = ...`` is written, from this trace, and from finished ones. Where
nobody was seen to set it nothing is found: a misspelt name is the exception's own message.
"""

from __future__ import annotations

import typing as t

from .facts import Hook, Known, Writer, blueprints_of
from .misses import Miss, hooks_that_set, miss_of, remover_of, run_of
from .model import Evidence, Failure, Finding, Rule
from .wording import identity, named, phased, short, told

if t.TYPE_CHECKING:
    from ..trace.model import Event, Trace


def removed_before_use(failure: Failure, _known: Known) -> t.Iterator[Finding]:
    """An earlier step of the same request took the name off ``g``."""
    miss = miss_of(failure)
    remover = None if miss is None else remover_of(miss)
    if miss is None or remover is None:
        return
    yield Finding(
        f"{miss.asker} asks for g.{miss.name} after {phased(remover)} removed it.",
        (
            Evidence(f"{named(remover)} removed g.{miss.name}.", remover.index, remover.where),
            miss.asked(),
        ),
        f"Read g.{miss.name} before {named(remover)} runs, or don't remove it there.",
        f"g.{miss.name} {identity(remover)}",
    )


def asked_too_early(failure: Failure, known: Known) -> t.Iterator[Finding]:
    """A before hook asks for what a before hook that is registered later sets."""
    miss = miss_of(failure)
    if miss is None or miss.event is None or remover_of(miss) is not None:
        return
    event = miss.event
    if event.phase not in {"before_request", "url_value_preprocessor"}:
        return
    setters = hooks_that_set(miss, known)
    if any(run_of(hook, miss.before) or hook.is_in(event) for hook in setters):
        return
    setter = next((hook for hook in setters if hook.phase == "before_request"), None)
    if setter is None:
        return
    yield Finding(
        f"{named(event)} asks for g.{miss.name} before {named(setter)} sets it.",
        (
            miss.asked(),
            Evidence(_registered_later(setter, event), None, setter.where),
        ),
        _reorder(setter, event),
        f"g.{miss.name} {identity(event)} {identity(setter)}",
    )


def _registered_later(setter: Hook, event: Event) -> str:
    if setter.blueprint != event.blueprint and setter.blueprint is not None:
        return (
            f"{told(setter)} sets it and belongs to blueprint {setter.blueprint}, whose hooks "
            "run after those of the app."
        )
    return f"{told(setter)} sets it and is registered after {named(event)}."


def _reorder(setter: Hook, event: Event) -> str:
    if setter.blueprint != event.blueprint and setter.blueprint is not None:
        return (
            f"Register {named(setter)} with before_app_request, before {named(event)} is "
            f"registered, or move {named(event)} to blueprint {setter.blueprint}."
        )
    return (
        f"Register {named(setter)} first: move its registration above that of {named(event)}, "
        "since Flask runs before_request functions in the order of registration."
    )


def setter_was_skipped(failure: Failure, known: Known) -> t.Iterator[Finding]:
    """The hook that sets the name never ran, since an earlier one answered or raised."""
    miss = miss_of(failure)
    if miss is None or miss.event is None or remover_of(miss) is not None:
        return
    if miss.event.phase == "before_request":
        return
    setters = hooks_that_set(miss, known)
    if not setters or any(run_of(hook, miss.before) for hook in setters):
        return
    stopper = next((e for e in miss.before if _stops(e)), None)
    if stopper is None:
        return
    setter = setters[0]
    how = "answered" if stopper.outcome == "answered" else "raised"
    if stopper.error is not None:
        how = f"raised {stopper.error.type}"
    yield Finding(
        f"{miss.asker} asks for g.{miss.name}, but {named(setter)}, which sets it, did not run: "
        f"{phased(stopper)} {how} first.",
        (
            Evidence(f"{told(stopper)} {how}.", stopper.index, stopper.where),
            Evidence(f"{told(setter)} sets g.{miss.name}.", None, setter.where),
            miss.asked(),
        ),
        f'Use g.get("{miss.name}") there and handle None, or register {named(setter)} before '
        f"{named(stopper)}.",
        f"g.{miss.name} {identity(miss.event)} {identity(stopper)}",
    )


def _stops(event: Event) -> bool:
    if event.phase in {"open_session", "match"}:
        return False  # before_request functions run in spite of a routing error
    return event.outcome in {"answered", "raised"}


def setter_did_not_set(failure: Failure, known: Known) -> t.Iterator[Finding]:
    """The hook that sets the name ran, and did not set it in this request."""
    miss = miss_of(failure)
    if miss is None or remover_of(miss) is not None:
        return
    for hook in hooks_that_set(miss, known):
        ran = run_of(hook, miss.before)
        if ran is None or ran.outcome != "ok" or miss.name in ran.g.added:
            continue
        yield Finding(
            f"{miss.asker} asks for g.{miss.name}, which {told(hook)} did not set in this "
            "request, although it ran.",
            (
                Evidence(f"{named(hook)} ran and left g.{miss.name} unset.", ran.index, ran.where),
                miss.asked(),
            ),
            f"Let {named(hook)} set g.{miss.name} on every path, to None where there is nothing, "
            f'or ask with g.get("{miss.name}").',
            f"g.{miss.name} {identity(hook)}",
        )
        return


def set_elsewhere(failure: Failure, known: Known) -> t.Iterator[Finding]:
    """The name is set, but in other contexts only: by a foreign blueprint, or elsewhere."""
    miss = miss_of(failure)
    if miss is None or remover_of(miss) is not None or hooks_that_set(miss, known):
        return
    if failure.trace is not None and failure.trace.lineage is not None:
        return  # told as what it is: work without the g of who started it
    hook = _foreign_hook(miss, known)
    if hook is not None:
        yield _foreign(miss, hook)
        return
    writer = next(iter(known.memory.writers(miss.name)), None)
    if writer is not None and not _is_here(writer, failure.trace):
        yield _other_context(miss, writer)
    elif writer is None:
        yield from _only_in_requests(miss, known)


def _foreign_hook(miss: Miss, known: Known) -> Hook | None:
    trace = miss.failure.trace
    if known.facts is None or trace is None or trace.method is None:
        return None
    scopes = {None, *blueprints_of(trace)}
    foreign = [h for h in known.facts.setters(miss.name) if h.blueprint not in scopes]
    return next((h for h in foreign if h.phase == "before_request"), None)


def _foreign(miss: Miss, hook: Hook) -> Finding:
    trace = miss.failure.trace
    endpoint = trace.endpoint if trace is not None and trace.endpoint else "this request"
    return Finding(
        f"{miss.asker} asks for g.{miss.name}, which {told(hook)} sets, but only in requests to "
        f"blueprint {hook.blueprint}, and {endpoint} is not one of its views.",
        (
            miss.asked(),
            Evidence(f"{named(hook)} is a before_request of {hook.blueprint}.", None, hook.where),
        ),
        f"Register {named(hook)} with @{short(hook.blueprint or '')}.before_app_request, or with "
        "the app's own before_request.",
        f"g.{miss.name} {identity(hook)} elsewhere",
    )


def _only_in_requests(miss: Miss, known: Known) -> t.Iterator[Finding]:
    trace = miss.failure.trace
    if known.facts is None or trace is None or trace.method is not None:
        return
    hook = next(iter(known.facts.setters(miss.name)), None)
    if hook is not None:
        yield Finding(
            f"{miss.asker} asks for g.{miss.name} in an application context without a request, "
            f"and {phased(hook)} sets it in requests only.",
            (miss.asked(), Evidence(f"{told(hook)} sets g.{miss.name}.", None, hook.where)),
            _pass_it(miss),
            f"g.{miss.name} {identity(hook)} context",
        )


def _pass_it(miss: Miss) -> str:
    return (
        f"g starts empty in each context and is never shared: set g.{miss.name} in this one, or "
        "pass the value as an argument."
    )


def _is_here(writer: Writer, trace: Trace | None) -> bool:
    if trace is None:
        return False
    return trace.id == writer.trace or (
        trace.endpoint is not None and trace.endpoint == writer.endpoint
    )


def _other_context(miss: Miss, writer: Writer) -> Finding:
    trace = miss.failure.trace
    here = "an application context of its own" if trace is None else f"another one, {trace.name}"
    if trace is not None and trace.kind != "request":
        here += f", in {trace.unit.name}"
    return Finding(
        f"{miss.asker} asks for g.{miss.name}, which is not set in this context; "
        f"{phased(writer.event, writer.kind)} set it in {writer.request}.",
        (
            miss.asked(),
            Evidence(
                f"{told(writer.event, writer.kind)} set g.{miss.name} in {writer.request} "
                f"(trace {writer.trace}); this is {here}.",
                None,
                writer.event.where,
            ),
        ),
        _pass_it(miss),
        f"g.{miss.name} {identity(writer.event)} context",
    )


RULES: t.Final = (
    Rule(
        "hook-order",
        "error",
        "hooks",
        "A hook asks for what a later hook sets",
        "A before_request function reads a name of g that another one sets, and that one is "
        "registered after it.",
        "Register the hook that sets the name before the one that reads it.",
        asked_too_early,
        when="escape",
    ),
    Rule(
        "hook-skipped",
        "error",
        "hooks",
        "A hook needs what a hook that did not run sets",
        "A before_request function answered or raised, so the ones after it did not run, while "
        "after_request, teardown and error handlers did, and one of them reads what was not set.",
        "Read with g.get(name) and handle None, or register the setting hook first.",
        setter_was_skipped,
        when="escape",
    ),
    Rule(
        "g-not-set",
        "error",
        "hooks",
        "A hook did not set its name of g this time",
        "A hook sets a name of g on some paths only, and somebody relies on it.",
        "Set the name on every path, to None where there is nothing.",
        setter_did_not_set,
        when="escape",
    ),
    Rule(
        "g-removed",
        "error",
        "hooks",
        "A name of g was removed before it was asked for",
        "A step took the name off g, and a later step of the same context reads it.",
        "Read it earlier, or remove it later.",
        removed_before_use,
        when="escape",
    ),
    Rule(
        "g-elsewhere",
        "error",
        "contexts",
        "A name of g is set in other contexts only",
        "g starts empty in each context: what a request, or a hook of another blueprint, sets is "
        "not there in this one.",
        "Set it in this context, or pass the value as an argument.",
        set_elsewhere,
        when="escape",
    ),
)
