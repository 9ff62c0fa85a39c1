"""What a doctor says: of code that is read and never run, of sessions, guard and resources."""

from __future__ import annotations

import json
import sys
import threading
import typing as t
from pathlib import Path

import pytest
from flask import Flask

from flask_ctxkit import CtxKit
from flask_ctxkit.report import old_code as old_code_report
from flask_ctxkit.report.doctor import doctor
from flask_ctxkit.report.old_code import LARGEST, old_code

KEY: t.Final = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
TOKEN: t.Final = "t" * 32


def app_with(*, kit: bool = True, debug: bool = False, **config: t.Any) -> Flask:
    app = Flask("shop")
    app.config.update(SECRET_KEY=KEY, SESSION_COOKIE_SECURE=True, SESSION_COOKIE_SAMESITE="Lax")
    app.config.update(config)
    app.debug = debug
    if kit:
        CtxKit(app)
    return app


def source(root: Path, text: str, name: str = "app.py") -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def read(*paths: Path, installed: bool = False) -> dict[str, t.Any]:
    return old_code(paths, installed=installed, progress=lambda done, total: None)


def examined(app: Flask | None, *paths: Path, **more: t.Any) -> dict[str, t.Any]:
    return doctor(app, paths, installed=False, **more)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# -------------------------------------------------------------------------------- code


def test_a_problem_says_where_since_when_and_what_instead(tmp_path: Path) -> None:
    """One row per name and way of use, with all of its places."""
    source(tmp_path, "from flask import Markup\n", "shop/a.py")
    source(tmp_path, "import os\nfrom flask import Markup\n", "shop/b.py")
    found = read(tmp_path)
    assert found["files"] == 2
    assert found["problems"] == [
        {
            "part": "code", "code": "old-name", "severity": "error", "name": "Markup",
            "gone": "3.0", "owner": None, "places": ["shop/a.py:1", "shop/b.py:2"],
            "message": "Your code imports flask.Markup, which is gone since Flask 3.0.",
            "fix": "Instead, import it from markupsafe.",
        }
    ]  # fmt: skip


CALL: t.Final = "import flask\napp.preprocess_request()\n"
METHOD: t.Final = (
    "from flask import Flask\nclass A(Flask):\n    def preprocess_request(self): ...\n"
)


@pytest.mark.parametrize(
    ("text", "flask", "severity", "fate"),
    [
        ("from flask import Markup", "3.1.3", "error", "flask.Markup, which is gone since Flask"),
        ("from flask.globals import _cv_request", "3.1.3", "warning", "which Flask 3.2 does not"),
        ("from flask.globals import _cv_request", "3.2.0.dev0", "error", "is gone since Flask 3"),
        ("from flask.ctx import RequestContext", "3.0.3", "note", "since Flask 3.2 that goes in"),
        ("from flask.ctx import RequestContext", "4.0.0", "error", "which is gone since Flask 4"),
        ("import flask\napp.json_encoder = 1", "3.0.3", "warning", "which nobody reads since"),
        ("import flask\napp.json_encoder()", "3.0.3", "error", "which is gone since Flask 2.3"),
        ("app.config['JSON_AS_ASCII'] = 1", "3.0.3", "warning", "which nobody reads since Flask"),
        (CALL, "3.1.3", "warning", "calls app.preprocess_request without the context, which"),
        (CALL, "3.2.0", "error", "without the context, which Flask 3.2 passes first."),
        (METHOD, "3.2.0", "note", "which Flask 3.2 passes first and 4.0 demands."),
        ("from flask.scaffold import Scaffold", "3.0.3", "error", "imports flask.scaffold, which"),
        ("from werkzeug.urls import url_quote", "3.0.3", "error", "is gone since Werkzeug 3.0."),
    ],
)
def test_how_bad_it_is_depends_on_the_installed_flask(  # noqa: PLR0917
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    flask: str,
    severity: str,
    fate: str,
) -> None:
    """What fails here is an error, what will fail a warning, what still works a note."""
    monkeypatch.setattr(old_code_report, "FLASK_VERSION", flask)
    source(tmp_path, text)
    (problem,) = read(tmp_path)["problems"]
    assert problem["severity"] == severity
    assert fate in problem["message"]


