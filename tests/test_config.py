"""Every ``CTXKIT_`` key is checked when the kit is registered, and says what to write instead."""

from __future__ import annotations

import math
import typing as t
from pathlib import Path

import pytest
from flask import Flask

from flask_ctxkit import ConfigError, CtxKit, CtxKitError
from flask_ctxkit.config import OPTIONS, PREFIX, Config

TOKEN = "t" * 32


class Sly(str):
    """A string that is not exactly one: what it does when compared is the user's code."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return True


WRONG: dict[str, list[t.Any]] = {
    "PAGES": ["yes", "AUTO", 1, 0, None, [], Sly("no")],
    "TRACE": ["on", "", 1, None, b"auto", Sly("no")],
    "TRACE_RATE": [-0.1, 1.1, math.nan, math.inf, "0.5", None, True, 1j],
    "SESSION_INTERFACE": [1, 0, "auto", None, "True"],
    "URL_PREFIX": ["", "/", "_ctx", "/_ctx/", "//x", "/a//b", "/a?b", "/a b", "/<x>", None, 1],
    "TOKEN": ["short", "", "t" * 31, b"t" * 32, 1, True],
    "PAGE_HOSTS": [
        "localhost",
        ["http://a"],
        ["a:80"],
        ["a/b"],
        [""],
        ["*"],
        ["*.a"],
        [".a"],
        [1],
        None,
        {"a": 1},
    ],
    "VALUES": ["short", 1, None, [], b"auto"],
    "REDACT": ["word", b"word", [""], [1], None, 5],
    "REDACT_ALLOW": ["word", [None], {"a": 1}],
    "HEADERS": ["yes", 1, None],
    "STORE": ["redis://x", "", None, 1, "memory:"],
    "MAX_TRACES": [0, -1, 100_001, 1.5, "200", True, None],
    "MAX_EVENTS": [0, 19, 1_000_001, 100.0, None, False],
    "SLOW_HOOK": [-1, 3601, math.nan, "1", None, True],
    "STUCK_AFTER": [0, -1, 86_401, math.nan, "1", None],
}
RIGHT: dict[str, list[t.Any]] = {
    "PAGES": ["auto", False],
    "TRACE": ["auto", True, False],
    "TRACE_RATE": [0, 1, 0.5, 1.0],
    "SESSION_INTERFACE": [True, False],
    "URL_PREFIX": ["/_ctx", "/a/b", "/x"],
    "TOKEN": [None, TOKEN],
    "PAGE_HOSTS": [(), ["Dev.Local"], {"::1"}, ["[::1]"], ("127.0.0.1",)],
    "VALUES": ["auto", True, False, TOKEN],
    "REDACT": [(), ["tea"], {"tea"}],
    "REDACT_ALLOW": [[], ["csp_nonce"], frozenset({"a"})],
    "HEADERS": ["auto", True, False],
    "STORE": ["memory://"],
    "MAX_TRACES": [1, 100_000],
    "MAX_EVENTS": [20, 1_000_000],
    "SLOW_HOOK": [0, 3600, 0.5],
    "STUCK_AFTER": [0.01, 86_400, 1],
}


def test_every_key_is_tried_here() -> None:
    """But for those of the session's abilities, each tried beside its ability."""
    abilities = {name for name in KEYS if name.startswith("SESSION_")} - {"SESSION_INTERFACE"}
    assert set(WRONG) == set(RIGHT) == KEYS - abilities
    tried = "".join(path.read_text() for path in (Path(__file__).parent / "session").glob("*.py"))
    assert {name for name in abilities if f"CTXKIT_{name}" not in tried} == set()


KEYS: t.Final = {option.name for option in OPTIONS}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name in WRONG for value in WRONG[name]]
)
def test_a_wrong_value_is_refused_by_name(name: str, value: t.Any) -> None:
    app = Flask("wrong")
    app.config[PREFIX + name] = value
    with pytest.raises(ConfigError, match=f"^{PREFIX}{name} ") as caught:
        CtxKit(app)
    assert caught.value.evidence["key"] == PREFIX + name
    assert isinstance(caught.value, CtxKitError)


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name in RIGHT for value in RIGHT[name]]
)
def test_a_right_value_is_taken(name: str, value: t.Any) -> None:
    taken = getattr(Config.from_mapping({PREFIX + name: value}), name.lower())
    if name == "PAGE_HOSTS":
        assert taken == tuple(host.lower() for host in value)
    elif name in {"REDACT", "REDACT_ALLOW"}:
        assert taken == tuple(value)
    else:
        assert taken == value


