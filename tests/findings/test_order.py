"""Names of g that were asked for before, or without, being set."""

from __future__ import annotations

import threading
import typing as t

import pytest
from flask import Blueprint, Flask, Response, abort, g

Watch = t.Callable[..., t.Any]


def test_a_hook_that_reads_before_another_sets_is_named(watch: Watch) -> None:
    """Both functions are named, with the places of both and the order to write."""
    app = Flask(__name__)

    @app.before_request
    def limiter() -> None:
        g.rate = g.user

    @app.before_request
    def load_user() -> None:
        g.user = "ada"

    app.add_url_rule("/", "index", lambda: "x")
    watched = watch(app)
    assert watched.client.get("/").status_code == 500
    finding = watched.one("hook-order")
    assert finding.message == "limiter asks for g.user before load_user sets it."
    assert finding.severity == "error"
    assert finding.trace == watched.traces[0].id
    asked, setter = finding.evidence
    assert watched.traces[0].events[asked.event - 1].name.endswith("limiter")
    assert asked.where.partition(":")[0].endswith("test_order.py")
    assert setter.where.partition(":")[0].endswith("test_order.py")
    assert "move its registration above that of limiter" in finding.fix


def test_the_right_order_is_sound(watch: Watch) -> None:
    app = Flask(__name__)

    @app.before_request
    def load_user() -> None:
        g.user = "ada"

    @app.before_request
    def limiter() -> None:
        g.rate = g.user

    app.add_url_rule("/", "index", lambda: g.rate)
    watched = watch(app)
    assert watched.client.get("/").text == "ada"
    assert watched.found == ()


@pytest.mark.parametrize("ask", [lambda: g.get("user"), lambda: hasattr(g, "user")])
def test_asking_whether_a_name_is_set_is_no_mistake(
    watch: Watch, ask: t.Callable[[], t.Any]
) -> None:
    app = Flask(__name__)

    @app.before_request
    def peek() -> None:
        ask()

    @app.before_request
    def load_user() -> None:
        g.user = "ada"

    app.add_url_rule("/", "index", lambda: g.user)
    watched = watch(app)
    assert watched.client.get("/").text == "ada"
    assert watched.found == ()


def test_a_caught_miss_is_no_mistake(watch: Watch) -> None:
    app = Flask(__name__)

    @app.before_request
    def peek() -> None:
        try:
            g.seen = g.user
        except AttributeError:
            g.seen = None

    @app.before_request
    def load_user() -> None:
        g.user = "ada"

    app.add_url_rule("/", "index", lambda: g.user)
    watched = watch(app)
    assert watched.client.get("/").text == "ada"
    assert watched.found == ()


def test_a_misspelt_name_is_left_to_the_exception(watch: Watch) -> None:
    """Nobody was seen to set it, so there is nothing to tell."""
    app = Flask(__name__)

    @app.before_request
    def load_user() -> None:
        g.user = "ada"

    app.add_url_rule("/", "index", lambda: g.usr)
    watched = watch(app)
    assert watched.client.get("/").status_code == 500
    assert watched.found == ()


def test_an_attribute_error_of_another_object_is_not_about_g(watch: Watch) -> None:
    app = Flask(__name__)

    class Odd:
        def __getattr__(self, name: str) -> t.Any:
            raise AttributeError(name)

    @app.before_request
    def first() -> None:
        Odd().user  # noqa: B018

    @app.before_request
    def load_user() -> None:
        g.user = "ada"

    app.add_url_rule("/", "index", lambda: "x")
    watched = watch(app)
    assert watched.client.get("/").status_code == 500
    assert watched.found == ()


def test_a_setter_in_a_blueprint_comes_after_the_hooks_of_the_app(watch: Watch) -> None:
    """The fix is another registration, not another line."""
    app = Flask(__name__)
    shop = Blueprint("shop", __name__)

    @app.before_request
    def limiter() -> None:
        g.rate = g.user

    @shop.before_request
    def load_user() -> None:
        g.user = "ada"

    shop.add_url_rule("/cart", "cart", lambda: "x")
    app.register_blueprint(shop)
    watched = watch(app)
    assert watched.client.get("/cart").status_code == 500
    finding = watched.one("hook-order")
    assert "before_app_request" in finding.fix
    assert "blueprint shop" in finding.evidence[1].text


def test_a_name_that_another_blueprint_sets_is_told(watch: Watch) -> None:
    app = Flask(__name__)
    auth, shop = Blueprint("auth", __name__), Blueprint("shop", __name__)

    @auth.before_request
    def load_user() -> None:
        g.user = "ada"

    auth.add_url_rule("/me", "me", lambda: g.user)

    @shop.route("/cart")
    def cart() -> str:
        return str(g.user)

    app.register_blueprint(auth)
    app.register_blueprint(shop)
    watched = watch(app)
    assert watched.client.get("/me").text == "ada"
    assert watched.found == ()
    assert watched.client.get("/cart").status_code == 500
    finding = watched.one("g-elsewhere")
    assert finding.message.startswith("view cart (")
    assert "only in requests to blueprint auth, and shop.cart is not" in finding.message
    assert "@auth.before_app_request" in finding.fix


