"""The list of requests: folded, searched, sorted, and what to do where nothing matches."""

from __future__ import annotations

import typing as t

import pytest

from flask_ctxkit.report import Query, requests
from flask_ctxkit.report.summary import fold

Making = t.Callable[..., t.Any]


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({}, None),
        ({"endpoint": "static", "path": "/static/a.css"}, "static"),
        ({"endpoint": "shop.static"}, "static"),
        ({"endpoint": "ecstatic"}, None),
        ({"path": "/favicon.ico", "status": 404, "endpoint": None}, "static"),
        ({"method": "HEAD"}, "head_options"),
        ({"method": "OPTIONS"}, "head_options"),
        ({"path": "/healthz"}, "health"),
        ({"path": "/api/v1/health/"}, "health"),
        ({"path": "/health-check"}, "health"),
        ({"path": "/_ping"}, None),
        ({"path": "/pinger"}, None),
        ({"path": "/healthy/recipes"}, None),
        ({"path": "/healthz", "status": 503}, None),
        ({"kind": "cli", "path": None, "method": None, "endpoint": None, "status": None}, None),
    ],
)
def test_everyday_traffic_is_told_apart(
    fields: dict[str, t.Any], kind: str | None, trace: Making
) -> None:
    assert fold(trace(**fields)) == kind


def test_everyday_traffic_is_hidden_and_counted(sources: Making, trace: Making) -> None:
    kept = sources(trace("a"), trace("b", path="/healthz"), trace("c", method="HEAD"))
    report = requests(kept)
    assert [row["id"] for row in report["requests"]] == ["a"]
    assert report["folded"] == {"health": 1, "head_options": 1}
    assert (report["total"], report["shown"]) == (1, 1)


def test_a_search_shows_everyday_traffic_too(sources: Making, trace: Making) -> None:
    kept = sources(trace("a"), trace("b", path="/healthz"))
    assert requests(kept, Query(path="/healthz"))["total"] == 1
    assert requests(kept, Query(all=True))["total"] == 2


def test_the_list_is_sorted_and_bounded(sources: Making, trace: Making) -> None:
    kept = sources(
        trace("a", duration_ms=5.0, status=200),
        trace("b", duration_ms=None, status=None),
        trace("c", duration_ms=9.0, status=500),
    )
    for sort, wanted in (("newest", "abc"), ("slowest", "cab"), ("status", "cab")):
        report = requests(kept, Query(sort=t.cast("t.Any", sort)))
        assert "".join(row["id"] for row in report["requests"]) == wanted
    report = requests(kept, Query(limit=2))
    assert (report["total"], report["shown"]) == (3, 2)


def test_where_nothing_matches_the_way_out_is_counted(sources: Making, trace: Making) -> None:
    kept = sources(*(trace(str(number)) for number in range(98)))
    report = requests(kept, Query(path="/cart", status="500"))
    assert report["requests"] == []
    assert report["near"] == {"without status": 98}
    assert report["query"] == {"q": "path:/cart", "status": "500"}


def test_only_newer_ones_are_told_since_an_id(sources: Making, trace: Making) -> None:
    kept = sources(trace("c"), trace("b"), trace("a"))
    assert [row["id"] for row in requests(kept, since="b")["requests"]] == ["c"]
    assert requests(kept, since="c")["requests"] == []
    assert requests(kept, since="gone")["total"] == 3


def test_a_summary_says_what_is_worth_a_word(sources: Making, trace: Making) -> None:
    def noted(**fields: t.Any) -> t.Any:
        return requests(sources(trace(**fields)))["requests"][0]["note"]

    def location(value: t.Any) -> dict[str, t.Any]:
        return {"headers": [["location", value, None]], "streamed": False}

    assert noted(status=302, response=location("/cart")) == "-> GET /cart"
    assert noted(status=307, method="POST", response=location("/cart")) == "-> POST /cart"
    assert noted(status=302, response=location({"$hidden": "x", "$type": "str"})) == "-> GET •••"
    assert noted(status=302, response=None) is None
    assert noted(state="left") == "never ended"
    assert noted(kind="cli", g={"db": 1, "user": 2}) == "g +db +user"
    assert noted() is None
