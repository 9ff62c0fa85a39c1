"""The command line: ``flask --app example restock`` works offline, without a request."""

from __future__ import annotations

import typing as t

import click
from flask import g
from flask.cli import with_appcontext

from .database import db

if t.TYPE_CHECKING:
    from flask import Flask


def init_app(app: Flask) -> None:
    app.cli.add_command(restock)


@click.command()
@click.option("--tins", default=10, show_default=True, help="Tins of each tea afterwards.")
@with_appcontext
def restock(tins: int) -> None:
    """Fill the shelves."""
    g.reason = "the shelves looked empty"
    with db as cursor:
        teas = cursor.execute("SELECT id, name FROM tea").fetchall()
        filled = [(tins, tea["id"]) for tea in teas]
        cursor.executemany("UPDATE tea SET tins = ? WHERE id = ?", filled)
    for tea in teas:
        click.echo(f"{tea['name']}: {tins} tins")
