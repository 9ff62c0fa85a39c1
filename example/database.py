"""SQLite: one connection per context, opened at first use, closed at the context's end."""

from __future__ import annotations

import sqlite3
import typing as t
from contextlib import closing
from pathlib import Path

from flask import current_app, g

if t.TYPE_CHECKING:
    from flask import Flask

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


def init_app(app: Flask) -> None:
    file = Path(app.config["DATABASE"])
    file.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(file)) as db, db:
        db.executescript(SCHEMA)
        db.executemany(
            "INSERT OR IGNORE INTO tea (name, origin, taste, cents, tins) VALUES (?, ?, ?, ?, ?)",
            TEAS,
        )
    app.teardown_appcontext(close_connection)


def connection() -> sqlite3.Connection:
    """The connection of this context."""
    if "db" not in g:
        # An async view runs in another thread than the teardown that closes the connection.
        g.db = sqlite3.connect(current_app.config["DATABASE"], check_same_thread=False)
        g.db.row_factory = sqlite3.Row
    return t.cast("sqlite3.Connection", g.db)


def close_connection(error: BaseException | None) -> None:
    db = g.pop("db", None)
    if db is not None:
        db.close()


def rows(sql: str, *values: t.Any) -> list[sqlite3.Row]:
    return connection().execute(sql, values).fetchall()


def change(sql: str, *values: t.Any) -> int:
    """Run one statement; its new row's number comes back."""
    with connection() as db:
        return db.execute(sql, values).lastrowid or 0
