"""A trace as a picture: what is drawn where, what is grouped, what stands open."""

from __future__ import annotations

import typing as t

import pytest

from flask_ctxkit.report.families import FAMILIES, OF_PHASE
from flask_ctxkit.trace.model import PHASES, Change, Event, ResponseChange, Trace
from flask_ctxkit.units import Unit
from flask_ctxkit.web.waterfall import (
    SYMBOLS,
    WIDTH,
    WINDOW,
    opened_by_default,
    owners_of_g,
    waterfall,
)


def event(index: int, phase: str = "view", **fields: t.Any) -> Event:
    given: dict[str, t.Any] = {"index": index, "phase": phase, "name": f"f{index}"}
    given |= {"start_us": index * 1000.0, "duration_us": 900.0} | fields
    return Event(**given)


def trace(*events: Event, **fields: t.Any) -> Trace:
    given: dict[str, t.Any] = {
        "id": "1", "kind": "request", "state": "finished", "name": "GET /", "method": "GET",
        "path": "/", "query": "", "endpoint": "home", "status": 200,
        "started_at": "2026-01-02T03:04:05+00:00", "duration_ms": 1.0,
        "unit": Unit("thread", "t", 1, 1, 1), "events": events,
    }  # fmt: skip
    return Trace(**given | fields)


def test_every_phase_has_a_family_and_every_family_a_symbol() -> None:
    assert set(OF_PHASE) == set(PHASES)
    assert set(OF_PHASE.values()) | {"error"} == set(FAMILIES) == set(SYMBOLS)
    assert len(set(SYMBOLS.values())) == len(SYMBOLS)


def test_bars_lie_inside_the_picture_and_are_never_too_thin() -> None:
    picture = waterfall(
        trace(event(1, start_us=0.0, duration_us=0.0), event(2, start_us=9e6, duration_us=0.0))
    )
    for group in picture.groups:
        bar = group.bars[0]
        assert bar.x >= 0
        assert bar.width >= 3
        assert bar.x + bar.width <= WIDTH


@pytest.mark.parametrize(
    ("end_us", "ticks"),
    [
        (0.0, ("0", "1 µs", "2 µs", "3 µs", "4 µs")),
        (20_100.0, ("0", "6 ms", "12 ms", "18 ms", "24 ms")),
        (39_999.0, ("0", "10 ms", "20 ms", "30 ms", "40 ms")),
        (999_999.0, ("0", "250 ms", "500 ms", "750 ms", "1 s")),
        (1.9e8, ("0", "50 s", "100 s", "150 s", "200 s")),
    ],
)
def test_the_axis_has_round_numbers(end_us: float, ticks: tuple[str, ...]) -> None:
    assert waterfall(trace(event(1, start_us=0.0, duration_us=end_us))).ticks == ticks


def test_a_trace_without_events_is_drawn_as_nothing() -> None:
    picture = waterfall(trace(), first=7)
    assert (picture.groups, picture.before, picture.after) == ((), None, None)
    assert opened_by_default(trace()) == set()


def test_of_a_long_trace_a_window_is_drawn_with_ways_to_the_rest() -> None:
    long = trace(*(event(number) for number in range(1, 10_001)))
    first = waterfall(long)
    assert (first.first, first.last, first.total) == (1, WINDOW, 10_000)
    assert (first.before, first.after) == (None, WINDOW + 1)
    middle = waterfall(long, first=5000)
    assert (middle.before, middle.after) == (5000 - WINDOW, 5000 + WINDOW)
    last = waterfall(long, first=99_999)
    assert (last.first, last.last, last.after) == (10_000, 10_000, None)


def test_a_window_has_the_scale_of_the_whole() -> None:
    long = trace(*(event(number) for number in range(1, 1001)))
    assert waterfall(long, first=900).ticks == waterfall(long).ticks


def test_many_quick_hooks_are_one_line_and_odd_ones_stay() -> None:
    quick = [event(n, "before_request", duration_us=5.0) for n in range(1, 16)]
    quick[4] = event(5, "before_request", duration_us=5.0, g=Change(added={"user": 1}))
    quick[9] = event(10, "before_request", duration_us=5.0, outcome="answered")
    picture = waterfall(trace(*quick))
    assert [(group.folded, len(group.bars)) for group in picture.groups] == [
        (True, 4), (False, 1), (True, 4), (False, 1), (True, 5),
    ]  # fmt: skip
    assert picture.groups[0].duration_us == 20.0


def test_a_few_quick_hooks_stay_as_they_are() -> None:
    picture = waterfall(trace(*(event(n, "after_request", duration_us=1.0) for n in range(1, 12))))
    assert not any(group.folded for group in picture.groups)


def test_what_an_event_changed_stands_beside_it() -> None:
    changed = event(
        1,
        g=Change({"a": 1}, {"b": [1, 2]}, {"c": 1}),
        session=Change({"d": 1}),
        response=ResponseChange({"X-E": "1"}, {}, {}, status=(200, 404)),
    )
    bar = waterfall(trace(changed)).groups[0].bars[0]
    assert [(chip.space, chip.sign, chip.name) for chip in bar.chips] == [
        ("status", "~", "404"), ("g", "+", "a"), ("g", "~", "b"), ("g", "-", "c"),
        ("session", "+", "d"),
    ]  # fmt: skip
    assert bar.more == 1


def test_the_hand_over_is_drawn_where_it_was() -> None:
    events = (event(1), event(2, "save_session"), event(3, "make_response", name="start_response"),
              event(4, "pop"))  # fmt: skip
    sent = waterfall(trace(*events, response={"status": 200, "headers": [], "streamed": False}))
    assert [g.bars[0].event.index for g in sent.groups if g.bars[0].handed_over] == [3]
    assert not any(g.bars[0].handed_over for g in waterfall(trace(*events)).groups)


def test_open_stands_what_a_finding_points_at_else_what_raised_else_the_slowest() -> None:
    events = (event(1), event(2, duration_us=5000.0), event(3, outcome="raised"))
    pointing = ({"code": "x", "evidence": [{"event": 1}, {"event": None}]},)
    assert opened_by_default(trace(*events, findings=pointing)) == {1, 3}
    assert opened_by_default(trace(*events)) == {3}
    assert opened_by_default(trace(*events[:2])) == {2}


def test_each_name_in_g_knows_who_wrote_it() -> None:
    first = event(1, g=Change(added={"user": "ada", "db": 1}))
    second = event(2, g=Change(changed={"user": ["ada", "bob"]}, removed={"db": 1}))
    third = event(3, g=Change(added={"db": 2}, changed={"old": [1, 2]}))
    rows = {row.name: row for row in owners_of_g(trace(first, second, third, g={"user": "bob"}))}
    assert (rows["user"].value, rows["user"].set_by) == ("bob", first)
    assert rows["user"].changed_by == (second,)
    assert (rows["db"].value, rows["db"].set_by, rows["db"].removed_by) == (2, third, None)
    assert (rows["old"].set_by, rows["old"].value) == (None, 2)
