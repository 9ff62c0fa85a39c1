"""``install_legacy()``: what Flask 2.3 and 3.0 removed is back, for old extensions."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import typing as t
from functools import partial

import flask
import gevent
import pytest
from flask import Blueprint, Flask, current_app, g, request, session
from flask import globals as flask_globals
from werkzeug.local import LocalProxy

from flask_ctxkit import ContextStackError, CtxKit, install_legacy, unwrap
from flask_ctxkit.contexts.registry import push_site
from flask_ctxkit.internals import ONE_CONTEXT

if t.TYPE_CHECKING:
    from pathlib import Path

    from flask_ctxkit.contexts.legacy import ContextStack


@pytest.fixture(autouse=True)
def installed() -> t.Iterator[None]:
    """The stand-ins are the process's, so each test takes them back."""
    with install_legacy():
        yield


def requests() -> ContextStack:
    """The stack as old code gets it."""
    from flask import _request_ctx_stack  # type: ignore[attr-defined]

    return t.cast("ContextStack", _request_ctx_stack)


def apps() -> ContextStack:
    from flask.globals import _app_ctx_stack  # type: ignore[attr-defined]

    return t.cast("ContextStack", _app_ctx_stack)


def shop(**config: t.Any) -> Flask:
    app = Flask("shop")
    app.config.update(SECRET_KEY="0123456789abcdef0123456789abcdef", **config)
    app.add_url_rule("/", "index", lambda: "tea")
    return app


# ------------------------------------------------------------------------- the names


def test_the_names_are_in_both_modules_and_go_again() -> None:
    """One object each, whichever module it is imported from."""
    for name in ("_request_ctx_stack", "_app_ctx_stack"):
        assert vars(flask)[name] is vars(flask_globals)[name]
    assert hasattr(Flask, "before_first_request")
    with install_legacy():
        assert vars(flask)["_app_ctx_stack"] is apps()
    assert hasattr(flask, "_app_ctx_stack")  # a second call takes back only what it put


def test_all_is_taken_back() -> None:
    """Nothing stays, and doing it twice does no harm."""
    source = """
import flask, flask.globals
from flask.ctx import AppContext
from flask_ctxkit import install_legacy
owners = [flask, flask.globals, flask.Flask, flask.Blueprint, AppContext]
owners += [vars(flask.ctx)[n] for n in ("RequestContext",) if n in vars(flask.ctx)]
before = [set(vars(owner)) for owner in owners]
names = install_legacy()
assert [set(vars(owner)) for owner in owners] != before
names.uninstall()
names.uninstall()
assert [set(vars(owner)) for owner in owners] == before
with install_legacy():
    from flask import _request_ctx_stack
assert _request_ctx_stack.top is None  # who imported it keeps it
"""
    ran(source)


def test_what_somebody_else_put_there_stays() -> None:
    """Another package's stand-in is neither replaced nor taken away."""
    theirs = object()
    del flask._app_ctx_stack  # type: ignore[attr-defined]
    flask._app_ctx_stack = theirs  # type: ignore[attr-defined]
    with install_legacy():
        assert vars(flask)["_app_ctx_stack"] is theirs
    assert vars(flask).pop("_app_ctx_stack") is theirs


def test_nothing_is_there_unasked() -> None:
    """Importing the kit, or registering it, changes nothing in Flask."""
    ran(
        "import flask, flask_ctxkit; flask_ctxkit.CtxKit(flask.Flask('x'))\n"
        "assert not hasattr(flask, '_request_ctx_stack')\n"
        "assert not hasattr(flask.globals, '_app_ctx_stack')\n"
        "assert not hasattr(flask.Flask, 'before_first_request')\n"
    )


