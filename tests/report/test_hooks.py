"""What will run for a URL: the report equals what then ran, on each Flask line."""

from __future__ import annotations

import typing as t

import flask
import pytest
from flask import Blueprint, Flask, Response, render_template_string
from flask.views import MethodView

from flask_ctxkit.report import BadUrlError, hooks

if t.TYPE_CHECKING:
    from collections.abc import Callable

Log = list[str]


def logging_app(log: Log) -> Flask:
    """Every kind of hook on the app, on a blueprint and on one inside it; each logs its name."""
    app = Flask("logged")
    outer, inner = Blueprint("outer", "logged"), Blueprint("inner", "logged")

    def hooked(name: str, returns: Callable[..., t.Any] = lambda *_: None) -> t.Any:
        def function(*args: t.Any, **kwargs: t.Any) -> t.Any:
            log.append(name)
            return returns(*args)

        function.__name__ = function.__qualname__ = name
        return function

    for owner, prefix in ((inner, "inner"), (app, "app"), (outer, "outer")):
        for number in (1, 2):
            owner.before_request(hooked(f"{prefix}-before-{number}"))
            owner.after_request(hooked(f"{prefix}-after-{number}", lambda response: response))
            owner.teardown_request(hooked(f"{prefix}-teardown-{number}"))
            owner.url_value_preprocessor(hooked(f"{prefix}-values-{number}"))
            owner.context_processor(hooked(f"{prefix}-context-{number}", dict))
    for number in (1, 2):
        app.teardown_appcontext(hooked(f"appcontext-{number}"))
    app.add_url_rule("/", "home", hooked("home", lambda: "home"))
    inner.add_url_rule(
        "/deep/<int:n>", "deep", hooked("deep", lambda: render_template_string("{{ n }}")),
        methods=["GET", "PUT"],
    )  # fmt: skip
    app.register_error_handler(404, hooked("missing", lambda error: ("gone", 404)))
    app.register_error_handler(405, hooked("refused", lambda error: ("no", 405)))
    outer.register_blueprint(inner)
    app.register_blueprint(outer, url_prefix="/outer")
    return app


def told(report: dict[str, t.Any]) -> list[str]:
    """The names of the steps, but for those of Flask's own."""
    return [row["function"] for row in report["steps"] if row["source"] != "Flask"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"), ("HEAD", "/"), ("OPTIONS", "/"), ("GET", "/outer/deep/3"),
        ("PUT", "/outer/deep/3"), ("OPTIONS", "/outer/deep/3"), ("GET", "/none"),
        ("GET", "/outer/deep/x"), ("POST", "/"), ("DELETE", "/outer/deep/3"),
    ],
)  # fmt: skip
def test_what_is_told_is_what_runs(method: str, path: str) -> None:
    log: Log = []
    app = logging_app(log)
    report = hooks(app, method, path)
    app.test_client().open(path, method=method)
    # A view runs no template's processors unless it renders one.
    rendered = path == "/outer/deep/3" and method in {"GET", "PUT"}
    expected = [name for name in told(report) if rendered or "-context-" not in name]
    assert expected == log
    assert len(log) > 6


def test_each_step_says_who_owns_it_and_where_it_is_defined() -> None:
    report = hooks(logging_app([]), "GET", "/outer/deep/3")
    rows = {row["function"]: row for row in report["steps"]}
    assert rows["inner-before-1"]["blueprint"] == "outer.inner"
    assert rows["outer-after-2"]["source"] == "blueprint outer"
    assert rows["app-before-1"]["blueprint"] is None
    assert rows["deep"]["where"].startswith("report/test_hooks.py:")
    assert rows["inner-context-1"]["runs"] == "maybe"
    assert rows["inner-before-1"]["runs"] == "always"
    assert [row["order"] for row in report["steps"]] == list(range(1, len(report["steps"]) + 1))
    assert (report["endpoint"], report["rule"]) == ("outer.inner.deep", "/outer/deep/<int:n>")
    assert report["blueprints"] == ["outer.inner", "outer"]
    assert report["view_args"] == {"n": "3"}
    assert report["allowed"] == ["GET", "HEAD", "OPTIONS", "PUT"]


