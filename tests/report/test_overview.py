"""The overview, what is live, the stacks and the findings, of real apps."""

from __future__ import annotations

import json
import threading
import typing as t

import pytest
from flask import Flask, g, session

from flask_ctxkit import CtxKit
from flask_ctxkit.report import contexts, findings, index, stacks
from flask_ctxkit.report.overview import buckets, totals

if t.TYPE_CHECKING:
    from flask_ctxkit.state import State

Making = t.Callable[..., t.Any]


def watched(**config: t.Any) -> tuple[Flask, State]:
    app = Flask("watched")
    app.debug = True
    app.config.update(SECRET_KEY="9f1c6d2a8b7e4f309f1c6d2a8b7e4f30", **config)
    CtxKit(app)

    @app.get("/")
    def home() -> str:
        return "home"

    return app, t.cast("State", app.extensions["ctxkit"])


def test_the_overview_of_an_app_without_traffic_is_empty_but_whole() -> None:
    _, state = watched()
    report = index(state)
    assert report["requests"] == report["buckets"] == report["contexts"] == []
    assert report["totals"]["median_ms"] is None
    assert report["totals"]["folded"] == {}
    assert report["checks"]["requests"] == 0
    rules = state.rules.catalogue()
    assert 10 < report["checks"]["rules"] < len(rules)
    assert report["checks"]["rules"] == len([rule for rule in rules if rule.when == "app"])
    assert report["app"]["recording"] == "full"
    json.dumps(report)


def test_the_overview_says_who_is_looked_at() -> None:
    _, state = watched(CTXKIT_TRACE=False)
    told = index(state)["app"]
    assert (told["name"], told["recording"], told["debug"]) == ("watched", "off", True)
    assert told["uptime_s"] >= 0
    assert index(watched(CTXKIT_TRACE_RATE=0.25)[1])["app"]["recording"] == "0.25"


def test_with_a_request_every_rule_had_something_to_look_at() -> None:
    app, state = watched()
    app.test_client().get("/")
    checks = index(state)["checks"]
    assert checks == {"rules": len(state.rules.catalogue()), "requests": 1}


def test_everyday_traffic_is_counted_and_not_listed() -> None:
    app, state = watched()
    client = app.test_client()
    client.get("/")
    client.head("/")
    client.get("/favicon.ico")
    report = index(state)
    assert [row["path"] for row in report["requests"]] == ["/"]
    assert report["totals"]["folded"] == {"static": 1, "head_options": 1}
    assert report["totals"]["ok"] == 2
    assert report["totals"]["client_error"] == 1


def test_buckets_count_each_request_once_and_show_the_worst_first(trace: Making) -> None:
    rows = buckets(
        [
            trace("a", duration_ms=10.0), trace("b", duration_ms=10.1),
            trace("c", duration_ms=1000.0), trace("d", duration_ms=1000.1),
            trace("e", endpoint="x", duration_ms=1.0, status=500),
            trace("f", endpoint="y", duration_ms=90_000.0), trace("g", duration_ms=None),
            trace("h", kind="cli"),
        ]
    )  # fmt: skip
    assert [row["endpoint"] for row in rows] == ["x", "y", "shop.cart"]
    cart = rows[2]
    assert [cart[key] for key in ("n", "le_10", "le_100", "le_1000", "slower", "failed")] == [
        4, 1, 1, 1, 1, 0,
    ]  # fmt: skip
    assert cart["worst_ms"] == 1000.1
    assert rows[0]["failed"] == 1


def test_totals_count_by_class_of_status(trace: Making) -> None:
    found = totals(
        [trace(str(n), status=status, duration_ms=float(n)) for n, status in
         enumerate([200, 204, 304, 302, 404, 500, None])]
    )  # fmt: skip
    assert [found[k] for k in ("ok", "redirect", "client_error", "server_error")] == [2, 2, 1, 2]
    assert (found["median_ms"], found["worst_ms"]) == (3.0, 6.0)


def test_the_kit_s_own_failures_are_told() -> None:
    app, state = watched()

    def failing(recording: object) -> None:
        raise OSError("disk full")

    state.recorder.sinks.append(failing)
    app.test_client().get("/")
    failures = index(state)["cost"]["failures"]
    assert [(row["type"], row["message"], row["count"]) for row in failures] == [
        ("OSError", "disk full", 1)
    ]


def test_what_runs_now_is_told_with_its_hook_and_frames() -> None:
    app, state = watched()
    entered, leave = threading.Event(), threading.Event()

    @app.before_request
    def gatekeeper() -> None:
        g.user = "ada"
        entered.set()
        leave.wait(20)

    thread = threading.Thread(target=lambda: app.test_client().get("/"), name="visitor")
    thread.start()
    try:
        assert entered.wait(20)
        row = contexts(state)["contexts"][0]
        found = stacks(state)
    finally:
        leave.set()
        thread.join()
    assert (row["method"], row["path"], row["endpoint"]) == ("GET", "/", "home")
    assert row["phase"] == "before_request"
    assert row["hook"].endswith("gatekeeper")
    assert row["unit"]["name"] == "visitor"
    assert any(frame["function"].endswith("gatekeeper") for frame in row["frames"])
    assert row["age_exact"]
    json.dumps(row)
    stack = found["app_stack"][row["unit"]["key"]]
    assert (stack["name"], stack["kind"]) == ("visitor", "thread")
    assert stack["stack"][-1]["g"] == {"user": "ada"}
    assert contexts(state)["contexts"] == []


def test_the_stacks_are_told_bottom_to_top_with_the_top_marked() -> None:
    app, state = watched()
    seen: list[t.Any] = []

    @app.get("/nested")
    def nested() -> str:
        session["basket"] = "tea"
        g.level = "outer"
        with app.app_context():
            g.level = "inner"
            seen.append(stacks(state))
        return "nested"

    app.test_client().get("/nested")
    report = seen[0]
    here = report["app_stack"][report["current"]]["stack"]
    assert [row["g"] for row in here] == [{"level": "outer"}, {"level": "inner"}]
    assert [row["top"] for row in here] == [False, True]
    requests = report["request_stack"][report["current"]]["stack"]
    assert requests[0]["session"] == {"state": "open", "names": {"basket": "tea"}}
    json.dumps(report)


def test_a_leak_is_told_with_whether_it_is_still_there() -> None:
    app, state = watched()
    context = app.app_context()
    context.push()
    try:
        state.registry.still_current(context, None)
        during = contexts(state)["leaks"]
    finally:
        context.pop()
    assert [(row["kind"], row["still"]) for row in during] == [("left-current", True)]
    assert during[0]["message"].endswith(".")
    assert [row["still"] for row in contexts(state)["leaks"]] == [False]
    json.dumps(during)


def test_equal_findings_are_counted_as_one() -> None:
    app, state = watched()

    @app.get("/nouser")
    def nouser() -> str:
        return str(g.user)

    @app.before_request
    def load_user() -> None:
        if session:
            g.user = "ada"

    for _ in range(3):
        with pytest.raises(AttributeError):
            app.test_client().get("/nouser")
    report = findings(state)
    found = [row for row in report["findings"] if row["trace"]]
    assert [(row["count"], len(row["traces"])) for row in found] == [(3, 3)]
    assert found[0]["first_at"] < found[0]["last_at"]
    assert found[0]["code"] in {rule["code"] for rule in report["catalogue"]}
    assert {"title", "cause", "fix", "theme"} <= report["catalogue"][0].keys()
    json.dumps(report)
