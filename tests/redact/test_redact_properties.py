"""What holds for every value: JSON-safe, bounded, no secret, no exception, no leaf text."""

from __future__ import annotations

import base64
import collections
import dataclasses
import json
import typing as t
from urllib.parse import quote

from hypothesis import given, settings
from hypothesis import strategies as st

from flask_ctxkit.redact import Redactor, mark, without_values

PLANT = "Pl4ntedS3cret"
"""Stands in no key and no other text, so finding it in an output is a leak."""
SECRET_NAMES = ("password", "db_password", "X-Api-Key", "csrfToken", "apikey", "session_cookie")
BOUND = 400_000


class Plain:
    def __init__(self, **attributes: t.Any) -> None:
        self.__dict__.update(attributes)


class Slotted:
    __slots__ = ("password", "value")

    def __init__(self, value: t.Any, password: t.Any) -> None:
        self.value = value
        self.password = password


@dataclasses.dataclass
class Record:
    value: t.Any
    api_key: t.Any = f"{PLANT}-4"


class Fields(t.NamedTuple):
    value: t.Any
    secret: t.Any


class Odd(dict[str, t.Any]):
    def __repr__(self) -> t.NoReturn:
        raise AssertionError

    __len__ = __iter__ = items = __eq__ = __bool__ = __repr__  # type: ignore[assignment]


LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.uuids(),
    st.complex_numbers(), st.decimals(), st.fractions(), st.datetimes(), st.timedeltas(),
    st.text(min_size=190, max_size=400), st.just(object()), st.just(len), st.just(dict),
    st.characters(categories=["Cs"]),
)  # fmt: skip
KEYS = st.one_of(st.text(), st.sampled_from(["$type", "$", "$$a", "name", "value", "key", "_data"]))
ANY_KEYS = st.one_of(KEYS, st.none(), st.integers(), st.tuples(st.integers()), st.binary())


def nested(inner: st.SearchStrategy[t.Any]) -> st.SearchStrategy[t.Any]:
    named = st.dictionaries(KEYS, inner, max_size=6)
    return st.one_of(
        st.lists(inner, max_size=60),
        st.dictionaries(ANY_KEYS, inner, max_size=6),
        st.lists(inner, max_size=4).map(tuple),
        st.lists(inner, max_size=4).map(collections.deque),
        named.map(lambda d: Plain(**d)),
        named.map(Odd),
        named.map(collections.OrderedDict),
        st.builds(Record, inner),
        st.builds(Slotted, inner, inner),
        st.builds(Fields, inner, inner),
        inner.map(ValueError),
    )


VALUES = st.recursive(LEAVES, nested, max_leaves=40)

_SECRET = st.text("abcXYZ019_-", min_size=1, max_size=40).map(lambda tail: f"{PLANT}{tail}")


def shaped(secret: str) -> st.SearchStrategy[t.Any]:
    """*secret* in the forms that are known by their shape."""
    inside = base64.urlsafe_b64encode(json.dumps({"a": secret}).encode()).decode().rstrip("=")
    del inside  # the plant must stay readable to be found
    return st.sampled_from(
        [
            f"Bearer {secret}",
            f"bearer {secret}",
            f"Basic {secret}=",
            f"https://user:{secret}@example.com/x",
            f"redis://:{secret}@h",
            f"-----BEGIN PRIVATE KEY-----\n{secret}\n-----END PRIVATE KEY-----",
            f"eyJhbGciOiJIUzI1NiJ9.{secret}.{secret}",
            f"/login?token={secret}&a=b",
            f"https://h/?next={quote(f'https://h/?password={secret}', safe='')}",
            json.dumps({"user": "ann", "password": secret}),
            repr({"api_key": secret}),
            f"Cookie: a=b; session={secret}",
            f"X-Api-Key: {secret}",
            f"UPDATE users SET password = '{secret}' WHERE id = 1",
            f"mysql --password={secret} -u root",
            f"mysql --password {secret}",
            f"Bearer {secret}".encode(),
            bytearray(f"token={secret}".encode()),
        ]
    )


SHAPED = _SECRET.flatmap(shaped)
NAMED = st.one_of(_SECRET, _SECRET.map(str.encode), st.lists(_SECRET), _SECRET.map(Record))


