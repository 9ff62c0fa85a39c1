"""Records of what is wrong: a rule is what can be found, a finding what was found."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

if t.TYPE_CHECKING:
    from ..trace.model import Error, Event, Trace

Severity = t.Literal["error", "warning", "note"]
When = t.Literal["trace", "app", "live", "escape"]
"""What a rule looks at: a finished trace, the app at its start, the live contexts and leaks,
or an exception (on its own, and wherever one stands in a trace)."""
Need = t.Literal["raised", "answered", "response", "shared"]
"""What a trace must have for a rule to be asked; most traces have none of them."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One thing that was seen. ``event`` is the index of the event that shows it, ``where``
    the "file:line" of the definition it is about.
    """

    text: str
    event: int | None = None
    where: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """A mistake that was found, about *this* request or app.

    ``code``, ``severity``, ``fix`` and ``trace`` may be left empty by a check: they are then
    filled in from its rule and the trace. ``subject`` tells two findings of one code apart
    when they are counted, such as the functions they are about; empty means the message.

    """

    message: str
    evidence: tuple[Evidence, ...] = ()
    fix: str = ""
    subject: str = ""
    code: str = ""
    severity: Severity | None = None
    trace: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What makes two findings the same mistake."""
        return self.code, self.subject or self.message

    def at(self, trace: str | None) -> Finding:
        """The same mistake, seen in another trace."""
        return replace(self, trace=trace)

    def as_dict(self) -> dict[str, t.Any]:
        """The finding as a JSON-safe dictionary."""
        return {
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            "evidence": [
                {"text": e.text, "event": e.event, "where": e.where} for e in self.evidence
            ],
            "fix": self.fix,
            "trace": self.trace,
        }


@dataclass(frozen=True, slots=True)
class Failure:
    """An exception to explain: its record, and the event and trace where it was seen, if any.

    ``unit`` names the thread, greenlet or task that it was raised in; ``started`` who started
    that, where it is known: "GET /cart (shop/views.py:31)".

    """

    error: Error
    event: Event | None = None
    trace: Trace | None = None
    unit: str | None = None
    started: str | None = None


def is_same(one: Error | None, other: Error | None) -> bool:
    """Whether two records are of one exception: seen further out it has more frames."""
    if one is None or other is None:
        return False
    return (one.type, one.message, one.where) == (other.type, other.message, other.where)


@dataclass(frozen=True, slots=True)
class Rule:
    """A mistake that is looked for.

    ``check`` is a pure function. It is called with ``(trace, known)``, ``(app, config)``,
    ``(lives, leaks)`` or ``(failure, known)``, by ``when``, and yields findings. ``cause`` and
    ``fix`` are sentences for the catalogue; ``fix`` also stands on findings without their own.
    A rule is ``timed`` if its answer may differ between two traces of the same shape: it
    looks at times, values, paths or what happened before.

    """

    code: str
    severity: Severity
    theme: str
    title: str
    cause: str
    fix: str
    check: t.Callable[..., t.Iterable[Finding] | None]
    when: When = "trace"
    timed: bool = False
    needs: Need | None = None

    def as_dict(self) -> dict[str, t.Any]:
        """The rule's row in the catalogue, JSON-safe."""
        return {
            "code": self.code,
            "severity": self.severity,
            "title": self.title,
            "cause": self.cause,
            "fix": self.fix,
            "theme": self.theme,
        }
