"""What a store of revocations does, and which one a URL names."""

from __future__ import annotations

import typing as t
from pathlib import Path

from flask_ctxkit.errors import ConfigError, CtxKitError

KEY: t.Final = "CTXKIT_SESSION_REVOCATIONS"
KEPT: t.Final = 400 * 86_400
"""How many seconds a revocation is kept: browsers keep no cookie longer (RFC 6265bis, 5.5)."""
SQLITE: t.Final = "sqlite:///"


class RevocationsError(CtxKitError):
    """There is no store of revocations, or it is of no use to the caller."""

    code = "no-revocations"


class Revocations(t.Protocol):
    """Keeps for each user a time: what was signed until then is refused.

    Times are whole seconds since 1970. Any method may raise what its driver raises when the
    store can't be reached.
    """

    shared: bool
    """Whether other processes see what is revoked here."""

    def revoke(self, user: str, before: int, keep: int = KEPT) -> None:
        """Refuse what was signed for *user* until *before*. An earlier time than the one that
        is known changes nothing.

        :param keep: seconds; what was revoked longer before *before* may be forgotten.
        """
        ...

    def revoked_before(self, user: str) -> int | None:
        """Until when what was signed for *user* is refused; None if nothing is."""
        ...


def open_revocations(url: str, folder: str) -> Revocations:
    """The store that *url* names. Nothing is read or connected yet.

    :param folder: where the file of a relative ``sqlite:///FILE`` is.
    :raises ConfigError: for another URL, or when the driver is not installed.
    """
    if url == "memory://":
        from .memory import MemoryRevocations

        return MemoryRevocations()
    if url.startswith(SQLITE):
        from .sqlite import SqliteRevocations

        return SqliteRevocations(Path(folder, url.removeprefix(SQLITE)))
    try:
        from .redis import RedisRevocations
    except ImportError as error:
        raise ConfigError(
            f"{KEY} names a Redis server, and there is no driver for it. Install it with: "
            'pip install "flask-ctxkit[redis]"',
            key=KEY,
        ) from error
    return RedisRevocations(url)
