"""Objects that lie, raise, count calls, or are huge: none runs code, none takes long."""

from __future__ import annotations

import collections
import decimal
import functools
import json
import pathlib
import re
import sys
import threading
import time
import typing as t
import unittest.mock

import flask
import pytest
from werkzeug.local import LocalProxy

from flask_ctxkit.redact import Redactor, mark, without_values
from flask_ctxkit.redact import redactor as redactor_module
from flask_ctxkit.redact.capture import Walk

SECRET = "t0ps3cret"
QUICK = 0.5
"""Seconds of this thread, whatever else the machine does: a thousand times what a copy takes,
and far less than reading the value would."""


class CodeRanError(BaseException):
    """Raised by all code of the hostile classes; no ``except Exception`` can hide it."""


def boom(*_args: object, **_kwargs: object) -> t.NoReturn:
    raise CodeRanError


DUNDERS = (
    "__repr__", "__str__", "__eq__", "__hash__", "__len__", "__iter__", "__getattr__",
    "__getattribute__", "__getitem__", "__contains__", "__bool__", "__format__", "__dir__",
    "__reduce_ex__", "__sizeof__", "__int__", "__float__", "__index__", "__bytes__",
    "__instancecheck__", "__lt__", "__call__", "__enter__", "__copy__", "__deepcopy__",
    "__length_hint__", "__next__", "__reversed__", "__missing__", "__fspath__", "__del__of__",
)  # fmt: skip
METHODS = (
    "items", "keys", "values", "get", "copy", "encode", "decode", "lower", "isalnum", "isascii",
    "startswith", "strip", "isoformat", "utcoffset", "hex", "bit_length", "as_integer_ratio",
)  # fmt: skip
TRAPS: dict[str, t.Any] = dict.fromkeys((*DUNDERS, *METHODS), boom)
LIAR = property(boom)


class Meta(type):
    """A metaclass that allows no question about its classes."""

    __getattribute__ = boom
    __instancecheck__ = boom
    __subclasscheck__ = boom
    __hash__ = boom
    __eq__ = boom
    __repr__ = boom
    __call__ = type.__call__
    mro = type.mro


def hostile(*bases: type, **namespace: t.Any) -> t.Any:
    """A class that answers nothing, and lies about its class."""
    return Meta("Hostile", bases, {**TRAPS, "__class__": LIAR, "__slots__": (), **namespace})


VALUES: dict[str, t.Callable[[], t.Any]] = {
    "str": lambda: str.__new__(hostile(str), "hello"),
    "bytes": lambda: bytes.__new__(hostile(bytes), b"hello"),
    "bytearray": lambda: hostile(bytearray)(b"hello"),
    "int": lambda: int.__new__(hostile(int), 5),
    "float": lambda: float.__new__(hostile(float), 5.5),
    "complex": lambda: complex.__new__(hostile(complex), 5),
    "list": lambda: hostile(list)([1, 2]),
    "tuple": lambda: tuple.__new__(hostile(tuple), (1, 2)),
    "set": lambda: hostile(set)([1]),
    "frozenset": lambda: frozenset.__new__(hostile(frozenset), [1]),
    "deque": lambda: hostile(collections.deque)([1]),
    "dict": lambda: hostile(dict)({"a": 1, "password": SECRET}),
    "defaultdict": lambda: hostile(collections.defaultdict)(boom, {"a": 1}),
    "object": lambda: object.__new__(hostile(object)),
    "exception": lambda: hostile(ValueError)("hello", 1),
    "partial": lambda: hostile(functools.partial)(boom),
    "class": functools.partial(hostile, object),
    "function": lambda: boom,
    "proxy": lambda: flask.g,
    "mock": lambda: unittest.mock.MagicMock(side_effect=boom, __repr__=boom),
}


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("place", ["alone", "secret", "list", "pair", "attribute", "mapping"])
def test_no_code_of_a_value_runs(name: str, place: str) -> None:
    """Not ``__repr__``, ``__eq__``, ``__hash__``, ``__len__``, a property, or a metaclass's."""
    redactor = Redactor()
    value = VALUES[name]()
    holder = type("Holder", (), {})()
    if place == "pair":
        value = (value, 1)
    if place == "attribute":
        object.__setattr__(holder, "a", value)
        value = holder
    if place == "list":
        value = [value, (value,), {"k": value}]
    captured = (
        redactor.mapping({"a": value})
        if place == "mapping"
        else redactor.capture("token" if place == "secret" else "x", value)
    )
    assert SECRET not in json.dumps(captured)
    assert redactor.failures == 0
    without_values(captured)
    mark(value)


