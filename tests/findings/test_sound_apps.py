"""Sound apps of many kinds: nothing is found in any of them."""

from __future__ import annotations

import gc
import logging
import sqlite3
import threading
import time
import typing as t

import pytest
from flask import (
    Blueprint,
    Flask,
    Response,
    abort,
    after_this_request,
    copy_current_request_context,
    current_app,
    flash,
    g,
    get_flashed_messages,
    jsonify,
    make_response,
    redirect,
    render_template_string,
    request,
    send_file,
    session,
    stream_with_context,
    url_for,
)
from flask.views import MethodView
from werkzeug.exceptions import HTTPException, NotFound

if t.TYPE_CHECKING:
    from pathlib import Path

Watch = t.Callable[..., t.Any]


def settle(watched: t.Any) -> None:
    """Assert that nothing was found, everything considered."""
    gc.collect()
    assert watched.found == ()
    assert watched.state.recorder.cost()["failures"] == []
    assert list(watched.state.registry.contexts()) == []


def test_hello(watch: Watch) -> None:
    app = Flask(__name__)
    app.add_url_rule("/", "hello", lambda: "hello")
    watched = watch(app)
    for method in ("get", "head", "options", "post", "put", "delete", "trace"):
        getattr(watched.client, method)("/").close()
        getattr(watched.client, method)("/missing/").close()
    settle(watched)


def test_the_tutorial_blog(watch: Watch, tmp_path: Path) -> None:
    """Blueprints, a database on g, a login, flashes, templates: as Flask's tutorial has it."""
    auth, blog = Blueprint("auth", __name__, url_prefix="/auth"), Blueprint("blog", __name__)

    def get_db() -> sqlite3.Connection:
        if "db" not in g:
            g.db = sqlite3.connect(tmp_path / "blog.sqlite")
        return t.cast("sqlite3.Connection", g.db)

    def close_db(exc: BaseException | None = None) -> None:
        db = g.pop("db", None)
        if db is not None:
            db.close()

    @auth.before_app_request
    def load_logged_in_user() -> None:
        g.user = session.get("user_id")

    @auth.route("/login", methods=["GET", "POST"])
    def login() -> t.Any:
        if request.method == "POST":
            session.clear()
            session["user_id"] = request.form["name"]
            return redirect(url_for("index"))
        flash("log in")
        return render_template_string("{{ get_flashed_messages()|join }} {{ g.user }}")

    @auth.route("/logout")
    def logout() -> t.Any:
        session.clear()
        return redirect(url_for("index"))

    @blog.route("/")
    def index() -> str:
        rows = get_db().execute("select name from post").fetchall()
        return render_template_string("{{ rows|length }} {{ g.user }}", rows=rows)

    @blog.route("/create", methods=["POST"])
    def create() -> t.Any:
        if g.user is None:
            return redirect(url_for("auth.login"))
        get_db().execute("insert into post values (?)", (request.form["name"],))
        get_db().commit()
        return redirect(url_for("blog.index"))

    app = Flask(__name__)
    app.teardown_appcontext(close_db)
    app.register_blueprint(auth)
    app.register_blueprint(blog)
    app.add_url_rule("/", endpoint="index")
    watched = watch(app)
    with app.app_context():
        get_db().execute("create table post (name text)")
    client = watched.client
    assert client.post("/create", data={"name": "x"}).status_code in {302, 303}
    client.get("/auth/login")
    client.post("/auth/login", data={"name": "ada"})
    client.post("/create", data={"name": "x"})
    assert client.get("/").text == "1 ada"
    client.get("/auth/logout")
    client.post("/auth/login")
    settle(watched)


