"""What work that runs elsewhere sees of the request and the session: a copy that outlives them."""

from __future__ import annotations

import copy
import io
import json
import pickle
import threading
import typing as t
from collections import Counter, OrderedDict, defaultdict, deque
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest
from flask import Flask, Request, flash, g, request, session, url_for
from flask.logging import wsgi_errors_stream
from flask.sessions import SessionInterface, SessionMixin
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup
from werkzeug.datastructures import MultiDict
from werkzeug.routing import BaseConverter
from werkzeug.test import EnvironBuilder

from flask_ctxkit import CtxKit, SharedValueWarning, SnapshotError, propagate
from flask_ctxkit.contexts.session_copy import SessionCopy

from .test_propagate import in_thread, make

Work = t.Callable[[], t.Any]


def after(app: Flask, work: Work, before: Work | None = None, **how: t.Any) -> t.Any:
    """What *work* returns elsewhere, after the request of a test client's call has ended.

    :param before: what the view does before it propagates.
    """
    made: list[Work] = []

    def view(**_: t.Any) -> str:
        if before is not None:
            before()
        made.append(propagate(work))
        return "made"

    app.add_url_rule("/make/<int:number>", "make", view, methods=["GET", "POST"])
    how.setdefault("path", "/make/3")
    assert app.test_client(use_cookies=False).open(**how).status_code == 200
    return in_thread(made[0])


@pytest.fixture(params=["no kit", "tracing on"])
def shop(request: pytest.FixtureRequest) -> Flask:
    return make(request.param)


def test_everything_that_is_not_the_body_is_there(shop: Flask) -> None:
    def work() -> tuple[t.Any, ...]:
        return (
            request.method, request.path, request.args["q"], request.view_args, request.endpoint,
            request.headers["X-Mine"], request.cookies["tea"], request.remote_addr,
            request.url_root, request.is_secure, request.user_agent.string, request.full_path,
            url_for("make", number=4), url_for("make", number=4, _external=True),
        )  # fmt: skip

    found = after(
        shop,
        work,
        query_string={"q": "oolong"},
        headers={"X-Mine": "1", "User-Agent": "kettle", "Cookie": "tea=green"},
        base_url="https://shop.example/",
        environ_overrides={"REMOTE_ADDR": "192.0.2.7"},
    )
    assert found == (
        "GET", "/make/3", "oolong", {"number": 3}, "make", "1", "green", "192.0.2.7",
        "https://shop.example/", True, "kettle", "/make/3?q=oolong",
        "/make/4", "https://shop.example/make/4",
    )  # fmt: skip


def test_each_call_has_a_request_of_its_own(shop: Flask) -> None:
    """What one call changes in it, none other sees."""

    def work() -> tuple[int, t.Any]:
        view_args = t.cast("dict[str, t.Any]", request.view_args)
        view_args["number"] += 1
        request.environ["mine"] = request.environ.get("mine", 0) + 1
        return view_args["number"], request.environ["mine"]

    with shop.test_request_context("/x"):
        request.view_args = {"number": 1}
        propagated = propagate(work)
        assert [in_thread(propagated) for _ in range(3)] == [(2, 1)] * 3
        assert request.view_args == {"number": 1}
        assert "mine" not in request.environ


def test_the_url_is_not_matched_again(shop: Flask) -> None:
    """A converter of the user's may ask a database."""
    asked: list[str] = []

    class Item(BaseConverter):
        def to_python(self, value: str) -> str:
            asked.append(value)
            return value

    shop.url_map.converters["item"] = Item
    made: list[Work] = []

    @shop.get("/item/<item:name>")
    def item(name: str) -> str:
        made.append(propagate(lambda: (request.endpoint, request.view_args)))
        return name

    assert shop.test_client().get("/item/cup").status_code == 200
    assert in_thread(made[0]) == ("item", {"name": "cup"})
    assert asked == ["cup"]


def test_a_request_that_matched_nothing_is_told_as_such(shop: Flask) -> None:
    made: list[Work] = []

    @shop.errorhandler(404)
    def missing(error: t.Any) -> str:
        made.append(propagate(lambda: (request.endpoint, type(request.routing_exception).__name__)))
        return "missing"

    shop.test_client().get("/nowhere")
    assert in_thread(made[0]) == (None, "NotFound")