def ran(source: str) -> None:
    """In a process of its own, which must end well and write no warning."""
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:flask", "-c", source],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_who_imports_a_stand_in_is_not_told_that_it_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The findings name modules that use what Flask lacks; this one has it."""
    (tmp_path / "old_tea.py").write_text("from flask import _app_ctx_stack\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    app = shop()
    CtxKit(app)
    __import__("old_tea")
    try:
        app.test_client().get("/")
        codes = [row.finding.code for row in app.extensions["ctxkit"].rules.tally.rows()]
    finally:
        del sys.modules["old_tea"]
    assert "flask-next" not in codes


# ------------------------------------------------------------------------- the stacks


def test_both_are_empty_outside_of_contexts() -> None:
    """No top, no truth, nothing to pop."""
    for stack in (requests(), apps()):
        assert stack.top is None
        assert not stack
        assert list(stack) == []
        assert len(stack) == 0
        assert stack.pop() is None
    assert repr(apps()) == "<_app_ctx_stack, 0 pushed>"


@pytest.mark.parametrize("trace", [True, False])
def test_the_top_is_flasks_own_context_with_all_that_it_had(trace: bool) -> None:
    """``.request``, ``.session``, ``.app`` and ``.g``, traced or not."""
    app, seen = shop(CTXKIT_TRACE=trace), list[bool]()
    CtxKit(app)

    @app.get("/view")
    def view() -> str:
        g.tea, session["cup"] = "green", 1
        ctx, app_ctx = requests().top, apps().top
        seen.extend(
            [
                ctx.request is unwrap(request),
                ctx.session is unwrap(session),
                ctx.app is app_ctx.app is app,
                ctx.g is app_ctx.g is unwrap(g),
                ctx.url_adapter is not None,
                bool(requests()) and bool(apps()),
                len(requests()) == len(apps()) == 1,
                (ctx is app_ctx) == ONE_CONTEXT,
            ]
        )
        return ""

    assert app.test_client().get("/view").status_code == 200
    assert seen == [True] * 8


def test_what_is_set_on_the_top_lives_as_long_as_the_context() -> None:
    """Old extensions keep their connections there, and close them at teardown."""
    app, closed = shop(), list[str]()

    def connection() -> str:
        top = apps().top
        if not hasattr(top, "tea_db"):
            top.tea_db = f"connection of {request.args['n']}"
        return str(top.tea_db)

    @app.teardown_appcontext
    def close(exc: BaseException | None) -> None:
        closed.append(apps().top.tea_db)

    app.add_url_rule("/db", "db", lambda: f"{connection()}, {connection()}")
    answers = [app.test_client().get(f"/db?n={n}").text for n in "12"]
    assert answers == [f"connection of {n}, connection of {n}" for n in "12"]
    assert closed == ["connection of 1", "connection of 2"]


def test_an_application_context_above_leaves_the_stack_of_requests_alone() -> None:
    """As with two stacks, also where Flask keeps one context for both."""
    app, other = shop(), Flask("other")
    with app.test_request_context("/a") as ctx:
        with other.app_context() as above:
            assert requests().top is ctx
            assert apps().top is above
            assert [c.app.name for c in apps()] == ["shop", "other"]
            assert list(requests()) == [ctx]
        with other.test_request_context("/b") as inner:
            assert requests().top is inner
            assert list(requests()) == [ctx, inner]
        assert requests().top is ctx


def test_a_context_is_pushed_and_popped_whole() -> None:
    """The proxies see it, and its teardown functions run."""
    app, ended = shop(), list[str]()
    app.teardown_appcontext(lambda exc: ended.append("app"))
    app.teardown_request(lambda exc: ended.append("request"))

    ctx = app.app_context()
    assert apps().push(ctx) == [ctx]
    assert unwrap(current_app) is app
    assert apps().pop() is ctx
    assert ended == ["app"]

    with_request = app.test_request_context("/?cup=3")
    assert requests().push(with_request) == [with_request]
    assert request.args["cup"] == "3"
    assert requests().pop() is with_request
    assert ended == ["app", "request", "app"]
    assert not apps()


def test_a_push_is_told_with_the_line_that_asked_for_it() -> None:
    """In the live contexts and on the trace, not the stand-in's own line."""
    app = shop(CTXKIT_TRACE=True)
    CtxKit(app)
    state = app.extensions["ctxkit"]
    apps().push(app.app_context())
    ((_, _, record),) = state.registry.pushed()
    apps().pop()
    (trace,) = state.store.newest()
    here = f"contexts/test_legacy.py:{trace.contexts[0]['pushed'].rpartition(':')[2]}"
    assert push_site(record) == trace.contexts[0]["pushed"] == here
    block = trace.events[1]
    assert block.name == "test_a_push_is_told_with_the_line_that_asked_for_it"


def test_what_is_no_context_of_the_stack_is_refused() -> None:
    """On Flask 1 a string could be pushed, and broke the proxies of everybody."""
    app = shop()
    for stack, wrong, told in (
        (requests(), "tea", "not a str"),
        (requests(), app.app_context(), "not one without a request"),
        (apps(), app.test_request_context(), "not a context with a request"),
    ):
        with pytest.raises(ContextStackError, match=told) as raised:
            stack.push(wrong)
        assert raised.value.evidence == {"stack": repr(stack).split(",")[0][1:]}
        assert stack.top is None


def test_a_requests_own_application_context_is_not_popped() -> None:
    """It would end the request under the view's feet."""
    app = shop()
    app.testing = True
    app.add_url_rule("/pop", "pop", apps().pop)
    with pytest.raises(ContextStackError, match="Pop only what you pushed"):
        app.test_client().get("/pop")
    assert not apps()
    assert app.test_client().get("/").text == "tea"


@pytest.mark.skipif(ONE_CONTEXT, reason="one context has its own g")
def test_a_request_context_of_the_old_line_has_the_g_that_it_uses() -> None:
    """Its own, or the one of the application context that it found."""
    app = shop()
    with app.test_request_context() as own:
        assert own.g is unwrap(g)  # type: ignore[attr-defined]
    with pytest.raises(RuntimeError, match="outside of application context"):
        _ = own.g  # type: ignore[attr-defined]
    with app.app_context() as outer, app.test_request_context() as inside:
        assert inside.g is outer.g  # type: ignore[attr-defined]


def test_each_unit_sees_its_own() -> None:
    """Threads and greenlets see nothing of the caller's; a task sees what it began with."""
    app = shop()
    found: dict[str, t.Any] = {}

    def look(name: str) -> None:
        found[name] = (requests().top, apps().top, len(requests()))
        with app.test_request_context(f"/{name}"):
            found[f"{name} own"] = requests().top.request.path

    async def task() -> None:
        look("task")

    with app.test_request_context("/outer") as ctx:
        thread = threading.Thread(target=look, args=("thread",))
        thread.start()
        thread.join()
        gevent.spawn(look, "greenlet").join()
        asyncio.run(task())
        assert requests().top is ctx
    nothing = (None, None, 0)
    assert found["thread"] == found["greenlet"] == nothing
    assert found["task"][0] is ctx
    owns = [found[f"{name} own"] for name in ("thread", "greenlet", "task")]
    assert owns == ["/thread", "/greenlet", "/task"]


def test_many_threads_at_once_are_kept_apart() -> None:
    """Each sees its own request through the one stand-in."""
    app, together, wrong = shop(), threading.Barrier(32), list[str]()

    def ask(number: int) -> None:
        together.wait()
        for turn in range(30):
            path = f"/{number}/{turn}"
            with app.test_request_context(path):
                requests().top.mark = path
                if requests().top.request.path != path or requests().top.mark != path:
                    wrong.append(path)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_ident_function_tells_units_apart() -> None:
    """Old extensions key one database session per unit by it."""
    keys = [apps().__ident_func__(), apps().__ident_func__()]
    thread = threading.Thread(target=lambda: keys.append(requests().__ident_func__()))
    thread.start()
    thread.join()
    assert keys[0] == keys[1] != keys[2]


# ------------------------------------------------------- what tutorials of that time do


def test_a_view_reads_its_context_from_the_module_of_globals() -> None:
    """``globals._request_ctx_stack.top`` in a view, and the same request as the proxy."""
    app = shop()

    @app.get("/method")
    def view() -> str:
        ctx = flask_globals._request_ctx_stack.top  # type: ignore[attr-defined]
        return f"{ctx.request.method} {ctx.request is unwrap(request)}"

    assert app.test_client().get("/method").text == "GET True"


def test_a_hook_writes_g_and_the_view_reads_it_beside_the_stack() -> None:
    """The walk from the stack to the request, ``current_app`` and ``g``."""
    app = shop()

    @app.before_request
    def auth() -> None:
        g.user = "Ming"

    @app.get("/user")
    def view() -> str:
        ctx = requests().top
        return f"{ctx.request.path} {current_app.name} {g.user} {apps().top.g.user}"

    assert app.test_client().get("/user").text == "/user shop Ming Ming"


def test_a_hand_made_proxy_looks_the_stack_up_at_each_use() -> None:
    """``LocalProxy(partial(lookup, "request"))``, as Flask made its own."""

    def lookup(name: str) -> t.Any:
        top = requests().top
        if top is None:
            raise RuntimeError("outside of a request")
        return getattr(top, name)

    my_request: t.Any = LocalProxy(partial(lookup, "request"))
    my_session: t.Any = LocalProxy(partial(lookup, "session"))
    app = shop()

    @app.get("/proxy")
    def view() -> str:
        my_session["x"] = 123
        return f"{my_request.method} {session['x']}"

    answer = app.test_client().get("/proxy")
    assert answer.text == "GET 123"
    assert "session=" in answer.headers["Set-Cookie"]
    with pytest.raises(RuntimeError, match="outside of a request"):
        _ = my_request.method


# ------------------------------------------------------------------ before_first_request


def first_of(app: Flask, function: t.Callable[[], t.Any]) -> None:
    assert app.before_first_request(function) is function  # type: ignore[attr-defined]


def test_in_an_app_with_a_kit_it_is_the_kits() -> None:
    """Traced, in one order with the kit's own, and once."""
    app, order = shop(CTXKIT_TRACE=True), list[str]()
    kit = CtxKit(app)
    kit.before_first_request(lambda: order.append("kit's"))
    first_of(app, lambda: order.append("old"))
    client = app.test_client()
    client.get("/")
    client.get("/")
    assert order == ["kit's", "old"]
    traces = list(app.extensions["ctxkit"].store.newest())
    phases = [[event.phase for event in trace.events] for trace in traces]
    assert [found.count("before_first_request") for found in phases] == [0, 2]


def test_in_an_app_without_a_kit_it_runs_once_before_all_hooks() -> None:
    """Also where threads come at once, and where the kit comes later."""
    app, order = shop(), list[str]()
    app.before_request(lambda: order.append("hook"))
    first_of(app, lambda: order.append("one"))
    first_of(app, lambda: order.append(f"two {current_app.name}"))
    assert len(app.before_first_request_funcs) == 2  # type: ignore[attr-defined]
    CtxKit(app)
    first_of(app, lambda: order.append("three, the kit's"))
    together = threading.Barrier(16)

    def ask() -> None:
        together.wait()
        app.test_client().get("/")

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert order.count("hook") == 16
    assert sorted(set(order) - {"hook"}) == ["one", "three, the kit's", "two shop"]
    assert len(order) == 19
    assert order.index("two shop") < order.index("hook")


def test_a_blueprint_registers_it_on_its_app() -> None:
    """Once, also where the blueprint is registered twice."""
    app, order = shop(), list[str]()
    tea = Blueprint("tea", __name__)

    @tea.before_app_first_request  # type: ignore[attr-defined, untyped-decorator]
    def warm_up() -> None:
        order.append("blueprint")

    app.register_blueprint(tea)
    app.register_blueprint(tea, name="again")
    client = app.test_client()
    client.get("/")
    client.get("/")
    assert order == ["blueprint"]


def test_an_async_one_and_one_that_fails() -> None:
    """The error is the request's, and it runs again."""
    pytest.importorskip("asgiref")
    app, calls = shop(), list[int]()
    app.logger.disabled = True

    async def warm_up() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise ValueError

    first_of(app, warm_up)
    client = app.test_client()
    assert [client.get("/").status_code for _ in range(3)] == [500, 200, 200]
    assert len(calls) == 2


# ---------------------------------------------------------- extensions from the index

JWT: t.Final = """
from flask_ctxkit import CtxKit, install_legacy
install_legacy()
from flask import Flask
from flask_jwt import JWT, current_identity, jwt_required

class User:
    def __init__(self, id):
        self.id = id

app = Flask("shop")
app.config.update(SECRET_KEY="0123456789abcdef0123456789abcdef", CTXKIT_TRACE=True)
CtxKit(app)
JWT(app, lambda name, password: User(7) if password == "tea" else None,
    lambda payload: User(payload["identity"]))

@app.get("/me")
@jwt_required()
def me():
    return f"user {current_identity.id}"

client = app.test_client()
answer = client.post("/auth", json={"username": "ming", "password": "tea"})
header = {"Authorization": "JWT " + answer.json["access_token"]}
print(answer.status_code, client.get("/me", headers=header).text, bool(current_identity))
"""

SQLALCHEMY: t.Final = """
from flask_ctxkit import CtxKit, install_legacy
install_legacy()
from flask import Flask
from flask_sqlalchemy import SQLAlchemy, get_debug_queries

app = Flask("shop")
app.config.update(SQLALCHEMY_DATABASE_URI="sqlite://", SQLALCHEMY_TRACK_MODIFICATIONS=False,
                  SQLALCHEMY_RECORD_QUERIES=True, CTXKIT_TRACE=True)
CtxKit(app)
db = SQLAlchemy(app)

class Tea(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    name = db.Column(db.String)

with app.app_context():
    db.create_all()
    db.session.add(Tea(name="oolong"))
    db.session.commit()

@app.get("/")
def count():
    return f"{Tea.query.filter_by(name='oolong').count()} tea, {len(get_debug_queries())} query"

client = app.test_client()
print(client.get("/").text + "; " + client.get("/").text)
"""

BABEL: t.Final = """
from flask_ctxkit import CtxKit, install_legacy
install_legacy()
from datetime import date
from flask import Flask, request
from flask_babelex import Babel, format_date

app = Flask("shop")
CtxKit(app)
babel = Babel(app)
babel.localeselector(lambda: request.args["lang"])
app.add_url_rule("/", "index", lambda: format_date(date(2026, 3, 1)))
client = app.test_client()
print(client.get("/?lang=de").text, client.get("/?lang=en").text)
"""

EXTENSIONS: t.Final = {
    "flask-jwt": (("Flask-JWT==0.3.2", "PyJWT==1.7.1"), JWT, "200 user 7 False"),
    "flask-sqlalchemy": (
        ("Flask-SQLAlchemy==2.5.1", "SQLAlchemy==1.4.54"),
        SQLALCHEMY,
        "1 tea, 1 query; 1 tea, 1 query",
    ),
    "flask-babelex": (
        ("Flask-BabelEx==0.9.4", "Babel==2.14.0", "speaklater==1.3", "pytz"),
        BABEL,
        "01.03.2026 Mar 1, 2026",
    ),
}


@pytest.mark.index
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", EXTENSIONS)
def test_a_real_extension_that_imports_them_works(name: str, tmp_path: Path) -> None:
    """As the index has it, used against a real app; without the stand-ins it can't be imported."""
    packages, source, answer = EXTENSIONS[name]
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(tmp_path)]
    got = subprocess.run([*pip, *packages], capture_output=True, text=True, check=False)
    if got.returncode:
        pytest.skip(f"the index gave no {name}: {got.stderr[-300:]}")
    whole = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{source}"
    run = [sys.executable, "-W", "ignore", "-c"]
    done = subprocess.run([*run, whole], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == (answer, 0), done.stderr
    without = whole.replace("\ninstall_legacy()", "")
    failed = subprocess.run([*run, without], capture_output=True, text=True, check=False)
    assert "ImportError: cannot import name" in failed.stderr
