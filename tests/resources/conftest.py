"""SqlHelper on a file of SQLite's, and what is asked of it."""

from __future__ import annotations

import contextlib
import sqlite3
import typing as t

import pytest

if t.TYPE_CHECKING:
    from pathlib import Path

    from flask_ctxkit import SqlHelper

    Helper = SqlHelper[tuple[t.Any, ...]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "shop.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("create table tea (name text)")
    return path


@pytest.fixture
def db(path: Path) -> t.Iterator[Helper]:
    pytest.importorskip("sqlalchemy")
    from flask_ctxkit import SqlHelper

    with contextlib.closing(SqlHelper.from_url(f"sqlite:///{path}")) as db:
        yield db
        status = db.status()
        assert (status.depth, status.cursors, status.held, status.waiting) == (0, 0, 0, 0)


@pytest.fixture
def shared(path: Path) -> t.Iterator[Helper]:
    from flask_ctxkit import SqlHelper

    with contextlib.closing(SqlHelper.from_url(f"sqlite:///{path}", nested="savepoint")) as db:
        yield db
        assert db.status().held == 0