def test_the_apps_own_request_class_is_used() -> None:
    class Own(Request):
        def shout(self) -> str:
            return self.path.upper()

    shop = make()
    shop.request_class = Own
    with shop.test_request_context("/tea"):
        assert in_thread(propagate(lambda: t.cast("Own", request).shout())) == "/TEA"


def test_the_apps_log_can_be_written(shop: Flask, capsys: pytest.CaptureFixture[str]) -> None:
    """Flask's handler writes to the stream that the server put into the environ."""

    def work() -> None:
        t.cast("t.Any", wsgi_errors_stream).write("from elsewhere")

    after(shop, work, errors_stream=io.StringIO())
    assert "from elsewhere" in capsys.readouterr().err


def test_objects_in_the_environ_stay_behind(shop: Flask) -> None:
    """They may be a connection, or belong to one."""
    with shop.test_request_context("/x", environ_overrides={"my.socket": object(), "my.text": "a"}):
        work = propagate(lambda: dict(request.environ))
    found = in_thread(work)
    assert "my.socket" not in found
    assert found["my.text"] == "a"
    assert found["wsgi.version"] == (1, 0)


# ------------------------------------------------------------------------------- body


def read_data() -> bytes:
    return request.get_data()


def read_stream() -> bytes:
    return bytes(request.stream.read())


def read_file() -> bytes:
    return bytes(request.files["pic"].read())


FORM: dict[str, t.Any] = {"data": {"name": "oolong"}, "method": "POST"}
JSON: dict[str, t.Any] = {"json": {"name": ["oolong"]}, "method": "POST"}


def test_a_form_that_was_read_is_there(shop: Flask) -> None:
    def work() -> tuple[t.Any, ...]:
        return request.form["name"], dict(request.values), request.get_data(), [*request.files]

    found = after(shop, work, lambda: request.form, **FORM)
    assert found == ("oolong", {"name": "oolong"}, b"", [])


def test_json_that_was_read_is_there_and_each_has_its_own(shop: Flask) -> None:
    def work() -> t.Any:
        request.json["name"].append("green")
        return request.get_json()

    with shop.test_request_context("/", **JSON):
        assert request.json == {"name": ["oolong"]}
        propagated = propagate(work)
        assert in_thread(propagated) == {"name": ["oolong", "green"]}
        assert in_thread(propagated) == {"name": ["oolong", "green"]}
        assert request.json == {"name": ["oolong"]}


def test_data_that_was_read_is_there_in_every_form(shop: Flask) -> None:
    found = after(shop, lambda: (request.data, request.form["name"]), read_data, **FORM)
    assert found == (b"name=oolong", "oolong")


@pytest.mark.parametrize(
    "order", [("form", "data"), ("data", "form"), ("form", "values"), ("data", "values")]
)
def test_a_form_and_data_in_any_order(shop: Flask, order: tuple[str, ...]) -> None:
    """After a form was parsed the data is empty, and says nothing of the form."""

    def read() -> None:
        for name in order:
            _ = request.get_data() if name == "data" else getattr(request, name)

    assert after(shop, lambda: request.form["name"], read, **FORM) == "oolong"


@pytest.mark.parametrize("name", ["form", "files", "values", "json", "data", "stream"])
def test_a_body_that_was_not_read_is_an_error_that_says_why(shop: Flask, name: str) -> None:
    """Not an empty form."""

    def work() -> t.Any:
        value = getattr(request, name)
        return value.read() if name == "stream" else value

    given = JSON if name in {"json", "data", "stream"} else FORM
    with pytest.raises(SnapshotError, match="was not read when the work was started") as caught:
        after(shop, work, **given)
    assert "before propagate()" in str(caught.value)


def test_a_body_that_was_read_as_a_stream_is_not_kept(shop: Flask) -> None:
    with pytest.raises(SnapshotError, match="was not read"):
        after(shop, lambda: request.data, read_stream, **JSON)


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"CONTENT_LENGTH": "0"},
        {"CONTENT_LENGTH": ""},
        {"wsgi.input_terminated": True},
        {"SERVER_PROTOCOL": "HTTP/2"},
    ],
)
def test_a_request_without_a_body_has_an_empty_one(shop: Flask, environ: dict[str, t.Any]) -> None:
    """Whatever a server says of its stream."""
    with shop.test_request_context("/x", environ_overrides=environ):
        work = propagate(lambda: (request.data, dict(request.form), request.get_json(silent=True)))
    assert in_thread(work) == (b"", {}, None)