def test_a_login_wall(watch: Watch) -> None:
    """Early answers of several kinds, with hooks after them."""
    app = Flask(__name__)

    @app.before_request
    def maintenance() -> t.Any:
        return ("closed", 503) if request.args.get("closed") else None

    @app.before_request
    def require_login() -> t.Any:
        if request.endpoint == "login":
            return None
        if request.headers.get("X-Api"):
            abort(401)
        return None if request.args.get("user") else redirect(url_for("login"))

    @app.before_request
    def load_user() -> None:
        g.user = request.args.get("user")

    @app.after_request
    def remember(response: Response) -> Response:
        response.headers["X-User"] = g.get("user") or "nobody"
        return response

    app.add_url_rule("/login", "login", lambda: "log in")
    app.add_url_rule("/cart", "cart", lambda: g.user)
    watched = watch(app)
    for query in ("", "?user=ada", "?closed=1", "?user=ada&closed=1"):
        watched.client.get(f"/cart{query}")
        watched.client.get(f"/login{query}")
        watched.client.get(f"/cart{query}", headers={"X-Api": "1"})
    settle(watched)


def test_an_api_with_errors(watch: Watch) -> None:
    app = Flask(__name__)
    api = Blueprint("api", __name__, url_prefix="/api")

    class Odd(Exception):  # noqa: N818
        pass

    @api.errorhandler(Odd)
    def odd(error: Odd) -> tuple[Response, int]:
        return jsonify(error="odd"), 422

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> tuple[Response, int]:
        return jsonify(error=error.name), error.code or 500

    @app.errorhandler(NotFound)
    def missing(error: NotFound) -> tuple[str, int]:
        return "nothing here", 404

    class Item(MethodView):
        def get(self, number: int) -> t.Any:
            if number == 1:
                raise Odd
            if number == 2:
                abort(409)
            if number == 3:
                raise ZeroDivisionError
            return {"number": number}

        def put(self, number: int) -> t.Any:
            return request.get_json()

    api.add_url_rule("/items/<int:number>", view_func=Item.as_view("item"))
    app.register_blueprint(api)
    watched = watch(app)
    for number in range(5):
        watched.client.get(f"/api/items/{number}")
    watched.client.put("/api/items/1", json={"a": 1})
    watched.client.put("/api/items/1", data="{", content_type="application/json")
    watched.client.patch("/api/items/1")
    watched.client.get("/api/none")
    watched.client.get("/none")
    settle(watched)


def test_sessions(watch: Watch) -> None:
    app = Flask(__name__)

    @app.before_request
    def stay() -> None:
        session.permanent = bool(request.args.get("stay"))

    @app.route("/add/<name>")
    def add(name: str) -> str:
        session["cart"] = [*session.get("cart", []), name]
        session.setdefault("tries", []).append(name)
        session.modified = True
        flash(f"{name} added")
        return f"{len(session['cart'])}"

    @app.route("/show")
    def show() -> t.Any:
        return jsonify(cart=session.get("cart"), said=get_flashed_messages())

    @app.route("/clear")
    def clear() -> str:
        session.clear()
        return "cleared"

    watched = watch(app)
    with watched.client as client:
        for path in (
            "/add/a",
            "/add/b",
            "/show",
            "/add/c?stay=1",
            "/show?stay=1",
            "/clear",
            "/show",
        ):
            client.get(path)
        with client.session_transaction() as stored:
            stored["cart"] = ["z"]
        assert client.get("/show").get_json()["cart"] == ["z"]
    settle(watched)


def test_streams(watch: Watch, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"x" * 100_000)
    app = Flask(__name__)

    @app.teardown_appcontext
    def close(exc: BaseException | None) -> None:
        g.pop("db", None)

    @app.route("/plain")
    def plain() -> Response:
        name = request.path

        def generate() -> t.Iterator[str]:
            yield name
            yield name

        return Response(generate())

    @app.route("/context")
    def context() -> Response:
        def generate() -> t.Iterator[str]:
            g.setdefault("db", object())
            yield request.path
            yield request.path

        return Response(stream_with_context(generate()))

    app.add_url_rule("/file", "file", lambda: send_file(tmp_path / "a.bin"))
    watched = watch(app)
    for path in ("/plain", "/context", "/file"):
        for method in ("get", "head"):
            with getattr(watched.client, method)(path) as response:
                assert response.status_code == 200
                assert bool(response.data) is (method == "get")
        with watched.client.get(path, headers={"Range": "bytes=0-9"}) as response:
            next(response.iter_encoded(), None)
        with watched.client.get(path, buffered=True) as response:
            assert response.data
    settle(watched)


