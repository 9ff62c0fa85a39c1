"""Revocations in an SQLite file: for all workers on one host."""

from __future__ import annotations

import os
import sqlite3
import typing as t
from contextlib import closing

from .base import KEPT

if t.TYPE_CHECKING:
    from pathlib import Path

WAIT: t.Final = 1.0
"""How many seconds a writer of the file is waited for."""
_TABLE: t.Final = "CREATE TABLE IF NOT EXISTS revoked (user BLOB PRIMARY KEY, before INTEGER)"
_RAISE: t.Final = (
    "INSERT INTO revoked VALUES (?, ?) "
    "ON CONFLICT (user) DO UPDATE SET before = max(before, excluded.before)"
)


class SqliteRevocations:
    """Revocations in a file, which is made at the first revocation.

    Lifetime: its interface's. Each call opens the file anew: a connection must not be
    carried over a fork, nor shared by threads.
    """

    shared = True

    def __init__(self, path: Path) -> None:
        self.path = path

    def revoke(self, user: str, before: int, keep: int = KEPT) -> None:
        """Refuse what was signed for *user* until *before*.

        :raises OSError: when the file can't be made.
        :raises sqlite3.Error: when it can't be written.
        """
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Who is logged in is nobody else's business.
        os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        with closing(sqlite3.connect(self.path, timeout=WAIT)) as connection, connection:
            connection.execute(_TABLE)
            connection.execute("DELETE FROM revoked WHERE before < ?", (before - keep,))
            connection.execute(_RAISE, (_key(user), before))

    def revoked_before(self, user: str) -> int | None:
        """Until when what was signed for *user* is refused; None if nothing is, also where
        nothing was ever revoked and there is no file.

        :raises sqlite3.Error: when the file can't be read.
        """
        # Not created by reading; and SQLite can't tell a missing file from a forbidden one.
        if not self.path.exists():
            return None
        key = (_key(user),)
        with closing(sqlite3.connect(self.path, timeout=WAIT)) as connection:
            try:
                found = connection.execute("SELECT before FROM revoked WHERE user = ?", key)
            except sqlite3.OperationalError as error:
                if "no such table" in str(error):  # a first revocation is being written
                    return None
                raise
            row = found.fetchone()
        return None if row is None else int(row[0])


def _key(user: str) -> bytes:
    # As bytes, since no text of SQLite holds half a character: it would be an error of the
    # store, and a visitor with such a name could have the store be taken for down.
    return user.encode(errors="surrogatepass")