@pytest.mark.parametrize(
    "environ",
    [
        {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True},
        {"SERVER_PROTOCOL": "HTTP/2", "REQUEST_METHOD": "POST", "wsgi.input_terminated": True},
    ],
)
def test_a_body_without_a_length_may_be_there(shop: Flask, environ: dict[str, t.Any]) -> None:
    with shop.test_request_context("/x", environ_overrides=environ):
        work = propagate(lambda: request.data)
    with pytest.raises(SnapshotError, match="was not read"):
        in_thread(work)


@pytest.mark.skipif(not hasattr(Request, "_max_form_memory_size"), reason="since Flask 3.1")
def test_a_limit_that_the_request_raised_for_itself_holds(shop: Flask) -> None:
    """What it could read is not refused elsewhere."""
    shop.config["MAX_FORM_MEMORY_SIZE"] = 10

    def read() -> None:
        t.cast("t.Any", request).max_form_memory_size = 1000
        assert request.get_data()

    form = {"method": "POST", "data": {"name": "x" * 600, "pic": (io.BytesIO(b"x"), "x")}}
    found = after(shop, lambda: len(request.form["name"]), read, **t.cast("t.Any", form))
    assert found == 600


# ------------------------------------------------------------------------------ files


def upload(size: int = 4) -> dict[str, t.Any]:
    return {"method": "POST", "data": {"pic": (io.BytesIO(b"x" * size), "pic.png"), "name": "tea"}}


@pytest.mark.parametrize("size", [4, 600_000])  # in memory, and in a temporary file
def test_files_are_read_elsewhere_and_stay_open_for_the_request(shop: Flask, size: int) -> None:
    """The work neither closes them nor its context's end does."""

    def work() -> tuple[t.Any, ...]:
        file = request.files["pic"]
        with file.stream as stream:  # which closes it at its end
            data = stream.read(2)
        file.close()
        return file.filename, file.name, file.content_type, data, request.form["name"]

    with shop.test_request_context("/", **upload(size)):
        assert request.files
        assert in_thread(propagate(work)) == ("pic.png", "pic", "image/png", b"xx", "tea")
        mine = request.files["pic"]
        assert not mine.stream.closed
        mine.seek(0)
        assert len(mine.read()) == size
        request.environ["wsgi.input"].close()  # the test builder's own


def test_a_file_can_be_saved_and_iterated_elsewhere(shop: Flask, tmp_path: t.Any) -> None:
    def work() -> list[bytes]:
        request.files["pic"].save(tmp_path / "pic.png")
        request.files["pic"].seek(0)
        return [*request.files["pic"]]

    with shop.test_request_context("/", **upload()):
        assert request.files
        assert in_thread(propagate(work)) == [b"xxxx"]
    assert (tmp_path / "pic.png").read_bytes() == b"xxxx"


def test_a_file_whose_request_has_ended_says_so(shop: Flask) -> None:
    def work() -> None:
        file = request.files["pic"]
        assert file.filename == "pic.png"
        assert file.stream.closed
        file.read()

    with pytest.raises(SnapshotError, match="files end with the request that they came with"):
        after(shop, work, lambda: request.files, **upload())


def test_files_of_kept_data_are_each_ones_own(shop: Flask) -> None:
    """Data that was read before the form is parsed again, elsewhere."""
    found = after(shop, read_file, read_data, **upload())
    assert found == b"xxxx"


# ---------------------------------------------------------------------------- session


def with_session(app: Flask, work: Work, **values: t.Any) -> t.Any:
    def fill() -> None:
        session.update(values)

    return after(app, work, fill)


def test_the_session_is_there_as_it_was(shop: Flask) -> None:
    """With what the view had changed by then, and was never saved."""

    def work() -> tuple[t.Any, ...]:
        return dict(session), session["cart"], "user" in session, len(session), session.permanent

    found = with_session(shop, work, user="ada", cart=[{"tea": 1}])
    assert found == (
        {"user": "ada", "cart": [{"tea": 1}]}, [{"tea": 1}], True, 2, False,
    )  # fmt: skip


