"""Hooks: what ran too often or too long, or broke what comes after it."""

from __future__ import annotations

import typing as t
from collections import Counter

from .model import Evidence, Finding, Rule
from .teardown import TEARDOWN
from .wording import identity, listed, named, phased, told

if t.TYPE_CHECKING:
    from ..trace.model import Trace
    from .facts import Known

AFTER: t.Final = frozenset({"after_request", "after_this_request"})
HOOKS: t.Final = AFTER | TEARDOWN | {"before_request"}
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
    if known.facts is None:
        return
    # An error after the view makes Flask run the after_request functions again, for its response.
    phases = {"before_request"} if trace.exception else {"before_request", "after_request"}
    runs = Counter((e.phase, e.name, e.where) for e in trace.events if e.phase in phases)
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
