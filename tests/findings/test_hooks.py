"""Hooks that ran too often, too long, too late, or broke what came after them."""

from __future__ import annotations

import contextlib
import time
import typing as t

import pytest
from flask import (
    Blueprint,
    Flask,
    Response,
    g,
    redirect,
    session,
    stream_with_context,
)
from flask.globals import app_ctx
from flask.sessions import SecureCookieSession, SessionInterface

from flask_ctxkit.internals import ONE_CONTEXT

Watch = t.Callable[..., t.Any]
Hook = t.Callable[[BaseException | None], None]


def test_a_slow_hook_is_named_with_its_time(watch: Watch) -> None:
    app = Flask(__name__)

    @app.before_request
    def load_user() -> None:
        time.sleep(0.03)

    app.add_url_rule("/", "index", lambda: "x")
    watched = watch(app, CTXKIT_SLOW_HOOK=0.02)
    watched.client.get("/")
    finding = watched.one("hook-slow")
    assert finding.message.startswith("before_request load_user (")
    assert finding.message.endswith("longer than 20 ms.")
    watched.client.get("/")
    assert watched.rules.tally.counts() == {"hook-slow": 2}


def test_a_slow_view_is_not_a_slow_hook(watch: Watch) -> None:
    app = Flask(__name__)
    app.before_request(lambda: None)

    @app.route("/")
    def index() -> str:
        time.sleep(0.03)
        return "x"

    watched = watch(app, CTXKIT_SLOW_HOOK=0.02)
    watched.client.get("/")
    assert watched.found == ()


def test_a_hook_that_the_app_runs_itself_ran_twice(watch: Watch) -> None:
    app = Flask(__name__)

    @app.before_request
    def count() -> None:
        g.count = g.get("count", 0) + 1

    @app.route("/")
    def index() -> str:
        preprocess: t.Any = app.preprocess_request
        preprocess(*([app_ctx._get_current_object()] if ONE_CONTEXT else []))  # type: ignore[attr-defined]
        return str(g.count)

    watched = watch(app)
    assert watched.client.get("/").text == "2"
    finding = watched.one("hook-ran-twice")
    assert finding.message.endswith("ran 2 times in one request and is registered once.")
    assert len(finding.evidence) == 2


def test_hooks_that_run_again_for_the_response_of_an_error_are_sound(watch: Watch) -> None:
    """A session that can't be saved is not the fault of the hooks before it."""

    class Broken(SessionInterface):
        def open_session(self, app: Flask, request: t.Any) -> SecureCookieSession:
            return SecureCookieSession()

        def save_session(self, app: Flask, session: t.Any, response: t.Any) -> None:
            raise ConnectionError("the store is gone")

    app = Flask(__name__)
    app.session_interface = Broken()
    ran: list[int] = []

    @app.after_request
    def measure(response: Response) -> Response:
        ran.append(response.status_code)
        return response

    app.add_url_rule("/", "index", lambda: "x")
    watched = watch(app)
    assert watched.client.get("/").status_code == 500
    assert ran == [200, 500]
    assert watched.found == ()


def test_two_closures_of_one_factory_are_two_hooks(watch: Watch) -> None:
    """They share their name and their line, and each is registered once."""
    app = Flask(__name__)

    def setter(name: str) -> t.Callable[[], None]:
        def hook() -> None:
            setattr(g, name, 1)

        return hook

    app.before_request(setter("a"))
    app.before_request(setter("b"))
    app.add_url_rule("/", "index", lambda: str(g.a + g.b))
    watched = watch(app)
    assert watched.client.get("/").text == "2"
    assert watched.found == ()


def test_an_after_request_that_raises_loses_the_session(watch: Watch) -> None:
    app = Flask(__name__)

    @app.after_request
    def first(response: Response) -> Response:
        return response

    @app.after_request
    def measure(response: Response) -> Response:
        raise ZeroDivisionError("by design")

    @app.route("/")
    def index() -> str:
        session["cart"] = [1]
        return "x"

    watched = watch(app)
    assert watched.client.get("/").status_code == 500
    finding = watched.one("after-request-raised")
    assert "measure (" in finding.message
    assert "raised ZeroDivisionError, so the response that was made became a 500" in (
        finding.message
    )
    assert finding.message.endswith("The change of the session was not saved.")
    assert any("Ran once more" in e.text and "measure" in e.text for e in finding.evidence)


def test_an_after_request_that_raises_while_errors_propagate_sends_nothing(watch: Watch) -> None:
    app = Flask(__name__)

    @app.after_request
    def measure(response: Response) -> Response:
        raise ZeroDivisionError("by design")

    app.add_url_rule("/", "index", lambda: "x")
    watched = watch(app, PROPAGATE_EXCEPTIONS=True)
    with pytest.raises(ZeroDivisionError):
        watched.client.get("/")
    assert "was never sent" in watched.one("after-request-raised").message


