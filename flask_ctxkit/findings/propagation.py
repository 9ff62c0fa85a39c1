"""Work that runs elsewhere: a copy for several workers, captured proxies, work that outlives."""

from __future__ import annotations

import typing as t

from .misses import miss_of, remover_of
from .model import Evidence, Finding, Rule
from .wording import listed, told

if t.TYPE_CHECKING:
    from ..contexts.registry import Leak, Live
    from ..trace.model import Event, Trace
    from .facts import Hook, Known
    from .misses import Miss
    from .model import Failure

PER_CALL: t.Final = "propagate(function) makes a context of its own for each call"


def shared_copy(_lives: t.Sequence[Live], leaks: t.Sequence[Leak]) -> t.Iterator[Finding]:
    """Several workers push one copy of a context."""
    for leak in leaks:
        if leak.kind == "shared-copy":
            what = f"of {leak.method} {leak.path}" if leak.path else "of an application"
            pushed = () if leak.pushed is None else (Evidence("First push.", None, leak.pushed),)
            yield Finding(
                f"The context {what} was copied once and is used by several workers: "
                f"{leak.unit.name} had the copy pushed when another one pushed it.",
                (Evidence(leak.message), *pushed),
                "Call copy_current_request_context once for each worker. Or give them "
                f"propagate(function), which may run in many at once: {PER_CALL}.",
                f"{leak.method} {leak.path}",
                trace=leak.trace,
            )


def captured_proxy(trace: Trace, _known: Known) -> t.Iterator[Finding]:
    """Work that runs elsewhere was given a proxy, which leads to something else there."""
    if trace.lineage is None or not trace.lineage["captured"]:
        return
    work, where = _work(trace), trace.lineage["where"]
    captured = listed(trace.lineage["captured"])
    yield Finding(
        f"{work} got {captured}, from {_starter(trace)}: where it runs, that leads to something "
        "else, or to nothing.",
        (Evidence(f"It was started at {where}.", None, where),),
        "Pass the value that you need, like g.user.id, or the object behind the proxy: "
        "unwrap(current_user). propagate(function, g=[names]) takes names of g along.",
        f"{work} {captured}",
    )


def without_g(failure: Failure, known: Known) -> t.Iterator[Finding]:
    """Work that runs elsewhere asks ``g`` for what is set where it was started."""
    miss, trace = miss_of(failure), failure.trace
    if miss is None or trace is None or trace.lineage is None or remover_of(miss) is not None:
        return
    setter = _setter(miss, known)
    removed = miss.event is not None and miss.name in miss.event.g.removed
    if setter is None or removed:
        return
    work = _work(trace).partition(" ")[0]
    yield Finding(
        f"{_work(trace)} asks for g.{miss.name}, which {told(setter)} sets, but not here: work "
        f"that {_starter(trace)} started has a g of its own.",
        (
            Evidence(f"{told(setter)} sets g.{miss.name}.", None, setter.where),
            miss.asked(),
        ),
        f'Pass the value as an argument, or take it along: propagate({work}, g=["{miss.name}"]).',
        f"g.{miss.name} {_work(trace)}",
    )


def _setter(miss: Miss, known: Known) -> Event | Hook | None:
    for hook in () if known.facts is None else known.facts.setters(miss.name):
        return hook
    return next((writer.event for writer in known.memory.writers(miss.name)), None)


def outlives(trace: Trace, _known: Known) -> t.Iterator[Finding]:
    """A copy of a context was in use after its request had ended."""
    lineage = trace.lineage
    if lineage is None or lineage["how"] != "copy" or not lineage["outlived_ms"]:
        return
    work, where = _work(trace), lineage["where"]
    yield Finding(
        f"{work} ran {_span(lineage['outlived_ms'])} longer than {_starter(trace)}, whose context "
        "it uses a copy of: by then the request's body and files were closed, and the session was "
        "sent.",
        (Evidence(f"The context was copied at {where}.", None, where),),
        "Wait for the work in the view. Or start propagate(function): it keeps what the request "
        "said, in a copy that may outlive it, and says so where something can't be kept.",
        work,
    )


def _work(trace: Trace) -> str:
    event = _block(trace)
    if event is None:
        return "Work that was started elsewhere"
    name = event.name.rpartition("<locals>.")[2]
    return f"{name} ({event.where})" if event.where else name


def _block(trace: Trace) -> Event | None:
    return next((event for event in trace.events if event.phase == "view"), None)


def _starter(trace: Trace) -> str:
    by = None if trace.lineage is None else trace.lineage["by"]
    return by or "something that was not recorded"


def _span(milliseconds: float) -> str:
    shown = f"{milliseconds / 1000:.1f} s"
    return shown if milliseconds >= 1000 else f"{milliseconds:.1f} ms"  # noqa: PLR2004


RULES: t.Final = (
    Rule(
        "context-copy-shared",
        "error",
        "contexts",
        "Several workers push one copy of a context",
        "copy_current_request_context copies the context once, when it is called. Workers that run "
        "the function at the same time push that one copy, and pop each other's.",
        "Make a copy for each worker, or use propagate(function).",
        shared_copy,
        when="live",
    ),
    Rule(
        "work-proxy-captured",
        "warning",
        "contexts",
        "Work that runs elsewhere was given a proxy",
        "request, session, g and the like are no values: each use asks what is current where it "
        "stands. As an argument, a default or a variable of a closure they arrive in another "
        "thread, greenlet or task as they are, and ask there.",
        "Pass the value that is needed, or unwrap(proxy).",
        captured_proxy,
        timed=True,
    ),
    Rule(
        "work-without-g",
        "error",
        "contexts",
        "Work that runs elsewhere lacks a name of g",
        "A thread, greenlet or task that propagate or copy_current_request_context gives a context "
        "has a g of its own, which begins empty.",
        "Pass the value as an argument, or write propagate(function, g=[names]).",
        without_g,
        when="escape",
    ),
    Rule(
        "work-outlives-request",
        "warning",
        "contexts",
        "A copied context outlived its request",
        "copy_current_request_context shares the request and the session with the work. Once the "
        "request has ended its files are closed, its body can't be read, and changes to the "
        "session are lost.",
        "Wait for the work, or use propagate(function).",
        outlives,
        timed=True,
    ),
)