def test_a_url_that_leads_nowhere_says_why() -> None:
    app = logging_app([])
    app.add_url_rule("/folder/", "folder", lambda: "x")
    missing = hooks(app, "GET", "/none")
    assert (missing["status"], missing["endpoint"]) == (404, None)
    refused = hooks(app, "POST", "/")
    assert (refused["status"], refused["allowed"]) == (405, ["GET", "HEAD", "OPTIONS"])
    moved = hooks(app, "GET", "/folder")
    assert moved["status"] == 308
    assert moved["target"].endswith("/folder/")


@pytest.mark.parametrize(
    ("method", "path"),
    [("", "/"), ("G T", "/"), ("GET\n", "/"), ("É", "/"), ("X" * 40, "/"), ("GET", ""),
     ("GET", "cart"), ("GET", "http://[bad/"), ("GET", "javascript:x")],
)  # fmt: skip
def test_what_is_no_url_is_refused(method: str, path: str) -> None:
    with pytest.raises(BadUrlError) as caught:
        hooks(logging_app([]), method, path)
    assert caught.value.evidence["parameter"] in {"method", "path"}


@pytest.mark.parametrize("path", ["/%00", "/%ff", "/" + "a" * 10_000, "/é☃", "/?a=b#c", "//x"])
def test_odd_paths_are_matched_like_any(path: str) -> None:
    assert hooks(logging_app([]), "get", path)["method"] == "GET"


def test_hosts_and_subdomains_are_matched() -> None:
    app = Flask("hosted", subdomain_matching=True)
    app.config["SERVER_NAME"] = "shop.test"
    app.add_url_rule("/", "admin", lambda: "x", subdomain="admin")
    assert hooks(app, "GET", "http://admin.shop.test/")["endpoint"] == "admin"
    assert hooks(app, "GET", "http://shop.test/")["status"] == 404


def test_class_based_and_decorated_views_are_told_by_their_own_function() -> None:
    class Cart(MethodView):
        def get(self) -> str:
            return "cart"

    app = Flask("classy")
    app.add_url_rule("/cart", view_func=Cart.as_view("cart"))
    view = next(row for row in hooks(app, "GET", "/cart")["steps"] if row["phase"] == "view")
    assert view["function"].endswith("Cart.get")
    assert view["where"].startswith("report/test_hooks.py:")


def test_signal_receivers_stand_where_flask_calls_them() -> None:
    log: Log = []
    app = logging_app(log)

    def started(sender: Flask) -> None:
        log.append(told_name)

    told_name = started.__qualname__
    with flask.request_started.connected_to(started, app):
        names = told(hooks(app, "GET", "/"))
        app.test_client().get("/")
    assert [name for name in names if "-context-" not in name] == log


def test_asking_changes_nothing_in_the_app() -> None:
    app = Flask("untouched")
    app.add_url_rule("/", "home", lambda: "x")
    before = {
        name: len(getattr(app, name))
        for name in vars(app)
        if hasattr(getattr(app, name), "__len__")
    }
    hooks(app, "GET", "/none")
    hooks(app, "GET", "/")
    after = {
        name: len(getattr(app, name))
        for name in vars(app)
        if hasattr(getattr(app, name), "__len__")
    }
    assert after == before
    # A setup method after the first request would raise.
    app.before_request(lambda: None)


def test_the_more_special_error_handler_wins_as_in_flask() -> None:
    log: Log = []
    app = Flask("handled")

    def answer(name: str) -> t.Any:
        def handler(error: Exception) -> Response:
            log.append(name)
            return Response(name)

        handler.__qualname__ = name
        return handler

    app.register_error_handler(Exception, answer("any"))
    app.register_error_handler(404, answer("by code"))
    handlers = [r for r in hooks(app, "GET", "/x")["steps"] if r["phase"] == "error_handler"]
    app.test_client().get("/x")
    assert [row["function"] for row in handlers] == log == ["by code"]
