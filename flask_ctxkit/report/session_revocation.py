"""Whether sessions can be revoked now, and what happens while the store can't be read."""

from __future__ import annotations

import typing as t

from ..session.interface import CtxSessionInterface

if t.TYPE_CHECKING:
    from flask import Flask

Row = dict[str, t.Any]

STORES: t.Final[t.Mapping[str, str]] = {
    "MemoryRevocations": "in memory",
    "SqliteRevocations": "SQLite",
    "RedisRevocations": "Redis",
}


def revocation(app: Flask) -> Row | None:
    """The state of the store of revocations; None where there is none.

    The store is asked, unless it failed within the last two seconds. Its URL is not told: it
    may hold a password.
    """
    interface = app.session_interface
    revoker = interface.revoker if isinstance(interface, CtxSessionInterface) else None
    if revoker is None:
        return None
    problem, store = revoker.probe(), type(revoker.store).__name__
    found: Row = {
        "store": STORES.get(store, store),
        "shared": revoker.store.shared,
        "state": "down" if problem else "up",
        "problem": problem or None,
        "when_down": revoker.when_down,
        "names": list(revoker.user_keys),
    }
    severity = "ok" if not problem else "error"
    return {**found, "severity": severity, "text": _sentence(found)}


def _sentence(found: Row) -> str:
    store = f"The store of revocations ({found['store']})"
    is_open = found["when_down"] == "open"
    if found["state"] == "down":
        effect = "sessions are taken unchecked" if is_open else "sessions of a user are refused"
        return (
            f"{store} can't be read ({found['problem']}): {effect}, since "
            f'CTXKIT_SESSION_REVOCATIONS_DOWN is "{found["when_down"]}".'
        )
    effect = "be taken unchecked (it fails open)" if is_open else "be refused (it fails closed)"
    alone = "" if found["shared"] else " It is of this process alone."
    return f"{store} answers.{alone} If it could not be read, sessions of a user would {effect}."
