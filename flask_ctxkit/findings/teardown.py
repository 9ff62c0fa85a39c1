"""Hooks: what goes wrong when the response has been handed over."""

from __future__ import annotations

import typing as t

from .model import Evidence, Finding, Rule, is_same
from .wording import identity, listed, named, phased, told

if t.TYPE_CHECKING:
    from ..trace.model import Event, Trace
    from .facts import Known

TEARDOWN: t.Final = frozenset({"teardown_request", "teardown_appcontext"})
TOO_LATE: t.Final = TEARDOWN | {"stream", "pop"}
"""Phases in which the response has been handed over."""


def teardown_raised(trace: Trace, known: Known) -> t.Iterator[Finding]:
    """A teardown function raised: those after it were skipped, or an earlier error hidden."""
    failed = [e for e in trace.events if e.phase in TEARDOWN and e.error]
    for event in failed:
        if event.error is None or _masked(trace, event) is not None:
            continue
        skipped = _skipped(trace, event, known)
        names = listed(skipped)
        text = f" {names} did not run after it." if names else ""
        yield Finding(
            f"{phased(event)} raised {event.error.type}.{text}",
            (
                Evidence(f"{named(event)} raised.", event.index, event.error.where),
                *(Evidence(f"{name} did not run.") for name in skipped),
            ),
            f"A teardown function must not raise. Catch {event.error.type} in {named(event)} "
            "and log it.",
            identity(event),
        )


def _skipped(trace: Trace, failed: Event, known: Known) -> list[str]:
    if known.facts is None:
        return []
    ran = [e for e in trace.events if e.phase == failed.phase and e.outcome != "skipped"]
    return [
        told(hook)
        for hook in reversed(known.facts.of_phase(failed.phase, trace))
        if not any(hook.is_in(event) for event in ran)
    ]


def teardown_masked(trace: Trace, _known: Known) -> t.Iterator[Finding]:
    """A teardown function raised while another exception was on its way out, and hid it."""
    for event in trace.events:
        first = _masked(trace, event) if event.phase in TEARDOWN else None
        if first is None or first.error is None or event.error is None:
            continue
        hidden = named(first, trace.kind)
        yield Finding(
            f"{first.error.type} of {phased(first, trace.kind)} was hidden by "
            f"{event.error.type}, which {phased(event)} raised after it.",
            (
                Evidence(f"{hidden} raised first.", first.index, first.error.where),
                Evidence(f"{named(event)} raised then.", event.index, event.error.where),
            ),
            f"A teardown function must not raise. Catch {event.error.type} in {named(event)} "
            "and log it; then the first error is the one that is reported.",
            f"{identity(event)} {first.error.type}",
        )
        return


def _masked(trace: Trace, event: Event) -> Event | None:
    """The event whose exception was on its way out of the app when *event* raised another."""
    if event.error is None or trace.response is not None or trace.exception is None:
        return None
    first = trace.exception
    if is_same(first, event.error):
        return None
    earlier = (e for e in trace.events if e.index < event.index)
    return next((e for e in earlier if is_same(e.error, first)), None)


def session_changed_too_late(trace: Trace, _known: Known) -> t.Iterator[Finding]:
    """The session changed when the response with its cookie had been handed over."""
    sent = max((e.index for e in trace.events if e.phase == "save_session"), default=None)
    if sent is None or trace.response is None:
        return
    for event in trace.events:
        if event.index <= sent or event.phase not in TOO_LATE or not event.session:
            continue
        change = event.session
        names = listed(f'session["{n}"]' for n in (*change.added, *change.changed, *change.removed))
        when = _when(event, streamed=bool(trace.response.get("streamed")))
        yield Finding(
            f"{names} changed {when}, after the session was saved: the change is lost.",
            (
                Evidence("The session was saved.", sent),
                Evidence(f"{names} changed.", event.index, event.where),
            ),
            "Change the session in the view or in a before_request or after_request function; "
            "for a streamed body, before the generator is returned.",
            f"{names} {identity(event)}",
        )


def _when(event: Event, *, streamed: bool) -> str:
    # A streamed body that keeps its context is seen to its end only when the context is popped.
    if event.phase == "stream" or (event.phase == "pop" and streamed):
        return "while the body was streamed"
    return "while the context was popped" if event.phase == "pop" else f"by {phased(event)}"


def reopened_in_teardown(trace: Trace, _known: Known) -> t.Iterator[Finding]:
    """A name of ``g`` that one teardown function removed was set again by a later one."""
    closers: dict[str, Event] = {}
    opened: dict[str, tuple[Event, Event]] = {}
    for event in trace.events:
        if event.phase not in TOO_LATE or not event.g:
            continue
        for name in event.g.removed:
            opened.pop(name, None)
            if event.phase in TEARDOWN:
                closers[name] = event
        for name in event.g.added:
            if name in closers:
                opened[name] = closers[name], event
    for name, (closer, opener) in opened.items():
        yield Finding(
            f"g.{name} was set again by {phased(opener)} after {phased(closer)} had removed it, "
            "so nobody closes it.",
            (
                Evidence(f"{named(closer)} removed g.{name}.", closer.index, closer.where),
                Evidence(f"{named(opener)} set it again.", opener.index, opener.where),
            ),
            f"Register {named(closer)} before {named(opener)}: teardown functions run in reverse "
            f"order. Or don't use g.{name} in {named(opener)}.",
            f"g.{name} {identity(opener)}",
        )


RULES: t.Final = (
    Rule(
        "teardown-raised",
        "error",
        "hooks",
        "A teardown function raised",
        "Before Flask 3.2 the teardown functions after one that raises don't run, so what they "
        "would close stays open.",
        "Catch the exception in the function and log it.",
        teardown_raised,
        needs="raised",
    ),
    Rule(
        "teardown-masked-error",
        "error",
        "hooks",
        "A teardown error hid the first error",
        "An exception was on its way out, teardown ran, and an exception in it took its place.",
        "Catch the exception in the teardown function and log it.",
        teardown_masked,
        needs="raised",
    ),
    Rule(
        "session-changed-too-late",
        "error",
        "hooks",
        "The session changed after it was saved",
        "The session cookie goes out with the headers; teardown functions and streamed bodies "
        "run after that.",
        "Change the session in the view, or in a before_request or after_request function.",
        session_changed_too_late,
        needs="response",
    ),
    Rule(
        "g-reopened",
        "warning",
        "hooks",
        "A teardown function opened again what another one had closed",
        "Teardown functions run in reverse order of registration; one that runs after the closing "
        "one used what it had removed from g.",
        "Register the closing function first, so that it runs last.",
        reopened_in_teardown,
    ),
)
