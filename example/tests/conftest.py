"""What the tests of the tea house share. The fixtures that begin with ctx come with the kit."""

from __future__ import annotations

import typing as t

import pytest

from example import create_app
from flask_ctxkit import explain_threads

if t.TYPE_CHECKING:
    from pathlib import Path

    from flask import Flask


@pytest.fixture
def _push_request_context() -> None:
    """Where pytest-flask is installed: its own pushes a request around each test, and before
    Flask 3.2 the requests of a test then share that one's application context.
    """


@pytest.fixture
def app(tmp_path: Path) -> t.Iterator[Flask]:
    app = create_app(
        {
            "DATABASE": tmp_path / "teahouse.sqlite3",
            "SECRET_KEY": "8" * 16 + "a key for tests, long and odd enough",
            "BREW_SECONDS": 0.01,
        }
    )
    yield app
    app.extensions["kitchen"].shutdown()
    explain_threads()()  # the app has asked for it; asked again, it is the same one to undo