def test_hostile_builtins_are_read_through_their_base() -> None:
    """What they hold is shown: only their own methods aren't trusted."""
    redactor = Redactor()
    captured = [redactor.capture("x", VALUES[n]()) for n in ("str", "list", "dict", "exception")]
    assert captured[0]["$text"] == "hello"
    assert captured[1]["$items"] == [1, 2]
    assert captured[2]["$items"]["a"] == 1
    assert captured[2]["$items"]["password"]["$hidden"] == 'name contains "password"'
    assert captured[3]["$attributes"]["args"]["$items"] == ["hello", 1]


def test_a_dict_property_is_not_asked() -> None:
    """Nor a ``__dict__`` that a base class has."""

    class Base:
        def __init__(self) -> None:
            self.colour = "red"
            self.token = SECRET

    class Lying(Base):
        __dict__ = property(boom)

    class Bare:
        __dict__ = property(boom)

    redactor = Redactor()
    captured = redactor.capture("x", Lying())
    assert captured["$attributes"]["colour"] == "red"
    assert captured["$attributes"]["token"]["$hidden"] == 'name contains "token"'
    assert set(redactor.capture("x", Bare())) == {"$type"}
    assert redactor.failures == 0


def test_an_instance_dict_of_a_users_class_is_read_through_dict() -> None:
    class Thing:
        pass

    thing = Thing()
    thing.__dict__ = hostile(dict)({"a": 1, "token": SECRET})
    captured = Redactor().capture("x", thing)
    assert captured["$size"] == 2
    assert captured["$attributes"]["a"] == 1
    assert SECRET not in json.dumps(captured)


def test_slots_behind_properties_and_foreign_descriptors() -> None:
    """A property under a slot's name isn't called, a descriptor of another class is left out."""

    class Base:
        __slots__ = ("colour",)

        def paint(self) -> None:
            Base.colour.__set__(self, "red")  # type: ignore[attr-defined]

    class Other:
        __slots__ = ("size",)

    class Lying(Base):
        __slots__ = ()
        colour = property(boom)
        stolen = Other.__dict__["size"]

    lying = Lying()
    lying.paint()
    captured = Redactor().capture("x", lying)
    assert captured["$attributes"] == {"colour": "red"}


def test_a_class_without_a_module_or_with_a_false_one() -> None:
    """``__module__`` may hold anything."""
    odd = type("Odd", (), {"__module__": property(boom)})
    assert Redactor().capture("x", odd())["$type"] == "object"
    long = type("L" * 1000, (), {})
    assert len(Redactor().capture("x", long())["$type"]) == 200


def test_a_named_tuple_with_false_fields() -> None:
    """Fields that aren't names, or of another number, are no fields."""
    kinds = [
        type("F", (tuple,), {"_fields": fields})
        for fields in (("a",), property(boom), ("a", 1), [1, 2], hostile(tuple)(("a", "b")))
    ]
    for kind in kinds:
        assert Redactor().capture("x", kind((1, 2)))["$items"] == [1, 2]


