"""One trace, with the questions that a test asks of it."""

from __future__ import annotations

import difflib
import typing as t
from collections.abc import Callable
from dataclasses import dataclass

from ..report.outline import headline, outline
from ..report.story import short
from ..trace.model import Trace

if t.TYPE_CHECKING:
    from collections.abc import Collection

    from ..trace.model import Change, Event

SAVED: t.Final = frozenset({"saved", "nested-saved", "re-signed", "reissued", "split", "deleted"})
"""The verdicts of a session whose change the response carries."""

Name = str | Callable[..., t.Any]
"""A function, or its name with or without what it was defined in."""


class TraceAssertionError(AssertionError):
    """A trace is not as a test expects it; its message ends with the trace as text."""


@dataclass(frozen=True, slots=True, repr=False)
class CheckedTrace(Trace):
    """A :class:`~flask_ctxkit.trace.model.Trace` that a test can ask.

    Each ``assert_`` method raises :class:`TraceAssertionError`, which shows the whole trace.
    """

    def __repr__(self) -> str:
        return f"<{headline(self)}>"

    @property
    def text(self) -> str:
        """The trace as text: what it is of, its story, its steps."""
        return "\n".join(outline(self))

    # ---------------------------------------------------------------------- functions

    def runs(self, name: Name) -> list[Event]:
        """The steps that ran the function *name*: a hook, a view, a handler."""
        return [e for e in self.events if e.outcome != "skipped" and _is_named(e, name)]

    def assert_ran(self, name: Name, times: int = 1) -> None:
        """The function *name* ran exactly *times* times."""
        __tracebackhide__ = True
        ran = len(self.runs(name))
        if ran != times:
            wanted = f"{_shown(name)} should have run {_often(times)}, and ran {_often(ran)}."
            self._fail(f"{wanted}{'' if ran else self._nearest(name)}")

    def assert_did_not_run(self, name: Name) -> None:
        """The function *name* did not run."""
        __tracebackhide__ = True
        self.assert_ran(name, 0)

    def assert_order(self, *names: Name) -> None:
        """The functions *names* ran in this order; others may have run between them."""
        __tracebackhide__ = True
        at = 0
        for place, name in enumerate(names):
            runs = [event.index for event in self.runs(name)]
            later = [index for index in runs if index > at]
            if not later:
                before = f" after {_shown(names[place - 1])}" if runs else ""
                self._fail(f"{_shown(name)} did not run{before}.{self._nearest(name)}")
            at = later[0]

    def assert_answered_by(self, name: Name) -> None:
        """The response is that of *name*: a hook that answered early, a handler, or the view."""
        __tracebackhide__ = True
        answer = self._answer()
        if answer is None or not _is_named(answer, name):
            who = (
                "nobody that was seen" if answer is None else f"{answer.phase} {short(answer.name)}"
            )
            self._fail(f"{_shown(name)} should have answered, and {who} did.")

    def _answer(self) -> Event | None:
        ran = [event for event in self.events if event.outcome in {"ok", "answered"}]
        for phase in ("error_handler", "before_request", "view"):
            for event in reversed(ran):
                if event.phase == phase and (phase != "before_request" or _answered(event)):
                    return event
        return None

    def _nearest(self, name: Name) -> str:
        known = [short(event.name) for event in self.events]
        if any(_is_named(event, name) for event in self.events):
            return ""
        found = difflib.get_close_matches(_shown(name), known, n=1)
        return f" Did you mean {found[0]}?" if found else ""

    # ------------------------------------------------------------------ g and session

    def assert_g_untouched(self, but: Collection[str] = ()) -> None:
        """No step added, changed or removed a name of ``g``, apart from those in *but*."""
        __tracebackhide__ = True
        for event in self.events:
            touched = [name for name in _names(event.g) if name not in but]
            if touched:
                self._fail(f"{_label(event)} touched g: {', '.join(touched)}.")

    def assert_session_untouched(self) -> None:
        """Nothing read or wrote the session, so the response does not vary by the cookie."""
        __tracebackhide__ = True
        session = self.session or {}
        if session.get("state") in {"read", "changed"}:
            index = session.get("accessed_by")
            who = next((e for e in self.events if e.index == index), None)
            by = "" if who is None else f", first by {_label(who)}"
            self._fail(f"The session was {session['state']}{by}.")

    def assert_session_saved(self) -> None:
        """The session changed, and its cookie went out with the response, or was deleted."""
        __tracebackhide__ = True
        if not self._is_saved():
            self._fail(f"The session was not saved.{self._why_not_saved()}")

    def assert_session_not_saved(self) -> None:
        """No cookie of the session went out with the response."""
        __tracebackhide__ = True
        if self._is_saved():
            self._fail("The session was saved.")

    def _saving(self) -> list[t.Any]:
        verdicts = (self.session or {}).get("verdicts", ())
        return [verdict for verdict in verdicts if verdict["step"] == "save"]

    def _is_saved(self) -> bool:
        saving = self._saving()
        if saving:
            return any(verdict["code"] in SAVED for verdict in saving)
        # An interface of somebody else's tells nothing but the cookies of the response.
        session = self.session or {}
        return session.get("state") == "changed" and bool(session.get("saved"))

    def _why_not_saved(self) -> str:
        told = [f" {v['message']} {v['fix']}".rstrip() for v in self._saving()]
        state = (self.session or {}).get("state")
        return "".join(told) or (f" It was {state}." if state else " There was none.")

    # ------------------------------------------------------------ resources, findings

    def assert_resources_closed(self, *names: str) -> None:
        """All that was opened in this context was closed without an error.

        :param names: resources that must have been opened here.
        """
        __tracebackhide__ = True
        told = [event for event in self.events if event.phase == "resource"]
        for name in names:
            if not any(event.name == f"open {name}" for event in told):
                self._fail(f"The resource {name} was not opened.")
        for event in told:
            if event.name.startswith("close ") and event.outcome == "raised":
                what = event.error.type if event.error else "an error"
                self._fail(f"The resource {event.name[6:]} was closed with {what}.")
        left = _left_open(told)
        if left:
            # On Flask 3.0 and 3.1, where a fixture or pytest-flask pushed one around the test.
            shared = any(context["reused"] for context in self.contexts)
            why = " The application context was there before, and goes on." if shared else ""
            self._fail(f"Not closed: {', '.join(left)}.{why}")

    def assert_no_findings(self, but: Collection[str] = ()) -> None:
        """The kit found no mistake, apart from the codes in *but*."""
        __tracebackhide__ = True
        found = [finding for finding in self.findings if finding["code"] not in but]
        if found:
            first = found[0]
            self._fail(f"{first['code']}: {first['message']} {first['fix']}".rstrip())

    def _fail(self, sentence: str) -> t.NoReturn:
        __tracebackhide__ = True
        raise TraceAssertionError(f"{sentence}\n\n{self.text}")


def _is_named(event: Event, name: Name) -> bool:
    if not isinstance(name, str):
        return event.name == name.__qualname__
    return name in {event.name, short(event.name)}


def _shown(name: Name) -> str:
    return name if isinstance(name, str) else short(name.__qualname__)


def _label(event: Event) -> str:
    return f"{event.phase} {short(event.name)}"


def _answered(event: Event) -> bool:
    return event.outcome == "answered"


def _often(times: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(times, f"{times} times")


def _names(change: Change) -> list[str]:
    return [*change.added, *change.changed, *change.removed]


def _left_open(told: list[Event]) -> list[str]:
    """The resources that were opened more often than closed."""
    balance: dict[str, int] = {}
    for event in told:
        action, _, name = event.name.partition(" ")
        if action in {"open", "close"} and event.outcome != "raised":
            balance[name] = balance.get(name, 0) + (1 if action == "open" else -1)
    return [name for name, still_open in balance.items() if still_open > 0]