def test_a_name_that_another_request_set_is_told_with_that_request(watch: Watch) -> None:
    """g starts empty: a value kept there is gone in the next request."""
    app = Flask(__name__)

    @app.route("/login")
    def login() -> str:
        g.user = "ada"
        return "hello"

    app.add_url_rule("/cart", "cart", lambda: g.user)
    watched = watch(app)
    watched.client.get("/login")
    assert watched.client.get("/cart").status_code == 500
    finding = watched.one("g-elsewhere")
    assert "view login (" in finding.message
    assert finding.message.endswith("set it in GET /login.")
    assert watched.traces[-1].id in finding.evidence[1].text


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_a_thread_asks_for_is_told_of_its_function_and_of_no_view(watch: Watch) -> None:
    """And of what it set itself, elsewhere."""
    app = Flask(__name__)

    def serve() -> None:
        with app.app_context():
            g.served = str(g.get("table") or g.table)

    def remember() -> None:
        with app.app_context():
            g.table = 7

    @app.route("/table")
    def table() -> str:
        for work in (remember, serve):
            thread = threading.Thread(target=work, name="waiter")
            thread.start()
            thread.join(20)
        return "served"

    watched = watch(app)
    watched.client.get("/table")
    finding = watched.one("g-elsewhere")
    assert finding.message.startswith("serve (findings/test_order.py:")
    assert "; remember (findings/test_order.py:" in finding.message
    assert finding.evidence[1].text.endswith(", in waiter.")


def test_an_after_hook_that_needs_a_hook_which_did_not_run_is_named(watch: Watch) -> None:
    """An early answer skips the later before_request functions, never the after_request ones."""
    app = Flask(__name__)

    @app.before_request
    def require_login() -> Response:
        return Response("no", 401)

    @app.before_request
    def start_timer() -> None:
        g.start = 1

    @app.after_request
    def add_time(response: Response) -> Response:
        response.headers["X-Time"] = str(g.start)
        return response

    app.add_url_rule("/", "index", lambda: "x")
    watched = watch(app)
    assert watched.client.get("/").status_code == 500
    assert watched.codes == {"hook-skipped", "after-request-raised"}
    finding = next(f for f in watched.found if f.code == "hook-skipped")
    assert "start_timer, which sets it, did not run: before_request require_login (" in (
        finding.message
    )
    assert 'g.get("start")' in finding.fix


def test_an_early_answer_that_nobody_suffers_from_is_sound(watch: Watch) -> None:
    """A login wall before other hooks is the usual thing."""
    app = Flask(__name__)

    @app.before_request
    def require_login() -> Response:
        return Response("no", 401)

    @app.before_request
    def start_timer() -> None:
        g.start = 1

    @app.after_request
    def add_time(response: Response) -> Response:
        response.headers["X-Time"] = str(g.get("start"))
        return response

    app.add_url_rule("/", "index", lambda: "x")
    watched = watch(app)
    assert watched.client.get("/").status_code == 401
    assert watched.found == ()


def test_a_teardown_that_needs_a_hook_which_did_not_run_is_named(watch: Watch) -> None:
    app = Flask(__name__)

    @app.before_request
    def check() -> None:
        abort(403)

    @app.before_request
    def connect() -> None:
        g.db = object()

    @app.teardown_request
    def close(exc: BaseException | None) -> None:
        g.closed = g.db

    app.add_url_rule("/", "index", lambda: "x")
    watched = watch(app)
    with pytest.raises(Exception, match=r"db|teardown"):  # a group, since 3.2
        watched.client.get("/")
    finding = next(f for f in watched.found if f.code == "hook-skipped")
    assert "raised Forbidden first" in finding.message


def test_a_hook_that_did_not_set_its_name_this_time_is_named(watch: Watch) -> None:
    app = Flask(__name__)
    known = [True, False]

    @app.before_request
    def load_user() -> None:
        if known.pop(0):
            g.user = "ada"

    app.add_url_rule("/", "index", lambda: g.user)
    watched = watch(app)
    assert watched.client.get("/").text == "ada"
    assert watched.found == ()
    assert watched.client.get("/").status_code == 500
    finding = watched.one("g-not-set")
    assert "did not set in this request, although it ran" in finding.message
    assert "on every path" in finding.fix


def test_a_setter_that_is_only_seen_at_run_time_counts_as_well(watch: Watch) -> None:
    """setattr leaves no trace in the code, but the change of g does."""
    app = Flask(__name__)
    known = [True, False]

    @app.before_request
    def load_user() -> None:
        if known.pop(0):
            setattr(g, "us" + "er", "ada")

    app.add_url_rule("/", "index", lambda: g.user)
    watched = watch(app)
    watched.client.get("/")
    assert watched.client.get("/").status_code == 500
    assert watched.one("g-not-set").evidence[0].text == "load_user ran and left g.user unset."


def test_a_name_that_was_removed_before_it_was_asked_for_is_told(watch: Watch) -> None:
    app = Flask(__name__)

    @app.before_request
    def load_user() -> None:
        g.user = "ada"

    @app.before_request
    def forget() -> None:
        g.pop("user")

    app.add_url_rule("/", "index", lambda: g.user)
    watched = watch(app)
    assert watched.client.get("/").status_code == 500
    finding = watched.one("g-removed")
    assert "forget (" in finding.message
    assert finding.message.endswith("removed it.")


def test_removing_after_the_last_use_is_sound(watch: Watch) -> None:
    app = Flask(__name__)

    @app.before_request
    def load_user() -> None:
        g.user = "ada"

    @app.teardown_request
    def forget(exc: BaseException | None) -> None:
        g.pop("user", None)

    app.add_url_rule("/", "index", lambda: g.user)
    watched = watch(app)
    assert watched.client.get("/").text == "ada"
    assert watched.found == ()
