"""SQLite: a pool per app, one connection for what a context reads, blocks for what it writes."""

from __future__ import annotations

import typing as t
from pathlib import Path

from flask import current_app

from flask_ctxkit import LocalProxy, SqlHelper

from .extensions import kit

if t.TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from flask import Flask

    from flask_ctxkit.resources.sql import Cursor

Row = dict[str, t.Any]

SCHEMA = """
CREATE TABLE IF NOT EXISTS tea (
    id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, origin TEXT NOT NULL,
    taste TEXT NOT NULL, cents INTEGER NOT NULL, tins INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS tea_order (
    id INTEGER PRIMARY KEY, guest TEXT NOT NULL, tea_id INTEGER NOT NULL REFERENCES tea,
    state TEXT NOT NULL DEFAULT 'brewing'
);
"""
TEAS = [
    ("Silver Needle", "Fuding", "Hay, melon, a long quiet end.", 1450, 12),
    ("Dragon Well", "Hangzhou", "Chestnut and fresh-cut grass.", 980, 20),
    ("Iron Goddess", "Anxi", "Orchid first, then cream.", 1120, 16),
    ("Big Red Robe", "Wuyi", "Wet slate, cocoa, stone fruit.", 1680, 8),
    ("First Flush", "Darjeeling", "Muscat and mountain air.", 1240, 14),
    ("Smoky Pine", "Tongmu", "A campfire the morning after.", 890, 22),
]


# The pool lives as long as the app; the proxy leads to that of the current one.
db = t.cast("SqlHelper[Row]", LocalProxy(lambda: current_app.extensions["database"]))


def init_app(app: Flask) -> None:
    file = Path(app.config["DATABASE"])
    file.parent.mkdir(parents=True, exist_ok=True)
    helper = SqlHelper.from_url(f"sqlite:///{file}", rows="dict")
    app.extensions["database"] = helper
    with helper as cursor:
        for statement in SCHEMA.split(";"):
            cursor.execute(statement)
        cursor.executemany(
            "INSERT OR IGNORE INTO tea (name, origin, taste, cents, tins) VALUES (?, ?, ?, ?, ?)",
            TEAS,
        )


def open_reader() -> AbstractContextManager[Cursor[Row]]:
    return db.cursor()


def ask(cursor: Cursor[Row]) -> None:
    cursor.execute("SELECT 1")


# What a context reads with: taken at its first question, given back when the context ends.
reader = kit.resource("reader", open_reader, ping=ask)


@kit.cached
def menu() -> dict[int, Row]:
    """All teas by number. However often a context asks, the database is asked once."""
    return {tea["id"]: tea for tea in reader().execute("SELECT * FROM tea ORDER BY id").fetchall()}


class SoldOutError(Exception):
    """There is no tin left."""


def place_order(guest: str, tea_id: int) -> int:
    """Order one tea, wholly or not at all; the order's number comes back.

    :raises SoldOutError: where nothing was changed.
    """
    with db.transaction() as cursor:
        cursor.execute("INSERT INTO tea_order (guest, tea_id) VALUES (?, ?)", guest, tea_id)
        number = int(cursor.lastrowid)
        cursor.execute("UPDATE tea SET tins = tins - 1 WHERE id = ? AND tins > 0", tea_id)
        if not cursor.rowcount:
            raise SoldOutError
        return number
