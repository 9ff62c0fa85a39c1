"""One trace: how it is named, what is around it, how it is told and sent again."""

from __future__ import annotations

import json
import shlex
import typing as t
from dataclasses import replace

import pytest
from flask import Flask, g

from flask_ctxkit import CtxKit
from flask_ctxkit.report import UnknownTraceError, find_trace, latest
from flask_ctxkit.report import trace as report_of
from flask_ctxkit.report.curl import MOST, curl
from flask_ctxkit.report.families import own_times, strip
from flask_ctxkit.report.story import milliseconds, story
from flask_ctxkit.report.trace import around
from flask_ctxkit.trace.model import Change, Error
from flask_ctxkit.units import Unit

Making = t.Callable[..., t.Any]


# ----------------------------------------------------------------------------- naming


def test_an_id_or_its_unique_beginning_names_a_trace(sources: Making, trace: Making) -> None:
    kept = sources(trace("8f3a1c00"), trace("8f3b0000"), trace("8f3"))
    assert find_trace(kept, "8F3A").id == "8f3a1c00"
    assert find_trace(kept, "8f3b0000").id == "8f3b0000"
    assert find_trace(kept, "8f3").id == "8f3"


@pytest.mark.parametrize("name", ["", "8", "8f", "8f3", "zzz", "latest ", "x" * 10_000, "../8f3a"])
def test_what_names_no_single_trace_says_what_to_do(
    name: str, sources: Making, trace: Making
) -> None:
    with pytest.raises(UnknownTraceError) as caught:
        find_trace(sources(trace("8f3a1c00"), trace("8f3b0000")), name)
    assert str(caught.value).endswith(".")
    assert len(str(caught.value)) < 400
    assert caught.value.evidence["newest"] == "8f3a1c00"


def test_the_latest_is_not_everyday_traffic(sources: Making, trace: Making) -> None:
    kept = sources(trace("a", path="/favicon.ico"), trace("b", method="HEAD"), trace("c"))
    assert find_trace(kept, "latest").id == "c"
    nothing = sources(trace("a", path="/healthz"))
    assert latest(nothing) is None
    with pytest.raises(UnknownTraceError, match="no finished request yet"):
        find_trace(nothing, "latest")


def test_without_recording_the_reason_is_told(sources: Making) -> None:
    kept = sources()
    kept.tracing = False
    with pytest.raises(UnknownTraceError, match="CTXKIT_TRACE"):
        find_trace(kept, "abcdef")


# ----------------------------------------------------------------------------- around


def test_the_neighbours_are_by_time_and_by_endpoint(sources: Making, trace: Making) -> None:
    rows = [trace("d"), trace("c", endpoint="x"), trace("b"), trace("a")]
    found = around(sources(*rows), rows[2])
    assert (found["previous"], found["next"]) == ("a", "c")
    assert (found["previous_same"], found["next_same"]) == ("a", "d")
    ends = around(sources(*rows), rows[0])
    assert (ends["previous"], ends["next"]) == ("c", None)


def test_the_usual_is_the_median_of_the_others(sources: Making, trace: Making) -> None:
    slow = trace("x", duration_ms=500.0)
    others = [trace(str(n), duration_ms=float(n)) for n in (1, 2, 30)]
    found = around(sources(slow, *others, trace("y", endpoint=None, duration_ms=9.0)), slow)
    assert (found["usual_ms"], found["usual_of"]) == (2.0, 3)
    alone = around(sources(slow), slow)
    assert (alone["usual_ms"], alone["usual_of"]) == (None, 0)


def test_of_work_each_function_has_a_usual_of_its_own(
    sources: Making, trace: Making, event: Making
) -> None:
    """One endpoint may start several functions, which have nothing to do with each other."""

    def work(number: int, name: str, ms: float) -> t.Any:
        ran = event(1, name=f"view.<locals>.{name}", where=f"shop/{name}.py:1")
        return trace(f"0000000{number}", kind="task", duration_ms=ms, events=(ran,))

    mails = [work(1, "mail", 4.0), work(2, "mail", 6.0)]
    told = around(sources(work(3, "log", 900.0), *mails, trace("00000004")), mails[0])
    assert (told["usual_ms"], told["usual_of"]) == (6.0, 1)
    assert (told["previous_same"], told["next_same"]) == ("00000002", None)
    assert "Usual for mail: 6.00 ms (median of 1)." in told["story"]


