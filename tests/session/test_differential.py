"""Whole requests against an unmodified Flask app: status, headers and body are the same."""

from __future__ import annotations

import json
import typing as t
import warnings
from datetime import datetime, timedelta, timezone
from unittest import mock

import flask
import pytest
from flask import Flask, flash, get_flashed_messages, render_template_string, session
from flask.json.tag import TaggedJSONSerializer
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup
from werkzeug.test import EnvironBuilder, run_wsgi_app

from flask_ctxkit.internals import ACCESS_IS_TOLD, FLASK_VERSION
from flask_ctxkit.session.interface import CtxSessionInterface

NOW = 1_700_000_000
HAS_FALLBACKS = not FLASK_VERSION.startswith("3.0.")
Op = t.Callable[[], t.Any]


def nested() -> None:
    session.setdefault("cart", []).append({"sku": (1, b"2")})


def set_all() -> None:
    session.update(
        when=datetime(2024, 5, 6, 7, 8, 9, tzinfo=timezone.utc), tuple=(1, [2]), m=Markup("<b>"),
        word="héllo \u2028", big="x" * 5000, tag={" t": [1]}, none=None,
    )  # fmt: skip


def set_permanent() -> None:
    session.permanent = True


def set_temporary() -> None:
    session.permanent = False


def mark() -> None:
    session.modified = True


def remove() -> None:
    if "n" in session:
        del session["n"]


def merge() -> None:
    proxy: t.Any = session
    proxy |= {"merged": 1}


def empty() -> None:
    session.clear()


def union() -> t.Any:
    proxy: t.Any = session
    return proxy | {}


def template() -> str:
    return render_template_string("{% if session.n %}{{ session.n }}{% endif %}")


# What only reads comes first: on Flask before 3.1.3 these set no Vary in the stock app.
SILENT_READS: tuple[Op, ...] = (
    lambda: "n" in session, lambda: len(session), lambda: list(session), lambda: bool(session),
    lambda: dict(session), lambda: sorted(session.items(), key=repr), lambda: repr(session),
    lambda: session == {}, union, lambda: {**session},
    lambda: json.dumps(session, default=repr), lambda: session.accessed,
)  # fmt: skip
OPS: tuple[Op, ...] = (
    *SILENT_READS,
    lambda: session.get("n"), lambda: session.permanent, lambda: session.pop("n", None),
    lambda: session.pop("absent", None), lambda: session.setdefault("n", 7),
    lambda: session.update(n=1), empty, lambda: session.modified,
    nested, set_all, set_permanent, set_temporary, mark, remove, merge, template,
    lambda: flash("hello"), lambda: repr(get_flashed_messages()),
)  # fmt: skip

configs = st.fixed_dictionaries(
    {},
    optional={
        "SESSION_COOKIE_NAME": st.sampled_from(["session", "s", "__Host-x", "na-me"]),
        "SESSION_COOKIE_DOMAIN": st.sampled_from(["example.com", ".example.com", None]),
        "SESSION_COOKIE_PATH": st.sampled_from(["/", "/app", "/a b", None]),
        "SESSION_COOKIE_HTTPONLY": st.booleans(),
        "SESSION_COOKIE_SECURE": st.booleans(),
        "SESSION_COOKIE_SAMESITE": st.sampled_from([None, "Lax", "strict", "None"]),
        "SESSION_COOKIE_PARTITIONED": st.booleans(),
        "SESSION_REFRESH_EACH_REQUEST": st.booleans(),
        "PERMANENT_SESSION_LIFETIME": st.sampled_from([60, timedelta(seconds=1.9), timedelta(-1)]),
        "MAX_COOKIE_SIZE": st.sampled_from([0, 100, 4093]),
        "SECRET_KEY": st.sampled_from(["k", b"\xff\x00", "long" * 40]),
    },
)


def make_app(config: dict[str, t.Any], ops: list[Op]) -> Flask:
    app = Flask("app")
    app.secret_key = "k"
    app.config.update(config)

    @app.route("/", methods=["GET", "POST"])
    def view() -> str:
        return repr([op() for op in ops])

    return app


def ours(app: Flask) -> Flask:
    app.session_interface = CtxSessionInterface()
    return app


