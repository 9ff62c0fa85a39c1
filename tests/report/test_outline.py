"""A trace as plain text."""

from __future__ import annotations

import typing as t
from dataclasses import replace

import pytest
from flask import Flask, Response, g, session

from flask_ctxkit import CtxKit
from flask_ctxkit.report.outline import EVENTS, NAMES, TEXT, headline, outline

if t.TYPE_CHECKING:
    from flask_ctxkit.trace.model import Trace


@pytest.fixture
def app() -> Flask:
    app = Flask("shop")
    app.config.update(CTXKIT_TRACE=True, SECRET_KEY="k" * 32)
    CtxKit(app)
    app.add_url_rule("/", "index", lambda: "fine")
    return app


def newest(app: Flask) -> Trace:
    return t.cast("Trace", next(app.extensions["ctxkit"].store.newest()))


def trace_of(app: Flask, path: str = "/") -> Trace:
    app.test_client().get(path)
    return newest(app)


def test_the_headline_says_what_it_is_and_how_it_ended(app: Flask) -> None:
    """Of a request, one without a response, a block, and one that still runs."""
    trace = replace(trace_of(app), duration_ms=1.2, id="0badcafe")
    assert headline(trace) == "GET / -> 200 in 1.20 ms, trace 0badcafe"
    assert headline(replace(trace, status=None)) == (
        "GET / -> no response in 1.20 ms, trace 0badcafe"
    )
    assert headline(replace(trace, duration_ms=None)).startswith("GET / -> 200 running")
    with app.app_context():
        pass
    assert headline(newest(app)).startswith("application context, report/test_outline.py:")
    assert " -> " not in headline(newest(app))


def test_each_step_has_a_line_with_what_it_changed(app: Flask) -> None:
    """Names with their signs, a status, an error, a note; deeper steps further in."""

    @app.before_request
    def load() -> None:
        for number in range(NAMES + 2):
            setattr(g, f"n{number}", "a value")

    @app.get("/change")
    def change() -> tuple[str, int]:
        del g.n0
        g.n1 = session["mine"] = "another value"
        return "made", 201

    lines = outline(trace_of(app, "/change"))
    (hook,) = [line for line in lines if "before_request" in line]
    assert hook.endswith("g +n0 +n1 +n2 +n3 +n4 +n5 and 2 more")
    (view,) = [line for line in lines if "view change" in line and "Answered" not in line]
    assert view.endswith("g ~n1 -n0  session +mine")
    assert any(line.endswith("status 201  headers +Content-Type +Content-Length") for line in lines)
    assert not any("value" in line for line in lines)


def test_an_error_and_a_finding_are_told(app: Flask) -> None:
    """With what to write instead."""

    @app.before_request
    def late() -> None:
        raise KeyError("lost")

    trace = trace_of(app)
    told = {"code": "a-code", "severity": "warning", "message": "It is bad.", "fix": "Be good."}
    lines = outline(replace(trace, findings=(told,)))
    (hook,) = [line for line in lines if "before_request late" in line]
    assert "raised  KeyError: lost" in hook
    assert lines[-1] == "  warning a-code: It is bad. Be good."


def test_what_a_terminal_would_act_on_is_an_escape(app: Flask) -> None:
    """In a path, and in a name."""

    @app.get("/<name>")
    def hello(name: str) -> str:
        return "fine"

    text = "\n".join(outline(trace_of(app, "/%1b%5d0;own%07%e2%80%ae")))
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert r"GET /\x1b]0;own\x07\u202e" in text


def test_a_long_trace_and_a_long_line_are_cut(app: Flask) -> None:
    """The middle of the steps is counted; each line is bounded."""
    trace = trace_of(app)
    event = trace.events[0]
    many = tuple(replace(event, index=number) for number in range(1, 3 * EVENTS))
    lines = outline(replace(trace, events=many))
    steps = [line for line in lines if "make_request" in line]
    assert len(steps) == EVENTS
    assert f"       ... {2 * EVENTS - 1} steps ..." in lines
    assert steps[0].split()[0] == "1"
    assert steps[-1].split()[0] == str(3 * EVENTS - 1)
    long = outline(replace(trace, name="x" * 10_000))
    assert max(map(len, long)) == TEXT + 1


def test_steps_inside_others_stand_further_in(app: Flask) -> None:
    """A template inside its view."""
    from flask import render_template_string

    @app.get("/page")
    def page() -> Response:
        return Response(render_template_string("fine"))

    lines = outline(trace_of(app, "/page"))
    (view,) = [line for line in lines if "view page" in line and "Answered" not in line]
    inner = next(line for line in lines if "template" in line)
    assert inner.index("template") == view.index("view") + 2
