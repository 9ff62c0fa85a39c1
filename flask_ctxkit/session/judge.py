"""Counts verdicts, and tells them to whoever listens: an observer, a signal, the log."""

from __future__ import annotations

import logging
import time
import typing as t
from functools import partial

from flask_ctxkit.signals import session_verdict

from .model import LOUD, SIMPLE, Step, Verdict
from .tally import UNKNOWN, Tally, unknown_keys

if t.TYPE_CHECKING:
    from flask import Flask

Evidence = t.Mapping[str, t.Any]
Proof = t.Callable[[], Evidence]
"""Gathers the evidence; called only when someone is told."""
Hears = t.Callable[[Verdict], object]
"""Is told a verdict. What returns False could do nothing with it, so the log gets it."""

logger = logging.getLogger("flask_ctxkit")
DEEP_LOOKS: t.Final = 5
"""How many refused cookies are looked into at length, per second."""


class Judge:
    """Gives the verdicts of one interface.

    Lifetime: the interface's. Counting is all that a request pays for while nobody listens.
    """

    def __init__(self) -> None:
        self.tally = Tally()
        self.on_verdict: Hears | None = None
        self.hears_later: t.Callable[[], Hears] | None = None
        """Gives what hears of the current request also when its context is gone."""
        self.failures = 0
        """How often a listener raised; the request went on."""
        self._logged: dict[str, int] = {}
        self._unlogged: dict[str, int] = {}
        self._deep = (0, 0)

    def give(
        self,
        app: Flask,
        step: Step,
        code: str,
        *,
        key: str = "",
        proof: Proof | None = None,
        now: int | None = None,
        hears: Hears | None = None,
    ) -> None:
        """Count the verdict *code*, and tell it.

        :param key: the fingerprint of the key that was used.
        :param now: seconds since 1970, where the caller knows.
        :param hears: is told in the place of who listens to all.
        """
        seconds = int(time.time()) if now is None else now
        self.tally.count(seconds, (step, code, key))
        listening = self.on_verdict is not None or bool(session_verdict.receivers)
        if not listening and code not in LOUD:
            return
        if code == UNKNOWN:
            proof = partial(self._with_share, proof, seconds)
        due = code in LOUD and self._is_due(code, seconds)
        if listening or due:
            self._tell(app, step, code, proof, hears or self.on_verdict, due=due)

    def _tell(
        self,
        app: Flask,
        step: Step,
        code: str,
        proof: Proof | None,
        hears: Hears | None,
        *,
        due: bool,
    ) -> None:
        # A listener that fails, or evidence that can't be gathered, must not cost a response.
        try:
            if proof is not None:
                told = Verdict(step, code, proof())
            else:
                told = SIMPLE.get((step, code)) or Verdict(step, code, {})
            # Who listens tells it as a finding.
            heard = hears is not None and hears(told) is not False
            if due and not heard:
                self._log(told)
            if session_verdict.receivers:
                session_verdict.send(app, verdict=told)
        except Exception as error:
            self.failed(error)

    def _with_share(self, proof: Proof | None, now: int) -> Evidence:
        # One such cookie says little, their share says whether workers have different keys.
        refused, looked = unknown_keys(self.tally.window(now))
        found = {} if proof is None else proof()
        return {**found, "refused_recently": refused, "seen_recently": looked}

    def failed(self, error: Exception) -> None:
        """Count what a listener raised, or what went wrong in looking, and log it."""
        self.failures += 1
        logger.error("ctxkit: the verdict on a session could not be told", exc_info=error)

    def _is_due(self, code: str, now: int) -> bool:
        if self._logged.get(code) == now // 60:
            self._unlogged[code] = self._unlogged.get(code, 0) + 1
            return False
        self._logged[code] = now // 60
        return True

    def _log(self, told: Verdict) -> None:
        more = self._unlogged.pop(told.code, 0)
        logger.log(
            logging.ERROR if told.severity == "error" else logging.WARNING,
            "ctxkit: %s %s%s",
            told.message,
            told.fix,
            f" ({more} more since the last such line)" if more else "",
        )

    def may_look_deep(self, now: int) -> bool:
        """Whether a refused cookie may be looked into at length in this second."""
        second, looks = self._deep
        if second != now:
            second, looks = now, 0
        self._deep = (second, looks + 1)
        return looks < DEEP_LOOKS
