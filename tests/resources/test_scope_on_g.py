"""The scope stands on ``g`` under one name, and nothing that is done to ``g`` does it harm."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import typing as t
import warnings

import pytest
from flask import Flask, Response, appcontext_pushed, g, stream_with_context
from flask.ctx import _AppCtxGlobals
from flask.sessions import SecureCookieSessionInterface

from flask_ctxkit import CtxKit, propagate
from flask_ctxkit.deferred import run_deferred
from flask_ctxkit.internals import current_app_context

if t.TYPE_CHECKING:
    from flask_ctxkit.resources.resource import Resource

Log = list[str]
OURS = "_ctxkit"

both = pytest.mark.parametrize("trace", [False, True], ids=["quiet", "traced"])


def make(trace: bool = False) -> tuple[Flask, CtxKit, Log, Resource[object]]:
    app = Flask("shop")
    app.config.update(CTXKIT_TRACE=trace, SECRET_KEY="0123456789abcdef" * 2)
    kit = CtxKit(app)
    log: Log = []

    def opens() -> t.Iterator[object]:
        log.append("open")
        yield object()
        log.append("close")

    return app, kit, log, kit.resource("db", opens)


def own_g() -> t.Any:
    """The ``g`` of the current context itself, and no proxy."""
    return current_app_context(None).g


def names_in(app: Flask) -> set[str]:
    """Each name that the traces of *app* show of ``g``."""
    found: set[str] = set()
    for trace in app.extensions["ctxkit"].store.newest():
        found |= {*trace.g}
        for change in [event.g for event in trace.events if event.g]:
            found |= {*change.added, *change.changed, *change.removed}
    return found


@both
def test_it_stands_on_g_until_the_context_ends(trace: bool) -> None:
    """Under the kit's one name, which is gone once nothing is held any more."""
    app, kit, _, db = make(trace)
    ctx = app.app_context()
    for use, shown in (
        (db, "<Scope of 'shop', 1 open>"),
        (kit.cached(lambda: 1), "<Scope of 'shop', 0 open>"),
    ):
        with ctx:
            assert OURS not in g
            use()
            assert repr(g._ctxkit) == shown
            assert [*g] == [OURS]
        assert OURS not in ctx.g


# -------------------------------------------------------------------- what is done to g


def clear() -> None:
    for name in list(g):
        g.pop(name)


def clear_at_once() -> None:
    vars(own_g()).clear()


def replace() -> object:
    before, current_app_context(None).g = own_g(), _AppCtxGlobals()
    return before


def overwrite() -> None:
    g._ctxkit = "mine"


def copied() -> object:
    return copy.copy(own_g()), copy.deepcopy(vars(own_g()))


def lend() -> object:
    held = dict(vars(own_g()))
    with current_app_context(None).app.app_context():
        vars(own_g()).update(held)
    return held


@both
@pytest.mark.parametrize("harm", [clear, clear_at_once, replace, overwrite, copied, lend])
def test_nothing_that_is_done_to_g_loses_or_closes_anything(
    trace: bool, harm: t.Callable[[], object]
) -> None:
    """Look-ups go by the context; what was taken of ``g`` may outlive that."""
    app, _, log, db = make(trace)
    with app.app_context():
        g.user = "ada"
        first = db()
        taken = harm()
        assert db() is first
        assert log == ["open"]
    assert log == ["open", "close"]
    del taken
    gc.collect()
    assert log == ["open", "close"]
    assert names_in(app) <= {"user"}


@both
def test_a_context_that_gets_a_copy_of_g_opens_its_own(trace: bool) -> None:
    """And its own scope takes the place of the one that was copied."""
    app, _, log, db = make(trace)
    with app.app_context():
        first, mine = db(), g._ctxkit
        held = dict(vars(own_g()))
        with app.app_context():
            vars(own_g()).update(held)
            assert db() is not first
            assert g._ctxkit is not mine
        assert log == ["open", "open", "close"]
        assert g._ctxkit is mine
    assert log == ["open", "open", "close", "close"]


def test_a_copy_is_no_second_scope() -> None:
    """Copied deeply it is the same one, and in a pickle there is None in its place."""
    app, _, _, db = make()
    with app.app_context():
        db()
        held = dict(vars(own_g()))
        assert copy.deepcopy(held)[OURS] is copy.copy(held[OURS]) is held[OURS]
        assert pickle.loads(pickle.dumps(held)) == {OURS: None}


def test_a_name_of_the_users_is_theirs() -> None:
    """It is not overwritten, and is left when the context ends."""
    app, _, log, db = make()
    with app.app_context() as ctx:
        g._ctxkit = "mine"
        db()
        assert g._ctxkit == "mine"
    assert ctx.g._ctxkit == "mine"
    assert log == ["open", "close"]