def test_the_session_is_not_mentioned_where_it_did_not_change(watch: Watch) -> None:
    app = Flask(__name__)

    @app.after_request
    def measure(response: Response) -> Response:
        raise ZeroDivisionError("by design")

    app.add_url_rule("/", "index", lambda: "x")
    watched = watch(app)
    watched.client.get("/")
    assert "session" not in watched.one("after-request-raised").message


def test_an_after_request_that_forgets_to_return_is_named(watch: Watch) -> None:
    """On one path only, which its code does not tell."""
    app = Flask(__name__)

    @app.after_request
    def measure(response: Response) -> Response:
        if response.status_code == 404:
            return response
        return t.cast("Response", g.get("response"))

    app.add_url_rule("/", "index", lambda: "x")
    watched = watch(app)
    assert watched.client.get("/missing").status_code == 404
    assert watched.found == ()
    with contextlib.suppress(TypeError):  # or a 500, where the session is saved to None
        assert watched.client.get("/").status_code == 500
    finding = watched.one("after-request-lost-response")
    assert "measure (" in finding.message
    assert "returned None instead of the response" in finding.message


def test_an_after_request_that_catches_is_sound(watch: Watch) -> None:
    app = Flask(__name__)

    @app.after_request
    def measure(response: Response) -> Response:
        try:
            response.headers["X-Share"] = str(1 / 0)
        except ZeroDivisionError:
            app.logger.info("no share")
        return response

    app.add_url_rule("/", "index", lambda: "x")
    watched = watch(app)
    assert watched.client.get("/").status_code == 200
    assert watched.found == ()


def test_an_error_that_a_handler_answers_is_sound(watch: Watch) -> None:
    app = Flask(__name__)

    @app.errorhandler(ZeroDivisionError)
    def answer(error: ZeroDivisionError) -> tuple[str, int]:
        return "sorry", 400

    app.add_url_rule("/", "index", lambda: str(1 / 0))
    watched = watch(app)
    assert watched.client.get("/").status_code == 400
    assert watched.client.get("/missing").status_code == 404
    assert watched.found == ()


def test_an_unhandled_error_of_a_view_is_not_about_hooks(watch: Watch) -> None:
    """The exception itself says all: there is nothing to explain."""
    app = Flask(__name__)

    @app.teardown_request
    def close(exc: BaseException | None) -> None:
        g.pop("db", None)

    app.add_url_rule("/", "index", lambda: str(1 / 0))
    watched = watch(app)
    assert watched.client.get("/").status_code == 500
    assert watched.found == ()


def _closer(app: Flask, name: str, error: Exception | None = None) -> Hook:
    def close(exc: BaseException | None) -> None:
        if error is not None:
            raise error

    close.__qualname__ = close.__name__ = name
    return app.teardown_request(close)


def test_a_teardown_that_raises_skips_the_others(watch: Watch) -> None:
    app = Flask(__name__)
    app.add_url_rule("/", "index", lambda: "x")

    @app.teardown_request
    def close_files(exc: BaseException | None) -> None:
        pass

    @app.teardown_request
    def close_db(exc: BaseException | None) -> None:
        raise OSError("gone")

    watched = watch(app)
    with pytest.raises(Exception, match=r"gone|teardown"):  # a group, since 3.2
        watched.client.get("/")
    finding = watched.one("teardown-raised")
    assert "teardown_request close_db (" in finding.message
    assert "raised OSError." in finding.message
    assert ("close_files" in finding.message) is not ONE_CONTEXT


def test_a_teardown_that_hides_the_first_error_is_named(watch: Watch) -> None:
    app = Flask(__name__)

    @app.route("/")
    def index() -> str:
        raise ZeroDivisionError("first")

    @app.teardown_appcontext
    def close_db(exc: BaseException | None) -> None:
        raise OSError("second")

    watched = watch(app, PROPAGATE_EXCEPTIONS=True)
    with pytest.raises(Exception, match=r"second|teardown"):  # a group, since 3.2
        watched.client.get("/")
    finding = watched.one("teardown-masked-error")
    assert finding.message.startswith("ZeroDivisionError of view ")
    assert "was hidden by OSError, which teardown_appcontext " in finding.message
    assert [e.event for e in finding.evidence] == sorted(e.event for e in finding.evidence)


def test_a_teardown_that_only_looks_at_the_error_is_sound(watch: Watch) -> None:
    app = Flask(__name__)
    app.add_url_rule("/", "index", lambda: str(1 / 0))
    seen = []

    @app.teardown_appcontext
    def close_db(exc: BaseException | None) -> None:
        seen.append(type(exc))

    watched = watch(app, PROPAGATE_EXCEPTIONS=True)
    with pytest.raises(ZeroDivisionError):
        watched.client.get("/")
    assert seen
    assert watched.found == ()