def test_code_is_read_and_never_run(tmp_path: Path) -> None:
    """Neither by importing it nor by looking for its package."""
    source(tmp_path, "from flask import escape\nopen('ran', 'w')\nraise SystemExit", "shop.py")
    source(tmp_path, "open('ran', 'w')", "__init__.py")
    assert len(read(tmp_path)["problems"]) == 1
    assert not Path("ran").exists()
    assert "shop" not in sys.modules


def test_a_file_that_can_not_be_read_is_told_and_stops_nothing(tmp_path: Path) -> None:
    """With its place and the reason."""
    source(tmp_path, "from flask import escape\ndef f(:\n", "a_broken.py")
    source(tmp_path, "from flask import escape\n\0", "b_null.py")
    source(tmp_path, "from flask import escape\nx = " + "-" * 100_000 + "1", "c_deep.py")
    (tmp_path / "d_none.py").symlink_to(tmp_path / "nowhere.py")
    source(tmp_path, "# " + "x" * LARGEST, "e_large.py")
    (tmp_path / "f_coded.py").write_bytes(b"# coding: nonsense\nfrom flask import escape\n")
    source(tmp_path, "from flask import escape", "z_sound.py")
    found = read(tmp_path)
    assert [p["places"] for p in found["problems"]] == [["z_sound.py:1"]]
    assert found["files"] == 1
    why = {row["where"][0]: row["why"] for row in found["unread"]}
    assert sorted(why) == list("abcdef")
    assert why["a"].startswith("Python can't parse it in line 2: ")
    assert why["d"] == "it can't be read: No such file or directory"
    assert why["e"] == "it has more than 2,000,000 bytes"
    assert json.dumps(found)


def test_a_file_that_is_named_twice_is_read_once(tmp_path: Path) -> None:
    path = source(tmp_path, "from flask import escape")
    (tmp_path / "link.py").symlink_to(path)
    found = read(tmp_path, path, tmp_path)
    assert [p["places"] for p in found["problems"]] == [["app.py:1"]]
    assert found["files"] == 1


def test_a_place_is_shown_from_here_or_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However it was named."""
    source(tmp_path, "from flask import escape", "shop/app.py")
    monkeypatch.chdir(tmp_path / "shop")
    for named in (Path(), Path("app.py"), Path("../shop/app.py"), tmp_path / "shop"):
        assert read(named)["problems"][0]["places"] == ["app.py:1"]
    source(tmp_path, "from flask import escape", "other.py")
    places = read(Path("../other.py"))["problems"][0]["places"]
    assert places == [f"{(tmp_path / 'other.py').as_posix()}:1"]


def test_there_is_an_end_and_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever names a whole disk."""
    monkeypatch.setattr(old_code_report, "MOST", 2)
    for name in "abc":
        source(tmp_path, "from flask import escape", f"{name}.py")
    found = read(tmp_path)
    assert found["files"] == 2
    assert found["unread"][0]["why"].startswith("only the first 2 files were")
    monkeypatch.setattr(old_code_report, "MOST", 3)
    assert read(tmp_path)["unread"] == []


def test_progress_is_told_after_each_file(tmp_path: Path) -> None:
    """How many of how many, to the end."""
    for name in "abc":
        source(tmp_path, "", f"{name}.py")
    heard: list[tuple[int, int]] = []
    old_code([tmp_path], installed=False, progress=lambda *told: heard.append(told))
    assert heard == [(1, 3), (2, 3), (3, 3)]


def installed_tea(root: Path, text: str) -> None:
    info = root / "Flask_Tea-0.3.dist-info"
    info.mkdir(parents=True)
    metadata = "Metadata-Version: 2.1\nName: Flask-Tea\nVersion: 0.3\nRequires-Dist: Flask\n"
    (info / "METADATA").write_text(metadata, encoding="utf-8")
    (info / "RECORD").write_text("flask_tea/__init__.py,,\n", encoding="utf-8")
    source(root, text, "flask_tea/__init__.py")


