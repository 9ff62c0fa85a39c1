"""``flask ctx doctor``: what is wrong with the code, the sessions, the guard, the resources."""

from __future__ import annotations

import os
import sys
import time
import typing as t
from pathlib import Path

import click
from flask.cli import NoAppException, ScriptInfo

from . import fields
from .code import on_the_wire
from .group import NO
from .loading import LoadError, load_app, quiet_output
from .options import TIMEOUT, Settings, imports
from .tables.doctor import doctor_document

if t.TYPE_CHECKING:
    from flask import Flask
    from typing_extensions import Self

_ABSENT: t.Final = ("Could not locate a Flask application", "Failed to find Flask application")
"""How Flask says that there is nothing to import, where no app was named."""
QUIET: t.Final = 0.5
"""Seconds that reading files may take before a terminal is told how far it is."""


@click.command("doctor")
@click.argument(
    "paths", nargs=-1, metavar="[PATHS]...", type=click.Path(exists=True, path_type=Path)
)
@click.option("--no-extensions", is_flag=True, help="Read your own files only.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, max=3600, min_open=True),
    metavar="SECONDS",
    help="How long resources may take to answer. Default: 3.",
)
@imports
def doctor_command(settings: Settings, paths: tuple[Path, ...], no_extensions: bool) -> None:
    """What is wrong with the code, the sessions, the guard and the resources. Names that Flask
    removed or removes are looked for in your code and in installed extensions, which are read
    and not imported. PATHS are files and folders of yours, by default the app's own; with PATHS
    and without --app no app is imported. Exit code 1 for an error or a warning; notes alone
    leave it 0.
    """
    from ..report.doctor import doctor

    app, unloaded = _app(settings, paths)
    looked = paths or (Path.cwd() if app is None else Path(app.root_path),)
    with quiet_output(), _Progress() as progress:
        found = doctor(
            app,
            looked,
            installed=not no_extensions,
            timeout=TIMEOUT if settings.timeout is None else settings.timeout,
            unloaded=unloaded,
            progress=progress.tell,
        )
    report = on_the_wire({"schema": 1, "doctor": found})
    settings.console().answer(report, lambda: doctor_document(fields.mapping(report, "doctor")))
    if any(problem["severity"] != "note" for problem in found["problems"]):
        click.get_current_context().exit(NO)


def _app(settings: Settings, paths: tuple[Path, ...]) -> tuple[Flask | None, str | None]:
    """The app, or None and why the one that was asked for is not there."""
    info = click.get_current_context().find_object(ScriptInfo)
    in_info = None if info is None else info.app_import_path or info.create_app
    named = bool(settings.app or in_info or os.environ.get("FLASK_APP"))
    if paths and not named:
        return None, None
    try:
        return load_app(settings.app), None
    except LoadError as error:
        # An app that can't be imported is what a doctor is called for.
        return None, None if _is_absent(error) and not named else _reason(error)


def _is_absent(error: LoadError) -> bool:
    cause = error.__cause__
    return isinstance(cause, NoAppException) and cause.format_message().startswith(_ABSENT)


def _reason(error: LoadError) -> str:
    cause = error.__cause__
    if not isinstance(cause, NoAppException):
        return error.message
    # Flask puts the whole traceback of an ImportError into its message.
    *traceback, last = cause.format_message().strip().splitlines()
    return f"The app could not be imported: {last}" if traceback else last


class _Progress:
    """A line on standard error that says how many files were read, in a terminal."""

    def __init__(self) -> None:
        self._shows = sys.stderr.isatty()
        self._next = time.monotonic() + QUIET
        self._width = 0

    def tell(self, done: int, total: int) -> None:
        """Say how far it is, now and then."""
        if self._shows and time.monotonic() >= self._next:
            self._next = time.monotonic() + 0.1
            self._write(f"reading file {done:,} of {total:,}")

    def _write(self, text: str) -> None:
        click.echo(f"\r{text:<{self._width}}", nl=False, err=True)
        self._width = len(text)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._width:
            self._write("")
            click.echo("\r", nl=False, err=True)
