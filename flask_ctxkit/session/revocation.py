"""Revocation: everything that was signed for a user until some time is refused."""

from __future__ import annotations

import time
import typing as t

from flask import current_app

from .model import Ruling
from .revocations.base import KEPT, KEY, Revocations, RevocationsError

if t.TYPE_CHECKING:
    from flask import Flask
    from flask.sessions import SessionInterface

    from .codec import Verified

WhenDown = t.Literal["open", "closed"]

PAUSE: t.Final = 2.0
"""For how many seconds a store that failed is taken to be down, and not asked again: else each
request would wait for it."""


class Revoker:
    """Refuses what is revoked, as the interface opens and saves sessions.

    Lifetime: its interface's.
    """

    def __init__(
        self, store: Revocations, user_keys: t.Sequence[str], when_down: WhenDown = "open"
    ) -> None:
        self.store = store
        self.user_keys = tuple(user_keys)
        """The names under which a session may say whose it is. Each that is there counts."""
        self.when_down = when_down
        self._down_until = 0.0
        self._problem = ""

    def users(self, values: t.Mapping[str, t.Any]) -> tuple[str, ...]:
        """Whose the session *values* is; empty for nobody's, which can't be revoked."""
        found = (values.get(name) for name in self.user_keys)
        return tuple(dict.fromkeys(str(user) for user in found if user is not None))

    def admit(self, signed_at: int | None, users: t.Sequence[str]) -> Ruling | None:
        """What is to be said of a session that is valid otherwise; None for nothing.

        :param signed_at: in seconds since 1970.
        """
        if not users:
            return None
        before, problem = self._ask(users)
        if problem:
            closed = self.when_down == "closed"
            code = "revocation-refused" if closed else "revocation-unchecked"
            return Ruling(code, {"problem": problem}, refused=closed)
        # Signed in the very second of the revocation it is refused too: who refreshes a
        # stolen cookie with each request would else keep it.
        if before is None or (signed_at is not None and signed_at > before):
            return None
        return Ruling("revoked", {"signed_at": signed_at, "revoked_before": before})

    def _ask(self, users: t.Sequence[str]) -> tuple[int | None, str]:
        """Until when *users* are revoked, and why that can't be told, if it can't."""
        if time.monotonic() < self._down_until:
            return None, self._problem
        try:
            known = [self.store.revoked_before(user) for user in users]
        except Exception as error:
            self._problem = type(error).__name__
            self._down_until = time.monotonic() + PAUSE
            return None, self._problem
        return max((found for found in known if found is not None), default=None), ""

    def probe(self) -> str:
        """Why the store can't be read; "" if it answers. Within a pause it is not asked."""
        return self._ask(("",))[1]

    def stops(self, opening: Verified | None, users: t.Sequence[str]) -> str | None:
        """The code of the verdict for a session that may not be saved any more: it was
        revoked while its request ran. None for one that may.
        """
        # Who came without a user has just logged in, and is signed now.
        if opening is None or not users:
            return None
        ruling = self.admit(opening.signed_at, users)
        if ruling is None or not ruling.refused:
            return None
        return "revoked-meanwhile" if ruling.code == "revoked" else "revocation-unread"


def revoke_sessions(user: object, before: int | None = None) -> int:
    """Refuse every session of *user* that is signed until now, also the current one's.

    Call it where an app context is pushed. What the user has open ends with the next
    request; who logs in after this second has a new session. Sessions that name nobody under
    ``CTXKIT_SESSION_USER_KEY`` can't be revoked.

    :param user: as the session has it; 7 and "7" are the same user.
    :param before: seconds since 1970; what was signed later stays. Now if None.
    :return: the time until which sessions are refused.
    :raises RevocationsError: if no store is set up.
    :raises Exception: what the store's driver raises, if it can't be reached. Nothing is
        revoked then.
    """
    return revoke(current_app, user, before)


def revoke(app: Flask, user: object, before: int | None = None) -> int:
    """As :func:`revoke_sessions`, for *app*."""
    revoker = revoker_of(app.session_interface)
    if user is None:
        raise RevocationsError("Nobody's sessions can't be revoked. Name the user.")
    until = int(time.time()) if before is None else before
    lifetime = int(app.permanent_session_lifetime.total_seconds())
    revoker.store.revoke(str(user), until, max(KEPT, lifetime))
    return until


def revoker_of(interface: SessionInterface) -> Revoker:
    """What refuses the revoked sessions of *interface*.

    :raises RevocationsError: if nothing does.
    """
    found = getattr(interface, "revoker", None)
    if isinstance(found, Revoker):
        return found
    raise RevocationsError(
        f'Sessions can\'t be revoked: no store is set up. Set {KEY} = "sqlite:///revoked.db" or '
        '"redis://...", and leave the session interface to the kit.'
    )
