"""How sessions are set up: each mistake that was planted is named, the nearest sound app is not."""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import inspect
import pickle
import time
import typing as t
from datetime import timedelta

import pytest
from flask import Flask, session

from flask_ctxkit import CtxKit
from flask_ctxkit.config import Config
from flask_ctxkit.findings import Finding, Rules, session_setup
from flask_ctxkit.findings.session_setup import DROPPED, KINDS, RULES, STORE, TOLD_ELSEWHERE
from flask_ctxkit.internals import FLASK_VERSION
from flask_ctxkit.session import attributes, check, own_keys
from flask_ctxkit.session.interface import CtxSessionInterface
from flask_ctxkit.session.settings import Settings, settings_of
from flask_ctxkit.session.timeouts import Timeouts

if t.TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

Watch = t.Callable[..., t.Any]
GOOD: t.Final = "9f1c6d2a8b7e4f309f1c6d2a8b7e4f30"
DAY: t.Final = 86_400
OLD_FLASK: t.Final = FLASK_VERSION.startswith("3.0.")


def found_in(app: Flask) -> tuple[Finding, ...]:
    rules = Rules(Config.from_mapping({}))
    found = rules.for_app(app)
    assert rules.failures == ()
    return found


def app_with(kit: bool = True, interface: t.Any = None, **config: t.Any) -> Flask:
    app = Flask(__name__)
    app.config.update({"SECRET_KEY": GOOD} | config)
    if interface is not None:
        app.session_interface = interface
    if kit:
        CtxKit(app)
    return app


def own(interface: t.Any = None, **attributes: t.Any) -> t.Any:
    interface = interface or CtxSessionInterface()
    for name, value in attributes.items():
        setattr(interface, name, value)
    return interface


PLANTED: t.Final[dict[str, tuple[dict[str, t.Any], dict[str, t.Any]]]] = {
    "key-type": ({"SECRET_KEY": 5}, {"SECRET_KEY": GOOD.encode()}),
    "fallbacks-type": ({"SECRET_KEY_FALLBACKS": {GOOD[::-1]}},
                       {"SECRET_KEY_FALLBACKS": (GOOD[::-1],)}),
    "fallback-empty": ({"SECRET_KEY_FALLBACKS": [""]}, {"SECRET_KEY_FALLBACKS": []}),
    "serializer-pickle": ({"interface": own(serializer=pickle)}, {"interface": own()}),
    "digest-weak": ({"interface": own(digest_method=hashlib.md5)},
                    {"interface": own(digest_method=hashlib.sha256)}),
    "derivation-none": ({"interface": own(key_derivation="none")},
                        {"interface": own(key_derivation="concat")}),
    "derivation-unknown": ({"interface": own(key_derivation="rot13")},
                           {"interface": own(key_derivation="django-concat")}),
    "name-invalid": ({"SESSION_COOKIE_NAME": "my shop"}, {"SESSION_COOKIE_NAME": "my-shop"}),
    "name-taken": ({"SESSION_COOKIE_NAME": "me", "REMEMBER_COOKIE_NAME": "me"},
                   {"SESSION_COOKIE_NAME": "me", "REMEMBER_COOKIE_NAME": "remember"}),
    "samesite-invalid": ({"SESSION_COOKIE_SAMESITE": "lux"}, {"SESSION_COOKIE_SAMESITE": "lax"}),
    "httponly-off": ({"SESSION_COOKIE_HTTPONLY": False}, {"SESSION_COOKIE_HTTPONLY": True}),
    "domain-invalid": ({"SESSION_COOKIE_DOMAIN": "https://shop.test"},
                       {"SESSION_COOKIE_DOMAIN": "shop.test"}),
    "domain-single": ({"SESSION_COOKIE_DOMAIN": "localhost"},
                      {"SESSION_COOKIE_DOMAIN": "shop.localhost"}),
    "path-relative": ({"SESSION_COOKIE_PATH": "app"}, {"SESSION_COOKIE_PATH": "/app"}),
    "lifetime-type": ({"PERMANENT_SESSION_LIFETIME": None, "kit": False},
                      {"PERMANENT_SESSION_LIFETIME": 60}),
    "lifetime-none": ({"PERMANENT_SESSION_LIFETIME": timedelta(0)},
                      {"PERMANENT_SESSION_LIFETIME": timedelta(seconds=1)}),
    "key-misspelled": ({"SESSION_COOKIE_SAME_SITE": "Lax"}, {"SESSION_TYPE": "redis"}),
    "idle-long": ({"CTXKIT_SESSION_IDLE": 61, "PERMANENT_SESSION_LIFETIME": 60},
                  {"CTXKIT_SESSION_IDLE": 60, "PERMANENT_SESSION_LIFETIME": 60}),
    "absolute-short": ({"interface": own(timeouts=Timeouts(idle=60, absolute=60))},
                       {"CTXKIT_SESSION_IDLE": 60, "CTXKIT_SESSION_ABSOLUTE": 61}),
    "reissue-late": ({"CTXKIT_SESSION_REISSUE": 60, "PERMANENT_SESSION_LIFETIME": 60},
                     {"CTXKIT_SESSION_REISSUE": 6, "PERMANENT_SESSION_LIFETIME": 60}),
    "resign-late": ({"CTXKIT_SESSION_RESIGN": 61, "PERMANENT_SESSION_LIFETIME": 60},
                    {"CTXKIT_SESSION_RESIGN": 59, "PERMANENT_SESSION_LIFETIME": 60}),
}  # fmt: skip
if OLD_FLASK:
    PLANTED["fallbacks-ignored"] = (
        {"SECRET_KEY_FALLBACKS": [GOOD[::-1]], "kit": False},
        {"SECRET_KEY_FALLBACKS": [GOOD[::-1]]},
    )
    PLANTED["partitioned-ignored"] = (
        {"SESSION_COOKIE_PARTITIONED": True, "SESSION_COOKIE_SECURE": True},
        {"SESSION_COOKIE_PARTITIONED": False, "SESSION_COOKIE_SECURE": True},
    )
