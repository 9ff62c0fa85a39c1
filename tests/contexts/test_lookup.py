"""Where a name lives, and how long: right now, and by the app's source."""

from __future__ import annotations

import importlib
import itertools
import json
import sys
import textwrap
import threading
import typing as t
from pathlib import Path

import flask
import pytest
from flask import Flask
from flask.sessions import SecureCookieSession, SessionInterface

from flask_ctxkit.contexts.lookup import where_lives
from flask_ctxkit.contexts.writes import SOURCE_LIMIT
from flask_ctxkit.units import current_unit

SHOP = {
    "__init__.py": """
        from flask import Flask

        def create_app():
            app = Flask(__name__)
            app.secret_key = "x" * 32
            app.config["PAGE_SIZE"] = 20
            app.config.update(CURRENCY="EUR")
            app.config.from_mapping({"COUNTRY": "NL"})
            from . import auth, views
            views.register(app)
            app.before_request(auth.load_user)
            return app
    """,
    "auth.py": """
        import flask
        from flask import g as context, session

        def load_user():
            context.user = session.get("user", "nobody")
            flask.g.since = 1
            setattr(context, "by_setattr", 1)
            context.setdefault("by_default", [])
            flask.request.started = 1

        def login():
            session["user"] = "ada"
            flask.session.setdefault("cart", [])
            session.update(seen=True)

        def innocent(g, session):
            # Parameters of the same names are other objects.
            g.other = 1
            session["other"] = 1

        class Model:
            other: int = 5

            def set(self):
                self.user = 1
    """,
    "state.py": """
        from flask_ctxkit.contexts.locals import Local, LocalStack

        current, jobs = Local(), LocalStack()
        cart = {"tea": 2}
        counter: int
        visits = 0

        def begin():
            global visits
            visits = 1
            current.customer = "ada"
            hidden = 1
    """,
    "views.py": """
        from .state import cart, current

        def register(app):
            @app.get("/")
            def index():
                return "shop"
    """,
}
NUMBERS = itertools.count()


def as_shown(name: str, value: object) -> t.Any:
    return value if type(value) in {int, str, list, dict} else type(value).__name__


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[str]:
    """A package of an app, of a name that no other test has imported."""
    name = f"lookup_shop_{next(NUMBERS)}"
    folder = tmp_path / name
    folder.mkdir()
    for file, source in SHOP.items():
        (folder / file).write_text(textwrap.dedent(source))
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    for loaded in [key for key in sys.modules if key.partition(".")[0] == name]:
        del sys.modules[loaded]


@pytest.fixture
def shop(package: str) -> Flask:
    made = importlib.import_module(package).create_app()
    assert isinstance(made, Flask)
    return made


def places(app: Flask, name: str) -> dict[str, dict[str, t.Any]]:
    """The places of *name* without the package's number."""
    found = where_lives(app, name, as_shown)
    assert json.loads(json.dumps(found)) == found, "not plain data"
    return {place["place"].removeprefix(f"{app.import_name}."): place for place in found}


# Written, while nothing runs


@pytest.mark.parametrize(
    ("name", "place", "function"),
    [
        ("user", "g.user", "load_user"),
        ("since", "g.since", "load_user"),
        ("by_setattr", "g.by_setattr", "load_user"),
        ("by_default", "g.by_default", "load_user"),
        ("started", "request.started", "load_user"),
        ("user", 'session["user"]', "login"),
        ("cart", 'session["cart"]', "login"),
        ("seen", 'session["seen"]', "login"),
        ("customer", "state.current.customer", "begin"),
    ],
)
def test_without_a_request_the_source_tells_who_writes_a_name(
    shop: Flask, name: str, place: str, function: str
) -> None:
    found = places(shop, name)[place]
    assert found["now"] is False
    assert "value" not in found
    (line,) = found["written"]
    file, _, written_by = line.partition(" ")
    assert file.rpartition(":")[2].isdigit()
    assert written_by == function


@pytest.mark.parametrize("name", ["other", "hidden", "nothing", "", ".", ".g", " "])
def test_what_only_looks_like_it_is_no_place(shop: Flask, name: str) -> None:
    assert places(shop, name) == {}


def test_a_name_that_only_a_global_statement_or_the_module_binds(shop: Flask) -> None:
    visits = places(shop, "visits")["state.visits"]
    assert (visits["now"], visits["value"]) == (True, 0)
    assert [line.partition(" ")[2] for line in visits["written"]] == ["", "begin"]
    assert places(shop, "counter") == {}, "an annotation alone gives no value"


