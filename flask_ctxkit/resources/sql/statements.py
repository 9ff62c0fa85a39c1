"""A statement that runs, told on the trace of the context that asked for it."""

from __future__ import annotations

import re
import typing as t

from ...globals import kit_or_none
from ...internals import current_app_context, current_request_context
from ..callers import caller
from ..steps import Step, now, tell
from .wording import ordinal, text_of

if t.TYPE_CHECKING:
    from ...redact import Captured, Redactor
    from .wording import Dialect

REPEATS: t.Final = "_ctxkit_statements"
"""The attribute of a context that counts its statements by their text."""
COUNTED: t.Final = 1000
"""Different statements that are counted in one context."""
_LARGEST: t.Final = 2**62
_WORD: t.Final = re.compile(r"\w+")


Failed = t.Callable[[str, BaseException], None]
"""Counts a failure of the kit's own."""


class Statement:
    """One run of a statement: its text and shape, its time, and the rows that came of it.

    It is told as soon as its rows are known: when it has run, where the driver says their
    number, else when they were fetched, or the next statement begins.
    """

    __slots__ = (
        "_busy",
        "_note",
        "_own_failure",
        "_parameters",
        "_site",
        "_start",
        "_text",
        "_times",
        "rows",
        "told",
    )

    def __init__(
        self,
        sql: object,
        dialect: Dialect,
        shape: str,
        parameters: t.Sequence[object],
        *,
        redactor: Redactor,
        failed: Failed,
    ) -> None:
        self._own_failure = failed
        self._text = redactor.text(text_of(sql, dialect))
        self._note = shape
        self._parameters = _captured(redactor, self._text, parameters)
        # Not when it is told: what its context closes is told when the request is off the stack.
        self._times = _times(self._text)
        self._site = str(caller())
        self._busy = 0
        self._start = now()
        self.rows: int | None = None
        self.told = False

    def ran(self, driver: t.Any) -> None:
        """It ran; *driver* is the driver's cursor. Never raises."""
        self._busy = now() - self._start
        try:
            count = driver.rowcount
            known = type(count) is int and 0 <= count < _LARGEST
            self.rows = count if known else None
            if known or driver.description is None:
                self.tell()
            else:
                self.rows = 0
        except BaseException as own:
            self._own_failure("statement", own)

    def fetched(self, rows: int, since: int) -> None:
        """So many rows were fetched since then; their time is the statement's."""
        if not self.told and self.rows is not None:
            self.rows += rows
            self._busy += now() - since

    def failed(self, error: BaseException) -> None:
        """It raised, at once or while its rows were fetched."""
        if not self._busy:
            self._busy = now() - self._start
        self.tell(error)

    def tell(self, error: BaseException | None = None) -> None:
        """Put it on the trace, once. Never raises."""
        if self.told:
            return
        self.told = True
        try:
            end = self._start + self._busy
            note = self._notes()
            site, parameters = self._site, self._parameters
            tell(Step("statement", self._text, site, self._start, end, error, note, parameters))
        except BaseException as own:
            self._own_failure("statement", own)

    def _notes(self) -> str | None:
        rows = None if self.rows is None else f"{self.rows} row{'' if self.rows == 1 else 's'}"
        often = f"repeated: {ordinal(self._times)} time in this context"
        repeated = often if self._times > 1 else None
        # The mark comes first, since a terminal cuts off the end.
        return "; ".join(filter(None, (repeated, rows, self._note))) or None


def begin(
    sql: object, dialect: Dialect, shape: t.Callable[[object], str], parameters: t.Sequence[object]
) -> Statement | None:
    """A statement that is about to run; None where nobody watches. Never raises."""
    kit = kit_or_none()
    if kit is None or not kit.tracing:
        return None
    try:
        told = shape(parameters[0]) if parameters else "no parameters"
        return Statement(
            sql, dialect, told, parameters, redactor=kit.redactor, failed=kit.recorder.failed
        )
    except BaseException as own:
        kit.recorder.failed("statement", own)
        return None


def _captured(redactor: Redactor, text: str, parameters: t.Sequence[object]) -> Captured:
    """A captured copy of what a statement was given, for those who may see values.

    Parameters by position have no names that would tell a secret, so all of them are hidden
    where the statement names one: ``UPDATE users SET password = ?``.
    """
    if not parameters:
        return None
    name = "parameters"
    if type(parameters[0]) is not dict:
        name = next(filter(redactor.secret_name, _WORD.findall(text)), name)
    return redactor.capture(name, parameters[0])


def _times(text: str) -> int:
    """How often *text* ran in the current context, with this time."""
    context = current_request_context() or current_app_context(None)
    if context is None:
        return 1
    counts: dict[str, int] = context.__dict__.setdefault(REPEATS, {})
    times = counts.get(text, 0) + 1
    if times > 1 or len(counts) < COUNTED:
        counts[text] = times
    return times
