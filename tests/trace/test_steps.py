"""Single steps of a request: who raised, who answered, what ran inside what."""

from __future__ import annotations

import asyncio
import time
import typing as t

import pytest
from flask import (
    Blueprint,
    Flask,
    Response,
    abort,
    after_this_request,
    current_app,
    g,
    render_template_string,
    request,
    request_finished,
    request_started,
    session,
    signals,
    stream_template_string,
    stream_with_context,
)
from flask.sessions import SecureCookieSessionInterface
from flask.views import MethodView, View
from werkzeug.routing import BaseConverter

from flask_ctxkit import CtxKit, internals

if t.TYPE_CHECKING:
    from flask_ctxkit.trace.model import Event, Trace


class Boom(Exception):  # noqa: N818  # its name is what is compared
    """What the functions of these apps raise."""


def make(**config: t.Any) -> Flask:
    app = Flask("steps")
    app.secret_key = "a key of more than thirty-two characters"
    app.config.update({"CTXKIT_TRACE": True, "PROPAGATE_EXCEPTIONS": False, **config})
    app.logger.disabled = True
    CtxKit(app)
    return app


def fetch(app: Flask, path: str = "/", **how: t.Any) -> tuple[Response, Trace]:
    response = t.cast("Response", app.test_client().open(path, **how))
    state = app.extensions["ctxkit"]
    assert state.recorder.cost()["failures"] == []
    assert state.rules.failures == ()
    return response, next(iter(state.store.newest()))


def raised(trace: Trace) -> list[tuple[str, str, str | None]]:
    return [
        (event.phase, short(event), event.error.type if event.error else None)
        for event in trace.events
        if event.outcome == "raised"
    ]


def short(event: Event) -> str:
    return event.name.rpartition("<locals>.")[2]


def of(trace: Trace, phase: str) -> list[Event]:
    return [event for event in trace.events if event.phase == phase]


# --------------------------------------------------------------- what Flask itself runs


def test_a_session_that_can_not_be_opened_stands_on_open_session() -> None:
    app = make()

    class Closed(SecureCookieSessionInterface):
        def open_session(self, *_: t.Any) -> t.Any:
            raise Boom("closed")

    app.session_interface = Closed()
    assert app.test_client().get("/").status_code == 500
    (trace,) = app.extensions["ctxkit"].store.newest()
    assert raised(trace)[0] == ("open_session", "open_session", "Boom")


def test_a_converter_that_raises_stands_on_match() -> None:
    app = make()

    class Broken(BaseConverter):
        def to_python(self, value: str) -> str:
            g.converted = value
            raise Boom(value)

    app.url_map.converters["broken"] = Broken
    app.add_url_rule("/<broken:name>", "view", lambda name: name)
    response, trace = fetch(app, "/tea")
    assert response.status_code == 500
    assert raised(trace) == [("match", "match", "Boom")]


@pytest.mark.parametrize(
    ("path", "method", "status", "error"),
    [
        ("/nowhere", "GET", 404, "NotFound"),
        ("/", "POST", 405, "MethodNotAllowed"),
        ("/folder", "GET", 308, "RequestRedirect"),
    ],
)
def test_a_url_that_matches_nothing_stands_on_match(
    path: str, method: str, status: int, error: str
) -> None:
    app = make()
    app.add_url_rule("/", "index", lambda: "")
    app.add_url_rule("/folder/", "folder", lambda: "")
    response, trace = fetch(app, path, method=method)
    assert response.status_code == status
    assert raised(trace) == [("match", "match", error)]
    assert of(trace, "view") == []


def test_a_view_that_returns_nothing_stands_on_make_response() -> None:
    app = make()
    app.add_url_rule("/", "index", t.cast("t.Any", lambda: None))
    response, trace = fetch(app)
    assert response.status_code == 500
    assert raised(trace) == [("make_response", "make_response", "TypeError")]
    assert trace.exception is not None
    assert trace.exception.type == "TypeError"


@pytest.mark.parametrize("fails", [1, 2])
def test_a_session_that_can_not_be_saved_stands_on_save_session(fails: int) -> None:
    """Flask tries again for the 500; that the second time fails too is not seen as saved."""
    app = make()
    calls: list[int] = []

    class Sessions(SecureCookieSessionInterface):
        def save_session(self, *args: t.Any) -> None:
            calls.append(1)
            if len(calls) <= fails:
                raise Boom("full")
            super().save_session(*args)

    app.session_interface = Sessions()

    @app.get("/")
    def index() -> str:
        session["cart"] = 1
        return ""

    response, trace = fetch(app)
    assert response.status_code == 500
    assert raised(trace) == [("save_session", "save_session", "Boom")]
    saved = [event for event in of(trace, "save_session") if event.outcome == "ok"]
    assert len(saved) == (fails == 1)
    assert len(calls) == 2