def test_a_module_global_is_told_once_for_the_module_that_makes_it(shop: Flask) -> None:
    found = places(shop, "cart")
    assert found["state.cart"]["value"] == {"tea": 2}
    assert found["state.cart"]["written"]
    assert "views.cart" not in found
    assert places(shop, "cart.tea")["state.cart.tea"]["value"] == 2


@pytest.mark.parametrize(
    ("name", "value"), [("PAGE_SIZE", 20), ("CURRENCY", "EUR"), ("COUNTRY", "NL")]
)
def test_the_config_with_its_writer(shop: Flask, name: str, value: object) -> None:
    found = places(shop, name)[f'app.config["{name}"]']
    assert found["value"] == value
    assert [line.partition(" ")[2] for line in found["written"]] == ["create_app"]
    assert f'app.config["{name}"]' in places(shop, f"config.{name}")


def test_each_place_says_how_long_it_lives(shop: Flask) -> None:
    shop.permanent_session_lifetime = 120
    lives = {place: found["lives"] for place, found in places(shop, "user").items()}
    assert "popped" in lives["g.user"]
    assert "120 seconds where session.permanent is set" in lives['session["user"]']
    assert "Other workers" in places(shop, "cart")["state.cart"]["lives"]
    assert "each worker" in places(shop, "PAGE_SIZE")['app.config["PAGE_SIZE"]']["lives"].lower()


# Right now


def test_in_a_request_the_values_are_there(shop: Flask) -> None:
    with shop.test_request_context("/?x=1"):
        flask.session["cart"] = [1, 2]
        flask.session.permanent = True
        sys.modules[f"{shop.import_name}.auth"].load_user()
        found = {**places(shop, "user"), **places(shop, "cart")}
    assert found["g.user"]["value"] == "nobody"
    assert found["g.user"]["now"] is True
    assert found["g.user"]["written"], "both are told: that it is there, and who wrote it"
    assert found['session["cart"]']["value"] == [1, 2]
    assert "for 31 days" in found['session["cart"]']["lives"]


def test_a_session_without_permanence_ends_with_the_browser(shop: Flask) -> None:
    with shop.test_request_context():
        flask.session["cart"] = []
        flask.session.permanent = False
        assert places(shop, "cart")['session["cart"]']["lives"].endswith("until the browser ends.")


def test_a_session_of_another_interface_is_not_said_to_be_in_the_cookie(shop: Flask) -> None:
    class InMemory(SessionInterface):
        def open_session(self, app: Flask, request: t.Any) -> SecureCookieSession:
            return SecureCookieSession()

    shop.session_interface = InMemory()
    assert "as long as InMemory keeps it" in places(shop, "cart")['session["cart"]']["lives"]


def test_looking_does_not_access_the_session(shop: Flask) -> None:
    shop.before_request_funcs.clear()  # the shop's own hook reads the session

    @shop.get("/look")
    def look() -> dict[str, t.Any]:
        return places(shop, "user")

    response = shop.test_client().get("/look")
    assert 'session["user"]' in response.get_json()
    assert "Vary" not in response.headers


def test_a_g_below_the_top_is_told_to_be_out_of_reach(shop: Flask) -> None:
    with shop.app_context():
        flask.g.budget = 5
        with Flask("other").app_context():
            found = places(shop, "budget")["g.budget"]
    assert found["value"] == 5
    assert "1 below the top" in found["lives"]


def test_a_path_goes_into_values(shop: Flask) -> None:
    with shop.test_request_context("/?x=1"):
        flask.g.user = {"name": {"first": "ada"}}
        assert places(shop, "g.user.name.first")["g.user.name.first"]["value"] == "ada"
        assert places(shop, "user.name")["g.user.name"]["value"] == {"first": "ada"}
        assert places(shop, "g.user.age") == {}
        assert places(shop, "request.path")["request.path"]["value"] == "/"


def test_what_a_request_computes_lazily_is_not_computed(shop: Flask) -> None:
    with shop.test_request_context("/?x=1"):
        found = places(shop, "request.args")["request.args"]
        assert "value" not in found
        assert found["now"] is True
        assert places(shop, "request.args.x")["request.args.x"]["now"] is None
        assert "args" not in flask.request.__dict__
        assert flask.request.args["x"] == "1"
        assert places(shop, "args")["request.args"]["value"] == "ImmutableMultiDict"


def test_a_body_is_neither_read_nor_shown(shop: Flask) -> None:
    with shop.test_request_context("/", method="POST", data={"card": "4111"}):
        assert "value" not in places(shop, "form")["request.form"]
        assert "form" not in flask.request.__dict__
        assert flask.request.form["card"] == "4111"
        assert "value" not in places(shop, "request.form")["request.form"]


