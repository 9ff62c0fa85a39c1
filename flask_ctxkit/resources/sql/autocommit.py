"""Whether a driver commits each statement by itself, so that a transaction must be begun."""

from __future__ import annotations

import typing as t

_IDLE: t.Final = 0
"""libpq's PQTRANS_IDLE."""
_IN_TRANSACTION: t.Final = 1
"""MySQL's SERVER_STATUS_IN_TRANS."""
_LEGACY: t.Final = -1
"""sqlite3.LEGACY_TRANSACTION_CONTROL, since Python 3.12: ``isolation_level`` counts."""


def commits_each(driver: t.Any) -> bool:
    """Whether *driver*, a driver's own connection, is in autocommit mode.

    False where it does not say: PEP 249 wants that mode off at first.
    """
    if type(driver).__module__.partition(".")[0] == "sqlite3":
        mode = getattr(driver, "autocommit", _LEGACY)
        return driver.isolation_level is None if mode == _LEGACY else bool(mode)
    asked = getattr(driver, "get_autocommit", None)  # pymysql's, whose autocommit() sets it
    return bool(asked()) if callable(asked) else getattr(driver, "autocommit", False) is True


def in_transaction(driver: t.Any) -> bool | None:
    """Whether a transaction is open on *driver*; None where it does not say."""
    told = getattr(driver, "in_transaction", None)  # sqlite3's, and MySQL's connector's
    if isinstance(told, bool):
        return told
    status = getattr(getattr(driver, "info", None), "transaction_status", None)  # psycopg's
    if status is not None:
        return bool(status != _IDLE)
    status = getattr(driver, "server_status", None)  # pymysql's
    return bool(status & _IN_TRANSACTION) if type(status) is int else None