def test_what_ran_meanwhile_in_the_same_worker_is_named(sources: Making, trace: Making) -> None:
    def at(trace_id: str, second: str, **fields: t.Any) -> t.Any:
        return trace(trace_id, started_at=f"2026-01-02T03:04:{second}+00:00", **fields)

    here, elsewhere = Unit("thread", "a", 1, 1, 4711), Unit("thread", "b", 1, 1, 4712)
    found = at("x", "05.000000", duration_ms=1000.0, unit=here)
    nested = at("nested", "05.100000", duration_ms=1.0, unit=here)
    foreign = at("foreign", "05.100000", duration_ms=1.0, unit=elsewhere)
    during = at("during", "05.500000", duration_ms=1.0)
    over = at("over", "04.000000", duration_ms=5000.0)
    running = at("running", "04.000000", duration_ms=None, state="running")
    before = at("before", "04.000000", duration_ms=1000.0)
    after = at("after", "06.000000", duration_ms=1.0)
    rows = (after, during, nested, foreign, found, over, running, before)
    assert around(sources(*rows), found)["concurrent"] == ["during", "over", "running"]


def test_a_running_request_is_told_as_far_as_it_went() -> None:
    app = Flask("running")
    app.debug = True
    CtxKit(app)
    state = app.extensions["ctxkit"]
    seen: list[t.Any] = []

    @app.get("/")
    def home() -> str:
        g.user = "ada"
        trace_id = state.registry.contexts()[0].id
        seen.append(report_of(state, trace_id[:6]))
        return "home"

    app.test_client().get("/")
    assert seen[0]["state"] == "running"
    assert seen[0]["duration_ms"] is None
    assert seen[0]["story"][0].startswith("Still running.")
    assert "match" in [event["phase"] for event in seen[0]["events"]]


def test_a_report_is_plain_data() -> None:
    app = Flask("plain")
    app.debug = True
    CtxKit(app)

    @app.get("/")
    def home() -> str:
        g.thing = object()
        return "home"

    app.test_client().get("/")
    report = report_of(app.extensions["ctxkit"], "latest")
    again = json.loads(json.dumps(report, default=dict))
    assert again["unit"]["key"] == report["unit"]["key"]
    assert [event["phase"] for event in again["events"]][-1] == "pop"
    view = next(event for event in again["events"] if event["phase"] == "view")
    assert view["g"]["added"]["thing"]["$type"] == "object"


# ------------------------------------------------------------------------------ story


def test_each_ending_has_its_sentence(trace: Making, event: Making) -> None:
    view = event(1, name="create_app.<locals>.cart", where="shop/views.py:36")
    early = event(1, "before_request", name="load_user", where="a.py:2", outcome="answered")
    handler = event(2, "error_handler", name="missing")
    raised = event(1, name="boom", outcome="raised", where="v.py:7")
    error = Error("ZeroDivisionError", "division by zero")

    def first(**fields: t.Any) -> str:
        return story(trace(**fields))[0]

    assert first(events=(view,)) == "Answered by view cart (shop/views.py:36)."
    assert first(events=(early,)) == (
        "Answered early by load_user (a.py:2), so the view did not run."
    )
    assert first(events=(view, handler)) == "Answered by the error handler error_handler missing."
    assert first(events=(raised,), exception=error) == (
        "ZeroDivisionError: division by zero, raised in view boom (v.py:7), handled by nobody. "
        "It was propagated, so after_request did not run and the session was not saved."
    )
    saved = (raised, event(2, "save_session"))
    assert first(events=saved, exception=error).endswith("handled by nobody.")
    assert first(state="left").startswith("It never ended")
    assert first(events=()) == "No view ran."


@pytest.mark.parametrize(
    ("kind", "word"), [("script", "function"), ("test", "function"), ("cli", "command")]
)
def test_what_no_server_asked_for_is_no_view(
    kind: str, word: str, trace: Making, event: Making
) -> None:
    block = event(1, name="serve", where="shop/work.py:5")
    nowhere = {"kind": kind, "method": None, "path": None, "endpoint": None}
    (told, *_) = story(trace(events=(block,), **nowhere))
    assert told == f"Ran {word} serve (shop/work.py:5) in {trace().unit.name}."
    failed = replace(block, outcome="raised")
    (told, *_) = story(trace(events=(failed,), exception=Error("KeyError", ""), **nowhere))
    assert told == f"KeyError, raised in {word} serve (shop/work.py:5), handled by nobody."


@pytest.mark.parametrize(
    ("session", "sentence"),
    [
        ({"state": "changed", "saved": True}, "The session was changed and saved."),
        ({"state": "changed", "saved": False}, "The session was changed but NOT saved."),
        ({"state": "read", "saved": False}, "The session was read."),
    ],
)
def test_the_session_s_fate_is_told(
    session: dict[str, t.Any], sentence: str, trace: Making
) -> None:
    assert sentence in story(trace(session=session))