else:
    PLANTED["partitioned-secure"] = (
        {"SESSION_COOKIE_PARTITIONED": True},
        {"SESSION_COOKIE_PARTITIONED": True, "SESSION_COOKIE_SECURE": True},
    )


@pytest.mark.parametrize("code", PLANTED)
def test_a_planted_mistake_is_named_and_the_nearest_sound_app_is_not(code: str) -> None:
    wrong, sound = PLANTED[code]
    (finding,) = found_in(app_with(**wrong))
    assert finding.code == f"session-{code}"
    assert finding.severity in {"warning", "error"}
    assert finding.fix
    assert finding.evidence
    assert found_in(app_with(**sound)) == ()


def test_the_window_for_signed_cookies_is_no_longer_than_they_live() -> None:
    pytest.importorskip("cryptography")
    key = "CTXKIT_SESSION_ENCRYPT_READ_SIGNED_UNTIL"
    how = {"CTXKIT_SESSION_ENCRYPT": True, "PERMANENT_SESSION_LIFETIME": timedelta(days=7)}
    for days, codes in ((5, []), (40, ["session-encrypt-window-long"])):
        day = time.strftime("%Y-%m-%d", time.gmtime(time.time() + days * DAY))
        app = app_with(True, None, **how, **{key: day})
        assert [finding.code for finding in found_in(app)] == codes


@pytest.mark.parametrize("debug", [True, False])
def test_a_store_of_revocations_that_can_not_be_read(tmp_path: Path, debug: bool) -> None:
    """While developing; in production the first request would wait for it. One that was never
    written to is sound.
    """
    (tmp_path / "folder").mkdir()
    for name, codes in (("none.db", []), ("folder", ["session-revocations-down"])):
        app = app_with(CTXKIT_SESSION_REVOCATIONS=f"sqlite:///{tmp_path / name}")
        app.debug = debug
        assert [finding.code for finding in found_in(app)] == codes * debug


