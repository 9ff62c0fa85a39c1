"""Hooks: what ran too often, too long, too late, or broke what comes after it."""

from __future__ import annotations

import typing as t
from collections import Counter

from .model import Evidence, Finding, Rule, is_same
from .wording import identity, listed, named, phased, told

if t.TYPE_CHECKING:
    from ..trace.model import Event, Trace
    from .facts import Known

AFTER: t.Final = frozenset({"after_request", "after_this_request"})
TEARDOWN: t.Final = frozenset({"teardown_request", "teardown_appcontext"})
HOOKS: t.Final = AFTER | TEARDOWN | {"before_request"}
TOO_LATE: t.Final = TEARDOWN | {"stream", "pop"}
"""Phases in which the response has been handed over."""
LOST: t.Final = "returned None"
"""The note of an after_request event whose function did not return the response."""


def slow(trace: Trace, known: Known) -> t.Iterator[Finding]:
    """A hook took longer than ``CTXKIT_SLOW_HOOK``."""
    limit = known.config.slow_hook
    for event in trace.events:
        if event.duration_us > limit * 1e6 and event.phase in HOOKS:
            took = f"{event.duration_us / 1000:,.0f} ms"
            yield Finding(
                f"{phased(event)} took {took}, longer than {limit * 1000:,.0f} ms.",
                (Evidence(f"{told(event)} took {took}.", event.index, event.where),),
                f"Every request that {named(event)} runs in waits for it. Move slow work to the "
                "views that need it, keep its result, or raise CTXKIT_SLOW_HOOK.",
                identity(event),
            )


def ran_twice(trace: Trace, known: Known) -> t.Iterator[Finding]:
    """A hook ran more often than it is registered for the endpoint."""
    if known.facts is None or any(e.phase in AFTER and e.error for e in trace.events):
        return  # after_request functions run again if one of them raises, which is told there
    runs = Counter(
        (e.phase, e.name, e.where)
        for e in trace.events
        if e.phase in {"before_request", "after_request"}
    )
    for (phase, name, where), count in runs.items():
        if count == 1:
            continue
        registered = sum(
            (hook.name, hook.where) == (name, where) for hook in known.facts.of_phase(phase, trace)
        )
        if not 0 < registered < count:
            continue
        events = [e for e in trace.events if (e.phase, e.name, e.where) == (phase, name, where)]
        times = "once" if registered == 1 else f"{registered} times"
        yield Finding(
            f"{phased(events[0])} ran {count} times in one request and is registered {times}.",
            tuple(Evidence(f"Run {i}.", e.index, e.where) for i, e in enumerate(events, 1)),
            "Don't call preprocess_request, process_response or full_dispatch_request inside a "
            "request: Flask does.",
            identity(events[0]),
        )


def after_request_raised(trace: Trace, _known: Known) -> t.Iterator[Finding]:
    """An after_request function raised, so the session was not saved."""
    failed = next((e for e in trace.events if e.phase in AFTER and e.error), None)
    if failed is None or failed.error is None:
        return
    session = trace.session or {}
    unsaved = session.get("state") == "changed" and not session.get("saved")
    lost = "The change of the session was not saved." if unsaved else ""
    became = "was never sent" if trace.response is None else f"became a {trace.status}"
    evidence = [Evidence(f"{named(failed)} raised.", failed.index, failed.error.where)]
    evidence += _again(trace)
    yield Finding(
        f"{phased(failed)} raised {failed.error.type}, so the response that was made "
        f"{became}. {lost}".strip(),
        tuple(evidence),
        f"Flask does not hand the errors of {failed.phase} functions to error handlers for their "
        f"type, and saves the session after them. Catch {failed.error.type} in {named(failed)} "
        "and return the response.",
        identity(failed),
    )


def _again(trace: Trace) -> list[Evidence]:
    runs = Counter((e.name, e.where) for e in trace.events if e.phase == "after_request")
    twice = [e for e in trace.events if e.phase == "after_request" and runs[e.name, e.where] > 1]
    names = listed(named(event) for event in twice)
    return [Evidence(f"Ran once more, for the error's response: {names}.")] if names else []


