"""What happens to a finished recording: it is examined, kept, and told to who listens."""

from __future__ import annotations

import logging
import typing as t
from collections import OrderedDict

from .findings.escape import annotate, note_of
from .signals import trace_finished
from .trace.freezing import freeze

if t.TYPE_CHECKING:
    from flask import Flask

    from .contexts.registry import Leak
    from .findings.catalogue import Rules
    from .trace.model import Error
    from .trace.recording import Recording
    from .trace.stores.memory import MemoryStore

logger = logging.getLogger("flask_ctxkit")

SHAPES: t.Final = 2000
"""The most shapes of sound traces that are remembered."""


class Pipeline:
    """Examines each recording once per shape: what took the same steps with the same effects
    has the same findings, so that a sound request costs one look into a set.
    """

    def __init__(
        self,
        app: t.Callable[[], Flask | None],
        rules: Rules,
        store: MemoryStore,
        link: t.Callable[[Recording], str],
    ) -> None:
        self._app = app
        self._rules = rules
        self._store = store
        self._link = link
        self._sound: OrderedDict[t.Any, None] = OrderedDict()
        self.examined = 0

    def finished(self, recording: Recording) -> None:
        """Keep *recording*, name its mistakes, and send ``trace_finished``."""
        self._store.add(recording)
        self.examined += 1
        shape = recording.shape()
        if (
            recording.odd
            or recording.reused
            or shape not in self._sound
            or self._rules.every_trace
            or recording.lasted >= self._rules.slow_ns  # only then can rules about time apply
        ):
            self._examine(recording, shape)
        if trace_finished.receivers:
            app = self._app()
            if app is not None:
                trace_finished.send(app, trace=freeze(recording))

    def _examine(self, recording: Recording, shape: t.Any) -> None:
        findings = self._rules.for_trace(freeze(recording))
        if findings:
            recording.findings = tuple(finding.as_dict() for finding in findings)
            app = self._app()
            for finding in findings:
                self._rules.tally.add(finding, app, _about(recording))
        elif not recording.odd and recording.lasted < self._rules.slow_ns:
            self._sound[shape] = None
            while len(self._sound) > SHAPES:
                self._sound.popitem(last=False)

    def explain(self, recording: Recording, error: BaseException, told: Error) -> None:
        """Put what explains *error*, which nobody handled, on its traceback."""
        self._rules.annotate(
            error, told, freeze(recording), recording.unit.key, self._link(recording)
        )

    def examine_leak(self, leak: Leak) -> None:
        """Name what is wrong with a context that did not end as it should."""
        app = self._app()
        for finding in self._rules.for_live((), (leak,)):
            self._rules.tally.add(finding, app)

    def explain_leak(self, error: BaseException, leak: Leak) -> None:
        """Put what is known of *leak* on the traceback of *error*, which it comes with."""
        annotate(error, self._rules.for_live((), (leak,)))

    def explain_thread(self, error: BaseException, told: Error, unit: str, started: str) -> None:
        """Say why *error* ended a thread, if that is because no context is pushed in it.

        :param unit: the thread's name.
        :param started: who started it.
        """
        findings = [
            finding
            for finding in self._rules.for_error(told, unit=unit, started=started)
            if finding.code == "context-missing"
        ]
        for finding in findings:
            self._rules.tally.add(finding, self._app(), unit)
        if not annotate(error, findings) and not hasattr(BaseException, "add_note"):
            note = note_of(findings)
            if note is not None:
                logger.error("%s", note)

    def examine_app(self, app: Flask) -> None:
        """Name the mistakes in the set-up of *app*, once."""
        for finding in self._rules.for_app(app):
            self._rules.tally.add(finding, app)


def _about(recording: Recording) -> str:
    return f"{recording.method} {recording.path}" if recording.has_request else recording.kind
