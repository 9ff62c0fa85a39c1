"""With the kit and without it, a request has the same response, hooks and exceptions."""

from __future__ import annotations

import time
import typing as t
import warnings

import click
import pytest
from flask import Flask, Response, g, jsonify, request

from flask_ctxkit import CtxKit
from flask_ctxkit.internals import ACCESS_IS_TOLD

from .neutral_app import Answer, TeapotError, build, call

SETTINGS: dict[str, dict[str, t.Any]] = {
    "off": {"CTXKIT_TRACE": False},
    "full": {"CTXKIT_TRACE": True},
    "sampled": {"CTXKIT_TRACE": True, "CTXKIT_TRACE_RATE": 0.0},
    "stock sessions": {"CTXKIT_TRACE": True, "CTXKIT_SESSION_INTERFACE": False},
}
VARY = ("Vary", "Cookie")
PUBLISHED = {"X-Ctxkit-Trace", "Server-Timing"}
"""The headers that the README says are sent to a viewer who may look."""


def talk(
    settings: dict[str, t.Any] | None, lines: t.Sequence[str], **config: t.Any
) -> list[Answer]:
    """The answers to *lines*, one after the other, with the cookies that were set."""
    log: list[str] = []
    app = build(settings, log, **config)
    cookies: dict[str, str] = {}
    answers = []
    for line in lines:
        request_line, *more = line.split("|")
        headers = dict(pair.split(": ", 1) for pair in more)
        if cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        answers.append(answer := call(app, log, request_line, headers))
        for name, value in answer.headers:
            if name == "Set-Cookie":
                key, _, rest = value.partition("=")
                cookies[key] = rest.partition(";")[0]
    return answers


def both(
    settings: dict[str, t.Any], lines: t.Sequence[str], **config: t.Any
) -> tuple[list[Answer], list[Answer]]:
    """Without the kit and with it, in one second of the clock, since cookies hold it."""
    for _ in range(20):
        begun = int(time.time())
        bare, ours = talk(None, lines, **config), talk(settings, lines, **config)
        if int(time.time()) == begun:
            break
    if not ACCESS_IS_TOLD and settings.get("CTXKIT_SESSION_INTERFACE", True):
        forgive_more_vary(bare, ours)
    return bare, ours


def forgive_more_vary(bare: list[Answer], ours: list[Answer]) -> None:
    """Before 3.1.3 Flask forgets ``Vary: Cookie`` for some ways to look into the session, or
    adds it after ``Set-Cookie``; the kit's interface sends it. Never the other way round.
    """
    for without, with_kit in zip(bare, ours, strict=True):
        if VARY in with_kit.headers:
            for answer in (without, with_kit):
                answer.headers = [pair for pair in answer.headers if pair != VARY]


LINES = [
    *(f"GET /{name}" for name in (
        "json", "html", "bytes", "redirect", "empty", "tuple", "headers", "status-line", "etag",
        "template", "abort", "abort-response", "crash", "teapot", "abrupt", "none", "url",
        "wsgi-app", "length", "file", "stream", "context-stream", "broken-stream",
        "broken-template", "inside", "items/3",
    )),
    "HEAD /html", "HEAD /file", "HEAD /stream", "OPTIONS /html", "POST /items/3", "PUT /items/3",
    "GET /nowhere", "GET /items/word", "GET /tea/pot/green", "GET /tea/pot/gone",
    "GET /tea/pot/green?early=1", "GET /html?late=1", "GET /html?teapot=1",
    "GET /html?after-crash=1", "GET /html?down-crash=1", "GET /crash?down-crash=1",
    "GET /html?values-abort=1", "GET /nowhere?values-abort=1", "GET /_ctx", "GET /_ctx/nowhere",
    'GET /etag|If-None-Match: "one"', "GET /etag|If-Modified-Since: Tue, 04 Feb 2020 00:00:00 GMT",
    "GET /file|Range: bytes=10-19", "GET /file|Range: bytes=999999-",
    'GET /file|If-None-Match: "tea"',
    "GET /session/read|Cookie: session=forged.aaaa.bbbb", "GET /session/read|Cookie: session=",
    "GET /html|Host: a_b..c", "GET /%ff%fe?%00=1", "DELETE /json", "NONSENSE /json",
]  # fmt: skip
TALKS = [
    ["GET /session/untouched", "GET /session/read", "GET /session/contains"],
    ["GET /session/write", "GET /session/untouched", "GET /session/read", "GET /session/write"],
    ["GET /session/write", "GET /session/clear", "GET /session/read", "GET /session/clear"],
    ["GET /session/write", "GET /session/permanent", "GET /session/untouched", "HEAD /html"],
    ["GET /session/flash", "GET /html", "GET /session/flashed", "GET /session/flashed"],
    ["GET /session/flash", "GET /session/template", "GET /session/template"],
    ["GET /session/nested", "GET /session/nested", "GET /session/write", "GET /session/nested"],
    ["GET /session/write", "GET /session/write-and-crash", "GET /session/read"],
    ["GET /session/unserializable", "GET /session/read"],
    ["GET /session/write", "GET /stream", "GET /context-stream", "GET /file", "GET /crash"],
]
CONFIGS: dict[str, dict[str, t.Any]] = {
    "plain": {},
    "testing": {"TESTING": True},
    "no key": {"SECRET_KEY": None},
    "other cookie": {"SESSION_COOKIE_NAME": "tea", "SESSION_COOKIE_SAMESITE": "Strict",
                     "SESSION_COOKIE_PATH": "/session", "SESSION_REFRESH_EACH_REQUEST": False},
    "trapping": {"TRAP_HTTP_EXCEPTIONS": True, "TRAP_BAD_REQUEST_ERRORS": True},
}  # fmt: skip