def test_g_and_the_usual_are_told(trace: Making, event: Making) -> None:
    wrote = event(1, name="cart", duration_us=9e6, g=Change(added={"db": 1}))
    told = story(trace(events=(wrote,), g={"user": 1}, duration_ms=9000.0), 4.0, 12)
    assert "g ended with 1 name: user." in told
    assert (
        "Usual for shop.cart: 4.00 ms (median of 12). This one took longest in view cart." in told
    )
    assert "g held 1 name on the way, and ended empty." in story(trace(events=(wrote,)))
    dropped = story(trace(dropped_events=6000))[-1]
    assert dropped.startswith("6,000 events in the middle were dropped")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0 µs"), (0.0312, "31 µs"), (0.5, "0.50 ms"), (9.994, "9.99 ms"), (41.83, "41.8 ms"),
     (640.4, "640 ms"), (2310.0, "2.31 s"), (192_000.0, "3 min 12 s")],
)  # fmt: skip
def test_durations_are_told_as_they_are_read(value: float, text: str) -> None:
    assert milliseconds(value) == text


# --------------------------------------------------------------------------- families


def test_the_strip_counts_no_time_twice(trace: Making, event: Making) -> None:
    events = (
        event(1, "push_app", start_us=0.0, duration_us=10.0),
        event(2, "view", start_us=10.0, duration_us=100.0),
        event(3, "template", start_us=20.0, duration_us=60.0, depth=1),
        event(4, "after_request", start_us=30.0, duration_us=10.0, depth=2),
        event(5, "after_request", start_us=110.0, duration_us=5.0, outcome="raised"),
    )
    assert own_times(events) == [10.0, 40.0, 50.0, 10.0, 5.0]
    assert strip(trace(events=events)) == [
        ["plumbing", 0.01], ["view", 0.04], ["template", 0.05], ["hooks", 0.01], ["error", 0.005],
    ]  # fmt: skip


def test_a_cut_trace_has_no_negative_time(event: Making) -> None:
    """The middle was dropped, and with it parents of what is left."""
    events = (
        event(1, depth=3, duration_us=50.0),
        event(2, depth=1, duration_us=500.0),
        event(3, depth=2, duration_us=900.0),
    )
    assert min(own_times(events)) >= 0


# ------------------------------------------------------------------------------- curl


def test_a_request_is_sent_again_without_what_is_hidden(trace: Making) -> None:
    environ = {
        "REQUEST_METHOD": "POST", "wsgi.url_scheme": "https", "HTTP_HOST": "shop.local:5000",
        "SCRIPT_NAME": "/mount", "HTTP_ACCEPT": "text/html", "CONTENT_TYPE": "text/plain",
        "CONTENT_LENGTH": "12", "HTTP_COOKIE": {"session": {"$hidden": "x"}},
        "HTTP_AUTHORIZATION": {"$hidden": "x"}, "HTTP_CONNECTION": "close",
    }  # fmt: skip
    command = curl(trace(method="POST", path="/a b", query="x=1&y=2", environ=environ))
    assert command is not None
    lines, _, comment = command.partition("\n# ")
    assert shlex.split(lines.replace("\\\n", "")) == [
        "curl", "-i", "-X", "POST", "https://shop.local:5000/mount/a%20b?x=1&y=2",
        "-H", "Accept: text/html", "-H", "Content-Type: text/plain",
    ]  # fmt: skip
    assert comment == (
        "without Cookie, Authorization, the body of 12 bytes, which is never recorded"
    )


@pytest.mark.parametrize(
    "text",
    ["'; rm -rf / #", "$(reboot)", "`id`", "a\nb", "\r\nX: y", "\x00", "-o/etc/x", "\\", "!!"],
)
def test_nothing_in_a_request_escapes_from_the_command(text: str, trace: Making) -> None:
    environ = {"HTTP_HOST": f"h{text}", "HTTP_X_THING": text, "SCRIPT_NAME": text}
    command = curl(trace(method="GET", path=f"/{text}", query=text, environ=environ))
    assert command is not None
    words = [word for word in shlex.split(command, comments=True) if word != "\n"]
    assert words[:2] == ["curl", "-i"]
    assert words[2].startswith("http://h")
    assert all(char.isprintable() for char in words[2])
    assert words[3:4] in ([], ["-H"])
    assert len(words) in {3, 5}
    assert all("\n" not in word and "\r" not in word for word in words)


def test_a_command_is_bounded(trace: Making) -> None:
    environ = {f"HTTP_X_{number}": "v" * 150 for number in range(100)}
    command = curl(trace(path="/" + "p" * 9000, environ=environ))
    assert command is not None
    assert len(command) < MOST + 200
    assert "headers that did not fit" in command


def test_what_is_not_a_request_has_no_command(trace: Making) -> None:
    assert curl(trace(kind="cli", method=None, path=None)) is None


def test_a_head_request_is_sent_as_one(trace: Making) -> None:
    assert str(curl(trace(method="HEAD"))).startswith("curl -I http")
