"""Key rotation that can be seen to work: signing anew what an old key signed."""

from __future__ import annotations

import time
import typing as t
from datetime import timedelta

from .mapping import CtxSession
from .timeouts import may_reissue

if t.TYPE_CHECKING:
    from datetime import datetime

    from flask import Response
    from flask.sessions import SessionMixin

    from .tally import Tally

DAY: t.Final = 86_400


def is_due(session: SessionMixin, response: Response, least_age: int) -> bool:
    """Whether *session*, read and not changed, is to be signed anew with the current key.

    So it is when an old key signed it, or it came signed where it should be encrypted, and it
    is *least_age* seconds old: a younger one comes from a worker that does not have the new
    key yet, and could not read the answer. Never for HEAD, OPTIONS, static files and errors
    of the server.
    """
    if not isinstance(session, CtxSession):
        return False
    opening = session.opening
    if opening is None or opening.code != "valid":
        return False
    if not (opening.key or session.came_signed) or (opening.age or 0) < least_age:
        return False
    return may_reissue(response)


def kept_expiry(session: CtxSession, expires: datetime | None) -> datetime | None:
    """When the cookie of *session* would have gone, had it not been signed anew."""
    opening = session.opening
    if expires is None or opening is None:
        return expires
    return expires - timedelta(seconds=max(opening.age or 0, 0))


def unused_for(tally: Tally | None, fingerprint: str, now: int) -> int | None:
    """For how many seconds no session was opened with a key, as far as this process knows;
    None before it opened any session.
    """
    if tally is None or tally.since is None:
        return None
    return max(0, now - tally.last_used.get(fingerprint, tally.since))


def told_unused(number: int, seconds: int | None, lifetime: int) -> str | None:
    """The sentence on a fallback key that was not used for a day or more; else None."""
    if seconds is None or seconds < DAY:
        return None
    days = seconds // DAY
    told = f"Fallback {number} unused for {days} day{'' if days == 1 else 's'}"
    if seconds > lifetime:
        return f"{told}, longer than a session lives: it can go from SECRET_KEY_FALLBACKS."
    return f"{told}."


def now_of(session: CtxSession) -> int:
    """The time to sign *session* with anew: the one that it has, so that it grows no older."""
    opening = session.opening
    signed_at = None if opening is None else opening.signed_at
    return int(time.time()) if signed_at is None else signed_at