CHANGES: list[t.Callable[[t.Any], t.Any]] = [
    lambda s: s.__setitem__("x", 1),
    lambda s: s.pop("user"),
    lambda s: s.clear(),
    lambda s: s.update(x=1),
    lambda s: s.setdefault("x", 1),
    lambda s: s.setdefault("user", 1),
    lambda s: s.__delitem__("user"),
    lambda s: s.popitem(),
    lambda s: s.__ior__({"x": 1}),
    lambda s: setattr(s, "permanent", True),
    lambda s: setattr(s, "modified", True),
    lambda _: flash("hello"),
    lambda s: s["cart"].append(1),
    lambda s: s["cart"].__iadd__([1]),
    lambda s: s["cart"].__setitem__(0, 1),
    lambda s: s["cart"].sort(),
    lambda s: s["cart"][0].update(tea=2),
    lambda s: s["cart"][0].__setitem__("tea", 2),
    lambda s: s["pair"][1].append(2),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_the_session_is_an_error_that_says_why(
    shop: Flask, change: t.Callable[[t.Any], t.Any]
) -> None:
    """Also deep inside, where Flask's own would lose it in silence."""
    with pytest.raises(SnapshotError, match="read-only copy") as caught:
        with_session(shop, lambda: change(session), user="ada", cart=[{"tea": 1}], pair=(1, [1]))
    assert "Change it in the view" in str(caught.value)


def test_what_the_request_put_into_the_session_is_copied_too(shop: Flask) -> None:
    """It is a plain value only in the next request."""
    with shop.test_request_context():
        session["by_tea"], session["found"] = defaultdict(list, green=[1]), {"green"}
        session["order"] = OrderedDict(first=[1])

        def change() -> None:
            assert session["found"] == {"green"}
            assert not hasattr(session["found"], "add")
            changes: list[t.Callable[[], object]] = [
                lambda: session["by_tea"].update(black=[2]),
                lambda: session["by_tea"]["green"].append(2),
                session["order"].clear,
            ]
            for change_it in changes:
                with pytest.raises(SnapshotError, match="read-only copy"):
                    change_it()
            with pytest.raises(KeyError):
                session["by_tea"]["white"]

        in_thread(propagate(change))
        assert session["by_tea"] == {"green": [1]}
        assert session["order"] == {"first": [1]}


class Order:
    """An object of the user's, which only a session on the server's side can keep."""

    def __init__(self, *teas: str) -> None:
        self.teas = list(teas)


Change = t.Callable[[t.Any], object]
OBJECTS: list[tuple[t.Any, Change]] = [
    (Counter(green=1), lambda found: found.update(["black"])),
    (deque(["green"]), lambda found: found.append("black")),
    (bytearray(b"green"), lambda found: found.extend(b"!")),
    (Order("green"), lambda found: found.teas.append("black")),
    ({"orders": [Order("green")]}, lambda found: found["orders"][0].teas.append("black")),
    ((1, deque()), lambda found: found[1].append("black")),
    (MultiDict([("tea", "green")]), lambda found: found.add("tea", "black")),
]


@pytest.mark.parametrize(("value", "change"), OBJECTS)
def test_other_objects_in_the_session_are_each_calls_own(
    shop: Flask, value: t.Any, change: Change
) -> None:
    """What one call changes in them neither the request sees nor another call, or the reverse."""

    def work() -> bytes:
        before = pickle.dumps(session["value"])
        change(session["value"])
        return before

    with shop.test_request_context():
        session["value"] = value
        unchanged = in_thread(propagate(lambda: pickle.dumps(session["value"])))
        propagated = propagate(work)
        assert [in_thread(propagated) for _ in range(2)] == [unchanged] * 2
        assert session["value"] is value
        kept = copy.deepcopy(value)
        change(value)
        assert in_thread(propagated) == unchanged
        assert pickle.dumps(kept) != pickle.dumps(value)


def test_an_object_that_the_session_holds_twice_is_copied_once(shop: Flask) -> None:
    """For each call, as copy.deepcopy() does."""
    with shop.test_request_context():
        session["last"] = order = Order("green")
        session["orders"] = [order, order]
        propagated = propagate(lambda: {id(session["last"]), *map(id, session["orders"])})
        assert len(in_thread(propagated)) == 1


FIXED_VALUES = (
    Markup("<b>"), UUID(int=1), datetime(2024, 1, 1, tzinfo=timezone.utc), timedelta(1), 1.5,
    b"x", None, Decimal(1),
)  # fmt: skip


def test_a_value_that_cant_change_is_not_copied(shop: Flask) -> None:
    with shop.test_request_context():
        session["values"] = list(FIXED_VALUES)
        found = in_thread(propagate(lambda: list(session["values"])))
    assert [a is b for a, b in zip(found, FIXED_VALUES, strict=True)] == [True] * len(found)


class Refusing:
    def __deepcopy__(self, memo: object) -> t.NoReturn:
        raise ValueError("not me")


@pytest.mark.parametrize(
    ("value", "type_name"),
    [
        (threading.Lock(), "lock"),
        (Refusing(), "Refusing"),
        ((number for number in [1]), "generator"),
        ({frozenset([Refusing()])}, "Refusing"),
    ],
)
def test_what_cant_be_copied_is_shared_and_told(
    shop: Flask, value: t.Any, type_name: str, recwarn: pytest.WarningsRecorder
) -> None:
    """By its key, where the work was started; all else in the session is copied."""
    with shop.test_request_context():
        session["cart"], session["order"] = {"held": value}, Order("green")

        def work() -> t.Any:
            session["order"].teas.append("black")
            return session["cart"]["held"]

        found = in_thread(propagate(work))
        assert found is value or type(value) is set
        assert session["order"].teas == ["green"]
    [warning] = recwarn
    assert warning.category is SharedValueWarning
    assert warning.filename == __file__
    message = str(warning.message)
    assert f"work shares 'cart' ({type_name}) of the session with the request" in message
    assert message.endswith('or leave the request behind: request="none".')


def test_what_holds_itself_is_copied(shop: Flask) -> None:
    """No cookie can keep it, but a session on the server's side can."""
    mine: list[t.Any] = []
    mine.append(mine)
    with shop.test_request_context():
        session["list"] = mine
        found = in_thread(propagate(lambda: session["list"]))
        assert found[0] is found is not mine


class Moody:
    """Can be a key; its copy can't."""

    def __deepcopy__(self, memo: object) -> list[int]:
        return [1]


def test_what_is_no_key_once_it_is_copied_is_shared_whole(shop: Flask) -> None:
    """With the dict that it is a key of, since nothing else can have it."""
    with shop.test_request_context():
        session["keys"] = mine = {Moody(): 1}
        with pytest.warns(SharedValueWarning, match=r"'keys' \(dict\)"):
            propagated = propagate(lambda: session["keys"])
        assert in_thread(propagated) is mine


def test_nothing_is_told_where_the_request_is_left_behind(shop: Flask) -> None:
    """There is no session then. No repr of the user's stands in a warning."""
    with shop.test_request_context():
        session["cart"] = threading.Lock()
        assert in_thread(propagate(lambda: 1, request="none")) == 1
        session[t.cast("str", Moody())] = threading.Lock()
        with pytest.warns(SharedValueWarning) as told:
            propagate(print)
    assert "'cart' (lock), a key that is no str (lock) of the session" in str(told[0].message)


def test_what_fails_to_be_copied_leaves_nothing_half_copied(shop: Flask) -> None:
    """What it has in common with another value is whole there."""
    order = Order("green")

    class Both:
        def __init__(self) -> None:
            self.order, self.lock = order, threading.Lock()

    with shop.test_request_context():
        session["first"], session["then"] = Both(), order
        with pytest.warns(SharedValueWarning, match=r"'first' \(.*Both\)"):
            propagated = propagate(lambda: (session["first"].order, session["then"]))
        shared, copied = in_thread(propagated)
        assert shared is order
        assert copied is not order
        assert copied.teas == ["green"]


def test_a_copy_of_a_sessions_value_can_be_changed(shop: Flask) -> None:
    def work() -> tuple[t.Any, ...]:
        deep, shallow = copy.deepcopy(session["cart"]), list(session["cart"])
        deep[0]["tea"] = 2
        shallow.append(3)
        pickled = pickle.loads(pickle.dumps(dict(session)))
        pickled["cart"].append(1)
        copied = session["cart"].copy()
        copied.append(4)
        return deep, shallow, pickled, copied, json.dumps(dict(session))

    assert with_session(shop, work, cart=[{"tea": 1}]) == (
        [{"tea": 2}], [{"tea": 1}, 3], {"cart": [{"tea": 1}, 1]}, [{"tea": 1}, 4],
        '{"cart": [{"tea": 1}]}',
    )  # fmt: skip


@pytest.mark.parametrize("kit", [True, False])
@pytest.mark.parametrize("trace", [True, False])
def test_the_requests_own_session_is_not_accessed(kit: bool, trace: bool) -> None:
    """Neither by taking the copy nor by reading it: the response has no Vary: Cookie."""
    shop = make("no kit", CTXKIT_TRACE=trace)
    if kit:
        CtxKit(shop)
    seen: list[t.Any] = []

    @shop.get("/write")
    def write() -> str:
        session["user"] = "ada"
        return "x"

    @shop.get("/")
    def index() -> str:
        seen.append(in_thread(propagate(lambda: (session["user"], dict(session)))))
        return "x"

    client = shop.test_client()
    client.get("/write")
    answer = client.get("/")
    assert seen == [("ada", {"user": "ada"})]
    assert "Vary" not in answer.headers
    assert "Set-Cookie" not in answer.headers


def test_a_session_that_cant_be_opened_is_empty_and_read_only() -> None:
    """Without a SECRET_KEY Flask's own refuses changes too."""
    shop = Flask("shop")
    CtxKit(shop)
    with shop.test_request_context():
        assert in_thread(propagate(lambda: dict(session))) == {}
        with pytest.raises(SnapshotError):
            in_thread(propagate(lambda: session.update(x=1)))


def test_a_session_that_is_no_dict_is_copied_too() -> None:
    """A server-side session of another extension, which counts its accesses."""

    class Own(SessionMixin):
        def __init__(self) -> None:
            self.accessed = False

        def __getitem__(self, name: str) -> t.Any:
            self.accessed = True
            return {"user": "ada"}[name]

        def __setitem__(self, name: str, value: t.Any) -> None:
            raise NotImplementedError

        __delitem__ = t.cast("t.Any", __getitem__)

        def __iter__(self) -> t.Iterator[str]:
            return iter(["user"])

        def __len__(self) -> int:
            return 1

    class Interface(SessionInterface):
        def open_session(self, app: Flask, request: Request) -> Own:
            opened.append(Own())
            return opened[-1]

        def save_session(self, *_: t.Any) -> None:
            saved.append(1)

    opened: list[Own] = []
    saved: list[int] = []
    shop = make("no kit")
    shop.session_interface = Interface()
    with shop.test_request_context():
        assert in_thread(propagate(lambda: dict(session))) == {"user": "ada"}
    assert len(opened) == 1  # none for the work
    assert not opened[0].accessed
    assert saved == []


JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        | st.tuples(inner, inner)
    ),
    max_leaves=10,
)


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=3), JSONISH, max_size=4))
def test_any_session_is_copied_equal_and_apart(values: dict[str, t.Any]) -> None:
    """Equal at every depth, and nothing in it that can be changed is the original's."""
    found = SessionCopy(dict(values)).new()
    assert found == values
    assert json.dumps(found, sort_keys=True) == json.dumps(values, sort_keys=True)
    assert copy.deepcopy(dict(found)) == values
    originals = {id(part) for part in _parts(values)}
    assert not originals & {id(part) for part in _parts(dict(found))}


def _parts(value: t.Any) -> t.Iterator[t.Any]:
    if isinstance(value, (dict, list)):
        yield value
    if isinstance(value, (dict, list, tuple)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _parts(inner)


def test_a_request_of_a_real_environ_is_kept(shop: Flask) -> None:
    """What a test builder makes, with no server."""
    environ = EnvironBuilder("/tea", data={"name": "x"}, method="POST").get_environ()
    with shop.request_context(environ):
        g.name = request.form["name"]
        assert in_thread(propagate(lambda: (request.form["name"], g.name), g=["name"])) == (
            "x",
            "x",
        )
