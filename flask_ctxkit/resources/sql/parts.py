"""A part of what a connection does, which is kept or undone as one: a savepoint, a transaction."""

from __future__ import annotations

import typing as t

from ...errors import CtxKitError
from .autocommit import commits_each, in_transaction
from .pool import innermost

if t.TYPE_CHECKING:
    from .connections import Connection


class Part(t.NamedTuple):
    """The statements that begin, keep and undo it, and what a trace calls these steps."""

    begin: tuple[str, ...]
    keep: tuple[str, ...]
    undo: tuple[str, ...]
    names: tuple[str, str, str]


TRANSACTION: t.Final = Part(
    ("BEGIN",),
    ("COMMIT",),
    ("ROLLBACK",),
    ("begin transaction", "commit transaction", "rollback transaction of"),
)
"""In statements: in autocommit mode some drivers' ``commit()`` and ``rollback()`` do nothing."""


def _savepoint(driver: t.Any, name: str) -> Part:
    begin = f"SAVEPOINT {name}"
    # SQLite's module begins no transaction before a savepoint, so releasing that would commit.
    first = getattr(driver, "in_transaction", None) is False
    return Part(
        ("BEGIN", begin) if first else (begin,),
        (f"RELEASE SAVEPOINT {name}",),
        (f"ROLLBACK TO SAVEPOINT {name}", f"RELEASE SAVEPOINT {name}"),
        ("savepoint", "release savepoint", "rollback to savepoint of"),
    )


def transaction_on(connection: Connection[t.Any]) -> Part | None:
    """The transaction that *connection* needs to be done whole; None where its driver begins
    one by itself, or one is open.

    :raises CtxKitError: in autocommit mode of a driver that is not known.
    """
    driver = innermost(connection.driver)
    if not commits_each(driver) or connection.begun or in_transaction(driver):
        return None
    if connection.dialect == "unknown":
        raise CtxKitError(
            f"{connection.claim.name!r} is in autocommit mode, and how a transaction begins on "
            f"{type(driver).__module__}.{type(driver).__qualname__} is not known, so this block "
            "would not be done whole or not at all. Connect with that mode off: autocommit=False.",
            name=connection.claim.name,
        )
    return TRANSACTION


def part_of(connection: Connection[t.Any], depth: int) -> Part:
    """The part of *connection* for a level that is the *depth*-th on its stack.

    :raises CtxKitError: in autocommit mode of a driver that is not known.
    """
    return transaction_on(connection) or _savepoint(connection.driver, f"ctxkit_{depth}")


def begin(connection: Connection[t.Any], part: Part) -> None:
    """Begin *part*."""
    connection.step("statement", lambda: _run(connection, part.begin), part.names[0])
    if part is TRANSACTION:
        connection.begun = True


def keep(connection: Connection[t.Any], part: Part) -> None:
    """Keep what was done in *part*; undone if that is impossible.

    :raises RolledBackError: if an error that was caught in it makes it so.
    """
    try:
        connection.check()
        connection.step("commit", lambda: _run(connection, part.keep), part.names[1])
    except BaseException:
        undo(connection, part)
        raise
    connection.begun = connection.begun and part is not TRANSACTION


def undo(connection: Connection[t.Any], part: Part) -> None:
    """Undo what was done in *part*; never raises, as it is on the way out of an error."""
    if part is TRANSACTION:
        connection.begun = False
        if in_transaction(innermost(connection.driver)) is False:
            return  # SQLite rolls back by itself where it must, and calls one more an error
    connection.undo(lambda: _run(connection, part.undo), part.names[2])


def _run(connection: Connection[t.Any], statements: tuple[str, ...]) -> None:
    for statement in statements:
        connection.run(statement)
