"""The query string of the list: what is read, refused and matched."""

from __future__ import annotations

import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_ctxkit.report.query import KINDS, SORTS, Query, QueryError
from flask_ctxkit.trace.model import Change, Error

QUERY_NAMES: t.Final = {
    "q", "method", "status", "endpoint", "kind", "min_ms", "sort", "limit", "all", "since",
}  # fmt: skip

Making = t.Callable[..., t.Any]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("status", "50"), ("status", "600"), ("status", "5xxx"), ("status", "599-500"),
        ("status", "500-"), ("status", "\u0665\u0660\u0660"), ("limit", "0"), ("limit", "1001"),
        ("limit", "-1"),
        ("limit", "1e3"), ("limit", "²"), ("limit", "9" * 400), ("min_ms", "x"), ("min_ms", "-1"),
        ("min_ms", "nan"), ("min_ms", "inf"), ("sort", "oldest"), ("kind", "web"),
        ("method", "G T"), ("method", "é"), ("all", "yes"), ("q", "status:abc"), ("q", "x" * 501),
        ("endpoint", "x" * 501),
    ],
)  # fmt: skip
def test_a_malformed_parameter_is_named(name: str, value: str) -> None:
    with pytest.raises(QueryError) as caught:
        Query.from_mapping({name: value})
    assert caught.value.evidence["parameter"] == ("status" if value == "status:abc" else name)


def test_an_unknown_parameter_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(QueryError, match="Did you mean status"):
        Query.from_mapping({"stauts": "500"})


def test_a_huge_unknown_parameter_is_cut_in_the_message() -> None:
    with pytest.raises(QueryError) as caught:
        Query.from_mapping({"x" * 400: "1"})
    assert len(str(caught.value)) < 300


def test_empty_parameters_are_as_good_as_missing_ones() -> None:
    empty = dict.fromkeys(("q", "method", "status", "endpoint", "kind", "min_ms", "sort"), " ")
    assert Query.from_mapping(empty) == Query()


def test_words_with_a_colon_are_conditions_and_others_are_text() -> None:
    query = Query.from_mapping(
        {"q": "path:/a status:4xx method:post kind:cli endpoint:x g:user g:db http://x tea: :b"}
    )
    assert (query.path, query.status, query.method, query.kind) == ("/a", "4xx", "POST", "cli")
    assert (query.endpoint, query.g) == ("x", ("user", "db"))
    assert query.text == ("http://x", "tea:", ":b")


def test_quotes_hold_words_together_and_an_open_one_is_taken_as_it_is() -> None:
    assert Query.from_mapping({"q": 'path:"/a b" "two words"'}).path == "/a b"
    assert Query.from_mapping({"q": 'say "hello'}).text == ("say", '"hello')


def test_a_parameter_of_its_own_counts_more_than_the_word() -> None:
    for pairs in (
        [("q", "status:200"), ("status", "500")],
        [("status", "500"), ("q", "status:2xx")],
    ):
        assert Query.from_mapping(dict(pairs)).status == "500"


words = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Z")), min_size=1, max_size=20
).filter(lambda word: word.partition(":")[0] not in {"status", "method", "kind", "endpoint"})


@given(
    text=st.lists(words.filter(lambda w: ":" not in w), max_size=3).map(tuple),
    path=st.one_of(st.just(""), words),
    g=st.lists(words, max_size=2).map(tuple),
    method=st.sampled_from(["", "GET", "M-SEARCH"]),
    status=st.sampled_from(["", "404", "5xx", "200-299"]),
    kind=st.sampled_from(["", *KINDS]),
    sort=st.sampled_from(SORTS),
    limit=st.integers(1, 1000),
    everything=st.booleans(),
    min_ms=st.one_of(st.none(), st.integers(0, 10_000)),
)
def test_a_query_comes_back_from_its_own_parameters(everything: bool, **fields: t.Any) -> None:
    query = Query(**fields, all=everything)
    assert Query.from_mapping(query.as_parameters()) == query


@given(st.dictionaries(st.text(max_size=10), st.text(max_size=30)))
def test_any_query_string_is_read_or_refused(parameters: dict[str, str]) -> None:
    try:
        Query.from_mapping(parameters)
    except QueryError as error:
        refused = error.evidence["parameter"]
    else:
        refused = None
    # What is refused was asked for, and only what is known can pass.
    assert refused is None or any(name.startswith(refused) for name in (*parameters, *QUERY_NAMES))
    assert refused is not None or all(name in QUERY_NAMES for name in parameters)


@pytest.mark.parametrize(
    ("parameters", "matches"),
    [
        ({}, True),
        ({"q": "CART"}, True),
        ({"q": "cart tea"}, False),
        ({"q": "zero"}, True),
        ({"q": "00000001"}, True),
        ({"q": "path:/ca"}, True),
        ({"q": "path:/login"}, False),
        ({"q": "g:user"}, True),
        ({"q": "g:gone"}, True),
        ({"q": "g:user g:none"}, False),
        ({"status": "500"}, True),
        ({"status": "5xx"}, True),
        ({"status": "500-599"}, True),
        ({"status": "4xx"}, False),
        ({"method": "get"}, True),
        ({"method": "POST"}, False),
        ({"endpoint": "shop.cart"}, True),
        ({"endpoint": "cart"}, False),
        ({"kind": "request"}, True),
        ({"kind": "cli"}, False),
        ({"min_ms": "10"}, True),
        ({"min_ms": "10.1"}, False),
    ],
)
def test_conditions_match_what_they_say(
    parameters: dict[str, str], matches: bool, trace: Making, event: Making
) -> None:
    found = trace(
        status=500,
        exception=Error("ZeroDivisionError", "division by zero"),
        g={"user": "ada"},
        events=(event(1, g=Change(added={"gone": 1})),),
    )
    tests = Query.from_mapping(parameters).conditions().values()
    assert all(test(found) for test in tests) is matches


def test_a_propagated_exception_counts_as_a_500(trace: Making) -> None:
    raised = trace(status=None, exception=Error("ValueError", ""))
    assert all(test(raised) for test in Query(status="5xx").conditions().values())
    assert not any(test(raised) for test in Query(status="4xx").conditions().values())


def test_conditions_meet_traces_that_know_nothing(trace: Making) -> None:
    empty = trace(method=None, path=None, endpoint=None, status=None, duration_ms=None, kind="cli")
    query = {"q": "x path:/ g:n", "status": "5xx", "min_ms": "1", "method": "GET", "endpoint": "e"}
    assert not any(test(empty) for test in Query.from_mapping(query).conditions().values())