def test_without_a_request_its_class_still_knows_the_name(shop: Flask) -> None:
    found = places(shop, "request.args")["request.args"]
    assert "request context" in found["lives"]
    assert found["now"] is False
    assert "value" not in found


@pytest.mark.parametrize("name", ["g", "session", "request", "current_app"])
def test_flasks_own_names_are_proxies_and_tell_where_they_point(shop: Flask, name: str) -> None:
    outside = places(shop, name)[f"flask.{name}"]
    assert outside["now"] is False
    assert "no context is pushed" in outside["lives"]
    with shop.test_request_context("/cart"):
        inside = places(shop, name)[f"flask.{name}"]
    assert inside["now"] is True
    assert shop.import_name in inside["lives"]


def test_locals_are_told_for_every_unit(shop: Flask) -> None:
    state = sys.modules[f"{shop.import_name}.state"]
    state.current.customer = "main"
    state.jobs.push("pack")
    ready, done = threading.Event(), threading.Event()
    keys: list[str] = []

    def work() -> None:
        state.begin()
        keys.append(current_unit().key)
        ready.set()
        done.wait(10)

    thread = threading.Thread(target=work)
    thread.start()
    assert ready.wait(10)
    try:
        by_name = places(shop, "customer")["state.current.customer"]
        by_path = places(shop, "current.customer")["state.current.customer"]
        whole = places(shop, "jobs")["state.jobs"]
    finally:
        done.set()
        thread.join()
    assert by_name["value"] == {current_unit().key: "main", keys[0]: "ada"}
    assert by_path == by_name
    assert whole["value"] == {current_unit().key: ["pack"]}


def test_extensions_and_attributes_of_the_app(shop: Flask) -> None:
    shop.extensions["cache"] = {"hits": 3}
    shop.answer = 42  # type: ignore[attr-defined]
    assert places(shop, "cache")['app.extensions["cache"]']["value"] == {"hits": 3}
    assert places(shop, "cache.hits")['app.extensions["cache"].hits']["value"] == 3
    assert places(shop, "app.answer")["app.answer"]["value"] == 42


# Hostile and broken


def test_nothing_of_the_users_is_run(shop: Flask) -> None:
    class Trap:
        @property
        def name(self) -> t.NoReturn:
            raise AssertionError("run")

        __repr__ = __eq__ = __hash__ = name

    with shop.app_context():
        flask.g.trap = Trap()
        found = places(shop, "g.trap.name")["g.trap.name"]
    assert found["now"] is None, "only running the property would tell"
    assert "value" not in found


def test_values_leave_only_through_capture(shop: Flask) -> None:
    asked: list[tuple[str, object]] = []

    def hide(name: str, value: object) -> str:
        asked.append((name, value))
        return "hidden"

    with shop.test_request_context():
        flask.g.token = "t0ps3cret"
        flask.session["token"] = "t0ps3cret"
        found = where_lives(shop, "token", hide)
    assert [place["value"] for place in found] == ["hidden", "hidden"]
    assert asked == [("token", "t0ps3cret")] * 2
    assert "t0ps3cret" not in repr(found)


@pytest.mark.parametrize(
    "content",
    [b"def broken(:", b"\xff\xfe nonsense user", b"user = 1\n" + b"#" * SOURCE_LIMIT, b"\0user"],
    ids=["syntax", "encoding", "huge", "null"],
)
def test_a_source_file_that_can_not_be_read_any_more_is_left_out(
    shop: Flask, content: bytes
) -> None:
    Path(t.cast("str", sys.modules[f"{shop.import_name}.state"].__file__)).write_bytes(content)
    assert places(shop, "user")["g.user"]["written"]


def test_an_expression_too_deep_to_follow_does_not_hurt(shop: Flask) -> None:
    auth = Path(t.cast("str", sys.modules[f"{shop.import_name}.auth"].__file__))
    auth.write_text(auth.read_text() + "\nlong = " + " + ".join(["1"] * 2500) + "\n")
    assert places(shop, "user")["g.user"]["written"]


def test_a_source_file_that_is_gone_leaves_what_is_there_now(shop: Flask) -> None:
    Path(t.cast("str", sys.modules[f"{shop.import_name}.state"].__file__)).unlink()
    found = places(shop, "visits")["state.visits"]
    assert (found["value"], found["written"]) == (0, [])


def test_an_app_in_a_module_that_is_not_imported_has_no_written_places() -> None:
    assert places(Flask("never_imported_module"), "user") == {}