def answer(app: Flask, cookie: str | None, now: float = NOW, **environ: t.Any) -> tuple[t.Any, ...]:
    """The body, status and headers in order, warnings, and the error that escaped."""
    builder = EnvironBuilder(path="/", environ_overrides=environ)
    env = builder.get_environ()
    if cookie is not None:
        env["HTTP_COOKIE"] = cookie
    moment = datetime.fromtimestamp(now, tz=timezone.utc)

    class Frozen(datetime):
        @classmethod
        def now(cls, tz: t.Any = None) -> t.Any:
            return moment.astimezone(tz)

    with (
        mock.patch("time.time", return_value=now),
        mock.patch("flask.sessions.datetime", Frozen),
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always")
        body, status, headers = run_wsgi_app(app, env)
        text = b"".join(body).decode()
    messages = sorted(str(warning.message) for warning in caught)
    return text, status, [(k, v) for k, v in headers if k != "Date"], messages


def without_vary(result: tuple[t.Any, ...]) -> tuple[t.Any, ...]:
    text, status, headers, messages = result
    return text, status, [pair for pair in headers if pair[0] != "Vary"], messages


def jar(result: tuple[t.Any, ...], before: str | None) -> str | None:
    for name, value in result[2]:
        if name == "Set-Cookie":
            return None if "Max-Age=0" in value else value.partition(";")[0]
    return before


def same_answers(stock: tuple[t.Any, ...], own: tuple[t.Any, ...]) -> bool:
    if ACCESS_IS_TOLD:
        return stock == own
    # Where the stock session misses some ways of access, ours adds Vary to more responses.
    if "Vary" in dict(stock[2]) and "Vary" not in dict(own[2]):
        return False
    return without_vary(stock) == without_vary(own)


ACCESSED = SILENT_READS[-1]
# Where the session has to notice for itself, ours notices more.
FREE_OPS = [op for op in OPS if ACCESS_IS_TOLD or op is not ACCESSED]
ops = st.lists(st.sampled_from(FREE_OPS), max_size=4)
steps = st.lists(st.tuples(ops, st.sampled_from([0, 1, 2, 61, -1, 40 * 86400])), max_size=5)


@settings(deadline=None)
@given(configs, steps)
def test_visits_go_the_same_way(
    config: dict[str, t.Any], visits: list[tuple[list[Op], int]]
) -> None:
    """A visitor with a cookie jar, whatever the views do, whatever the config, as time goes."""
    script: list[Op] = []
    stock, own = make_app(config, script), ours(make_app(config, script))
    cookie, now = None, NOW
    for what, seconds in visits:
        script[:] = what
        now += seconds
        expected = answer(stock, cookie, now)
        assert same_answers(expected, answer(own, cookie, now))
        cookie = jar(expected, cookie)


def signed(values: t.Any, key: t.Any = "k", now: int = NOW, **config: t.Any) -> str:
    app = make_app(config, [])
    app.secret_key = key
    serializer = flask.sessions.SecureCookieSessionInterface().get_signing_serializer(app)
    assert serializer is not None
    with app.app_context(), mock.patch("time.time", return_value=now):
        return serializer.dumps(values)


tampered = st.builds(
    lambda text, at, new: text[: at % len(text)] + new + text[at % len(text) + 1 :],
    st.sampled_from([signed({"n": 1}), signed({"n": "x" * 200, "_permanent": True})]),
    st.integers(0),
    st.text(st.characters(max_codepoint=255, exclude_characters=";"), max_size=3),
)
headers = st.builds(
    lambda before, name, gap, value, after: f"{before}{name}{gap}{value}{after}",
    st.sampled_from(["", "a=b; ", "session=; ", "a=b;", "xsession=1; ", 'q="; session=evil; '])
    | st.text(st.characters(max_codepoint=255), max_size=9),
    st.sampled_from(["session", "Session", " session", "session "]),
    st.sampled_from(["=", "= ", " =", ""]),
    tampered
    | st.sampled_from([signed({"n": 1}), signed({"_permanent": True, "é": "ü"}), '"quoted"', ""]),
    st.sampled_from(["", ";", "; a=b", "; session=second", " ", "\t; x", " junk; y=1", '"']),
)


@settings(deadline=None)
@given(headers, st.sampled_from([[], [OPS[12]], [set_permanent], [nested]]))
def test_any_cookie_header_is_read_alike(header: str, script: list[Op]) -> None:
    """Tampered, quoted, doubled, oddly spaced: accepted and refused as by Flask."""
    assert same_answers(
        answer(make_app({}, script), header), answer(ours(make_app({}, script)), header)
    )


@pytest.mark.skipif(not HAS_FALLBACKS, reason="the stock app has no fallback keys before 3.1")
@given(
    st.lists(st.sampled_from(["a", "b", b"c", "d"]), max_size=3),
    st.sampled_from(["a", "b", "c", "k"]),
)
def test_rotated_keys_are_read_alike(fallbacks: list[t.Any], key: str) -> None:
    config = {"SECRET_KEY_FALLBACKS": fallbacks}
    cookie = f"session={signed({'n': 5}, key)}"
    script = [OPS[12], mark]
    assert answer(make_app(config, script), cookie) == answer(
        ours(make_app(config, script)), cookie
    )


@pytest.mark.parametrize(
    "script",
    [[], [OPS[12]], [nested], [mark], [set_all]],
    ids=["untouched", "read", "nested", "marked", "set"],
)
@pytest.mark.parametrize(
    "values",
    [
        {"n": 1},
        {"_permanent": True, "n": 1},
        {"_permanent": True, "n": "x" * 400},
        {"_permanent": 0},
        [["_permanent", True], ["n", 2]],
        {"a": {"_permanent": True}},
        {"_permanent": True, "é": [()]},
        [],
        None,
    ],
    ids=repr,
)
@pytest.mark.parametrize("unsorted", [False, True])
def test_received_payloads_are_written_as_flask_would(
    script: list[Op], values: t.Any, unsorted: bool
) -> None:
    """Also one that this Flask would have encoded otherwise: keys unsorted, escapes, spaces."""
    app = make_app({}, [])
    serializer = flask.sessions.SecureCookieSessionInterface().get_signing_serializer(app)
    assert serializer is not None
    with mock.patch("time.time", return_value=NOW):
        if unsorted and isinstance(values, dict):
            values = dict(reversed(values.items()))
            text = json.dumps(TaggedJSONSerializer().tag(values), indent=1)
            text = text.replace("_permanent", "\\u005fpermanent")
            with mock.patch.object(TaggedJSONSerializer, "dumps", return_value=text):
                cookie = serializer.dumps(values)
        else:
            cookie = serializer.dumps(values)
    header = f"session={cookie}"
    assert same_answers(
        answer(make_app({}, script), header, NOW + 5),
        answer(ours(make_app({}, script)), header, NOW + 5),
    )