def returned_nothing(trace: Trace, _known: Known) -> t.Iterator[Finding]:
    """An after_request function returned None this time."""
    for event in trace.events:
        if event.phase in AFTER and event.note == LOST:
            yield Finding(
                f"{phased(event)} returned None instead of the response, so the request failed.",
                (Evidence(f"{named(event)} returned None.", event.index, event.where),),
                f"End {named(event)}, on every path, with: return response",
                identity(event),
            )


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
    ran = [e for e in trace.events if e.phase == failed.phase]
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
        yield Finding(
            f"{first.error.type} of {phased(first)} was hidden by {event.error.type}, which "
            f"{phased(event)} raised after it.",
            (
                Evidence(f"{named(first)} raised first.", first.index, first.error.where),
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
    return next((e for e in trace.events[: event.index - 1] if is_same(e.error, first)), None)


def session_changed_too_late(trace: Trace, _known: Known) -> t.Iterator[Finding]:
    """The session changed when the response with its cookie had been handed over."""
    sent = max((e.index for e in trace.events if e.phase == "save_session"), default=None)
    if sent is None or trace.response is None:
        return
    for event in trace.events[sent:]:
        if event.phase not in TOO_LATE or not event.session:
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


def guard_was_skipped(trace: Trace, known: Known) -> t.Iterator[Finding]:
    """A hook answered with success, and a later one that refuses such requests did not run."""
    if known.facts is None or trace.status is None or trace.status >= 300:  # noqa: PLR2004
        return
    answer = next((e for e in trace.events if e.outcome == "answered"), None)
    if answer is None:
        return
    ran = [e for e in trace.events if e.phase == "before_request"]
    for hook in known.facts.of_phase("before_request", trace):
        refused = known.memory.refusal(trace, hook)
        if refused is None or any(hook.is_in(event) for event in ran):
            continue
        yield Finding(
            f"{phased(answer)} answered {trace.endpoint} with {trace.status}, so {told(hook)} did "
            "not run, which refused another such request.",
            (
                Evidence(f"{named(answer)} answered.", answer.index, answer.where),
                Evidence(f"{named(hook)} refused trace {refused}.", None, hook.where),
            ),
            f"Register {named(hook)} before {named(answer)} if it guards what {named(answer)} "
            "answers.",
            f"{identity(answer)} {identity(hook)}",
        )


RULES: t.Final = (
    Rule(
        "hook-slow",
        "warning",
        "hooks",
        "A hook is slow",
        "A before, after or teardown function took longer than CTXKIT_SLOW_HOOK.",
        "Move slow work to the views that need it, or keep its result.",
        slow,
        timed=True,
    ),
    Rule(
        "hook-ran-twice",
        "warning",
        "hooks",
        "A hook ran more often than it is registered",
        "The app calls preprocess_request, process_response or full_dispatch_request itself.",
        "Leave calling them to Flask.",
        ran_twice,
    ),
    Rule(
        "after-request-raised",
        "error",
        "hooks",
        "An after_request function raised",
        "An exception in an after_request function replaces the response by an error, runs the "
        "after_request functions a second time, and leaves the session unsaved.",
        "Catch the exception in the function and return the response.",
        after_request_raised,
        needs="raised",
    ),
    Rule(
        "after-request-lost-response",
        "error",
        "hooks",
        "An after_request function did not return the response",
        "What an after_request function returns is the response from then on, and it was None.",
        "End the function with: return response",
        returned_nothing,
    ),
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
    Rule(
        "hook-skips-guard",
        "warning",
        "hooks",
        "An early answer goes around a hook that refuses requests",
        "A before_request function answered with success before a later one that refuses some "
        "requests to the same endpoint, such as a login check, could run.",
        "Register the refusing function first.",
        guard_was_skipped,
        timed=True,
        needs="answered",
    ),
)
