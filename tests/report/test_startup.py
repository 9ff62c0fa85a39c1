"""What an app is made of, before any request."""

from __future__ import annotations

import json
import typing as t

import flask
import pytest
from flask import Blueprint, Flask

from flask_ctxkit import CtxKit
from flask_ctxkit.redact import Redactor
from flask_ctxkit.report import startup


@pytest.fixture
def app() -> Flask:
    made = Flask("made")
    made.config.update(SECRET_KEY="very-secret-key", MAIL_PASSWORD="very-secret-too", PAGE_SIZE=20)
    shop = Blueprint("shop", "made", url_prefix="/shop")

    @shop.route("/cart", methods=["GET", "POST"])
    def cart() -> str:
        return "cart"

    @shop.before_request
    def check() -> None:
        return None

    @made.errorhandler(404)
    def missing(error: Exception) -> str:
        return "missing"

    @shop.errorhandler(ValueError)
    def invalid(error: Exception) -> str:
        return "invalid"

    made.register_blueprint(shop)
    made.cli.command("import-csv")(lambda: None)
    return made


def test_it_is_plain_data_without_secrets(app: Flask) -> None:
    text = json.dumps(startup(app, Redactor()))
    assert "very-secret" not in text
    config = startup(app, Redactor())["config"]
    assert config["PAGE_SIZE"] == 20
    assert "$hidden" in config["SECRET_KEY"]


def test_routes_name_their_view_and_its_place(app: Flask) -> None:
    rows = {row["endpoint"]: row for row in startup(app, Redactor())["routes"]}
    cart = rows["shop.cart"]
    assert cart["rule"] == "/shop/cart"
    assert cart["methods"] == ["GET", "HEAD", "OPTIONS", "POST"]
    assert cart["source"] == "blueprint shop"
    assert cart["where"].startswith("report/test_startup.py:")
    assert rows["static"]["source"] == "Flask"


def test_hooks_and_handlers_name_their_owner(app: Flask) -> None:
    report = startup(app, Redactor())
    hook = report["hooks"]["before_request"][0]
    assert (hook["blueprint"], hook["source"]) == ("shop", "blueprint shop")
    handlers = {row["exception"]: row for row in report["error_handlers"]}
    assert (handlers["NotFound"]["code"], handlers["NotFound"]["blueprint"]) == (404, None)
    assert (handlers["ValueError"]["code"], handlers["ValueError"]["blueprint"]) == (None, "shop")


def test_extensions_have_their_distribution_and_version(app: Flask) -> None:
    CtxKit(app)
    app.extensions["odd"] = {"a": "dict"}
    rows = {row["name"]: row for row in startup(app, Redactor())["extensions"]}
    assert rows["ctxkit"]["distribution"] == "flask-ctxkit"
    assert rows["odd"] == {
        "name": "odd", "class": "builtins.dict", "distribution": None, "version": None,
    }  # fmt: skip


def test_hostile_extensions_are_described_by_their_class(app: Flask) -> None:
    class Hostile:
        def __getattribute__(self, name: str) -> t.Any:
            raise RuntimeError("hands off")

    app.extensions["hostile"] = Hostile()
    row = next(r for r in startup(app, Redactor())["extensions"] if r["name"] == "hostile")
    assert row["class"].endswith("Hostile")


def test_signals_name_who_listens(app: Flask) -> None:
    def listens(sender: Flask) -> None: ...

    with flask.request_started.connected_to(listens, app):
        signals = startup(app, Redactor())["signals"]
    assert signals["request_started"] == [listens.__qualname__]
    assert signals["request_finished"] == []


def test_asking_does_not_make_the_jinja_environment(app: Flask) -> None:
    """After that the app could not set its options any more."""
    assert startup(app, Redactor())["jinja"]["globals"] == []
    assert "jinja_env" not in vars(app)
    app.jinja_env.filters["mine"] = str
    assert "mine" in startup(app, Redactor())["jinja"]["filters"]


def test_the_rest_is_named(app: Flask) -> None:
    report = startup(app, Redactor())
    assert report["session_interface"]["class"] == "SecureCookieSessionInterface"
    assert report["blueprints"] == [
        {"name": "shop", "import_name": "made", "url_prefix": "/shop", "endpoints": 1}
    ]
    assert "import-csv" in report["commands"]