def test_a_session_that_changes_in_teardown_is_lost(watch: Watch) -> None:
    app = Flask(__name__)

    @app.route("/")
    def index() -> str:
        session["seen"] = 1
        return "x"

    @app.teardown_request
    def remember(exc: BaseException | None) -> None:
        session["last"] = "/"

    watched = watch(app)
    watched.client.get("/")
    finding = watched.one("session-changed-too-late")
    assert finding.message.startswith('session["last"] changed by teardown_request remember (')
    assert "the change is lost" in finding.message


def test_a_session_that_changes_in_a_stream_is_lost(watch: Watch) -> None:
    app = Flask(__name__)

    @app.route("/")
    def index() -> Response:
        def generate() -> t.Iterator[str]:
            session["sent"] = 1
            yield "x"

        session["asked"] = 1
        return Response(stream_with_context(generate()))

    watched = watch(app)
    assert watched.client.get("/").text == "x"
    finding = watched.one("session-changed-too-late")
    assert finding.message.startswith('session["sent"] changed while the body was streamed')


def test_a_session_that_changes_before_the_response_is_sound(watch: Watch) -> None:
    app = Flask(__name__)

    @app.route("/")
    def index() -> str:
        session["seen"] = 1
        return "x"

    @app.after_request
    def remember(response: Response) -> Response:
        session["last"] = "/"
        return response

    watched = watch(app)
    watched.client.get("/")
    watched.client.get("/")
    assert watched.found == ()


def test_what_a_teardown_opens_again_is_named(watch: Watch) -> None:
    """close_db was registered last, so it runs first, and log opens a connection again."""
    app = Flask(__name__)
    app.add_url_rule("/", "index", lambda: str(database()))

    def database() -> list[str]:
        if "db" not in g:
            g.db = []
        return t.cast("list[str]", g.db)

    @app.teardown_appcontext
    def log(exc: BaseException | None) -> None:
        database().append("ended")

    @app.teardown_appcontext
    def close_db(exc: BaseException | None) -> None:
        g.pop("db", None)

    watched = watch(app)
    watched.client.get("/")
    finding = watched.one("g-reopened")
    assert finding.message.startswith("g.db was set again by teardown_appcontext log (")
    assert "Register close_db before log" in finding.fix


def test_a_teardown_that_uses_what_is_still_open_is_sound(watch: Watch) -> None:
    app = Flask(__name__)
    app.add_url_rule("/", "index", lambda: str(database()))

    def database() -> list[str]:
        if "db" not in g:
            g.db = []
        return t.cast("list[str]", g.db)

    @app.teardown_appcontext
    def close_db(exc: BaseException | None) -> None:
        g.pop("db", None)

    @app.teardown_appcontext
    def log(exc: BaseException | None) -> None:
        database().append("ended")

    watched = watch(app)
    watched.client.get("/")
    assert watched.found == ()


def _guarded(watch: Watch, *, cache_first: bool) -> t.Any:
    app = Flask(__name__)
    logged_in = [False, True]

    def cached() -> str | None:
        return "from the cache" if not logged_in else None

    def require_login() -> Response | None:
        allowed = logged_in.pop(0) if logged_in else True
        return None if allowed else t.cast("Response", redirect("/login"))

    for hook in (cached, require_login) if cache_first else (require_login, cached):
        app.before_request(hook)
    app.add_url_rule("/cart", "cart", lambda: "x")
    watched = watch(app)
    assert watched.client.get("/cart").status_code in {302, 303}
    assert watched.client.get("/cart").status_code == 200
    assert watched.client.get("/cart").text == "from the cache"
    return watched


def test_an_early_answer_that_goes_around_a_login_check_is_named(watch: Watch) -> None:
    watched = _guarded(watch, cache_first=True)
    finding = watched.one("hook-skips-guard")
    assert "cached (" in finding.message
    assert "require_login (" in finding.message
    assert watched.traces[-1].id in finding.evidence[1].text


def test_an_early_answer_after_the_login_check_is_sound(watch: Watch) -> None:
    assert _guarded(watch, cache_first=False).found == ()


def test_hooks_of_another_blueprint_are_not_missed(watch: Watch) -> None:
    """Only what is registered for the endpoint can run twice, or be skipped."""
    app = Flask(__name__)
    one, two = Blueprint("one", __name__), Blueprint("two", __name__)

    def hook() -> None:
        g.count = g.get("count", 0) + 1

    one.before_request(hook)
    two.before_request(hook)
    one.add_url_rule("/one", "view", lambda: str(g.count))
    two.add_url_rule("/two", "view", lambda: str(g.count))
    app.register_blueprint(one)
    app.register_blueprint(two)
    watched = watch(app)
    assert watched.client.get("/one").text == watched.client.get("/two").text == "1"
    assert watched.found == ()