def test_a_receiver_that_raises_stands_on_signal() -> None:
    app = make()
    app.add_url_rule("/", "index", lambda: "")

    def receiver(_sender: t.Any, **_: t.Any) -> None:
        raise Boom("heard")

    request_started.connect(receiver, app)
    response, trace = fetch(app)
    assert response.status_code == 500
    assert raised(trace)[0][0] == "signal"
    assert raised(trace)[0][2] == "Boom"
    assert of(trace, "view") == []


def test_a_preprocessor_that_aborts_is_told_although_flask_calls_nothing() -> None:
    app = make()
    app.add_url_rule("/<lang>", "index", lambda: "")

    @app.url_value_preprocessor
    def language(_endpoint: t.Any, values: t.Any) -> None:
        g.lang = values.pop("lang")

    @app.url_value_preprocessor
    def known(_endpoint: t.Any, _values: t.Any) -> None:
        abort(404)

    response, trace = fetch(app, "/xx")
    assert response.status_code == 404
    (event,) = of(trace, "url_value_preprocessor")
    assert event.outcome == "raised"
    assert [name.rpartition(".")[2] for name in event.members] == ["language", "known"]
    assert dict(event.g.added) == {"lang": "xx"}


def with_preprocessor() -> Flask:
    """An app whose preprocessor opens something and sets a name of g."""
    app = Flask("steps")
    app.config["CTXKIT_TRACE"] = True
    kit = CtxKit(app)
    app.add_url_rule("/", "index", lambda: "")
    db = kit.resource("db", object)

    @app.url_value_preprocessor
    def look_up(_endpoint: t.Any, _values: t.Any) -> None:
        g.row = db()

    return app


def test_what_a_preprocessor_opens_is_inside_of_it() -> None:
    """The block begins with the match, and not where the resource was open."""
    _, trace = fetch(with_preprocessor())
    (block,), (opened, _) = of(trace, "url_value_preprocessor"), of(trace, "resource")
    assert (block.depth, opened.depth) == (0, 1)
    assert block.index < opened.index
    assert [*block.g.added] == ["row"]


def test_receivers_and_preprocessors_share_what_nothing_tells_apart() -> None:
    """Those of the signal say so, and the others have the time and the changes."""
    app = with_preprocessor()

    def receiver(_sender: t.Any, **_: t.Any) -> None:
        g.seen = True

    with request_started.connected_to(receiver, app):
        _, trace = fetch(app)
    signal, block = of(trace, "signal") + of(trace, "url_value_preprocessor")
    assert (signal.depth, block.depth) == (0, 0)
    assert signal.index < block.index
    assert signal.note == "its time and changes are told with the next step"
    assert [*block.g.added] == ["seen", "row"]


def test_a_preprocessor_whose_error_is_handled_is_told_before_the_handler() -> None:
    app = make()
    app.add_url_rule("/", "index", lambda: "")

    @app.url_value_preprocessor
    def first(_endpoint: t.Any, _values: t.Any) -> None:
        raise Boom("first")

    @app.url_value_preprocessor
    def second(_endpoint: t.Any, _values: t.Any) -> None:
        raise AssertionError

    app.register_error_handler(Boom, str)
    response, trace = fetch(app)
    assert response.get_data(as_text=True) == "first"
    assert [e.phase for e in trace.events[5:7]] == ["url_value_preprocessor", "error_handler"]
    (event,) = of(trace, "url_value_preprocessor")
    assert [name.rpartition(".")[2] for name in event.members] == ["first"]
    assert event.error is not None
    assert trace.exception is None


def test_what_a_receiver_of_request_finished_did_is_no_hooks_doing() -> None:
    app = make()
    app.add_url_rule("/", "index", lambda: "")
    app.teardown_request(lambda _error: None)

    def receiver(_sender: t.Any, response: Response, **_: t.Any) -> None:
        g.late = 1
        response.headers["X-Late"] = "1"

    request_finished.connect(receiver, app)
    response, trace = fetch(app)
    assert response.headers["X-Late"] == "1"
    (saved,) = of(trace, "save_session")
    assert dict(saved.g.added) == {"late": 1}
    assert dict(saved.response.added) == {"X-Late": "1"}
    assert not any(event.g for event in of(trace, "teardown_request"))
    assert [row["receivers"] for row in trace.signals if row["name"] == "request-finished"] != [[]]


