"""Blueprint: who is the guest? The name lives in the session, the guest on ``g``."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from flask import Blueprint, flash, g, redirect, render_template, request, session, url_for

if t.TYPE_CHECKING:
    from flask import Flask
    from werkzeug import Response

account = Blueprint("account", __name__)


@dataclass(frozen=True)
class Guest:
    name: str


def init_app(app: Flask) -> None:
    app.register_blueprint(account)


@account.before_app_request
def load_guest() -> None:
    """Runs before every view of the app, so that any of them can ask ``g.guest``."""
    name = session.get("guest")
    g.guest = Guest(name) if name else None


@account.get("/login")
def login() -> str:
    return render_template("login.html")


@account.post("/login")
def enter() -> Response:
    name = request.form.get("name", "").strip()[:40]
    if not name:
        flash("Tell us a name, any name.")
        return redirect(url_for("account.login"))
    session["guest"] = name
    flash(f"Welcome, {name}.")
    return redirect(url_for("shop.teas"))


@account.post("/logout")
def leave() -> Response:
    session.clear()
    return redirect(url_for("shop.teas"))
