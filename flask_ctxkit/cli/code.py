"""``flask ctx`` commands about the code: they import the app, and need none that runs."""

from __future__ import annotations

import contextlib
import json
import typing as t
from pathlib import Path

import click

from . import fields
from .client import AskError, NotFoundError
from .document import Span, line
from .group import NO
from .loading import load_app, quiet_output
from .options import Settings, does_both, imports
from .tables.hooks import header_document, hook_tables_document, hooks_document, setters
from .tables.startup import PARTS, app_document
from .tables.trace import Wanted, trace_document
from .tables.where import live_places, where_document
from .trial import redactor_for, tried

if t.TYPE_CHECKING:
    from flask import Flask

    from .client import Report

SAFE: t.Final = frozenset({"GET", "HEAD", "OPTIONS"})
LOOKED_AT: t.Final = 20
"""How many traces are asked for who set a header."""


@click.command("hooks")
@click.argument("method_and_path", nargs=-1, metavar="[[METHOD] PATH]")
@click.option("--header", metavar="NAME", help="Who set it, in the requests of a running app.")
@does_both
def hooks_command(settings: Settings, method_and_path: tuple[str, ...], header: str | None) -> None:
    """Every function that will run for a URL, in order. Without one: all hooks."""
    if not method_and_path:
        if header is not None:
            raise click.UsageError("--header needs a URL: flask ctx hooks GET /cart --header NAME")
        _all_hooks(settings)
        return
    method, path = split_request(method_and_path)
    report = _hooks_report(load_app(settings.app), method, path)
    hooks = fields.mapping(report, "hooks")
    if header is None:
        settings.console().answer(report, lambda: hooks_document(hooks))
    else:
        _answer_header(settings, report, header)
    if fields.number(hooks, "status") is not None:
        click.get_current_context().exit(NO)


def split_request(words: tuple[str, ...]) -> tuple[str, str]:
    """A method and a path from what was typed; a path alone is a GET.

    :raises click.UsageError: for anything else.
    """
    method, path = ("GET", words[0]) if len(words) == 1 else (words[0].upper(), words[1])
    if len(words) > 2 or not path.startswith("/") or not method.isalpha():  # noqa: PLR2004
        raise click.UsageError("Write a method and a path: GET /cart")
    return method, path


def _hooks_report(app: Flask, method: str, path: str) -> Report:
    from ..report import hooks

    return on_the_wire({"schema": 1, "hooks": hooks(app, method, path)})


def _app_report(app: Flask) -> Report:
    from ..report import startup

    kit = app.extensions.get("ctxkit")
    known = None if kit is None else kit.resources
    return on_the_wire({"schema": 1, "app": startup(app, redactor_for(app), known)})


def on_the_wire(report: t.Mapping[str, t.Any]) -> Report:
    """A report of this process as one that came over HTTP: tuples are lists, and so on."""
    return t.cast("Report", json.loads(json.dumps(report, default=_listed)))


def _listed(value: t.Any) -> t.Any:
    # Mappings and sequences of records that json doesn't know by their type.
    return dict(value) if hasattr(value, "items") else list(value)


def _all_hooks(settings: Settings) -> None:
    report = _app_report(load_app(settings.app))
    hooks = fields.mapping(fields.mapping(report, "app"), "hooks")
    settings.console().answer({"schema": 1, "hooks": hooks}, lambda: hook_tables_document(hooks))


def _answer_header(settings: Settings, report: Report, header: str) -> None:
    hooks = fields.mapping(report, "hooks")
    try:
        traces = _traces(settings, fields.text(hooks, "endpoint"))
        unasked = ""
    except AskError as error:
        traces, unasked = [], error.message
    seen = {
        **report,
        "header": header,
        "setters": [_setters_row(trace, header) for trace in traces],
    }
    console = settings.console()
    console.answer(seen, lambda: header_document(hooks, header, traces))
    if unasked and console.format != "json":
        console.aside([line(Span("? ", "warning"), unasked, hang=2)])


def _traces(settings: Settings, endpoint: str) -> list[fields.Row]:
    client = settings.client()
    rows = fields.rows(client.ask("requests", endpoint=endpoint, limit=LOOKED_AT), "requests")
    found = []
    for row in rows:
        # One that made room for newer ones since it was listed is one less to look at.
        with contextlib.suppress(NotFoundError):
            found.append(fields.mapping(client.ask(f"requests/{fields.text(row, 'id')}"), "trace"))
    return found


