"""Every mistake that is looked for, and who looks."""

from __future__ import annotations

import re
import threading
import typing as t
from dataclasses import dataclass, replace
from itertools import islice

from ..errors import CtxKitError
from ..signals import finding_raised
from . import (
    contexts,
    escape,
    headers,
    hooks,
    leaks,
    order,
    propagation,
    registration,
    removals,
    resources,
    session,
    session_setup,
    setup,
    statements,
    teardown,
)
from .facts import Facts, Known, Memory, shared_context
from .model import Failure, Finding, Rule, is_same
from .tally import Tally

if t.TYPE_CHECKING:
    from flask import Flask

    from ..config import Config
    from ..contexts.registry import Leak, Live
    from ..trace.model import Error, Trace

BUILT_IN: t.Final[tuple[Rule, ...]] = (
    *order.RULES,
    *registration.RULES,
    *hooks.RULES,
    *teardown.RULES,
    *leaks.RULES,
    *contexts.RULES,
    *propagation.RULES,
    *headers.RULES,
    *session.RULES,
    *resources.RULES,
    *statements.RULES,
    *setup.RULES,
    *session_setup.RULES,
    *removals.RULES,
)
PER_RULE: t.Final = 20
"""The most findings of one rule about one trace, app or exception."""
CODE: t.Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class RuleFailure:
    """A rule, or a listener, that raised: counted per step and type, with its last message."""

    step: str
    type: str
    message: str
    count: int


