"""The session: every verdict on it that somebody should act on."""

from __future__ import annotations

import functools
import re
import typing as t

from ..session.model import REASONS
from .model import Evidence, Finding, Rule

if t.TYPE_CHECKING:
    from ..session.model import Reason
    from ..trace.model import Trace
    from .facts import Known


_PIECE: t.Final = re.compile(r"\{\w+\}")


def judged(code: str, trace: Trace, _known: Known) -> t.Iterator[Finding]:
    """The verdict *code* was given on the session of this request."""
    for verdict in (trace.session or {}).get("verdicts", ()):
        if verdict["code"] == code:
            seen = [f"{name}: {value}" for name, value in verdict["evidence"].items()]
            phase = "open_session" if verdict["step"] == "open" else "save_session"
            event = next((e.index for e in trace.events if e.phase == phase), None)
            evidence = tuple(Evidence(text, event) for text in seen)
            yield Finding(verdict["message"], evidence, verdict["fix"], subject=code)


def _rule(reason: Reason) -> Rule:
    title = reason.code.replace("-", " ")
    return Rule(
        code=f"session-{reason.code}",
        severity="error" if reason.severity == "error" else "warning",
        theme="session",
        title=f"session: {title}",
        cause=_PIECE.sub("…", reason.message),
        fix=reason.fix,
        check=functools.partial(judged, reason.code),
        timed=True,
    )


TOLD_BY_STEP: t.Final = frozenset(
    {"changed-in-stream", "changed-after-save", "after-request-raised"}
)
"""What the rules over hooks see as well, and can say of which step it was."""

RULES: t.Final[tuple[Rule, ...]] = tuple(
    _rule(reason)
    for reason in REASONS
    if reason.is_worth_telling and reason.code not in TOLD_BY_STEP
)