def test_nested_contexts(watch: Watch) -> None:
    """Application contexts, test contexts, and requests to another app inside a request."""
    inner = Flask("inner")
    inner.config["SECRET_KEY"] = "9f1c6d2a8b7e4f309f1c6d2a8b7e4f30"

    @inner.route("/")
    def inner_index() -> str:
        g.name = "inner"
        return f"{current_app.name} {g.name}"

    app = Flask(__name__)

    @app.route("/")
    def index() -> str:
        g.name = "outer"
        with app.app_context():
            assert "name" not in g
            g.name = "nested"
        with app.test_request_context("/other"):
            assert request.path == "/other"
        answer = inner.test_client().get("/").text
        return f"{answer} {g.name} {request.path}"

    watched, other = watch(app), watch(inner)
    assert watched.client.get("/").text == "inner inner outer /"
    with app.test_request_context("/a"), app.app_context(), inner.app_context():
        assert current_app.name == "inner"
    settle(watched)
    settle(other)


def test_commands(watch: Watch) -> None:
    app = Flask(__name__)

    @app.teardown_appcontext
    def close(exc: BaseException | None) -> None:
        g.pop("db", None)

    @app.cli.command("import-csv")
    def import_csv() -> None:
        g.db = object()
        print(current_app.name)

    @app.cli.command("fail")
    def fail() -> None:
        raise SystemExit(3)

    watched = watch(app)
    runner = app.test_cli_runner()
    assert runner.invoke(args=["import-csv"]).exit_code == 0
    assert runner.invoke(args=["fail"]).exit_code == 3
    settle(watched)


def test_background_work(watch: Watch) -> None:
    """Threads with contexts of their own, and one copy for one thread."""
    app = Flask(__name__)
    done: list[str] = []

    @app.route("/")
    def index() -> str:
        def in_app_context() -> None:
            with app.app_context():
                g.job = "mail"
                done.append(current_app.name)

        @copy_current_request_context
        def in_copy() -> None:
            done.append(request.path)

        for work in (in_app_context, in_copy):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
        return "x"

    watched = watch(app)
    assert watched.client.get("/").status_code == 200
    assert len(done) == 2
    settle(watched)


def test_async_views(watch: Watch) -> None:
    pytest.importorskip("asgiref")
    app = Flask(__name__)

    @app.before_request
    async def load_user() -> None:
        g.user = "ada"

    @app.after_request
    async def mark(response: Response) -> Response:
        response.headers["X-User"] = g.user
        return response

    @app.teardown_request
    async def forget(exc: BaseException | None) -> None:
        g.pop("user", None)

    @app.route("/")
    async def index() -> str:
        return str(g.user)

    watched = watch(app)
    assert watched.client.get("/").text == "ada"
    settle(watched)


def test_headers_of_all_kinds(watch: Watch) -> None:
    """Security headers by defaults, CORS, caching, cookies, conditional answers."""
    app = Flask(__name__)

    @app.after_request
    def secure(response: Response) -> Response:
        response.headers.setdefault("X-Frame-Options", "DENY")
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Strict-Transport-Security"] = "max-age=600"
        return response

    @app.after_request
    def allow(response: Response) -> Response:
        response.headers["Access-Control-Allow-Origin"] = request.headers.get("Origin", "null")
        response.headers["Access-Control-Allow-Credentials"] = "true"
        response.vary.add("Origin")
        return response

    @app.route("/")
    def index() -> Response:
        response = make_response("x")
        response.set_cookie("a", "1")
        response.set_cookie("b", "2")
        response.headers.add("Link", "</a>; rel=preload")
        response.headers.add("Link", "</b>; rel=preload")

        @after_this_request
        def late(made: Response) -> Response:
            made.headers["X-Late"] = "1"
            return made

        return response

    @app.route("/cached")
    def cached() -> Response:
        response = make_response("x")
        response.headers["Cache-Control"] = "public, max-age=60"
        response.headers["X-Frame-Options"] = "SAMEORIGIN"
        response.add_etag()
        response.make_conditional(request)
        return response

    watched = watch(app)
    tag = watched.client.get("/cached").headers["ETag"]
    for path in ("/", "/cached", "/missing"):
        watched.client.get(path, headers={"Origin": "https://a.example", "If-None-Match": tag})
        watched.client.head(path)
        watched.client.options(path)
    settle(watched)


