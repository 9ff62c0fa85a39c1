"""A connection while a block has it: who took it, where, and how it is given back."""

from __future__ import annotations

import logging
import os
import typing as t

from ...errors import RolledBackError
from ..callers import caller
from ..steps import Step, is_watched, now, tell
from .cursors import Cursor
from .pool import Taken, discard, innermost
from .wording import dialect_of

if t.TYPE_CHECKING:
    from ..callers import Site
    from ..claims import Claim
    from ..steps import Action
    from .ledger import Ledger
    from .wording import Dialect

R = t.TypeVar("R")

logger: t.Final = logging.getLogger("flask_ctxkit")

_IN_ERROR: t.Final = 3
"""libpq's PQTRANS_INERROR: a commit would roll back and say nothing."""


class Connection(t.Generic[R]):
    """A driver's connection that a block took, until the block ends.

    :attr:`driver` is the driver's own (or its pool's); what this one lacks is looked up
    there. Its cursors are closed with it at the latest.
    """

    def __init__(self, ledger: Ledger[R], claim: Claim, taken: Taken) -> None:
        self.driver = taken.connection
        self.claim = claim
        self.as_dicts = ledger.as_dicts
        self.cursors: set[Cursor[R]] = set()
        self.begun = False
        """Whether a transaction was begun in it by a statement, in autocommit mode."""
        self._ledger = ledger
        self._taken: Taken | None = taken
        self._dialect: Dialect | None = None
        self._broken: BaseException | None = None

    def __repr__(self) -> str:
        state = "given back" if self._taken is None else f"{len(self.cursors)} cursors open"
        return f"<Connection of {self._ledger.name!r}, {state}>"

    def __getattr__(self, name: str) -> t.Any:
        if name.startswith("_"):  # also before __init__ has set any
            raise AttributeError(name)
        return getattr(self._open().driver, name)

    @property
    def dialect(self) -> Dialect:
        """How the server reads quotes; "unknown" for a driver that is not known."""
        if self._dialect is None:
            self._dialect = dialect_of(innermost(self.driver))
        return self._dialect

    def _open(self) -> Connection[R]:
        if self._taken is None:
            raise RolledBackError(
                f"The connection that {self.claim.site} took from {self._ledger.name!r} was given "
                "back, and may be somebody else's by now. Use it inside of its block only.",
                where=str(self.claim.site),
            )
        return self

    @property
    def is_inherited(self) -> bool:
        """Whether a parent process took it."""
        return self.claim.unit.worker != os.getpid()

    # ---------------------------------------------------------------------- cursors

    def cursor(self, *args: t.Any, **options: t.Any) -> Cursor[R]:
        """A further cursor; *options* are the driver's."""
        self._open()
        try:
            cursor = Cursor(self, self.driver.cursor(*args, **options))
        except BaseException as error:
            self.failed(error)
            raise
        self.cursors.add(cursor)
        return cursor

    def close_cursor(self, cursor: Cursor[R]) -> None:
        """Close *cursor*, if it is open. A failure is told and counted, never raised."""
        if cursor in self.cursors:
            self.cursors.discard(cursor)
            cursor.closed()
            self._try(None, "close a cursor", cursor.driver.close)

    def failed(self, error: BaseException) -> None:
        """Something that was asked of the driver raised *error*."""
        # What is not an Exception came from outside (a timeout, a kill, Ctrl-C), maybe in the
        # middle of an answer: its rest would be the answer to somebody else's question.
        interrupted = not isinstance(error, Exception)
        if interrupted or self._ledger.pool.is_lost(error, self.driver):
            self._broken = self._broken or error

    # ------------------------------------------------------------------ transactions

    def commit(self) -> None:
        """Commit what was done so far.

        :raises RolledBackError: if an error that was caught before makes that impossible.
        """
        self._open()
        self._commit(caller())

    def _commit(self, site: Site) -> None:
        reason = self._doomed()
        if reason is not None:
            error = self._rolled_back(reason)
            self.undo(self.driver.rollback)
            raise error from self._broken
        self.step("commit", self.driver.commit, site=site)

    def rollback(self) -> None:
        """Undo what was not committed."""
        self._open()
        self.step("rollback", self.driver.rollback)

    def step(
        self,
        action: Action,
        call: t.Callable[[], object],
        name: str = "",
        site: Site | None = None,
    ) -> None:
        """Do and tell one step, of *site* or the caller; what it raises is told as well."""
        start, raised = now(), None
        try:
            call()
        except BaseException as error:
            raised = error
            self.failed(error)
            raise
        finally:
            if is_watched():
                name = name or f"{action} {self._ledger.name}"
                tell(Step(action, name, str(site or caller()), start, now(), raised))

    def run(self, sql: str) -> None:
        """Run a statement of the helper's own, which returns nothing."""
        cursor = self.driver.cursor()
        try:
            cursor.execute(sql)
        finally:
            self._try(None, "close a cursor", cursor.close)

    def undo(self, call: t.Callable[[], object], name: str = "rollback") -> None:
        """Roll back on the way out of an error, which none that comes up here may mask."""
        if self._broken is None:
            # What could not be undone must not be committed by a level further out.
            self._broken = self._try("rollback", f"{name} {self._ledger.name}", call)

    def _doomed(self) -> str | None:
        """Why nothing can be committed any more, or None."""
        if self._broken is not None:
            return f"{type(self._broken).__name__} left the connection unusable"
        if self.dialect == "postgresql" and _is_in_error(self.driver):
            return "the server refuses all that comes after an error in the same transaction"
        return None

    def check(self) -> None:
        """Say so if what was written is lost, though the error was caught.

        :raises RolledBackError: if it is.
        """
        reason = self._doomed()
        if reason is not None:
            raise self._rolled_back(reason) from self._broken

    def _rolled_back(self, reason: str) -> RolledBackError:
        return RolledBackError(
            f"What was written over the connection of {self.claim.site} is not committed: "
            f"{reason}. Let the error leave the block, or put what may fail into a "
            "transaction() of its own.",
            where=str(self.claim.site),
            reason=reason,
        )

    # -------------------------------------------------------------------------- end

    def end(self, error: BaseException | None) -> None:
        """Commit, or roll back after *error*, and give the connection back, whatever fails.

        In a child that was forked meanwhile nothing is done: it is the parent's.
        """
        if self.is_inherited:
            return
        try:
            self.close_cursors()
            if self._taken is None:
                return  # closed by hand
            if error is not None:
                self.undo(self.driver.rollback)
            else:
                self._finish()
        finally:
            self._give_back()

    def _finish(self) -> None:
        try:
            # One that ends with its context is not ended by a line of the user's.
            self._commit(self.claim.site)
        except BaseException:
            self.undo(self.driver.rollback)
            raise

    def close_cursors(self) -> None:
        """Close each cursor that is open."""
        for cursor in tuple(self.cursors):
            self.close_cursor(cursor)

    def close(self) -> None:
        """Give it back before its block ends. What was not committed is rolled back."""
        if self._taken is not None:
            self.end(_ByHand())

    def _give_back(self) -> None:
        taken, self._taken = self._taken, None
        if taken is None:
            return
        broken, name = self._broken is not None, f"close {self._ledger.name}"
        note = f"held {self.claim.age_s * 1000:,.1f} ms"
        if broken:
            note += ", and given up: it is broken"
        call = (lambda: discard(taken)) if broken else taken.give_back
        try:
            # A close that failed may not have got far: a second one gives the place back.
            if self._try("close", name, call, note) is not None:
                self._try("close", name, lambda: discard(taken), note)
        except BaseException:  # cut off: a kill, a timeout of gevent's, Ctrl-C
            self._try("close", name, lambda: discard(taken), note)
            raise
        finally:
            self._ledger.held.pop(self.claim, None)
            self.claim.end()

    def _try(
        self,
        action: Action | None,
        name: str,
        call: t.Callable[[], object],
        note: str | None = None,
    ) -> Exception | None:
        """Call it; what it raises is told, logged and counted, and no more."""
        start, raised = now(), None
        try:
            call()
        except Exception as error:
            raised = error
            self._ledger.failed += 1
            logger.warning("ctxkit: %s failed (%s)", name, type(error).__name__)
        if (action is not None or raised is not None) and is_watched():
            tell(Step(action or "close", name, str(self.claim.site), start, now(), raised, note))
        return raised


class _ByHand(Exception):  # noqa: N818 - a reason to roll back, never raised
    """The connection was closed by hand."""


def _is_in_error(connection: t.Any) -> bool:
    info = getattr(innermost(connection), "info", None)
    return getattr(info, "transaction_status", None) == _IN_ERROR
