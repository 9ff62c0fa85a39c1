"""The app of the ``app`` fixture and its kit, or an error that says what to write."""

from __future__ import annotations

import typing as t

import pytest
from flask import Flask

if t.TYPE_CHECKING:
    from ..state import State

APP_FIXTURE: t.Final = """\
@pytest.fixture
def app():
    app = create_app()
    CtxKit(app)  # unless create_app() does
    return app"""


def app_of(request: pytest.FixtureRequest) -> Flask:
    """What the test's ``app`` fixture returns. Fails the test where that is no Flask app."""
    try:
        app = request.getfixturevalue("app")
    except pytest.FixtureLookupError as error:
        if error.argname != "app":
            raise  # something that the app fixture asks for
        pytest.fail(
            f"The fixture {request.fixturename} needs a fixture named app that returns your "
            f"Flask app. Write in conftest.py:\n\n{APP_FIXTURE}",
            pytrace=False,
        )
    except pytest.fail.Exception as error:
        if "no parameter defined" not in str(error):
            raise
        pytest.fail(
            "The app fixture is parametrized, so pytest has to find it among the arguments of the "
            f"test: def test(app, {request.fixturename}).",
            pytrace=False,
        )
    if not isinstance(app, Flask):
        pytest.fail(
            f"The app fixture returned {type(app).__name__!r}, which is no Flask app. "
            f"Return the app, as in:\n\n{APP_FIXTURE}",
            pytrace=False,
        )
    return app


def kit_of(request: pytest.FixtureRequest) -> State:
    """What the app of the test owns of its kit. Fails the test where there is none."""
    app = app_of(request)
    state: State | None = app.extensions.get("ctxkit")
    if state is None:
        pytest.fail(
            f"The app {app.name!r} of the app fixture has no kit. Register one in the fixture, "
            f"after the app is configured:\n\n{APP_FIXTURE}",
            pytrace=False,
        )
    return state
