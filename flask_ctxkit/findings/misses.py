"""Names that were asked of ``g`` in vain, and who could have set them."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from .model import Evidence, Failure
from .wording import phased, raiser, short

if t.TYPE_CHECKING:
    from ..trace.model import Error, Event
    from .facts import Hook, Known


@dataclass(frozen=True, slots=True)
class Miss:
    """A name that was asked of ``g`` in vain: by which step of which trace."""

    name: str
    failure: Failure

    @property
    def event(self) -> Event | None:
        """The step that asked, where it was seen."""
        return self.failure.event

    @property
    def before(self) -> tuple[Event, ...]:
        """The events that had ended or begun when it was asked."""
        if self.failure.trace is None or self.event is None:
            return ()
        return tuple(e for e in self.failure.trace.events if e.index < self.event.index)

    @property
    def asker(self) -> str:
        """Who asked, as a sentence names it."""
        if self.event is not None and self.event.source != "Flask":
            trace = self.failure.trace
            return phased(self.event, "request" if trace is None else trace.kind)
        return raiser(self.failure.error)

    def asked(self) -> Evidence:
        """That it was asked for, and where."""
        where = self.failure.error.where
        text = f"g.{self.name} was asked for at {where} and is not set."
        return Evidence(text, None if self.event is None else self.event.index, where)


def missed_name(error: Error) -> str | None:
    """The name that *error* says ``g`` does not have, or None if it says something else."""
    if error.type != "AttributeError" or not error.frames or not error.message.isidentifier():
        return None
    frame = error.frames[-1]
    from_g = frame.startswith("flask/ctx.py:") and frame.endswith(" __getattr__")
    return error.message if from_g else None


def miss_of(failure: Failure) -> Miss | None:
    """The name that was asked for in vain, or None where *failure* is about something else."""
    name = missed_name(failure.error)
    return None if name is None else Miss(name, failure)


def remover_of(miss: Miss) -> Event | None:
    """The last step that took the name off ``g`` before it was asked for, or None."""
    return next((e for e in reversed(miss.before) if miss.name in e.g.removed), None)


def hooks_that_set(miss: Miss, known: Known) -> list[Hook]:
    """The before hooks that set the name and belong to this request."""
    trace = miss.failure.trace
    if trace is None or trace.method is None or trace.lineage is not None or known.facts is None:
        return []  # before hooks run in requests only, and not for work that one started
    return [
        hook
        for phase in ("url_value_preprocessor", "before_request")
        for hook in known.facts.of_phase(phase, trace)
        if miss.name in hook.sets or _was_seen_to_set(hook, miss.name, known)
    ]


def _was_seen_to_set(hook: Hook, name: str, known: Known) -> bool:
    return any(hook.is_in(writer.event) for writer in known.memory.writers(name))


def run_of(hook: Hook, events: t.Iterable[Event]) -> Event | None:
    """The first of *events* in which *hook* ran, alone or inside a block, or None."""
    members = f".{short(hook.name)}"
    for event in events:
        if hook.is_in(event) or any(m.endswith(members) for m in event.members):
            return event
    return None
