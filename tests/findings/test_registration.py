"""Hooks that are registered twice, or written so that they can't work: told at the start."""

from __future__ import annotations

import functools
import typing as t

import pytest
from flask import Blueprint, Flask, Response

from flask_ctxkit.config import Config
from flask_ctxkit.findings import Finding, Rules


def look(app: Flask) -> tuple[Finding, ...]:
    app.secret_key = "9f1c6d2a8b7e4f309f1c6d2a8b7e4f30"
    rules = Rules(Config.from_mapping({}))
    found = rules.for_app(app)
    assert rules.failures == ()
    return found


def codes(app: Flask) -> list[str]:
    return [finding.code for finding in look(app)]


class Limiter:
    """An extension in small: each init_app registers a bound method and a closure."""

    def __init__(self, app: Flask | None = None) -> None:
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        app.before_request(self.check)

    def check(self) -> None:
        """Do nothing."""


class Babel(Limiter):
    def init_app(self, app: Flask) -> None:
        def choose() -> None:
            self.check()

        app.before_request(choose)


def test_a_decorator_and_a_call_register_twice() -> None:
    app = Flask(__name__)

    @app.before_request
    def load_user() -> None:
        pass

    app.before_request(load_user)
    (finding,) = look(app)
    assert finding.code == "hook-registered-twice"
    assert finding.message.startswith("before_request load_user (")
    assert finding.message.endswith(
        "is registered twice, both times for the app, so it runs twice."
    )
    assert finding.evidence[0].where is not None


@pytest.mark.parametrize("extension", [Limiter, Babel])
def test_init_app_called_twice_registers_twice(extension: type[Limiter]) -> None:
    """Bound methods are made anew at each access, and closures at each call."""
    app = Flask(__name__)
    extension(app).init_app(app)
    assert codes(app) == ["hook-registered-twice"]


@pytest.mark.parametrize("extension", [Limiter, Babel])
def test_two_objects_of_one_extension_are_two_hooks(extension: type[Limiter]) -> None:
    app = Flask(__name__)
    extension(app)
    extension(app)
    assert codes(app) == []


def test_closures_over_different_values_are_different_hooks() -> None:
    app = Flask(__name__)

    def header(name: str) -> t.Callable[[Response], Response]:
        def add(response: Response) -> Response:
            response.headers[name] = "1"
            return response

        return add

    app.after_request(header("X-A"))
    app.after_request(header("X-B"))
    assert codes(app) == []


def test_functions_with_different_defaults_are_different_hooks() -> None:
    app = Flask(__name__)
    for name in ("a", "b"):

        def hook(name: str = name) -> None:
            pass

        app.before_request(hook)
    assert codes(app) == []


def test_a_hook_of_the_app_and_of_its_blueprint_runs_twice() -> None:
    app = Flask(__name__)
    shop = Blueprint("shop", __name__)

    def load_user() -> None:
        pass

    app.before_request(load_user)
    shop.before_request(load_user)
    app.register_blueprint(shop)
    (finding,) = look(app)
    assert "for the app and for blueprint shop" in finding.message


def test_a_hook_of_a_blueprint_and_of_its_parent_runs_twice() -> None:
    app = Flask(__name__)
    shop, cart = Blueprint("shop", __name__), Blueprint("cart", __name__)

    def load_user() -> None:
        pass

    shop.before_request(load_user)
    cart.before_request(load_user)
    shop.register_blueprint(cart)
    app.register_blueprint(shop)
    assert codes(app) == ["hook-registered-twice"]


def test_a_hook_of_two_sibling_blueprints_runs_once() -> None:
    app = Flask(__name__)

    def load_user() -> None:
        pass

    for name in ("shop", "shop2", "auth"):
        blueprint = Blueprint(name, __name__)
        blueprint.before_request(load_user)
        app.register_blueprint(blueprint, url_prefix=f"/{name}")
    assert codes(app) == []


def test_a_hook_whose_equality_is_hostile_is_not_compared() -> None:
    app = Flask(__name__)

    class Hook:
        def __eq__(self, other: object) -> bool:
            raise AssertionError

        def __hash__(self) -> int:
            raise AssertionError

        def __call__(self) -> None:
            """Do nothing."""

    app.before_request(Hook())
    app.before_request(Hook())
    assert codes(app) == []


def test_an_after_request_without_a_return_is_told() -> None:
    app = Flask(__name__)

    @app.after_request
    def set_header(response: Response) -> None:
        response.headers["X-A"] = "1"

    (finding,) = look(app)
    assert finding.code == "after-request-returns-none"
    assert finding.fix == "End set_header with: return response"


def test_an_after_request_that_returns_on_one_path_is_left_alone() -> None:
    app = Flask(__name__)

    @app.after_request
    def set_header(response: Response) -> Response | None:
        return response if response.status_code == 200 else None

    @app.after_request
    def other(response: Response) -> Response:
        return response or None  # type: ignore[return-value]

    assert codes(app) == []


@pytest.mark.parametrize(
    ("register", "passed"),
    [
        ("before_request", "no arguments"),
        ("teardown_request", "the exception"),
        ("teardown_appcontext", "the exception"),
        ("url_value_preprocessor", "the endpoint"),
    ],
)
def test_a_hook_that_cannot_be_called_is_told(register: str, passed: str) -> None:
    app = Flask(__name__)

    def close(one: t.Any, two: t.Any, three: t.Any) -> None:
        pass

    getattr(app, register)(close)
    (finding,) = look(app)
    assert finding.code == "hook-arguments"
    assert passed in finding.message
    assert finding.evidence[0].text == "It takes (one, two, three)."


def test_a_teardown_without_a_parameter_is_told() -> None:
    app = Flask(__name__)

    @app.teardown_appcontext  # type: ignore[type-var]
    def close_db() -> None:
        pass

    (finding,) = look(app)
    assert finding.fix == "Write: def close_db(exc): ..."


@pytest.mark.parametrize(
    "hook",
    [
        lambda *args: None,
        lambda exc=None: None,
        lambda exc, *, soft=True: None,
        functools.partial(lambda a, exc: None, 1),
        Limiter,
        print,
    ],
)
def test_whatever_takes_the_argument_is_sound(hook: t.Any) -> None:
    app = Flask(__name__)
    app.teardown_request(hook)
    assert codes(app) == []


def test_the_hooks_of_the_kit_are_not_counted() -> None:
    from flask_ctxkit import CtxKit

    app = Flask(__name__)
    app.config["CTXKIT_TRACE"] = True
    CtxKit(app)
    assert codes(app) == []