def planted(inner: st.SearchStrategy[t.Any]) -> st.SearchStrategy[t.Any]:
    """A secret below a secret name, among harmless values."""
    name = st.sampled_from(SECRET_NAMES)
    return st.one_of(
        nested(inner),
        st.builds(lambda n, s, v: {"a": v, n: s}, name, NAMED, inner),
        st.builds(lambda n, s: {"name": n, "value": s}, name, _SECRET),
        st.builds(lambda n, s: [n, s], name, NAMED),
        st.builds(lambda n, s: (n.encode(), s), name, NAMED),
        st.builds(lambda n, s: Plain(**{n: s}), name, NAMED),
        st.builds(Slotted, inner, NAMED),
        st.builds(Fields, inner, NAMED),
        st.builds(lambda s, v: {s: v}, SHAPED.filter(lambda s: isinstance(s, str)), inner),
        st.builds(lambda s, v: {"api": {"key": s}, "v": v}, _SECRET, inner),
    )


PLANTED = st.recursive(st.one_of(LEAVES, SHAPED), planted, max_leaves=30)


def leaf_texts(captured: t.Any) -> t.Iterator[str]:
    """Every text of a captured value that is not a key, a type, a reason or a mark."""
    if isinstance(captured, dict):
        for key, value in captured.items():
            if key not in {"$type", "$hidden", "$mark", "$name"}:
                yield from leaf_texts(value)
    elif isinstance(captured, list):
        for value in captured:
            yield from leaf_texts(value)
    elif isinstance(captured, str):
        yield captured


@given(st.one_of(st.just("x"), st.text()), VALUES)
@settings(max_examples=150, deadline=None)
def test_every_capture_is_bounded_json(name: str, value: t.Any) -> None:
    """It never raises, fails silently, or grows beyond its bound."""
    redactor = Redactor()
    captured = redactor.capture(name, value)
    text = json.dumps(captured, allow_nan=False, ensure_ascii=False)
    assert len(text.encode()) < BOUND
    assert redactor.failures == 0
    assert redactor.capture(name, value) == captured
    assert len(mark(value)) == 4


@given(PLANTED)
@settings(max_examples=300, deadline=None)
def test_no_capture_holds_a_planted_secret(value: t.Any) -> None:
    redactor = Redactor()
    captured = redactor.capture("x", value)
    assert PLANT not in json.dumps(captured)
    assert PLANT not in json.dumps(redactor.mapping({"a": value, "b": [value]}))
    assert PLANT not in json.dumps(redactor.config({"A": value}))
    assert redactor.failures == 0


@given(VALUES)
@settings(max_examples=150, deadline=None)
def test_without_values_no_leaf_text_is_left(value: t.Any) -> None:
    """And what went through once comes back as it is."""
    captured = Redactor().capture("x", value)
    veiled = without_values(captured)
    assert list(leaf_texts(veiled)) == []
    assert without_values(veiled) == veiled
    json.dumps(veiled, allow_nan=False)


@given(_SECRET.flatmap(shaped).filter(lambda s: isinstance(s, str)), st.text(), st.text())
@settings(max_examples=200, deadline=None)
def test_no_text_holds_a_planted_secret(secret: str, before: str, after: str) -> None:
    """Wherever it stands, also when the text is cleaned as a URL or comes in a header."""
    redactor = Redactor()
    text = f"{before} {secret} {after}"
    assert PLANT not in redactor.text(text)
    assert PLANT not in redactor.url(text)
    assert PLANT not in json.dumps([redactor.header(name, text) for name in ("X-A", "Location")])
    environ = {"HTTP_REFERER": text, "QUERY_STRING": text, "HTTP_COOKIE": f"a={secret}"}
    assert PLANT not in json.dumps(redactor.environ(environ))
    assert redactor.failures == 0


@given(st.text(), st.integers(0, 30))
@settings(max_examples=200, deadline=None)
def test_texts_are_bounded_and_cleaned_once(text: str, times: int) -> None:
    """A text can be sent, is no longer than its bound, and cleaning it again changes nothing."""
    redactor = Redactor()
    for clean in (redactor.text, redactor.url):
        cleaned = clean(text * 3**times if times < 8 else text)
        cleaned.encode()
        assert len(cleaned) < 2100
        if len(text) < 500:
            once = clean(text)
            assert clean(once) == once
    assert redactor.failures == 0


@given(st.dictionaries(st.text(), st.one_of(st.text(), LEAVES)))
@settings(max_examples=150, deadline=None)
def test_any_dict_can_be_an_environ(given_environ: dict[str, t.Any]) -> None:
    redactor = Redactor()
    prefixed = {f"HTTP_{key}": value for key, value in given_environ.items()}
    json.dumps(redactor.environ({**given_environ, **prefixed}), allow_nan=False)
    headers = [redactor.header(name, value) for name, value in given_environ.items()]
    json.dumps(headers, allow_nan=False)
    assert redactor.failures == 0
