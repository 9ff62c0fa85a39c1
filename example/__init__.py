"""A tea house: one small real app that shows flask_ctxkit, and a page to break it on purpose."""

from __future__ import annotations

import typing as t
from pathlib import Path

from flask import Flask, render_template

from . import (
    account,
    background,
    commands,
    database,
    errands,
    lifetimes,
    machinery,
    mistakes,
    shop,
    tour,
)
from .extensions import kit, season
from .secret import secret_key
from .switchboard import Switchboard

if t.TYPE_CHECKING:
    from flask import Response


def create_app(config: t.Mapping[str, t.Any] | None = None) -> Flask:
    """The app, sound until a switch of its "break it" page plants a mistake."""
    app = build(config)
    Switchboard(app, lambda planted: build(config, planted))
    return app


def build(config: t.Mapping[str, t.Any] | None, planted: t.Collection[str] = ()) -> Flask:
    app = Flask(__name__, instance_path=str(Path(__file__).parent / "instance"))
    instance = Path(app.instance_path)
    app.config.from_mapping(
        DATABASE=instance / "teahouse.sqlite3",
        BREW_SECONDS=3.0,
        NAP_SECONDS=20.0,
        CTXKIT_STUCK_AFTER=5.0,
        SESSION_COOKIE_SAMESITE="Lax",
    )
    app.config.from_mapping(config or {})
    if app.secret_key is None:
        app.secret_key = secret_key(instance)

    kit.init_app(app)
    season.init_app(app)
    for part in (
        background, database, account, shop, errands, lifetimes, machinery, tour, commands,
    ):  # fmt: skip
        part.init_app(app)
    mistakes.init_app(app, planted)
    app.register_error_handler(404, not_found)
    app.after_request(no_sniffing)
    return app


def not_found(error: Exception) -> tuple[str, int]:
    return render_template("message.html", title="No such page", text=str(error)), 404


def no_sniffing(response: Response) -> Response:
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
