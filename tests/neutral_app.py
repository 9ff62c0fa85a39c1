"""An app with a view for every kind of response, and hooks that log what they are given."""

from __future__ import annotations

import io
import typing as t
from dataclasses import dataclass, field
from datetime import datetime, timezone

from flask import (
    Blueprint,
    Flask,
    Response,
    abort,
    after_this_request,
    flash,
    g,
    get_flashed_messages,
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
from werkzeug.test import EnvironBuilder

from flask_ctxkit import CtxKit

FILE = bytes(range(256)) * 40
LONG_AGO = datetime(2020, 2, 3, tzinfo=timezone.utc)


class FileWrapper:
    """A server's own ``wsgi.file_wrapper``, which it wants back as it is."""

    def __init__(self, file: t.IO[bytes], size: int = 8192) -> None:
        self.file, self.size = file, size

    def __iter__(self) -> t.Iterator[bytes]:
        return iter(lambda: self.file.read(self.size), b"")

    def close(self) -> None:
        self.file.close()


class Items(MethodView):
    def get(self, number: int) -> t.Any:
        return {"number": number}

    def post(self, number: int) -> t.Any:
        return {"number": number, "sent": request.get_json()}, 201


class TeapotError(Exception):
    pass


class Abrupt(BaseException):
    """What no error handler of Flask's sees."""


def simple_views(app: Flask) -> None:
    app.add_url_rule("/items/<int:number>", view_func=Items.as_view("items"))
    views: dict[str, t.Callable[[], t.Any]] = {
        "json": lambda: {"a": [1, {"b": None}]},
        "html": lambda: "<p>ümlaut</p>",
        "bytes": lambda: Response(b"\0\1", mimetype="application/octet-stream"),
        "redirect": lambda: redirect("/html"),
        "empty": lambda: ("", 204),
        "tuple": lambda: ("made", 201, {"X-Made": "yes"}),
        "headers": lambda: ("", 200, [("X-Many", "1"), ("x-many", "2"), ("X-Many", "3")]),
        "status-line": lambda: Response("odd", status="299 Quite Fine"),
        "etag": lambda: etag("tagged"),
        "template": lambda: render_template_string("{{ request.path }} {{ g.first }} {{ word }}"),
        "abort": lambda: abort(418),
        "abort-response": lambda: abort(make_response("refused", 409)),
        "crash": lambda: 1 / 0,
        "teapot": lambda: throw(TeapotError("short and stout")),
        "abrupt": lambda: throw(Abrupt("now")),
        "none": lambda: None,
        "broken-template": lambda: render_template_string("{{ 1 // 0 }}"),
        "inside": lambda: inside(app),
        "url": lambda: url_for("json", _external=True),
        "wsgi-app": lambda: wsgi_view,
        "length": lambda: Response("four", headers={"Content-Length": "4"}),
    }
    for name, view in views.items():
        app.add_url_rule(f"/{name}", name, view, methods=["GET", "POST"])


def inside(app: Flask) -> str:
    """Contexts inside of the request's own."""
    g.outer = 1
    with app.app_context():
        g.inner = 2
    g.outer = 3
    with app.test_request_context("/html", json={"n": 1}):
        session["inner"] = request.get_json()
    return app.test_client().get("/html").status + str(sorted(g))


def wsgi_view(_environ: t.Any, start_response: t.Any) -> list[bytes]:
    start_response("203 Elsewhere", [("X-From", "another app")])
    return [b"from ", b"elsewhere"]


def etag(text: str) -> t.Any:
    made = make_response(text)
    made.set_etag("one")
    made.last_modified = LONG_AGO
    return made.make_conditional(request)


def throw(error: BaseException) -> t.NoReturn:
    raise error


def file_views(app: Flask) -> None:
    @app.get("/file")
    def file() -> t.Any:
        return send_file(
            io.BytesIO(FILE), "application/x-tea", download_name="tea.bin", etag="tea",
            last_modified=LONG_AGO, conditional=True, max_age=60,
        )  # fmt: skip

    @app.get("/stream")
    def stream() -> t.Any:
        return Response((f"{n}\n" for n in range(5)), mimetype="text/plain")

    @app.get("/context-stream")
    def context_stream() -> t.Any:
        def body() -> t.Iterator[str]:
            for n in range(3):
                yield f"{n} {request.path} {g.first}\n"

        return Response(stream_with_context(body()))

    @app.get("/broken-stream")
    def broken_stream() -> t.Any:
        def body() -> t.Iterator[str]:
            yield "one"
            raise TeapotError("spilt")

        return Response(body())


def session_views(app: Flask) -> None:
    steps: dict[str, t.Callable[[], t.Any]] = {
        "untouched": lambda: "nothing",
        "read": lambda: str(session.get("n")),
        "contains": lambda: str("n" in session),
        "write": lambda: session.update(n=session.get("n", 0) + 1, who={"name": "héllo"}) or "w",
        "permanent": lambda: told(setattr, session, "permanent", True),
        "clear": lambda: told(session.clear),
        "flash": lambda: told(flash, "burnt", "error"),
        "flashed": lambda: str(get_flashed_messages(with_categories=True)),
        "template": lambda: render_template_string("{{ session.n }} {{ get_flashed_messages() }}"),
        "nested": lambda: session.setdefault("list", []).append(1) or "n",
        "write-and-crash": lambda: session.update(lost=1) or throw(TeapotError()),
        "unserializable": lambda: session.update(o=object()) or "u",
    }
    for name, step in steps.items():
        app.add_url_rule(f"/session/{name}", f"session_{name}", step)


def told(action: t.Callable[..., object], *args: t.Any) -> str:
    action(*args)
    return action.__name__


def blueprint(log: list[str]) -> Blueprint:
    tea = Blueprint("tea", __name__, url_prefix="/tea")
    inner = Blueprint("pot", __name__, url_prefix="/pot")

    @tea.before_request
    def early() -> t.Any:
        log.append("tea before")
        return ("early", 202) if "early" in request.args else None

    @inner.after_request
    def late(response: Response) -> Response:
        log.append(f"pot after {response.status_code}")
        response.headers["X-Pot"] = "inner"
        return response

    @tea.errorhandler(410)
    def gone(error: Exception) -> t.Any:
        return f"tea is gone: {error}", 410

    @inner.get("/<kind>")
    def pot(kind: str) -> t.Any:
        if kind == "gone":
            abort(410)
        return {"kind": kind, "blueprints": request.blueprints}

    tea.register_blueprint(inner)
    return tea


def hooks(app: Flask, log: list[str]) -> None:
    @app.before_request
    def first() -> t.Any:
        g.first = "set"
        log.append(f"before {request.endpoint}")
        if "teapot" in request.args:
            raise TeapotError
        if "late" in request.args:
            after_this_request(later)

    def later(response: Response) -> Response:
        log.append("after this")
        response.set_cookie("late", "1")
        return response

    @app.after_request
    def frame(response: Response) -> Response:
        log.append(f"after {response.status} {len(response.headers)}")
        if "after-crash" in request.args:
            raise TeapotError("in after")
        response.headers["X-Frame-Options"] = "DENY"
        return response

    @app.teardown_request
    def down(exc: BaseException | None) -> None:
        log.append(f"teardown {exc!r} {g.get('first')}")
        if "down-crash" in request.args:
            raise TeapotError("in teardown")

    @app.teardown_appcontext
    def app_down(exc: BaseException | None) -> None:
        log.append(f"app teardown {exc!r} {sorted(g)}")

    @app.url_value_preprocessor
    def values(endpoint: str | None, view_args: dict[str, t.Any] | None) -> None:
        log.append(f"values {endpoint} {view_args}")
        if "values-abort" in request.args:
            abort(403)

    @app.context_processor
    def word() -> dict[str, t.Any]:
        log.append("context processor")
        return {"word": "steep"}

    @app.errorhandler(TeapotError)
    def teapot(error: TeapotError) -> t.Any:
        log.append(f"handler {error!r}")
        return f"teapot: {error}", 418, {"X-Handled": "yes"}


@dataclass
class Answer:
    """All that a server and the hooks see of one request."""

    status: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    chunks: list[bytes] = field(default_factory=list)
    body_type: str = ""
    raised: str = ""
    log: list[str] = field(default_factory=list)


def build(settings: dict[str, t.Any] | None, log: list[str], **config: t.Any) -> Flask:
    """The app with every view and hook; *settings* None leaves out the kit."""
    app = Flask("neutral")
    app.config.update({"SECRET_KEY": "k" * 32, **config})
    app.debug = config.get("DEBUG", False)
    app.logger.disabled = True
    if settings is not None:
        app.config.update(settings)
        CtxKit(app)
    hooks(app, log)
    for views in (simple_views, file_views, session_views):
        views(app)
    app.register_blueprint(blueprint(log))
    return app


def call(app: Flask, log: list[str], line: str, headers: dict[str, str]) -> Answer:
    """Call *app* as a server does, to the end of the body."""
    method, _, path = line.partition(" ")
    environ = EnvironBuilder(
        path, method=method, headers=[*headers.items()], json={"a": 1} if method == "POST" else None
    ).get_environ()
    environ.update({"wsgi.file_wrapper": FileWrapper, "REMOTE_ADDR": "127.0.0.1"})
    answer = Answer()

    def start_response(status: str, pairs: list[tuple[str, str]], exc_info: t.Any = None) -> t.Any:
        assert exc_info is None
        answer.status, answer.headers = status, list(pairs)
        return None

    log.clear()
    try:
        body = app(environ, start_response)
        try:
            answer.body_type = type(body).__name__ if type(body) is FileWrapper else "any"
            answer.chunks.extend(body)
        finally:
            getattr(body, "close", lambda: None)()
    except BaseException as error:
        answer.raised = f"{type(error).__name__} {error} {error.__cause__} {error.__context__}"
    answer.log = [*log]
    return answer