def test_without_keys_there_are_the_defaults() -> None:
    config = Config.from_mapping({})
    assert {option.name: getattr(config, option.name.lower()) for option in OPTIONS} == {
        option.name: option.default for option in OPTIONS
    }


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [
        ("CTXKIT_TRACES", "CTXKIT_TRACE"),
        ("CTXKIT_MAX_TRACE", "CTXKIT_MAX_TRACES"),
        ("CTXKIT_STUCKAFTER", "CTXKIT_STUCK_AFTER"),
        ("CTXKIT_TOKN", "CTXKIT_TOKEN"),
        ("CTXKIT_trace", "CTXKIT_TRACE"),
    ],
)
def test_an_unknown_key_names_the_nearest_one(wrong: str, nearest: str) -> None:
    app = Flask("wrong")
    app.config[wrong] = True
    with pytest.raises(ConfigError) as caught:
        CtxKit(app)
    assert caught.value.evidence["nearest"] == nearest
    assert str(caught.value).startswith(f"{wrong} is not a key")
    assert f"Did you mean {nearest}?" in str(caught.value)


@pytest.mark.parametrize("wrong", ["CTXKIT_", "CTXKIT_\0", "CTXKIT_" + "x" * 100_000, "CTXKIT_ü"])
def test_an_absurd_key_is_refused_too(wrong: str) -> None:
    with pytest.raises(ConfigError):
        Config.from_mapping({wrong: 1})


def test_keys_of_others_are_left_alone() -> None:
    mapping: dict[t.Any, t.Any] = {"CTXKITTEN": 1, "ctxkit_trace": "?", "XCTXKIT_TRACE": 1, 7: 8}
    assert Config.from_mapping(mapping) == Config.from_mapping({})


def test_pages_outside_debug_need_a_token() -> None:
    with pytest.raises(ConfigError, match="CTXKIT_TOKEN") as caught:
        Config.from_mapping({"CTXKIT_PAGES": True})
    assert caught.value.evidence["key"] == "CTXKIT_TOKEN"
    assert Config.from_mapping({"CTXKIT_PAGES": True, "CTXKIT_TOKEN": TOKEN}).pages is True


def test_a_secret_in_the_wrong_place_is_not_told() -> None:
    secret = "hunter2-hunter2-hunter2"
    for key in ("CTXKIT_PAGES", "CTXKIT_TOKEN", "CTXKIT_VALUES", "CTXKIT_REDACT", "CTXKIT_STORE"):
        with pytest.raises(ConfigError) as caught:
            Config.from_mapping({key: secret})
        assert secret not in f"{caught.value} {caught.value.evidence}"


def test_an_address_that_names_no_store_is_not_told() -> None:
    """It may hold a password, also a short one."""
    with pytest.raises(ConfigError, match="is a str that names no store") as caught:
        Config.from_mapping({"CTXKIT_SESSION_REVOCATIONS": "pw@h"})
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize("keys", ["old-key", b"old-key"])
def test_fallback_keys_in_one_text_are_refused(keys: str | bytes) -> None:
    """Flask would take each character for a key, with which anybody could sign a session."""
    app = Flask("careless")
    app.config["SECRET_KEY_FALLBACKS"] = keys
    with pytest.raises(ConfigError, match="into a list") as caught:
        CtxKit(app)
    assert "old-key" not in str(caught.value)
    app.config["SECRET_KEY_FALLBACKS"] = ["old-key"]
    CtxKit(app)


def test_no_fallback_keys_are_none_in_any_spelling() -> None:
    """An environment variable that is not set comes as an empty text."""
    spellings: list[t.Any] = ["", b"", None, (), []]
    for number, keys in enumerate(spellings):
        app = Flask(f"none{number}")
        app.config["SECRET_KEY_FALLBACKS"] = keys
        CtxKit(app)


def test_fallback_keys_are_nobodys_business_where_the_sessions_are_not_the_kits() -> None:
    """What another session interface makes of them is not known."""
    app = Flask("other")
    app.config.update(SECRET_KEY_FALLBACKS="old", CTXKIT_SESSION_INTERFACE=False)
    CtxKit(app)


def test_a_refused_app_is_left_as_it_was() -> None:
    """It can be corrected and registered."""
    app = Flask("wrong")
    app.config["CTXKIT_TRACE"] = "?"
    before = (dict(app.extensions), dict(app.before_request_funcs), app.session_interface)
    kit = CtxKit()
    with pytest.raises(ConfigError):
        kit.init_app(app)
    assert (app.extensions, app.before_request_funcs, app.session_interface) == before
    assert "wsgi_app" not in app.__dict__
    app.config["CTXKIT_TRACE"] = True
    kit.init_app(app)
    assert app.test_client().get("/").status_code == 404


def test_a_key_that_is_set_after_the_kit_changes_nothing() -> None:
    """What a request or a later config file says is too late, not half taken."""
    app = Flask("late")
    CtxKit(app)
    app.config["CTXKIT_TRACE"] = "nonsense"
    app.config["CTXKIT_PAGES"] = True
    assert app.test_client().get("/_ctx/").status_code == 404
    assert app.extensions["ctxkit"].config == Config.from_mapping({})


def test_every_option_says_what_it_is() -> None:
    for option in OPTIONS:
        assert option.key == PREFIX + option.name
        assert option.kind
        assert option.help.endswith(".")
