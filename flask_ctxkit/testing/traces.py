"""What happened in a test: its traces, in their order."""

from __future__ import annotations

import typing as t
from collections import deque
from collections.abc import Sequence
from dataclasses import fields

from ..report.outline import headline
from ..trace.freezing import freeze
from ..trace.model import Trace
from ..trace.recording import now
from .questions import CheckedTrace, TraceAssertionError

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from ..state import State
    from ..trace.recording import Recording

LIMIT: t.Final = 1000
"""The most traces of one test that are kept, the last ones."""
SHOWN: t.Final = 3
"""The most traces that the report of a failed test shows, the last ones."""


class Traces(Sequence[CheckedTrace]):
    """The finished traces of one test, the oldest first: of requests, commands and blocks.

    Lifetime: that of the test. Each request is recorded, whatever ``CTXKIT_TRACE`` and
    ``CTXKIT_TRACE_RATE`` say.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._kept: deque[Recording] = deque(maxlen=LIMIT)
        self._since = now()

    def begin(self) -> None:
        """Switch tracing on, and keep what finishes from now on."""
        recorder = self._state.recorder
        self._state.trace_on()
        self._rate, recorder.rate = recorder.rate, 1.0
        recorder.sinks = [*recorder.sinks, self._finished]

    def end(self) -> None:
        """Keep no more. The app goes on recording, for its own store."""
        recorder = self._state.recorder
        recorder.rate = self._rate
        # Not removed in place: another thread may be telling its sinks.
        recorder.sinks = [sink for sink in recorder.sinks if sink != self._finished]

    def _finished(self, recording: Recording) -> None:
        if recording.started >= self._since:  # else it is of an earlier test
            self._kept.append(recording)

    def _all(self) -> list[CheckedTrace]:
        return [_checked(r) for r in sorted(self._kept, key=lambda r: r.started)]

    def __repr__(self) -> str:
        return f"<{type(self).__name__}, {len(self)} finished>"

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[CheckedTrace]:
        return iter(self._all())

    @t.overload
    def __getitem__(self, index: int) -> CheckedTrace: ...
    @t.overload
    def __getitem__(self, index: slice) -> list[CheckedTrace]: ...
    def __getitem__(self, index: int | slice) -> CheckedTrace | list[CheckedTrace]:
        """The trace of that number.

        :raises TraceAssertionError: if fewer are finished; it says what still runs.
        """
        __tracebackhide__ = True
        found = self._all()
        if isinstance(index, slice):
            return found[index]
        if not -len(found) <= index < len(found):
            raise TraceAssertionError(f"There is no trace {index}: {self._listed(found)}")
        return found[index]

    @property
    def last(self) -> CheckedTrace:
        """The newest trace.

        :raises TraceAssertionError: if none is finished.
        """
        __tracebackhide__ = True
        return self[-1]

    def of(self, **wanted: t.Any) -> list[CheckedTrace]:
        """The traces whose attributes are as *wanted*: ``of(path="/cart", status=200)``.

        :raises TypeError: for a name that no trace has.
        """
        unknown = wanted.keys() - {field.name for field in fields(Trace)}
        if unknown:
            raise TypeError(f"A trace has no attribute {', '.join(sorted(unknown))}.")
        return [
            trace
            for trace in self
            if all(getattr(trace, name) == value for name, value in wanted.items())
        ]

    def one(self, **wanted: t.Any) -> CheckedTrace:
        """The only trace whose attributes are as *wanted*.

        :raises TraceAssertionError: if there is none, or more than one.
        """
        __tracebackhide__ = True
        found = self.of(**wanted)
        if len(found) != 1:
            asked = ", ".join(f"{name}={value!r}" for name, value in wanted.items())
            count = "No trace has" if not found else f"{len(found)} traces have"
            raise TraceAssertionError(f"{count} {asked}: {self._listed([*self])}")
        return found[0]

    @property
    def requests(self) -> list[CheckedTrace]:
        """The traces of requests that went through the app's ``wsgi_app``."""
        return self.of(kind="request")

    def clear(self) -> None:
        """Forget what happened so far, such as the requests that prepared the test."""
        self._kept.clear()
        self._since = now()

    @property
    def text(self) -> str:
        """The last traces as text, for the report of a failed test."""
        shown = self._all()[-SHOWN:]
        more = len(self) - len(shown)
        before = [f"({more} earlier traces are not shown.)"] if more else []
        return "\n\n".join([*before, *(trace.text for trace in shown)])

    def _listed(self, found: list[CheckedTrace]) -> str:
        lines = [f"\n  {headline(trace)}" for trace in found[-20:]]
        told = f"{len(found)} are finished.{''.join(lines)}" if found else "none is finished."
        return told + self._running()

    def _running(self) -> str:
        rows = [
            f"\n  {headline(freeze(t.cast('Recording', recording)))}"
            for _, _, recording in self._state.registry.pushed()
            if recording.started >= self._since
        ]
        hint = "\nNot finished (a streamed response ends when it is closed):"
        return f"{hint}{''.join(rows)}" if rows else ""


def _checked(recording: Recording) -> CheckedTrace:
    trace = freeze(recording)
    return CheckedTrace(**{field.name: getattr(trace, field.name) for field in fields(trace)})