def test_a_path_of_a_users_text_is_not_asked() -> None:
    """From Python 3.12 a path keeps the text it was made of, and puts it together when asked."""

    class Text(str):
        __slots__ = ()
        asked: t.ClassVar[list[object]] = []

        def __getitem__(self, key: t.Any) -> str:
            self.asked.append(key)
            return super().__getitem__(key)

        def replace(self, *args: t.Any) -> str:
            self.asked.append(args)
            return super().replace(*args)

    paths = [pathlib.PurePosixPath(Text("/a/b")), pathlib.Path(Text("/a"), Text("b"))]
    Text.asked.clear()
    captured = Redactor().capture("x", paths)
    assert Text.asked == []
    assert all(path["$type"].endswith("PosixPath") for path in captured)


def test_a_threads_local_is_not_looked_into() -> None:
    """Its ``__init__`` would run in each thread, and its ``__dict__`` is not where they are."""
    calls = []

    class PerThread(threading.local):
        def __init__(self) -> None:
            calls.append(threading.get_ident())

    value = PerThread()
    captured: list[t.Any] = []
    both = lambda: captured.extend(Redactor().capture(name, value) for name in ("x", "token"))
    thread = threading.Thread(target=both)
    thread.start()
    thread.join()
    assert [set(one) for one in captured] == [{"$type"}, {"$hidden", "$type", "$mark"}]
    assert len(calls) == 1


def test_a_proxy_is_not_resolved() -> None:
    """Outside a context it would raise, and inside one it would touch the session."""
    assert (
        Redactor().capture("x", [flask.request, flask.session, flask.g])
        == [{"$type": "werkzeug.local.LocalProxy"}] * 3
    )
    app = flask.Flask(__name__)
    app.secret_key = "k"
    with app.test_request_context():
        resolved: list[bool] = []
        proxy = LocalProxy(lambda: resolved.append(True))
        Redactor().capture("x", {"proxy": proxy, "session": flask.session})
        assert resolved == []


def test_a_function_with_a_false_name() -> None:
    class Name(str):
        __slots__ = ()
        __getitem__ = boom

    def view() -> None: ...

    view.__qualname__ = Name("x")
    view.__module__ = t.cast("str", 5)
    assert Redactor().capture("x", view) == {"$type": "function", "$name": ""}


def test_a_key_of_a_users_class_is_read_as_text() -> None:
    class Key(str):
        __slots__ = ()
        __hash__ = str.__hash__
        lower = startswith = isalnum = __getitem__ = __str__ = boom

    captured = Redactor().capture("x", {Key("csrf_token"): SECRET, Key("cart"): 1})
    assert captured["cart"] == 1
    assert captured["csrf_token"]["$hidden"] == 'name contains "csrf"'


BIG = 100_000_000