def test_a_host_of_hooks(watch: Watch) -> None:
    """Nested blueprints with every kind of hook, url values, and hooks from one factory."""
    app = Flask(__name__)
    outer, inner = Blueprint("outer", __name__), Blueprint("inner", __name__)
    order: list[str] = []

    def noting(name: str) -> t.Callable[..., t.Any]:
        def hook(*args: t.Any) -> t.Any:
            order.append(name)
            return args[0] if args and isinstance(args[0], Response) else None

        return hook

    for owner, name in ((app, "app"), (outer, "outer"), (inner, "inner")):
        for kind in ("before_request", "after_request", "teardown_request"):
            getattr(owner, kind)(noting(f"{name} {kind} 1"))
            getattr(owner, kind)(noting(f"{name} {kind} 2"))
    app.teardown_appcontext(noting("app context"))

    @app.url_value_preprocessor
    def pull_language(endpoint: str | None, values: dict[str, t.Any] | None) -> None:
        g.language = (values or {}).pop("language", "en")

    @app.url_defaults
    def add_language(endpoint: str, values: dict[str, t.Any]) -> None:
        values.setdefault("language", g.language)

    inner.add_url_rule("/<language>/x", "view", lambda: f"{g.language} {url_for('.view')}")
    outer.register_blueprint(inner, url_prefix="/inner")
    app.register_blueprint(outer, url_prefix="/outer")
    watched = watch(app)
    assert watched.client.get("/outer/inner/de/x").text == "de /outer/inner/de/x"
    assert len(order) == 19
    settle(watched)


def test_signals_templates_and_context_processors(watch: Watch) -> None:
    from flask import request_finished, request_started, template_rendered

    app = Flask(__name__)
    heard: list[str] = []

    @app.context_processor
    def add() -> dict[str, t.Any]:
        return {"name": "ada"}

    @app.route("/")
    def index() -> str:
        return render_template_string("{{ name }} {{ url_for('index') }}")

    watched = watch(app)
    signals = (request_started, request_finished, template_rendered)
    receivers = [lambda sender, name=signal.name, **_: heard.append(name) for signal in signals]
    for signal, receiver in zip(signals, receivers, strict=True):
        signal.connect(receiver, app)
    assert watched.client.get("/").text == "ada /"
    assert len(heard) == 3
    settle(watched)


def test_many_requests_at_once(watch: Watch) -> None:
    app = Flask(__name__)

    @app.before_request
    def load_user() -> None:
        g.user = request.args["user"]

    @app.route("/")
    def index() -> str:
        time.sleep(0.002)
        session["user"] = g.user
        return str(g.user)

    watched = watch(app)
    wrong: list[str] = []

    def visit(user: str) -> None:
        client = app.test_client()
        answers = [client.get(f"/?user={user}").text for _ in range(20)]
        wrong.extend(answer for answer in answers if answer != user)

    threads = [threading.Thread(target=visit, args=(f"user{i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    settle(watched)


def test_a_handled_error_in_debug_and_in_tests(watch: Watch) -> None:
    app = Flask(__name__)
    app.add_url_rule("/", "index", lambda: str(1 / 0))
    app.logger.setLevel(logging.CRITICAL)

    @app.teardown_request
    def look(exc: BaseException | None) -> None:
        g.error = type(exc).__name__

    watched = watch(app, TESTING=True)
    with pytest.raises(ZeroDivisionError):
        watched.client.get("/")
    app.config["TESTING"] = False
    assert watched.client.get("/").status_code == 500
    settle(watched)
