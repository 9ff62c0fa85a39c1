"""What is done with a resource, told to whoever watches the app."""

from __future__ import annotations

import time
import typing as t
from dataclasses import dataclass

from ..globals import kit_or_none
from ..units import thread_ident

if t.TYPE_CHECKING:
    from ..redact import Captured
    from ..units import Unit

now: t.Final = time.perf_counter_ns

Action = t.Literal["open", "close", "ping", "statement", "commit", "rollback"]


@dataclass(frozen=True, slots=True)
class Step:
    """Something that was done with a resource, from ``start`` to ``end`` by :func:`now`.

    ``name`` is what a trace shows: "open db", or the text of a statement. ``where`` is the
    "file:line" that asked for it; ``note`` what else there is to say, without values;
    ``parameters`` the captured ones of a statement.
    """

    action: Action
    name: str
    where: str | None
    start: int
    end: int
    error: BaseException | None = None
    note: str | None = None
    parameters: Captured = None


def is_watched() -> bool:
    """Whether the current app records: where it does not, a step need not be made."""
    kit = kit_or_none()
    return kit is not None and kit.tracing


def elsewhere(unit: Unit) -> str | None:
    """What to note of a step of *unit* where another unit pushed the context: "in Thread-7".

    None in the one that pushed it, which an async view with its tasks counts as, and where
    nobody watches.
    """
    kit = kit_or_none()
    recording = kit.recorder.current() if kit is not None and kit.tracing else None
    if recording is None or unit == recording.unit:
        return None
    return None if thread_ident(unit) == recording.thread else f"in {unit.name}"


def tell(step: Step) -> None:
    """Put *step* on the trace of the current context, if the current app records one."""
    kit = kit_or_none()
    if kit is not None and kit.tracing:
        kit.resource_step(step)