@pytest.mark.parametrize(
    "make",
    [
        lambda: "x" * BIG,
        lambda: "x." * (BIG // 2),
        lambda: b"x" * BIG,
        lambda: bytearray(BIG),
        lambda: "é" * (BIG // 4),
        lambda: [0] * (BIG // 10),
        lambda: (0,) * (BIG // 10),
        lambda: dict.fromkeys(range(10_000), "x" * 10_000),
        lambda: {"k" * (BIG // 10) + str(n): 1 for n in range(3)},
        lambda: {10**n: 10**n for n in range(0, 3000, 10)},
        lambda: 1 << (BIG * 8),
        lambda: decimal.Decimal("1" * (BIG // 100)),
    ],
    ids=["str", "dotted", "bytes", "bytearray", "wide", "list", "tuple", "dict", "keys", "ints",
         "int", "decimal"],
)  # fmt: skip
@pytest.mark.parametrize("name", ["x", "token"])
def test_time_does_not_grow_with_the_value(make: t.Callable[[], t.Any], name: str) -> None:
    """Only what is shown is read."""
    value = make()
    redactor = Redactor()
    begun = time.thread_time()
    captured = redactor.capture(name, value)
    assert time.thread_time() - begun < QUICK
    assert redactor.failures == 0
    assert len(json.dumps(captured)) < 100_000


HOSTILE_TEXTS = {
    "letters": "a" * 1_000_000,
    "dots": "a." * 500_000,
    "dashes": "a-" * 500_000,
    "names": "a_b.c-d[e]" * 100_000,
    "equals": "=" * 1_000_000,
    "colons": "a:" * 500_000,
    "schemes": "://" * 333_333,
    "authorities": "://a:" * 200_000,
    "bearers": "bearer " * 142_857,
    "basics": "Basic aaaa" * 100_000,
    "pem": "-----BEGIN " * 90_000,
    "pem ends": "-----BEGIN x-----END " * 47_000,
    "jwt": "eyJ" * 333_333,
    "jwts": "eyJhbGciOi." * 90_000,
    "keys": "ghp_" * 250_000,
    "quotes": "password='" + "'" * 1_000_000,
    "escapes": 'password="' + "\\" * 1_000_000,
    "passwords": "password=a " * 90_000,
    "spaces": "password" + " " * 1_000_000 + "=x",
    "options": "--token" * 140_000,
    "percents": "%3D" * 333_333,
    "parameters": "a=b&" * 250_000,
    "signatures": ".aaaaaa." * 125_000,
    "surrogates": "\udc80" * 1_000_000,
}


@pytest.mark.parametrize("kind", HOSTILE_TEXTS)
def test_a_hostile_text_takes_no_time(kind: str) -> None:
    """No pattern goes back over what it has seen, and no text is read whole."""
    redactor, text = Redactor(), HOSTILE_TEXTS[kind]
    begun = time.thread_time()
    redactor.capture("x", text)
    for short in (redactor.text(text), redactor.url(text), redactor.text(text[::-1])):
        assert len(short) < 2100
        short.encode()
    redactor.environ({"HTTP_COOKIE": text, "QUERY_STRING": text, "HTTP_X": text, "PATH_INFO": text})
    for name in ("Set-Cookie", "Location", text):
        redactor.header(name, text)
    assert time.thread_time() - begun < QUICK
    assert redactor.failures == 0


@pytest.mark.parametrize("kind", HOSTILE_TEXTS)
def test_every_pattern_is_linear(kind: str) -> None:
    """Ten times the text takes not much more than ten times the time, beyond any window."""
    texts = Redactor()._texts
    short, long = HOSTILE_TEXTS[kind][:10_000], HOSTILE_TEXTS[kind][:100_000]
    took = []
    for text in (short, long):
        begun = time.thread_time()
        texts.scrubbed(text)
        texts.url(text)
        took.append(time.thread_time() - begun)
    assert took[1] < max(40 * took[0], 0.2)


def test_a_failure_counts_and_hides(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the redactor's own is never a reason to show a value."""

    def fail(*_args: object, **_kwargs: object) -> t.NoReturn:
        raise RuntimeError

    redactor = Redactor()
    monkeypatch.setattr(Walk, "value", fail)
    monkeypatch.setattr(Walk, "name", fail)
    assert redactor.capture("x", [SECRET]) == {"$hidden": "could not be read safely"}
    assert redactor.mapping({"x": SECRET}) == {"$hidden": "could not be read safely"}
    assert redactor.config({"x": SECRET}) == {"$hidden": "could not be read safely"}
    assert redactor.environ({"PATH_INFO": SECRET}) == {"$hidden": "could not be read safely"}
    assert redactor.header("X-Api-Key", SECRET) == {"$hidden": "could not be read safely"}
    failures = redactor.failures
    assert failures >= 5
    monkeypatch.setattr(redactor_module, "plain_name", fail)
    assert redactor.secret_name("x") == "could not be read safely"
    assert redactor.text(5) == redactor.url(None) == "•••"  # type: ignore[arg-type]
    assert redactor.failures == failures + 3


def test_one_failing_value_spares_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    value = Walk.value

    def fail(self: Walk, name: str, *rest: t.Any) -> t.Any:
        if name == "bad":
            raise RuntimeError
        return value(self, name, *rest)

    monkeypatch.setattr(Walk, "value", fail)
    captured = Redactor().mapping({"good": [1], "bad": [1]})
    assert captured == {"good": [1], "bad": {"$hidden": "could not be read safely"}}


def test_near_the_recursion_limit_a_value_is_hidden() -> None:
    """A view may be deep in a recursion of its own when it is looked at."""
    redactor = Redactor()
    results: list[t.Any] = []

    def deep() -> None:
        results.append(redactor.capture("x", [{"a": [SECRET]}]))
        deep()

    with pytest.raises(RecursionError):
        deep()
    assert results[0] == [{"a": [SECRET]}]
    assert redactor.failures > 0
    assert {"$hidden": "could not be read safely"} in results


def test_a_signal_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that is told to stop while it looks must stop."""
    monkeypatch.setattr(Walk, "value", boom)
    with pytest.raises(CodeRanError):
        Redactor().capture("x", [1])


def test_values_that_change_meanwhile() -> None:
    """Another thread fills and clears what is looked at; nothing raises, nothing fails."""
    shared: dict[str, t.Any] = {"list": [], "deque": collections.deque(), "set": set()}
    holder = type("Holder", (), {})()
    stop = threading.Event()

    def change() -> None:
        n = 0
        while not stop.is_set():
            n += 1
            shared[f"k{n % 500}"] = n
            shared["list"].append(n)
            shared["deque"].append(n)
            shared["set"].add(n)
            setattr(holder, f"a{n % 300}", n)
            if n % 400 == 0:
                shared["list"].clear()
                shared["deque"].clear()
                shared["set"].clear()
                for m in range(500):
                    shared.pop(f"k{m}", None)
                holder.__dict__.clear()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    threads = [threading.Thread(target=change) for _ in range(2)]
    redactor = Redactor()
    try:
        for thread in threads:
            thread.start()
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            redactor.capture("x", [shared, holder])
            redactor.mapping(shared)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        sys.setswitchinterval(interval)
    assert redactor.failures == 0


def test_one_redactor_serves_many_threads() -> None:
    """What it remembers is shared, and emptied while others read it."""
    redactor = Redactor()
    errors: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            for n in range(3000):
                redactor.environ({f"HTTP_X_{seed}_{n}": f"value of {n}", "QUERY_STRING": f"q={n}"})
                shown = redactor.capture(f"token_{seed}_{n}", f"value {n}")
                assert shown["$hidden"] == 'name contains "token"'
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert redactor.failures == 0


def test_what_is_remembered_of_texts_and_keys_has_an_end() -> None:
    """A client that invents headers can't fill the memory."""
    redactor = Redactor()
    for n in range(5000):
        redactor.environ({f"HTTP_X_{n}": f"some value {n}"})
        redactor.header(f"X-{n}", f"some other value {n}")
        redactor.capture("x", "long value " * 100 + str(n))
    assert len(redactor._texts._harmless) <= 1024
    assert max(map(len, redactor._texts._harmless)) <= 300
    assert len(redactor._wire._variables) <= 512
    assert len(redactor._wire._headers) <= 512


def test_only_harmless_texts_are_remembered() -> None:
    """What is kept to be quick must hold no secret."""
    redactor = Redactor()
    redactor.capture("x", f"Bearer {SECRET}")
    redactor.capture("password", SECRET)
    redactor.text(f"password={SECRET}")
    redactor.environ({"HTTP_COOKIE": f"session={SECRET}", "QUERY_STRING": f"token={SECRET}"})
    redactor.header("Set-Cookie", f"session={SECRET}")
    redactor.header("X-Api-Key", SECRET)
    assert not any(re.search(SECRET, text) for text in redactor._texts._harmless)