@pytest.mark.parametrize(
    ("flask", "code"), [("3.0.3", "fallbacks-ignored"), ("3.1.0", "fallbacks-sign")]
)
def test_what_an_older_flask_makes_of_fallbacks(
    monkeypatch: pytest.MonkeyPatch, flask: str, code: str
) -> None:
    """Without the kit's interface, which reads them rightly on each line."""
    known = {*Flask.default_config, "SECRET_KEY_FALLBACKS"}
    if flask == "3.0.3":
        known.remove("SECRET_KEY_FALLBACKS")

    def settings_there(app: Flask) -> Settings:
        return dataclasses.replace(settings_of(app), flask=flask, known_keys=frozenset(known))

    monkeypatch.setattr(session_setup, "settings_of", settings_there)
    (finding,) = found_in(app_with(kit=False, SECRET_KEY_FALLBACKS=[GOOD[::-1]]))
    assert finding.code == f"session-{code}"
    assert found_in(app_with(SECRET_KEY_FALLBACKS=[GOOD[::-1]])) == ()


# ----------------------------------------------------------------------- told once


@pytest.mark.parametrize(
    ("config", "code"),
    [
        ({"SESSION_COOKIE_SAMESITE": "None"}, "session-samesite-none"),
        ({"SESSION_COOKIE_NAME": "__Host-session"}, "session-prefix-rules"),
    ],
)
def test_a_cookie_that_browsers_drop_is_told_at_the_start_and_once(
    watch: Watch, config: dict[str, t.Any], code: str
) -> None:
    """What a saved session shows later is the same mistake."""
    app = Flask(__name__)
    app.add_url_rule("/", "home", lambda: session.update(n=1) or "")
    watched = watch(app, **config)
    assert [finding.code for finding in found_in(app)] == [code]
    watched.client.get("/")
    (row,) = watched.rules.tally.rows()
    assert (row.finding.code, row.count) == (code, 2)


def test_a_domain_that_is_not_the_app_s() -> None:
    how = {"SERVER_NAME": "shop.test", "SESSION_COOKIE_DOMAIN": "other.test"}
    (finding,) = found_in(app_with(True, None, **how))
    assert (finding.code, finding.subject) == ("session-domain-mismatch", "domain-mismatch")
    how["SESSION_COOKIE_DOMAIN"] = "shop.test"
    assert found_in(app_with(True, None, **how)) == ()


@pytest.mark.parametrize(
    "config",
    [{"SECRET_KEY": "dev"}, {"SECRET_KEY": "k" * 20}, {"SECRET_KEY_FALLBACKS": ["dev"]}],
)
def test_a_weak_key_is_told_by_its_own_rule_alone(config: dict[str, t.Any]) -> None:
    assert [finding.code for finding in found_in(app_with(True, None, **config))] == ["secret-weak"]


def test_notes_are_no_findings() -> None:
    """What may be as it is: only ``flask ctx session check`` and the page tell it."""
    app = app_with(SESSION_COOKIE_DOMAIN="shop.test", PERMANENT_SESSION_LIFETIME=500 * DAY)
    assert {problem.severity for problem in check.check(settings_of(app))} == {"note"}
    assert found_in(app) == ()
    assert found_in(app_with(SECRET_KEY=None)) == ()


def problem_codes(module: ModuleType) -> dict[str, set[str]]:
    """Each code of a problem in the source of *module*, with its severities."""
    found: dict[str, set[str]] = {}
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Problem":
            code, severity = node.args[0], node.args[1]
            # found[0] is the code of what a request would show.
            codes = (
                [code.value]
                if isinstance(code, ast.Constant)
                else ["prefix-rules", "samesite-none"]
            )
            for name in codes:
                known = isinstance(severity, ast.Constant)
                found.setdefault(str(name), set()).add(str(severity.value) if known else "?")  # type: ignore[attr-defined]
    return found


def test_each_error_and_warning_of_the_check_is_a_finding() -> None:
    """One that is added there without a line here is a mistake that is not told."""
    codes: dict[str, set[str]] = {}
    for module in (check, attributes, own_keys):
        codes |= problem_codes(module)
    loud = {code: levels for code, levels in codes.items() if levels != {"note"}}
    told = {kind.code: kind.severity for kind in (*KINDS, STORE)}
    assert loud.keys() == told.keys() | TOLD_ELSEWHERE | DROPPED
    assert {code: levels for code, levels in loud.items() if code in told} == {
        code: {severity} for code, severity in told.items()
    }
    assert {rule.when for rule in RULES} == {"app"}