def test_an_extension_is_read_where_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What to do is another thing: it is not the user's to change."""
    site = tmp_path / "site-packages"
    installed_tea(site, "from flask import _app_ctx_stack\nfrom flask.globals import _cv_request")
    monkeypatch.setattr(sys, "path", [str(site)])
    monkeypatch.setattr(old_code_report, "FLASK_VERSION", "3.1.3")
    found = read(tmp_path, installed=True)
    assert found["extensions"] == [{"name": "Flask-Tea", "version": "0.3", "files": 1}]
    gone, goes = found["problems"]
    assert gone["owner"] == "Flask-Tea 0.3"
    assert gone["places"] == ["flask_tea/__init__.py:1"]
    assert gone["message"].startswith("Flask-Tea 0.3 imports flask._app_ctx_stack, which is gone")
    assert gone["fix"] == (
        "Look for a newer release of Flask-Tea, or call flask_ctxkit.install_legacy() first."
    )
    assert goes["fix"] == "Look for a newer release of Flask-Tea before you move to Flask 3.2."
    assert read(tmp_path)["extensions"] == []


def test_where_the_stand_ins_are_installed_what_they_serve_is_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing else is."""
    site = tmp_path / "site-packages"
    installed_tea(site, "from flask import _app_ctx_stack, Markup")
    monkeypatch.setattr(sys, "path", [str(site)])
    source(tmp_path, "from flask_ctxkit import install_legacy\ninstall_legacy()\n")
    stack, markup = read(tmp_path, installed=True)["problems"]
    assert (stack["severity"], markup["severity"]) == ("note", "error")
    assert stack["message"].endswith("; install_legacy() stands in.")


def test_an_extension_that_lists_no_files_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site-packages"
    installed_tea(site, "from flask import Markup")
    (site / "Flask_Tea-0.3.dist-info" / "RECORD").unlink()
    monkeypatch.setattr(sys, "path", [str(site)])
    found = read(tmp_path, installed=True)
    assert [row["why"] for row in found["unread"]] == ["it does not list its files"]


def test_the_kit_uses_no_old_name() -> None:
    """Written for three lines of Flask, and told as sound."""
    found = read(Path(__file__).parents[2] / "flask_ctxkit")
    assert found["problems"] == found["unread"] == []
    assert found["files"] > 100


def test_the_example_has_an_old_extension_and_a_stand_in_for_it() -> None:
    (problem,) = read(Path(__file__).parents[2] / "example")["problems"]
    assert problem["severity"] == "note"
    assert problem["message"].endswith("install_legacy() stands in.")


# --------------------------------------------------------------------------- the whole


def test_a_sound_app_has_no_problem(tmp_path: Path) -> None:
    """Versions, guard and what was read stand there all the same."""
    source(tmp_path, "import flask\n")
    found = examined(app_with(), tmp_path)
    assert found["problems"] == []
    assert found["app"] == "shop"
    assert list(found["versions"]) == ["Python", "Flask", "Werkzeug", "flask_ctxkit"]
    assert found["code"]["files"] == 1
    assert len(found["missing"]) == 1


def test_files_alone_need_no_app(tmp_path: Path) -> None:
    """What could not be looked at without one is said."""
    source(tmp_path, "from flask import escape\n")
    found = examined(None, tmp_path)
    assert [p["part"] for p in found["problems"]] == ["code"]
    assert (found["app"], found["guard"], found["resources"]) == (None, None, [])
    assert found["missing"][0].startswith("sessions, guard and resources")


def test_no_files_are_told(tmp_path: Path) -> None:
    assert any("no Python file" in said for said in examined(None, tmp_path)["missing"])


def test_an_app_without_a_kit_is_examined_too(tmp_path: Path) -> None:
    found = examined(app_with(kit=False, SECRET_KEY="dev"), tmp_path)
    assert [(p["part"], p["severity"]) for p in found["problems"]] == [("session", "error")]
    assert found["guard"]["says"] == "The app has no kit, so no pages."
    assert found["resources"] == []


def test_the_worst_comes_first(tmp_path: Path) -> None:
    """Whichever part it is of."""
    source(tmp_path, "from flask import escape\nfrom flask.ctx import RequestContext\n")
    app = app_with(SECRET_KEY="short and weak", SESSION_COOKIE_SECURE=False)
    found = examined(app, tmp_path, unloaded="It could not be imported.")
    severities = [p["severity"] for p in found["problems"]]
    assert severities == sorted(severities, key=["error", "warning", "note"].index)
    assert found["problems"][0]["part"] == "app"
    assert {p["part"] for p in found["problems"]} == {"app", "code", "session"}


@pytest.mark.parametrize(
    ("config", "debug", "says"),
    [
        ({}, False, "The pages are off."),
        ({"CTXKIT_PAGES": False}, True, "The pages are off."),
        ({}, True, "The pages are on at /_ctx: they answer this machine while the app is in"),
        ({"CTXKIT_PAGES": True, "CTXKIT_TOKEN": TOKEN, "CTXKIT_URL_PREFIX": "/x"}, False,
         "The pages are on at /x: who has CTXKIT_TOKEN may look from anywhere."),
        ({"CTXKIT_TOKEN": TOKEN}, True, "in debug mode, and who has CTXKIT_TOKEN may look"),
    ],
)  # fmt: skip
def test_the_guard_says_who_may_look(
    tmp_path: Path, config: dict[str, t.Any], debug: bool, says: str
) -> None:
    """In one sentence, and without the token."""
    guard = examined(app_with(debug=debug, **config), tmp_path)["guard"]
    assert says in guard["says"]
    assert guard["token"] == ("CTXKIT_TOKEN" in config)
    assert TOKEN not in json.dumps(guard)


def test_a_token_that_opens_more_than_it_says_is_a_problem(tmp_path: Path) -> None:
    """The secret key as a token, and one token for both doors."""
    key = examined(app_with(CTXKIT_TOKEN=KEY), tmp_path)["problems"]
    assert [(p["code"], p["severity"]) for p in key] == [("token-is-secret-key", "error")]
    both = examined(app_with(CTXKIT_TOKEN=TOKEN, CTXKIT_VALUES=TOKEN), tmp_path)["problems"]
    assert [(p["code"], p["severity"]) for p in both] == [("tokens-same", "note")]
    assert KEY not in json.dumps(key)
    assert examined(app_with(CTXKIT_TOKEN=TOKEN), tmp_path)["problems"] == []


def test_each_resource_is_asked(tmp_path: Path) -> None:
    """What answers is listed, what does not is a problem; all within the time given."""
    app, kit = Flask("shop"), CtxKit()
    app.config.update(SECRET_KEY=KEY, SESSION_COOKIE_SECURE=True, SESSION_COOKIE_SAMESITE="Lax")
    kit.init_app(app)
    release, closed = threading.Event(), list[str]()

    def refuse(_: str) -> None:
        raise ConnectionRefusedError("nobody listens")

    kit.resource("tea", lambda: "tea", closed.append, ping=lambda tea: None)
    kit.resource("cups", lambda: "cups", closed.append, ping=refuse)
    kit.resource("pots", lambda: "pots", closed.append, ping=lambda _: release.wait(30))
    try:
        found = examined(app, tmp_path, timeout=0.3)
    finally:
        release.set()
    assert {ping["name"]: ping["ok"] for ping in found["resources"]} == {
        "tea": True, "cups": False, "pots": False,
    }  # fmt: skip
    assert [p["resource"] for p in found["problems"]] == ["cups", "pots"]
    assert "ConnectionRefusedError: nobody listens" in found["problems"][0]["message"]
    assert "no answer in 0." in found["problems"][1]["message"]
    assert {"tea", "cups"} <= set(closed)