class Rules:
    """The rules of one app, its tally, and what they learned from finished traces.

    A rule that raises is counted in :attr:`failures` and stops no other.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.slow_ns = int(config.slow_hook * 1e9)
        """Nanoseconds that a trace must last for a hook in it to be slow."""
        self.tally = Tally(_send, self._failed)
        self.every_trace = False
        """Whether a rule was added that must see each trace, also of a shape known as sound."""
        self._rules = {rule.code: rule for rule in BUILT_IN}
        self._memory = Memory()
        self._facts: Facts | None = None
        self._failures: dict[tuple[str, str], tuple[str, int]] = {}
        # Taken again where the collector closes a stream in it, which then pops its context.
        self._lock = threading.RLock()

    # ------------------------------------------------------------------- the catalogue

    def catalogue(self) -> tuple[Rule, ...]:
        """Every rule, the built-in ones first."""
        return tuple(self._rules.values())

    def add(self, rule: Rule) -> Rule:
        """Look for *rule* as well.

        :raises CtxKitError: for a code that is taken, or not in lower case with hyphens.
        """
        if not CODE.fullmatch(rule.code):
            raise CtxKitError(
                f"{rule.code!r} is no code for a rule. Write words in lower case, joined by "
                'hyphens, like "cart-without-user".',
                code=rule.code,
            )
        if rule.code in self._rules:
            raise CtxKitError(
                f"There is a rule with the code {rule.code!r} already. Choose another code.",
                code=rule.code,
            )
        self._rules = {**self._rules, rule.code: rule}  # a reader keeps the old table
        self.every_trace = self.every_trace or rule.timed
        return rule

    @property
    def failures(self) -> tuple[RuleFailure, ...]:
        """The rules and listeners that raised."""
        with self._lock:
            return tuple(
                RuleFailure(step, name, message, count)
                for (step, name), (message, count) in [*self._failures.items()]
            )

    # ----------------------------------------------------------------------- looking

    def for_trace(self, trace: Trace) -> tuple[Finding, ...]:
        """What is wrong in a finished trace; remembers what later traces need."""
        known, found = self._known(), []
        has = _needs_met(trace)
        if "skipped" in has:
            # To a rule an event is something that happened.
            ran = tuple(event for event in trace.events if event.outcome != "skipped")
            trace = replace(trace, events=ran)
        for rule in self._rules.values():
            if rule.when == "trace" and (rule.needs is None or rule.needs in has):
                found += self._ask(rule, trace.id, trace, known)
        if "raised" in has:
            found += self._explain(trace, known)
        self._try("memory", self._memory.learn, trace)
        if "shared" in has:
            self._try("memory", self._memory.learn_shared, trace)
        return _unique(found)

    def _explain(self, trace: Trace, known: Known) -> list[Finding]:
        found: list[Finding] = []
        seen: list[Error] = []
        for event in trace.events:
            if event.error is not None and not _among(event.error, seen):
                seen.append(event.error)
                found += self._escaped(Failure(event.error, event, trace), known)
        if trace.exception is not None and not _among(trace.exception, seen):
            found += self._escaped(Failure(trace.exception, None, trace), known)
        return found

    def _escaped(self, failure: Failure, known: Known) -> list[Finding]:
        trace = None if failure.trace is None else failure.trace.id
        found: list[Finding] = []
        for rule in self._rules.values():
            if rule.when == "escape":
                found += self._ask(rule, trace, failure, known)
        return found

    def for_app(self, app: Flask, config: Config | None = None) -> tuple[Finding, ...]:
        """What is wrong in the set-up of *app*.

        Its hooks and settings are remembered as plain data, which the rules over traces
        compare with; the app is not.
        """
        self._try("facts", self._look_at, app)
        found: list[Finding] = []
        for rule in self._rules.values():
            if rule.when == "app":
                found += self._ask(rule, None, app, config or self.config)
        return _unique(found)

    def _look_at(self, app: Flask) -> None:
        self._facts = Facts.of(app)

    def for_live(self, lives: t.Sequence[Live], leaks: t.Sequence[Leak]) -> tuple[Finding, ...]:
        """What is wrong with the live contexts and the leaks."""
        found: list[Finding] = []
        for rule in self._rules.values():
            if rule.when == "live":
                found += self._ask(rule, None, lives, leaks)
        return _unique(found)

    def for_error(
        self,
        error: Error,
        trace: Trace | None = None,
        unit: str | None = None,
        started: str | None = None,
    ) -> tuple[Finding, ...]:
        """What explains an exception, given its record.

        :param trace: the trace that it escapes from, as far as it has grown.
        :param unit: the thread, greenlet or task that it was raised in.
        :param started: who started that, where it is known.
        """
        events = () if trace is None else trace.events
        event = next((e for e in events if is_same(e.error, error)), None)
        return _unique(self._escaped(Failure(error, event, trace, unit, started), self._known()))

    def annotate(
        self,
        exception: BaseException,
        error: Error,
        trace: Trace | None = None,
        unit: str | None = None,
        link: str = "",
    ) -> bool:
        """Put what explains *exception*, whose record is *error*, on its traceback as a note."""
        return escape.annotate(exception, self.for_error(error, trace, unit), link)

    # --------------------------------------------------------------------------- own

    def _known(self) -> Known:
        return Known(self.config, self._facts, self._memory)

    def _ask(self, rule: Rule, trace: str | None, *args: t.Any) -> list[Finding]:
        found: list[Finding] = []
        try:
            # One by one: what a rule found before it raised is kept.
            for finding in islice(rule.check(*args) or (), PER_RULE):
                found.append(_completed(finding, rule, trace))  # noqa: PERF401
        except (KeyboardInterrupt, SystemExit):
            raise  # sent to the process, and only arrived in here
        except BaseException as error:
            self._failed(f"rule {rule.code}", error)
        return found

    def _try(self, step: str, function: t.Callable[..., object], *args: t.Any) -> None:
        try:
            function(*args)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            self._failed(step, error)

    def _failed(self, step: str, error: BaseException) -> None:
        # Only text that was passed in: the message of an error may be the user's code.
        args = BaseException.__getattribute__(error, "args")
        message = next((a[:200] for a in args if type(a) is str), "")
        key = step, type(error).__name__
        with self._lock:
            _, count = self._failures.get(key, ("", 0))
            if count or len(self._failures) < PER_RULE * PER_RULE:
                self._failures[key] = message, count + 1


def _send(finding: Finding, app: t.Any) -> None:
    if finding_raised.receivers:
        finding_raised.send(app, finding=finding)


def _needs_met(trace: Trace) -> set[str]:
    has: set[str] = {
        "raised" if event.error is not None else event.outcome for event in trace.events
    }
    if trace.exception is not None:
        has.add("raised")
    if trace.response is not None:
        has.add("response")
    if shared_context(trace) is not None:
        has.add("shared")
    return has


def _among(error: Error, seen: t.Iterable[Error]) -> bool:
    return any(is_same(error, other) for other in seen)


def _completed(finding: Finding, rule: Rule, trace: str | None) -> Finding:
    return replace(
        finding,
        code=finding.code or rule.code,
        severity=finding.severity or rule.severity,
        fix=finding.fix or rule.fix,
        trace=finding.trace or trace,
    )


def _unique(found: t.Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple({finding.key: finding for finding in reversed([*found])}.values())[::-1]
