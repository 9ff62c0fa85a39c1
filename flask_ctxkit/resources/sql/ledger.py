"""Who has which connection of a helper, and since when."""

from __future__ import annotations

import os
import threading
import typing as t
from dataclasses import dataclass

from ...errors import PoolExhaustedError
from ...units import Unit  # noqa: TC001 - a record's field
from ..claims import Claim
from ..steps import Step, elsewhere, is_watched, now, tell
from .connections import Connection
from .pool import Gauge, is_exhausted

if t.TYPE_CHECKING:
    from .levels import Level
    from .pool import Pool, Taken

R = t.TypeVar("R")

SHOWN: t.Final = 3
"""Holders that the message of an error names; its evidence has them all."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has a connection: ``where`` is the "file:line" that took it, ``seconds`` how long
    ago. ``depth`` is 1 for the outermost ``with db`` of its unit and 0 for an independent
    pair; ``request`` is like "GET /cart", or None.
    """

    unit: Unit
    where: str
    seconds: float
    depth: int
    request: str | None

    def __str__(self) -> str:
        during = f" in {self.request}" if self.request else ""
        return (
            f"{self.unit.key} ({self.unit.name}) at {self.where} for {self.seconds:.1f} s{during}"
        )

    def as_dict(self) -> dict[str, t.Any]:
        """The record as plain data, with the unit's key and name."""
        return {
            "unit": self.unit.key,
            "name": self.unit.name,
            "where": self.where,
            "seconds": round(self.seconds, 3),
            "depth": self.depth,
            "request": self.request,
        }


class Ledger(t.Generic[R]):
    """The connections that one helper has out, and the stack of levels of each unit.

    Each step on :attr:`held` and :attr:`waiting` is atomic; :attr:`stacks` is changed under
    the lock, since a generator may be closed by another unit than the one that began it.
    """

    def __init__(self, name: str, pool: Pool, *, as_dicts: bool) -> None:
        self.name = name
        self.pool = pool
        self.as_dicts = as_dicts
        self.failed = 0
        self.held: dict[Claim, Connection[R]] = {}
        self.waiting: dict[Claim, None] = {}
        self.stacks: dict[Unit, list[Level[R]]] = {}
        # Reentrant: the collector may close a generator while its thread is in here.
        self.lock = threading.RLock()
        self._pid = os.getpid()
        self.inherited: dict[Unit, list[Level[R]]] = {}
        """The stacks of the parent process, in a child."""
        self._kept: list[object] = []

    def take(self, unit: Unit, depth: int) -> Connection[R]:
        """A connection for *unit*.

        :raises PoolExhaustedError: if the pool has none left.
        """
        claim = Claim(self.name, depth, unit)
        self.waiting[claim] = None
        connection: Connection[R] | None = None
        try:
            self.held[claim] = connection = Connection(self, claim, self._taken(claim))
            claim.granted = True
            self._tell(claim)
        except BaseException as error:
            if connection is not None:
                connection.end(error)
            else:
                claim.end()
                self._tell(claim, error)
            raise
        finally:
            self.waiting.pop(claim, None)
        return connection

    def _tell(self, claim: Claim, error: BaseException | None = None) -> None:
        if is_watched():
            note = self._note(claim) if error is None else None
            where = str(claim.site)
            tell(Step("open", f"open {self.name}", where, claim.since, now(), error, note))

    def _taken(self, claim: Claim) -> Taken:
        try:
            return self.pool.take()
        except Exception as error:
            if not is_exhausted(error):
                raise
            raise self._exhausted(claim) from error

    def _note(self, claim: Claim) -> str:
        level = f"depth {claim.depth}" if claim.depth else "a pair of its own"
        held = f"{len(self.held)} held, {self.cursors} cursors open; pool {self.gauge()}"
        return "; ".join(filter(None, (elsewhere(claim.unit), level, held)))

    @property
    def cursors(self) -> int:
        """Cursors that are open, of all units."""
        return sum(len(connection.cursors) for connection in [*self.held.values()])

    def gauge(self) -> Gauge:
        """How full the pool is; unknown where it fails to say."""
        try:
            return self.pool.gauge()
        except Exception:  # somebody else's pool, and nobody may lose a connection for a look
            return Gauge()

    def after_fork(self) -> None:
        """Forget what the parent has out, once, in a child.

        It is kept all the same: what is let go of is rolled back, over the parent's socket.
        """
        if self._pid != os.getpid():
            self._kept.append((self.held, self.waiting, self.inherited))
            self.inherited = self.stacks
            self.held, self.waiting, self.stacks = {}, {}, {}
            self._pid = os.getpid()

    # ---------------------------------------------------------------------- holders

    def holders(self) -> tuple[Holder, ...]:
        """Who has a connection now, the longest first."""
        self.after_fork()
        claims = sorted(self.held, key=lambda claim: claim.since)
        moment = now()  # one for all, else who took one later may seem to hold it longer
        return tuple(self._holder(claim, moment) for claim in claims)

    def _holder(self, claim: Claim, moment: int) -> Holder:
        request = None if claim.request is None else claim.request.told()
        age_s = (moment - claim.since) / 1e9
        return Holder(claim.unit, str(claim.site), age_s, claim.depth, request)

    def _advice(self, claim: Claim) -> str:
        own = [other for other in self.held if other.unit == claim.unit]
        if not own:
            return "Let blocks end sooner, above all before slow calls, or the pool be larger."
        slot = next((other.slot for other in own if other.slot is not None), None)
        if slot is not None:
            return (
                f"Let the connection that this context holds as its resource {slot.name!r} do it: "
                f"ask that one for a cursor, and not {self.name!r}."
            )
        return (
            f"Let the blocks of {claim.unit.key}, which asks and holds {len(own)} itself, share "
            'one connection (nested="savepoint", transaction()).'
        )

    def _exhausted(self, claim: Claim) -> PoolExhaustedError:
        holders, waited = self.holders(), claim.age_s
        shown = "; ".join(str(holder) for holder in holders[:SHOWN])
        more = f"; and {len(holders) - SHOWN} more" if len(holders) > SHOWN else ""
        who = f"held by {shown}{more}" if holders else "and nobody holds one through this helper"
        return PoolExhaustedError(
            f"{self.name!r} has no connection left after {waited:.1f} s (taken: {self.gauge()}), "
            f"{who}. {self._advice(claim)}",
            name=self.name,
            waited=waited,
            holders=[holder.as_dict() for holder in holders],
            pool=str(self.gauge()),
        )
