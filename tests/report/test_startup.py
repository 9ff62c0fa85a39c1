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
def teahouse() -> Flask:
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


def test_it_is_plain_data_without_secrets(teahouse: Flask) -> None:
    text = json.dumps(startup(teahouse, Redactor()))
    assert "very-secret" not in text
    config = startup(teahouse, Redactor())["config"]
    assert config["PAGE_SIZE"] == 20
    assert "$hidden" in config["SECRET_KEY"]


def test_routes_name_their_view_and_its_place(teahouse: Flask) -> None:
    rows = {row["endpoint"]: row for row in startup(teahouse, Redactor())["routes"]}
    cart = rows["shop.cart"]
    assert cart["rule"] == "/shop/cart"
    assert cart["methods"] == ["GET", "HEAD", "OPTIONS", "POST"]
    assert cart["source"] == "blueprint shop"
    assert cart["where"].startswith("report/test_startup.py:")
    assert rows["static"]["source"] == "Flask"


def test_hooks_and_handlers_name_their_owner(teahouse: Flask) -> None:
    report = startup(teahouse, Redactor())
    hook = report["hooks"]["before_request"][0]
    assert (hook["blueprint"], hook["source"]) == ("shop", "blueprint shop")
    handlers = {row["exception"]: row for row in report["error_handlers"]}
    assert (handlers["NotFound"]["code"], handlers["NotFound"]["blueprint"]) == (404, None)
    assert (handlers["ValueError"]["code"], handlers["ValueError"]["blueprint"]) == (None, "shop")


def test_extensions_have_their_distribution_and_version(teahouse: Flask) -> None:
    CtxKit(teahouse)
    teahouse.extensions["odd"] = {"a": "dict"}
    rows = {row["name"]: row for row in startup(teahouse, Redactor())["extensions"]}
    assert rows["ctxkit"]["distribution"] == "flask-ctxkit"
    assert rows["odd"] == {
        "name": "odd", "class": "builtins.dict", "distribution": None, "version": None,
    }  # fmt: skip


def test_hostile_extensions_are_described_by_their_class(teahouse: Flask) -> None:
    class Hostile:
        def __getattribute__(self, name: str) -> t.Any:
            raise RuntimeError("hands off")

    teahouse.extensions["hostile"] = Hostile()
    row = next(r for r in startup(teahouse, Redactor())["extensions"] if r["name"] == "hostile")
    assert row["class"].endswith("Hostile")


def test_signals_name_who_listens(teahouse: Flask) -> None:
    def listens(sender: Flask) -> None: ...

    with flask.request_started.connected_to(listens, teahouse):
        signals = startup(teahouse, Redactor())["signals"]
    assert signals["request_started"] == [listens.__qualname__]
    assert signals["request_finished"] == []


def test_asking_does_not_make_the_jinja_environment(teahouse: Flask) -> None:
    """After that the app could not set its options any more."""
    assert startup(teahouse, Redactor())["jinja"]["globals"] == []
    assert "jinja_env" not in vars(teahouse)
    teahouse.jinja_env.filters["mine"] = str
    assert "mine" in startup(teahouse, Redactor())["jinja"]["filters"]


def test_the_rest_is_named(teahouse: Flask) -> None:
    report = startup(teahouse, Redactor())
    assert report["session_interface"]["class"] == "SecureCookieSessionInterface"
    assert report["blueprints"] == [
        {"name": "shop", "import_name": "made", "url_prefix": "/shop", "endpoints": 1}
    ]
    assert "import-csv" in report["commands"]
