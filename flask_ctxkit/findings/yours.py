"""Rules of the user's own: a function over a trace, an app, live contexts or an exception."""

from __future__ import annotations

import inspect
import typing as t

from .model import Finding, Rule, Severity, When
from .wording import short

Check = t.Callable[..., t.Any]


def rule_of(
    function: Check,
    *,
    code: str | None = None,
    severity: Severity = "warning",
    title: str | None = None,
    cause: str = "",
    fix: str = "",
    when: When = "trace",
    timed: bool = True,
) -> Rule:
    """Make a rule of *function*, which is called with the trace, the app, the live contexts and
    leaks, or the :class:`~flask_ctxkit.findings.Failure`, by *when*.

    It may return or yield findings, or plain sentences, or None. Its name gives the code and
    its docstring's first line the title where they are not given.

    :param timed: whether it must see each trace; False where it only looks at the steps and
        the names that changed.
    """
    name = short(getattr(function, "__name__", type(function).__name__))
    lines = (inspect.getdoc(function) or "").strip().splitlines()

    def check(first: t.Any, second: t.Any) -> t.Iterator[Finding]:
        answer = function(first, second) if when == "live" else function(first)
        yield from _findings(answer)

    return Rule(
        code=code or name.strip("_").replace("_", "-").lower(),
        severity=severity,
        theme="yours",
        title=title or (lines[0] if lines else name),
        cause=cause,
        fix=fix,
        check=check,
        when=when,
        timed=timed,
    )


def _findings(answer: t.Any) -> t.Iterator[Finding]:
    if answer is None:
        return
    if isinstance(answer, (str, Finding)):
        answer = (answer,)
    for found in answer:
        yield found if isinstance(found, Finding) else Finding(str(found))
