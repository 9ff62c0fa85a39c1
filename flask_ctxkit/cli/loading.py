"""Importing the user's app, for the commands about its code."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
import typing as t

import click
from flask.cli import NoAppException, ScriptInfo

from ..errors import CtxKitError

if t.TYPE_CHECKING:
    from flask import Flask

FRAMES: t.Final = 4
"""Lines of a traceback that are told."""


class LoadError(CtxKitError):
    """The app could not be imported or made."""

    code = "not-imported"


@contextlib.contextmanager
def quiet_output() -> t.Iterator[None]:
    """Send what the app prints to standard error: standard output is the answer's."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def load_app(wanted: str | None) -> Flask:
    """The app that *wanted*, ``flask --app`` or ``FLASK_APP`` names, as ``flask run`` finds it.

    :raises LoadError: there is none, or its code fails.
    """
    info = click.get_current_context().find_object(ScriptInfo) or ScriptInfo()
    if wanted or info.app_import_path is None:
        info.app_import_path = wanted or os.environ.get("FLASK_APP")
    # As "flask" sets it: app.run() in the module must not start a server.
    os.environ["FLASK_RUN_FROM_CLI"] = "true"
    try:
        with quiet_output():
            return info.load_app()
    except NoAppException as error:
        raise LoadError(f"{error.format_message()} Name it: flask --app MODULE ctx ...") from error
    except (Exception, SystemExit) as error:
        raise LoadError(_failure(error)) from error


def _failure(error: BaseException) -> str:
    places = [
        f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)
    ]
    path = " < ".join(reversed(places[-FRAMES:]))
    return (
        f"The app could not be imported: {type(error).__name__}: {error} (at {path}). "
        "flask ctx and flask ctx live need no import: they ask the app that runs."
    )