@both
def test_a_context_that_is_dropped_is_closed_although_its_g_is_kept(trace: bool) -> None:
    """Whoever keeps ``g``, or a copy of it, keeps no connection open."""
    app, _, log, db = make(trace)
    taken: list[t.Any] = []

    def forget() -> None:
        app.app_context().push()
        db()
        taken.extend([own_g(), dict(vars(own_g()))])

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        thread = threading.Thread(target=forget)
        thread.start()
        thread.join()
        del thread
        gc.collect()
        run_deferred()
    assert [w.category for w in seen if "left open: db" in str(w.message)] == [ResourceWarning]
    assert log == ["open", "close"]
    assert OURS not in taken[0]


# ----------------------------------------------------------------- a g of the app's own


class Refusing:
    """Knows its names, and takes no other."""

    __slots__ = ("user",)


class Typed(_AppCtxGlobals):
    """A stock one with a name that a type checker knows."""

    user: str


@both
@pytest.mark.parametrize("kind", [Refusing, Typed])
def test_a_g_class_of_the_apps_own_is_left_alone(trace: bool, kind: t.Any) -> None:
    """What it takes is the app's to say; all is opened and closed once as well."""
    app, kit, log, db = make(trace)
    app.app_ctx_globals_class = kind
    price = kit.cached(lambda: log.append("price"))
    with app.app_context():
        assert db() is db()
        price()
        price()
        assert not hasattr(g, OURS)
    assert log == ["open", "price", "close"]
    assert names_in(app) == set()


# -------------------------------------------------------------------- what is told of g


def test_no_trace_shows_it() -> None:
    """Neither as a change of the step that placed it, nor among what ``g`` ended with."""
    app, kit, _, db = make(trace=True)
    price = kit.cached(lambda: 1)

    @app.before_request
    def first() -> None:
        price()
        g.user = "ada"

    @app.get("/")
    def view() -> Response:
        db()
        g.cart = []

        def body() -> t.Iterator[str]:
            db()
            yield "."

        return Response(stream_with_context(body()))

    @app.teardown_appcontext
    def last(_exc: BaseException | None) -> None:
        db()

    assert app.test_client().get("/").text == "."
    with app.app_context():
        db()
    with app.test_request_context():
        db()
        g.late = 1
    assert names_in(app) == {"user", "cart", "late"}


def test_a_request_in_a_context_that_holds_something_shows_its_names_alone() -> None:
    """Before Flask 3.2 both have one ``g``; and a context that nobody pops shows none either."""
    app, _, _, db = make(trace=True)

    @app.get("/")
    def view() -> str:
        g.user = "ada"
        return ""

    with app.app_context():
        db()
        assert app.test_client().get("/").status_code == 200
    kept: list[t.Any] = []

    def forget() -> None:
        kept.append(app.app_context())
        kept[0].push()
        db()

    thread = threading.Thread(target=forget)
    thread.start()
    thread.join()
    del thread
    assert app.extensions["ctxkit"].registry.leaks
    assert len(app.extensions["ctxkit"].store) == 3
    assert names_in(app) == {"user"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        kept.clear()
        gc.collect()
        run_deferred()


class Sessions(SecureCookieSessionInterface):
    """Keeps its sessions in a resource, as one over a database does."""

    def __init__(self, db: Resource[object]) -> None:
        self._db = db

    def open_session(self, *args: t.Any) -> t.Any:
        self._db()
        g.opened = True
        return super().open_session(*args)


def test_what_is_opened_while_a_context_is_pushed_is_no_steps_doing() -> None:
    """Though it is there before the recorder watches ``g``."""
    app, _, log, db = make(trace=True)
    app.session_interface = Sessions(db)

    @app.get("/")
    def view() -> str:
        return f"{OURS in g}"

    def pushed(_app: Flask, **_: object) -> None:
        db()

    with appcontext_pushed.connected_to(pushed, app):
        assert app.test_client().get("/").text == "True"
        with app.app_context():
            pass
    assert names_in(app) == {"opened"}
    assert log == ["open", "close"] * 2


@both
def test_no_page_shows_it(trace: bool) -> None:
    """Nor their JSON: the names of ``g`` are the user's."""
    app, _, _, db = make(trace)
    app.debug = True

    @app.get("/")
    def view() -> t.Any:
        db()
        g.cart = ["green"]
        return app.test_client().get("/_ctx/stacks.json").get_json()["app_stack"]

    stacks = app.test_client().get("/").get_json()
    [held] = [ctx["g"] for unit in stacks.values() for ctx in unit["stack"] if ctx["g"]]
    assert list(held) == ["cart"]


def test_work_elsewhere_does_not_get_it() -> None:
    """What is opened in a context belongs to it alone, also where its name is asked for."""
    app, _, log, db = make()
    with app.app_context():
        db()
        g.user = "ada"
        assert propagate(lambda: [*g], g="copy")() == ["user"]
        assert propagate(lambda: [*g], g=[OURS, "user"])() == ["user"]
        propagate(db, g="copy")()
    assert log == ["open", "open", "close", "close"]
