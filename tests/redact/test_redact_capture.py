"""The format of captured values, and its bounds."""

from __future__ import annotations

import collections
import datetime as dt
import decimal
import enum
import http
import json
import math
import pathlib
import types
import typing as t
import uuid
import zoneinfo
from dataclasses import dataclass

import flask
import pytest
from markupsafe import Markup
from werkzeug.datastructures import MultiDict

from flask_ctxkit.redact import Redactor, mark, marks, without_values

PATH = f"{pathlib.PurePosixPath.__module__}.PurePosixPath"
"""Its module is not the same in every Python."""


class Point(t.NamedTuple):
    x: int
    password: str


@dataclass
class Cart:
    items: list[int]
    owner: str
    api_token: str = "t0ps3cret"
    next: t.Any = None


class Slotted:
    __slots__ = ("colour", "secret", "unset")

    def __init__(self) -> None:
        self.colour = "red"
        self.secret = "t0ps3cret"


def capture(value: object, name: str = "x", **limits: int) -> t.Any:
    redactor = Redactor(**limits)  # type: ignore[arg-type]
    captured = redactor.capture(name, value)
    json.dumps(captured, allow_nan=False)
    assert redactor.failures == 0
    return captured


@pytest.mark.parametrize(
    "value",
    [
        None, True, False, 0, -1, 2**63 - 1, 1.5, -0.0, "", "hello", "héllo wörld", "x" * 200,
        [], [1, [2, ["a"]]], {}, {"a": {"b": None}}, "\x00\n", "2024-01-01 12:00", "a/b?c",
    ],
)  # fmt: skip
def test_plain_values_stand_as_themselves(value: object) -> None:
    """What JSON holds as it is needs no wrapping."""
    captured = capture(value)
    assert captured == value
    assert type(captured) is type(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("x" * 201, {"$type": "str", "$size": 201, "$text": "x" * 200}),
        (b"ab\x89\n", {"$type": "bytes", "$size": 4, "$text": "ab\\x89\\n"}),
        (bytearray(b"ab"), {"$type": "bytearray", "$size": 2, "$text": "ab"}),
        (b"'\"", {"$type": "bytes", "$size": 2, "$text": "\\'\""}),
        ((1, "a"), {"$type": "tuple", "$size": 2, "$items": [1, "a"]}),
        ({7}, {"$type": "set", "$size": 1, "$items": [7]}),
        (frozenset({7}), {"$type": "frozenset", "$size": 1, "$items": [7]}),
        (collections.deque([1]), {"$type": "collections.deque", "$size": 1, "$items": [1]}),
        ([0] * 51, {"$type": "list", "$size": 51, "$items": [0] * 50}),
        (2**63, {"$type": "int", "$text": "9223372036854775808"}),
        (-(2**63), {"$type": "int", "$text": "-9223372036854775808"}),
        (10**5000, {"$type": "int"}),
        (math.inf, {"$type": "float", "$text": "inf"}),
        (1j, {"$type": "complex", "$text": "1j"}),
        (decimal.Decimal("1.50"), {"$type": "decimal.Decimal", "$text": "1.50"}),
        (dt.timedelta(days=1), {"$type": "datetime.timedelta", "$text": "1 day, 0:00:00"}),
        (dt.date(2024, 1, 2), {"$type": "datetime.date", "$text": "2024-01-02"}),
        (uuid.UUID(int=1), {"$type": "uuid.UUID", "$text": str(uuid.UUID(int=1))}),
        (decimal.Decimal("1" * 3000), {"$type": "decimal.Decimal"}),
        (pathlib.PurePosixPath("/a/b"), {"$type": PATH, "$text": "/a/b"}),
        (http.HTTPStatus.OK, {"$type": "http.HTTPStatus", "$text": "200"}),
        (Markup("<b>"), {"$type": "markupsafe.Markup", "$size": 3, "$text": "<b>"}),
        (len, {"$type": "builtin_function_or_method", "$name": "builtins.len"}),
        (json.dumps, {"$type": "function", "$name": "json.dumps"}),
        (json, {"$type": "module", "$name": "json"}),
        (dict, {"$type": "type", "$name": "dict"}),
        (enum.Enum, {"$type": "enum.EnumType", "$name": "enum.Enum"}),
        (types.ModuleType("m").__dict__.get, {"$type": "builtin_function_or_method",
                                              "$name": "dict.get"}),
        (flask.request, {"$type": "werkzeug.local.LocalProxy"}),
        (object(), {"$type": "object"}),
        (memoryview(b"ab"), {"$type": "memoryview"}),
        ((n for n in [1]), {"$type": "generator"}),
        (..., {"$type": "ellipsis"}),
        ("\udc80", {"$type": "str", "$size": 1, "$text": "\\udc80"}),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_other_values_tell_type_and_size(value: object, expected: object) -> None:
    """And the start of their text, where it can be had without asking them."""
    captured = capture(value)
    if isinstance(value, enum.EnumMeta):  # EnumMeta until Python 3.10
        captured["$type"] = "enum.EnumType"
    assert captured == expected


def test_a_dict_keeps_its_order_and_its_keys_become_text() -> None:
    """Keys that would fall together stay two."""
    value = {1: "a", "1": "b", None: "c", (1, 2): "d", 2.5: "e", "$x": 1, "$$x": 2}
    captured = capture(value)
    assert list(captured.items()) == [
        ("1", "a"), ("1 (2)", "b"), ("None", "c"), ("<tuple>", "d"), ("2.5", "e"),
        ("$$x", 1), ("$$$x", 2),
    ]  # fmt: skip
    assert list(capture({10**5000: 1})) == ["<int>"]


def test_a_key_may_be_a_secret() -> None:
    """A dict by token shows a mark in place of the token."""
    token = "eyJhbGciOiJIUzI1NiJ9.eyJhIjoxfQ.c2lnbmF0dXJl"
    assert capture({token: 1}) == {f"•••{mark(token)}": 1}


def test_a_long_key_is_cut_and_its_value_judged_by_the_whole() -> None:
    captured = capture({"a" * 300: 1, "b" * 300 + "_token": "x"})
    assert list(captured) == ["a" * 200 + "…", "b" * 200 + "…"]
    assert captured["b" * 200 + "…"]["$hidden"] == 'name contains "token"'


def test_a_large_dict_is_cut_and_tells_its_size() -> None:
    captured = capture({f"k{n}": n for n in range(10_000)})
    assert captured["$type"] == "dict"
    assert captured["$size"] == 10_000
    assert captured["$items"] == {f"k{n}": n for n in range(50)}


def test_subclasses_of_containers_tell_their_class() -> None:
    """Their items are read the way the builtin class reads them."""
    captured = capture([collections.OrderedDict(a=1), MultiDict({"password": "t0ps3cret"})])
    assert captured[0] == {"$type": "collections.OrderedDict", "$size": 1, "$items": {"a": 1}}
    assert captured[1]["$type"].endswith("MultiDict")
    assert captured[1]["$items"]["password"]["$hidden"] == 'name contains "password"'


def test_a_named_tuple_keeps_its_names() -> None:
    """Without them a password would be the second item."""
    captured = capture(Point(1, "t0ps3cret"))
    assert captured["$items"]["x"] == 1
    assert captured["$items"]["password"]["$hidden"] == 'name contains "password"'


def test_an_object_shows_its_attributes() -> None:
    captured = capture(Cart([1], "ann"))
    assert captured["$type"].endswith("test_redact_capture.Cart")
    assert captured["$size"] == 4
    assert captured["$attributes"]["items"] == [1]
    assert captured["$attributes"]["owner"] == "ann"
    assert captured["$attributes"]["api_token"]["$hidden"] == 'name contains "token"'


def test_slots_that_are_set_are_attributes() -> None:
    captured = capture(Slotted())
    assert captured["$attributes"]["colour"] == "red"
    assert captured["$attributes"]["secret"]["$size"] == 9
    assert "unset" not in captured["$attributes"]
    assert "$size" not in captured


def test_an_object_in_an_object_is_told_by_type_and_size() -> None:
    """One step further begin the engines, apps and sessions."""
    captured = capture(Cart([1], "ann", next=Cart([2], "bob")))
    assert set(captured["$attributes"]["next"]) == {"$type", "$size"}
    listed = capture([Cart([1], "ann"), Cart([2], "bob")])
    assert [item["$attributes"]["owner"] for item in listed] == ["ann", "bob"]


def test_an_exception_shows_its_arguments() -> None:
    captured = capture(ValueError("no such cart", 7))
    assert captured["$type"] == "ValueError"
    assert captured["$attributes"]["args"]["$items"] == ["no such cart", 7]


def test_requests_and_responses_show_nothing_of_their_bodies() -> None:
    """A request caches its form under its attributes."""
    app = flask.Flask(__name__)
    with app.test_request_context("/", method="POST", data={"diary": "dear d1ary"}):
        request = flask.request._get_current_object()  # type: ignore[attr-defined]
        assert request.form["diary"]
        captured = capture([request, flask.Response("dear d1ary")])
    assert [set(item) for item in captured] == [{"$type"}, {"$type"}]


def test_values_of_rows_whose_names_stand_elsewhere_are_not_shown() -> None:
    """A database row holds its values in one tuple, without the names of the columns."""
    row = types.SimpleNamespace(_data=("ann", "pbkdf2:t0ps3cret"))
    assert capture(row)["$attributes"] == {"_data": {"$type": "tuple", "$size": 2}}


def test_times_keep_their_zone() -> None:
    """A zone of a class that isn't known would be asked, so it is named."""

    class Zone(dt.tzinfo):
        def utcoffset(self, when: dt.datetime | None) -> dt.timedelta:
            raise AssertionError

        def dst(self, when: dt.datetime | None) -> dt.timedelta:
            raise AssertionError

        def tzname(self, when: dt.datetime | None) -> str:
            raise AssertionError

    moment = dt.datetime(2024, 1, 2, 3, 4)  # noqa: DTZ001 - without a zone is a case of its own
    assert capture(moment)["$text"] == "2024-01-02T03:04:00"
    assert capture(moment.replace(tzinfo=dt.timezone.utc))["$text"].endswith("+00:00")
    berlin = moment.replace(tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"))
    assert capture(berlin)["$text"].endswith("+01:00")
    assert capture(moment.replace(tzinfo=Zone()))["$text"].startswith("2024-01-02T03:04:00 ")


def test_depth_ends_in_type_and_size() -> None:
    captured = capture([[[[[1, 2]]]]])
    assert captured == [[[[{"$type": "list", "$size": 2}]]]]
    assert capture([[1]], depth=1) == [{"$type": "list", "$size": 1}]


def test_a_cycle_is_named_and_a_value_that_occurs_twice_is_not_one() -> None:
    loop: list[t.Any] = []
    loop.append(loop)
    shared = [1]
    node = Cart([], "ann")
    node.next = node
    assert capture(loop) == [{"$type": "list", "$cycle": True}]
    assert capture([shared, shared]) == [[1], [1]]
    assert capture(node)["$attributes"]["next"]["$cycle"] is True


def test_the_whole_copy_is_bounded() -> None:
    """Wide at every level is as bounded as long at one."""
    wide: t.Any = "x" * 300
    for _ in range(6):
        wide = {f"k{n}": wide for n in range(60)}
    assert len(json.dumps(capture(wide))) < 250_000


def test_a_list_of_objects_is_as_bounded_as_a_list_of_lists() -> None:
    """Attributes count like items."""
    wide = [types.SimpleNamespace(**{f"a{n}": n for n in range(40)}) for _ in range(50)]
    captured = capture(wide)
    assert sum(len(one.get("$attributes", ())) for one in captured) <= 450
    assert captured[-1] == {"$type": "types.SimpleNamespace", "$size": 40}


def test_every_limit_can_be_set() -> None:
    assert capture("abcdef", text=3) == {"$type": "str", "$size": 6, "$text": "abc"}
    assert capture([1, 2, 3], width=2)["$items"] == [1, 2]
    few = capture([[1, 2], [3, 4]], nodes=3)
    assert few == [{"$type": "list", "$size": 2, "$items": [1]}, {"$type": "list", "$size": 2}]


@pytest.mark.parametrize(
    "value",
    [
        None, True, 5, 1.5, 2**70, math.nan, decimal.Decimal(1), http.HTTPStatus.OK,
        dt.timedelta(1), dt.date(2024, 1, 1), dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc),
    ],
)  # fmt: skip
def test_numbers_times_and_durations_are_never_hidden(value: object) -> None:
    """``SESSION_COOKIE_SECURE = False`` and ``token_lifetime`` are what one looks for."""
    assert "$hidden" not in str(capture(value, "token_secret"))


@pytest.mark.parametrize(
    "value", ["", "x", b"x", ["x"], {"a": "x"}, ("x",), Cart([], "x"), Slotted(), uuid.uuid4()]
)
def test_all_else_under_a_secret_name_is_hidden_whole(value: object) -> None:
    captured = capture(value, "csrf_token")
    assert captured["$hidden"] == 'name contains "csrf"'
    assert set(captured) <= {"$hidden", "$type", "$size", "$mark"}


def test_secrets_are_found_at_every_depth() -> None:
    """Under keys and attributes, in pairs, and under a name that only its parent makes secret."""
    value = {
        "a": [{"db_password": "t0ps3cret"}],
        "pairs": [("X-Api-Key", "t0ps3cret"), [b"authorization", b"t0ps3cret"]],
        "field": {"name": "password", "value": "t0ps3cret"},
        "other": {"key": "csrf", "value": "t0ps3cret"},
        "api": {"key": "t0ps3cret", "url": "/v1"},
        "session": {"id": "t0ps3cret"},
        "object": Cart([], "ann", next={"token": "t0ps3cret"}),
    }
    captured = capture(value)
    assert "t0ps3cret" not in json.dumps(captured)
    assert captured["api"]["url"] == "/v1"
    assert captured["pairs"][0]["$items"][0] == "X-Api-Key"


@pytest.mark.parametrize("value", [None, True, 5, 2**70])
def test_a_number_or_nothing_labelled_as_secret_is_shown(value: object) -> None:
    """As it is under a secret name."""
    assert "$hidden" not in str(capture({"name": "password", "value": value}))


def test_the_session_cookie_is_hidden_by_its_name_and_a_session_dict_is_not() -> None:
    redactor = Redactor(cookie_names=("shop",))
    assert redactor.capture("shop", "opaque")["$hidden"] == "name is the session cookie's"
    assert redactor.capture("shop", {"cart": 1}) == {"cart": 1}
    assert Redactor().capture("session", "opaque")["$hidden"] == "name is the session cookie's"
    assert redactor.capture("session", "opaque") == "opaque"


def test_a_path_may_hold_a_secret() -> None:
    captured = capture(pathlib.PurePosixPath("/run/token=t0ps3cret"))
    assert captured["$hidden"] == 'a name inside contains "token"'


def test_equal_secrets_have_equal_marks() -> None:
    """So that a change is seen without the value. Four hexadecimal digits."""
    one, same, other = (capture(v, "token")["$mark"] for v in ("a1", "a1", "a2"))
    assert one == same == mark("a1")
    assert len(one) == 4
    assert int(one, 16) >= 0
    assert len({mark(v) for v in ("a", b"a", ["a"], ("a",), {"a": 1}, None, 1, 1.0)}) > 5
    assert mark(["a"]) == mark(["a"])
    assert one != other or capture("a3", "token")["$mark"] != one


def test_a_mark_is_made_with_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the key nobody can try passwords until one has the mark."""
    before = [mark(word) for word in ("a", "b", "c")]
    monkeypatch.setattr(marks, "_KEY", b"other")
    assert [mark(word) for word in ("a", "b", "c")] != before


def test_a_mark_counts_both_ends_and_the_size_of_a_long_value() -> None:
    long = "a" * 10_000
    marks = {mark(long), mark(long + "a"), mark("b" + long[1:]), mark(long[:-1] + "b")}
    assert len(marks) >= 3
    assert mark("\udc80") == mark("\udc80")
    assert mark(bytearray(b"a")) == mark(b"a")


def test_a_level_without_values_keeps_names_types_sizes_and_marks() -> None:
    value = {"n": 5, "t": "hello", "$d": [1.5, None, True], "o": Cart([1], "ann"), "f": len}
    captured = {**capture(value), "$cut": 3}
    veiled = without_values(captured)
    assert veiled["n"] == {"$type": "int"}
    assert veiled["t"] == {"$type": "str", "$size": 5}
    assert veiled["$$d"] == [{"$type": "float"}, {"$type": "NoneType"}, {"$type": "bool"}]
    assert veiled["o"]["$attributes"]["owner"] == {"$type": "str", "$size": 3}
    assert veiled["o"]["$attributes"]["api_token"] == captured["o"]["$attributes"]["api_token"]
    assert veiled["f"] == captured["f"]
    assert veiled["$cut"] == 3
    assert without_values(veiled) == veiled
    assert without_values(capture("x" * 300)) == {"$type": "str", "$size": 300}
    assert without_values("hello") == {"$type": "str", "$size": 5}


def test_a_mapping_is_copied_name_by_name() -> None:
    """As many as the limit, and a count of the others."""
    redactor = Redactor()
    captured = redactor.mapping({"a": 1, "csrf_token": "x", "$b": [1]})
    assert captured["a"] == 1
    assert captured["csrf_token"]["$hidden"] == 'name contains "csrf"'
    assert captured["$$b"] == [1]
    many = redactor.mapping({str(n): n for n in range(300)}, limit=10)
    assert len(many) == 11
    assert many["$cut"] == 290
    assert "$cut" not in redactor.mapping({str(n): n for n in range(200)})


def test_a_mapping_shares_one_budget() -> None:
    redactor = Redactor()
    captured = redactor.mapping({f"k{n}": list(range(50)) for n in range(200)})
    assert len(captured) == 200
    assert len(json.dumps(captured)) < 30_000


def test_a_mapping_that_is_no_dict_is_not_asked() -> None:
    """Its items would be the answer of a user's code."""

    class Lazy(collections.UserDict[str, object]):
        def __getitem__(self, key: str) -> object:
            raise AssertionError

    lazy = Lazy()
    assert set(Redactor().mapping(lazy)) == {"$type", "$size"}
    assert Redactor().mapping(None)["$type"] == "NoneType"  # type: ignore[arg-type]


def test_the_redactor_says_how_often_it_failed() -> None:
    assert repr(Redactor()) == "<Redactor(failures=0)>"