# --------------------------------------------------------------------------- templates


def test_a_template_that_raises_is_told_with_the_view() -> None:
    app = make()
    app.add_url_rule("/", "index", lambda: render_template_string("{{ 1 / 0 }}"))
    _, trace = fetch(app)
    assert [(phase, error) for phase, _, error in raised(trace)] == [
        ("view", "ZeroDivisionError"),
        ("template", "ZeroDivisionError"),
    ]
    assert of(trace, "template")[0].depth == 1


def test_a_template_error_that_the_view_catches_leaves_nothing_behind() -> None:
    app = make()

    @app.get("/")
    def index() -> str:
        try:
            return render_template_string("{{ 1 / 0 }}")
        except ZeroDivisionError:
            g.caught = 1
            return render_template_string("{{ 1 }}")

    response, trace = fetch(app)
    assert response.get_data(as_text=True) == "1"
    assert raised(trace) == []
    assert [event.outcome for event in of(trace, "view")] == ["ok"]


def test_a_template_inside_a_template_is_told_inside() -> None:
    app = make()
    app.jinja_env.globals["inner"] = lambda: render_template_string("{{ 1 }}")
    app.add_url_rule("/", "index", lambda: render_template_string("{{ inner() }}"))
    _, trace = fetch(app)
    assert sorted(event.depth for event in of(trace, "template")) == [1, 2]


def rendering(app: Flask) -> None:
    app.add_url_rule("/", "index", lambda: render_template_string("{{ 1 }}"))


def hooked_by_a_method(app: Flask) -> None:
    class Extension:
        def load(self) -> None:
            g.loaded = True

    app.before_request(Extension().load)
    app.add_url_rule("/", "index", lambda: "index")


def asynchronous(app: Flask) -> None:
    @app.get("/")
    async def index() -> str:
        return "index"


def closing(app: Flask) -> None:
    @app.get("/")
    def index() -> str:
        @after_this_request
        def sign(response: Response) -> Response:
            response.headers["X-Signed"] = "yes"
            return response

        return "index"