def _setters_row(trace: fields.Row, header: str) -> dict[str, t.Any]:
    found = setters(trace, header)
    return {
        "trace": fields.text(trace, "id"),
        "set_by": [{"phase": s.phase, "name": s.name, "value": s.value} for s in found],
    }


@click.command("app")
@click.argument("parts", nargs=-1, type=click.Choice(list(PARTS)), metavar="[PART]...")
@imports
def app_command(settings: Settings, parts: tuple[str, ...]) -> None:
    """What the app is made of: routes, hooks, extensions, resources, session, errors, signals,
    config, also. Name parts to see only them.
    """
    report = _app_report(load_app(settings.app))
    settings.console().answer(report, lambda: app_document(fields.mapping(report, "app"), parts))


@click.command("where")
@click.argument("name")
@does_both
def where_command(settings: Settings, name: str) -> None:
    """Where a NAME lives (g, session, request, config, a module ...), who writes it, and for
    how long. Asks a running app too, if one answers.
    """
    from ..contexts.lookup import where_lives

    app = load_app(settings.app)
    with quiet_output():
        places = where_lives(app, name, redactor_for(app).capture)
    running, unasked = _running_places(settings, name)
    report = on_the_wire({"schema": 1, "where": {"name": name, "places": [*running, *places]}})
    console = settings.console()
    console.answer(report, lambda: where_document(fields.mapping(report, "where")))
    if unasked and console.format != "json":
        console.aside([line(Span(f"? {unasked}", "dim"), hang=2)])
    if not running and not places:
        click.get_current_context().exit(NO)


def _running_places(settings: Settings, name: str) -> tuple[list[dict[str, t.Any]], str]:
    """Where *name* is in the contexts of a running app, and why that isn't known."""
    try:
        return live_places(settings.client().ask("stacks"), name), ""
    except AskError as error:
        return [], f"Contexts of a running app were not looked at: {error.message}"


@click.command("try")
@click.argument("method")
@click.argument("path")
@click.option("-H", "--header", "headers", multiple=True, metavar="'NAME: VALUE'")
@click.option("-d", "--data", metavar="TEXT", help="The body; @FILE reads it from a file.")
@click.option("--yes", is_flag=True, help="Don't ask before a method that may change data.")
@click.option("--full", is_flag=True, help="Every step, and all of the below.")
@click.option("--g", "g", is_flag=True, help="The values in g and the session.")
@click.option("--headers", "show_headers", is_flag=True, help="Who set each response header.")
@click.option("--contexts", is_flag=True, help="The contexts, and where they were pushed.")
@imports
def try_command(
    settings: Settings,
    *,
    method: str,
    path: str,
    headers: tuple[str, ...],
    data: str | None,
    yes: bool,
    show_headers: bool,
    **wanted: bool,
) -> None:
    """Run one request through the app's test client here, and show its trace."""
    method, path = split_request((method, path))
    sent = [split_header(header) for header in headers]
    app = load_app(settings.app)
    if method not in SAFE and not yes:
        question = f"{method} {path} runs for real, with the app's own data. Run it?"
        click.confirm(question, abort=True, err=True)
    with quiet_output():
        trace = on_the_wire(tried(app, method, path, sent, body(data)))
    shown = Wanted(headers=show_headers, **wanted)
    settings.console().answer(
        {"schema": 1, "trace": trace}, lambda: trace_document(trace, None, shown)
    )


def split_header(header: str) -> tuple[str, str]:
    """``("Accept", "text/html")`` of "Accept: text/html".

    :raises click.UsageError: where there is no colon or a line feed.
    """
    name, colon, value = header.partition(":")
    if not colon or not name.strip() or "\n" in header or "\r" in header:
        raise click.UsageError(f"A header is written 'NAME: VALUE', not {header!r}.")
    return name.strip(), value.strip()


def body(data: str | None) -> bytes:
    """The bytes that ``--data`` stands for.

    :raises click.UsageError: where its file can't be read.
    """
    if data is None or not data.startswith("@"):
        return (data or "").encode()
    try:
        return Path(data[1:]).read_bytes()
    except OSError as error:
        raise click.UsageError(f"{data[1:]} can't be read: {error.strerror}") from error
