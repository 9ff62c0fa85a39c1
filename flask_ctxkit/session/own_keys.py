"""Do the kit's own settings of the session fit together, and is what they need there?"""

from __future__ import annotations

import time
import typing as t
from datetime import datetime, timedelta, timezone

from .settings import Problem, Settings

LONGEST: t.Final = 10**12
"""Seconds that no limit has."""
DAY: t.Final = 86_400
USUAL_HEADER: t.Final = 8
"""KiB of a ``Cookie`` header that servers and proxies take by default, or less."""
BROWSER: t.Final = 4
"""KiB of one cookie."""


def timeouts(settings: Settings) -> t.Iterator[Problem]:
    """No limit of a session's life makes another one useless."""
    found, lives = settings.interface, lifetime_of(settings)
    limits = None if found is None else found.timeouts
    if limits is None:
        return
    idle, absolute, reissue = limits.idle, limits.absolute, limits.reissue
    if idle is not None and lives is not None and idle > lives:
        yield Problem(
            "idle-long", "warning", "CTXKIT_SESSION_IDLE",
            f"CTXKIT_SESSION_IDLE is {idle} s and PERMANENT_SESSION_LIFETIME {lives} s: the "
            "shorter one counts, so a session ends before it is idle for long enough.",
            "Set PERMANENT_SESSION_LIFETIME to more than CTXKIT_SESSION_IDLE.",
        )  # fmt: skip
    if idle is not None and absolute is not None and absolute <= idle:
        yield Problem(
            "absolute-short", "error", "CTXKIT_SESSION_ABSOLUTE",
            f"CTXKIT_SESSION_ABSOLUTE is {absolute} s and CTXKIT_SESSION_IDLE {idle} s, so no "
            "session is ever idle for long enough.",
            "Set CTXKIT_SESSION_IDLE to less than CTXKIT_SESSION_ABSOLUTE.",
        )  # fmt: skip
    ends = min((limit for limit in (idle, absolute, lives) if limit is not None), default=None)
    if reissue is not None and ends is not None and reissue >= ends:
        yield Problem(
            "reissue-late", "warning", "CTXKIT_SESSION_REISSUE",
            f"CTXKIT_SESSION_REISSUE is {reissue} s, and a session that is not written ends after "
            f"{ends} s: it is over before it is signed anew.",
            "Set CTXKIT_SESSION_REISSUE to a tenth of the shortest limit, or leave it unset.",
        )  # fmt: skip


def resign(settings: Settings) -> t.Iterator[Problem]:
    """What an old key signed is signed anew while it still lives."""
    found, lives = settings.interface, lifetime_of(settings)
    age = None if found is None else found.resign
    if age is not None and lives is not None and age > lives:
        yield Problem(
            "resign-late", "warning", "CTXKIT_SESSION_RESIGN",
            f"CTXKIT_SESSION_RESIGN is {age} s and PERMANENT_SESSION_LIFETIME {lives} s: a session "
            "is over before it is signed anew.",
            "Set CTXKIT_SESSION_RESIGN to the minutes that it takes to give all workers a key.",
        )  # fmt: skip


def size(settings: Settings) -> t.Iterator[Problem]:
    """A large session reaches the server, and an encrypted one is told when it is too large."""
    found = settings.interface
    if found is None:
        return
    room = found.parts * BROWSER
    if found.size == "split" and room > USUAL_HEADER:
        yield Problem(
            "split-many", "note", "CTXKIT_SESSION_PARTS",
            f"A session in {found.parts} cookies takes up to {room} KiB of each request's header, "
            f"and nginx and gunicorn refuse more than {USUAL_HEADER}, uWSGI more than {BROWSER}.",
            "Raise their limits as well (large_client_header_buffers, limit-request-field_size, "
            "buffer-size), or store less.",
        )  # fmt: skip
    if found.size == "warn" and found.encryption is not None:
        yield Problem(
            "encrypt-large", "note", "CTXKIT_SESSION_SIZE",
            "Encrypted sessions are not compressed, so one that fitted before may now take more "
            "than 4093 bytes, and browsers drop it.",
            'Set CTXKIT_SESSION_SIZE = "error" or "split".',
        )  # fmt: skip


def window(settings: Settings) -> t.Iterator[Problem]:
    """Cookies that are only signed are taken no longer than there can be honest ones."""
    found, lives = settings.interface, lifetime_of(settings)
    until = (
        None if found is None or found.encryption is None else found.encryption.read_signed_until
    )
    if until is None:
        return
    setting = "CTXKIT_SESSION_ENCRYPT_READ_SIGNED_UNTIL"
    left, day = until - int(time.time()), last_day(until)
    if left <= 0:
        yield Problem(
            "encrypt-window-over", "note", setting,
            f"{setting} is {day}, which is over: only encrypted cookies are taken.",
            f"Remove {setting}.",
        )  # fmt: skip
    elif lives is not None and left > lives + DAY:
        yield Problem(
            "encrypt-window-long", "warning", setting,
            f"Until {day} cookies that are only signed are taken, and the last one from before "
            f"encryption is over in {lives} s (PERMANENT_SESSION_LIFETIME).",
            f"Set {setting} to the day on which the last one ends.",
        )  # fmt: skip


def last_day(until: int) -> str:
    """The last day before *until*, seconds since 1970, in UTC."""
    try:
        return datetime.fromtimestamp(until - 1, timezone.utc).date().isoformat()
    except (OverflowError, ValueError, OSError):
        return "a day beyond the calendar"


def revocations(settings: Settings) -> t.Iterator[Problem]:
    """The store of revocations answers, all workers share it, and what happens else is known."""
    revoker = None if settings.interface is None else settings.interface.revoker
    if revoker is None:
        return
    problem, is_open = revoker.probe(), revoker.when_down == "open"
    if problem:
        effect = "revoked sessions are taken" if is_open else "visitors with a user are refused"
        yield Problem(
            "revocations-down", "error", "CTXKIT_SESSION_REVOCATIONS",
            f"The store of revocations can't be read ({problem}), so {effect}.",
            "Start the store, and give this process the right to read it.",
        )  # fmt: skip
    elif is_open:
        yield Problem(
            "revocations-open", "note", "CTXKIT_SESSION_REVOCATIONS_DOWN",
            "While the store of revocations can't be read, revoked sessions are taken.",
            'Set CTXKIT_SESSION_REVOCATIONS_DOWN = "closed" to refuse sessions of a user then.',
        )  # fmt: skip
    if not revoker.store.shared and not settings.testing:
        yield Problem(
            "revocations-unshared", "note", "CTXKIT_SESSION_REVOCATIONS",
            "Revocations are in the memory of each process: other workers take what one revoked, "
            "and a restart forgets it.",
            'Set "sqlite:///revoked.db" or "redis://..." where there is more than one worker.',
        )  # fmt: skip


def lifetime_of(settings: Settings) -> int | None:
    """PERMANENT_SESSION_LIFETIME in seconds; None where it is wrong, as another check says."""
    value = settings.lifetime
    if isinstance(value, timedelta):
        return int(value.total_seconds())
    return int(value) if isinstance(value, (int, float)) and abs(value) < LONGEST else None


CHECKS: t.Final = (timeouts, resign, size, window, revocations)