@pytest.mark.parametrize("write", [rendering, hooked_by_a_method, asynchronous, closing])
def test_requests_that_do_the_same_are_examined_once(
    write: t.Callable[[Flask], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make()
    write(app)
    rules = app.extensions["ctxkit"].rules
    examine, examined = rules.for_trace, list[str]()

    def counted(trace: Trace) -> t.Any:
        examined.append(trace.id)
        return examine(trace)

    monkeypatch.setattr(rules, "for_trace", counted)
    traces = [fetch(app)[1] for _ in range(5)]
    # The first request of an app does more than the others.
    assert traces[4].id not in examined
    assert len(examined) <= 2


def test_the_pop_after_a_stream_takes_no_longer_than_the_pop() -> None:
    app = make()

    def lines() -> t.Iterator[str]:
        yield "one"
        time.sleep(0.2)
        yield request.path

    app.add_url_rule("/", "index", lambda: Response(stream_with_context(lines())))
    _, trace = fetch(app, buffered=True)
    (stream,) = of(trace, "stream")
    assert stream.duration_us > 200_000
    assert max(event.duration_us for event in of(trace, "pop")) < 100_000


def test_a_streamed_template_is_a_stream() -> None:
    app = make()

    @app.get("/")
    def index() -> t.Any:
        return stream_template_string("{% for n in range(3) %}{{ n }}{% endfor %}")

    response, trace = fetch(app, buffered=True)
    assert response.get_data(as_text=True) == "012"
    assert trace.state == "finished"
    assert len(of(trace, "stream")) == 1


# ------------------------------------------------------------------------------- views


def test_a_method_view_is_one_step_named_by_its_method() -> None:
    app = make()

    class Items(MethodView):
        def get(self) -> str:
            return "got"

    class Page(View):
        def dispatch_request(self) -> str:
            return "page"

    app.add_url_rule("/", view_func=Items.as_view("items"))
    app.add_url_rule("/page", view_func=Page.as_view("page"))
    for path, name in (("/", "Items.get"), ("/page", "Page.dispatch_request")):
        _, trace = fetch(app, path)
        (event,) = of(trace, "view")
        assert short(event) == name


def test_a_decorator_that_asks_for_sync_adds_no_step() -> None:
    """Flask's documentation has decorators call ``current_app.ensure_sync(f)``."""
    app = make()

    def decorator(function: t.Any) -> t.Any:
        def wrapper(**values: t.Any) -> t.Any:
            return current_app.ensure_sync(function)(**values)

        return wrapper

    @app.get("/")
    @decorator
    async def index() -> str:
        await asyncio.sleep(0)
        return "async"

    response, trace = fetch(app)
    assert response.get_data(as_text=True) == "async"
    assert len(of(trace, "view")) == 1


def test_async_functions_are_steps_like_others() -> None:
    app = make()

    @app.before_request
    async def before() -> None:
        g.before = 1

    @app.after_request
    async def after(response: Response) -> Response:
        response.headers["X-After"] = "1"
        return response

    @app.teardown_request
    async def teardown(_error: t.Any) -> None:
        g.after = 1

    @app.errorhandler(Boom)
    async def handler(error: Exception) -> str:
        return str(error)

    @app.get("/")
    async def index() -> str:
        g.view = 1
        raise Boom("async")

    response, trace = fetch(app)
    assert response.get_data(as_text=True) == "async"
    wanted = ["before", "index", "handler", "after", "teardown"]
    hooks = {"before_request", "view", "error_handler", "after_request", "teardown_request"}
    events = [event for event in trace.events if event.phase in hooks]
    assert [short(event) for event in events] == wanted
    assert [dict(event.g.added) for event in events] == [
        {"before": 1}, {"view": 1}, {}, {}, {"after": 1}
    ]  # fmt: skip
    assert dict(events[3].response.added) == {"X-After": "1"}


def test_an_early_answer_is_marked_and_what_it_kept_from_running_is_no_event() -> None:
    app = make()
    app.before_request(lambda: "early")
    app.before_request(lambda: None)
    app.add_url_rule("/", "index", lambda: "")
    response, trace = fetch(app)
    assert response.get_data(as_text=True) == "early"
    assert [event.outcome for event in of(trace, "before_request")] == ["answered"]
    assert of(trace, "view") == []
    assert not any(event.outcome == "skipped" for event in trace.events)


# ----------------------------------------------------------------------------- skipped


def test_what_stands_behind_a_failing_after_request_is_skipped() -> None:
    app = make()
    ran: list[str] = []

    @app.after_request
    def last(response: Response) -> Response:
        ran.append("last")
        return response

    @app.after_request
    def fails_once(response: Response) -> Response:
        if not ran:
            ran.append("failed")
            raise Boom("once")
        return response

    @app.get("/")
    def index() -> str:
        session["a"] = 1
        after_this_request(lambda response: response)
        return ""

    response, trace = fetch(app)
    assert response.status_code == 500
    told = [(e.phase, short(e)) for e in trace.events if e.outcome == "skipped"]
    assert told == [("after_request", "last"), ("save_session", "save_session")]
    assert all(
        "fails_once raised Boom" in (e.note or "") for e in trace.events if e.outcome == "skipped"
    )
    assert [e.outcome for e in of(trace, "save_session")] == ["skipped", "ok"]
    assert [e.outcome for e in of(trace, "after_request") if short(e) == "last"] == [
        "skipped",
        "ok",
    ]


def test_what_stands_behind_a_failing_teardown_is_skipped_where_flask_stops() -> None:
    app = make()
    blueprint = Blueprint("shop", __name__)
    app.teardown_request(lambda _error: None)

    @app.teardown_appcontext
    def close(_error: t.Any) -> None:
        g.closed = 1

    @blueprint.teardown_request
    def fails(_error: t.Any) -> None:
        raise Boom("down")

    blueprint.add_url_rule("/", "index", lambda: "")
    app.register_blueprint(blueprint)
    with pytest.raises(Exception) as caught:
        app.test_client().get("/")
    assert type(caught.value).__name__ in {"Boom", "ExceptionGroup"}
    (trace,) = app.extensions["ctxkit"].store.newest()
    skipped = [(e.phase, short(e)) for e in trace.events if e.outcome == "skipped"]
    assert skipped == ([] if internals.ONE_CONTEXT else [("teardown_request", "<lambda>")])
    assert [e.outcome for e in of(trace, "teardown_appcontext")] == ["ok"]
    assert trace.exception is not None


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_what_is_no_exception_ends_the_request_and_saves_nothing(
    error: type[BaseException],
) -> None:
    app = make()

    @app.get("/")
    def index() -> str:
        session["a"] = 1
        raise error

    with pytest.raises(error):
        app.test_client().get("/")
    (trace,) = app.extensions["ctxkit"].store.newest()
    assert raised(trace) == [("view", "index", error.__name__)]
    assert [e.outcome for e in of(trace, "save_session")] == ["skipped"]
    assert trace.exception is not None
    assert trace.response is None


def test_a_propagated_error_skips_the_saving() -> None:
    app = make(PROPAGATE_EXCEPTIONS=True)

    @app.get("/")
    def index() -> str:
        session["a"] = 1
        raise Boom("up")

    with pytest.raises(Boom):
        app.test_client().get("/")
    (trace,) = app.extensions["ctxkit"].store.newest()
    (event,) = of(trace, "save_session")
    assert event.outcome == "skipped"
    assert event.note is not None
    assert event.note.endswith("index raised Boom: no response was made to save the session with")


def test_a_context_that_no_server_asked_for_skips_no_saving() -> None:
    app = make()
    app.add_url_rule("/", "index", lambda: "")
    with pytest.raises(Boom), app.test_request_context("/"):  # noqa: PT012  # the block is it  # noqa: PT012  # the whole body is what raises
        session["a"] = 1
        raise Boom("in a test")
    (trace,) = app.extensions["ctxkit"].store.newest()
    assert of(trace, "save_session") == []
    assert raised(trace)[0][2] == "Boom"


def test_a_session_without_a_key_is_not_told_as_saved() -> None:
    app = make()
    app.secret_key = None
    app.add_url_rule("/", "index", lambda: "")
    _, trace = fetch(app)
    assert of(trace, "save_session") == []


# ----------------------------------------------------------------------------- streams


@pytest.mark.parametrize("kept", [True, False])
def test_a_stream_tells_its_chunks_and_its_end(*, kept: bool) -> None:
    app = make()

    @app.get("/")
    def index() -> Response:
        def chunks() -> t.Iterator[str]:
            for number in range(3):
                if kept:
                    g.sent = number
                yield str(number)

        return Response(stream_with_context(chunks()) if kept else chunks())

    response, trace = fetch(app, buffered=True)
    assert response.get_data(as_text=True) == "012"
    (event,) = of(trace, "stream")
    assert (event.outcome, event.note, trace.state) == ("ok", "3 chunks", "finished")
    assert trace.response is not None
    assert trace.response["streamed"] is True
    if kept:
        assert "sent" in {**event.g.added, **event.g.changed}


def test_a_body_that_is_dropped_is_left() -> None:
    app = make()
    app.add_url_rule("/", "index", lambda: Response(str(n) for n in range(9)))
    body = app(request_environ(), lambda *_args: lambda _data: None)
    assert next(iter(body)) == b"0"
    del body
    (trace,) = app.extensions["ctxkit"].store.newest()
    assert trace.state == "left"


def request_environ() -> t.Any:
    with Flask("other").test_request_context("/"):
        return dict(request.environ)


def test_signals_are_told_with_who_listens() -> None:
    app = make()
    app.add_url_rule("/", "index", lambda: render_template_string(""))

    def listener(_sender: t.Any, **_: t.Any) -> None:
        """Hears of each."""

    for name in ("request_started", "template_rendered", "request_finished", "appcontext_popped"):
        getattr(signals, name).connect(listener, app)
    _, trace = fetch(app)
    told = {row["name"]: (row["event"], row["receivers"]) for row in trace.signals}
    for name in ("request-started", "template-rendered", "request-finished", "appcontext-popped"):
        event, receivers = told[name]
        assert event is not None, name
        assert [r.rpartition(".")[2] for r in receivers] == ["listener"]
    (block,) = of(trace, "signal")
    assert [name.rpartition(".")[2] for name in block.members] == ["listener"]


def test_a_project_that_is_called_like_the_kit_has_its_frames() -> None:
    """Only the kit's own files are left out: a clone of it holds an example, and tests."""
    app = Flask(__name__)
    app.config.update(CTXKIT_TRACE=True)
    CtxKit(app)
    names: dict[str, t.Any] = {}
    exec(compile("def boom():\n    1 / 0", "/home/ada/flask_ctxkit/shop.py", "exec"), names)
    app.get("/")(names["boom"])
    assert app.test_client().get("/").status_code == 500
    [trace] = app.extensions["ctxkit"].store.newest()
    assert trace.exception is not None
    assert trace.exception.where is not None
    assert trace.exception.where.endswith("shop.py:2")
    assert not any("functions.py" in frame for frame in trace.exception.frames)