@pytest.mark.parametrize("settings", ["off", "full"])
@pytest.mark.parametrize("line", LINES)
def test_one_request_is_answered_the_same(line: str, settings: str) -> None:
    bare, ours = both(SETTINGS[settings], [line])
    assert ours == bare


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("lines", TALKS, ids=" ".join)
def test_a_session_is_kept_the_same(lines: list[str], settings: str) -> None:
    bare, ours = both(SETTINGS[settings], lines)
    assert ours == bare


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("config", CONFIGS)
def test_one_app_answers_all_of_them_the_same(config: str, settings: str) -> None:
    """One after the other, so that nothing of one request shows in the next."""
    lines = [*LINES, *(line for lines in TALKS for line in lines)]
    bare, ours = both(SETTINGS[settings], lines, **CONFIGS[config])
    for line, with_kit, without in zip(lines, ours, bare, strict=True):
        assert (line, with_kit) == (line, without)


@pytest.mark.parametrize("line", [line for line in LINES if "_ctx" not in line])
def test_a_viewer_who_may_look_gets_the_published_headers_more(line: str) -> None:
    bare, ours = both({}, [line], DEBUG=True)
    more = [name for answer in ours for name, _ in answer.headers if name in PUBLISHED]
    assert set(more) in ({*PUBLISHED}, set())
    assert len(more) == len(set(more))
    for answer in ours:
        answer.headers = [pair for pair in answer.headers if pair[0] not in PUBLISHED]
    assert ours == bare


def test_the_answers_that_are_compared_are_no_empty_ones() -> None:
    """The comparison holds nothing where every line is answered by the same error page."""
    [answers, _] = both({}, LINES)
    assert len({answer.status for answer in answers}) > 15
    assert any(answer.raised for answer in answers)
    assert [a.body_type for a in answers].count("FileWrapper") == 1
    assert sum(len(answer.log) for answer in answers) > 150


def test_an_async_view_and_hooks_are_answered_the_same() -> None:
    pytest.importorskip("asgiref")

    def answer(settings: dict[str, t.Any] | None) -> tuple[t.Any, ...]:
        app = Flask("async")
        if settings is not None:
            app.config.update(settings)
            CtxKit(app)

        @app.before_request
        async def before() -> None:
            g.tea = "green"

        @app.after_request
        async def after(response: Response) -> Response:
            response.headers["X-Tea"] = g.tea
            return response

        @app.get("/")
        async def view() -> t.Any:
            return jsonify(tea=g.tea, path=request.path)

        @app.get("/crash")
        async def crash() -> t.Any:
            raise TeapotError

        @app.errorhandler(TeapotError)
        async def teapot(_error: Exception) -> t.Any:
            return g.tea, 418

        client = app.test_client()
        return tuple((r.status, [*r.headers], r.data) for r in map(client.get, ("/", "/crash")))

    assert answer({"CTXKIT_TRACE": True}) == answer({"CTXKIT_TRACE": False}) == answer(None)


def test_a_command_prints_and_exits_the_same() -> None:
    def run(settings: dict[str, t.Any] | None, *words: str) -> tuple[t.Any, ...]:
        log: list[str] = []
        app = build(settings, log)

        @app.cli.command("brew")
        @click.argument("kind")
        def brew(kind: str) -> None:
            g.kind = kind
            click.echo(f"{g.kind} for {app.name}")
            if kind == "coffee":
                raise TeapotError("no")
            if kind == "black":
                click.get_current_context().exit(3)
            if kind == "refused":
                raise click.ClickException("refused")

        result = app.test_cli_runner().invoke(args=["brew", *words])
        return result.output, result.exit_code, repr(result.exception), log

    for words in (("green",), ("coffee",), ("black",), ("refused",), (), ("a", "b")):
        bare = run(None, *words)
        assert run({"CTXKIT_TRACE": True}, *words) == bare
        assert run({"CTXKIT_TRACE": False}, *words) == bare


def test_no_warning_is_given_that_flask_does_not_give() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        both({"CTXKIT_TRACE": True}, LINES)
    assert [str(warning.message) for warning in caught] == []
