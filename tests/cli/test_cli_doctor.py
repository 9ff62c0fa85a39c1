"""``flask ctx doctor``: what it prints, and how it ends."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
from flask import Flask

from flask_ctxkit import CtxKit
from flask_ctxkit.cli import doctor as doctor_module
from flask_ctxkit.cli.tables.doctor import doctor_document
from flask_ctxkit.internals import ONE_CONTEXT

ROOT = Path(__file__).parents[2]
KEY: t.Final = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own, without an app that is found by its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FLASK_APP", raising=False)
    return tmp_path


def shop(root: Path, **config: t.Any) -> Flask:
    app = Flask("shop", root_path=str(root))
    app.config.update(SECRET_KEY=KEY, SESSION_COOKIE_SECURE=True, SESSION_COOKIE_SAMESITE="Lax")
    app.config.update(config)
    CtxKit(app)
    return app


def test_nothing_wrong_is_0(run: t.Any, here: Path) -> None:
    """And what was looked at is said."""
    (here / "views.py").write_text("import flask\n")
    told = run("doctor", "--no-extensions", serving=shop(here))
    assert (told.code, told.err) == (0, "")
    assert "Nothing is wrong." in told.out
    assert "1 file of yours, 0 extensions" in told.out
    assert "The pages are off." in told.out


def test_old_code_is_1_and_says_where_and_what_instead(run: t.Any, here: Path) -> None:
    """The app's own files, without being named."""
    (here / "views.py").write_text("import os\nfrom flask import _app_ctx_stack\n")
    told = run("doctor", "--no-extensions", serving=shop(here))
    assert told.code == 1
    assert "1 problem." in told.out
    assert "## OLD CODE 1" in told.out
    assert "Your code imports flask._app_ctx_stack, which is gone since Flask 3.0." in told.out
    assert "views.py:2" in told.out
    assert "Instead, use flask.g and flask.current_app" in told.out


def test_notes_alone_are_0(run: t.Any, here: Path) -> None:
    """As for session check."""
    told = run("doctor", "--no-extensions", serving=shop(here, SESSION_COOKIE_SECURE=False))
    assert told.code == 0
    assert "Nothing is wrong, 1 note." in told.out
    assert "## SESSIONS 1" in told.out


def test_paths_alone_import_nothing(run: t.Any, here: Path) -> None:
    """Not even an app that stands there."""
    (here / "app.py").write_text("raise SystemExit('imported')\nfrom flask import escape\n")
    told = run("doctor", "--no-extensions", "app.py")
    assert told.code == 1
    assert "app.py:2" in told.out
    assert "imported" not in told.out + told.err
    assert "there is no app" in told.out


def test_paths_with_an_app_are_read_instead_of_its_own(run: t.Any, here: Path) -> None:
    (here / "a.py").write_text("from flask import escape\n")
    (here / "b").mkdir()
    (here / "b" / "c.py").write_text("from flask import Markup\n")
    told = run("doctor", "--no-extensions", "b", "--format", "json", serving=shop(here))
    report = told.json()["doctor"]
    assert [problem["places"] for problem in report["problems"]] == [["b/c.py:1"]]
    assert report["app"] == "shop"


@pytest.mark.parametrize("named", [True, False])
def test_an_app_that_can_not_be_imported_is_told_with_its_cause(here: Path, named: bool) -> None:
    """One sentence instead of a traceback, and the old name that is the cause, with its line."""
    (here / "app.py").write_text("from flask import Flask, _request_ctx_stack\n")
    told = process("doctor", "--no-extensions", *(["--app", "app"] if named else []))
    assert told.returncode == 1
    assert "## THE APP 1" in told.stdout
    assert "The app could not be imported: ImportError: cannot import name '_requ" in told.stdout
    assert "app.py:1" in told.stdout
    assert "Traceback" not in told.stdout + told.stderr


def test_an_app_that_fails_in_another_way_is_told(here: Path) -> None:
    (here / "app.py").write_text("from flask import Flask\napp = Flask(__name__)\n1 / 0\n")
    told = process("doctor", "--no-extensions")
    assert told.returncode == 1
    assert "ZeroDivisionError" in told.stdout


def test_no_app_at_all_is_no_problem(here: Path) -> None:
    """The folder is read."""
    (here / "tea.py").write_text("import flask\n")
    told = process("doctor", "--no-extensions")
    assert told.returncode == 0
    assert "1 file of yours" in told.stdout
    assert "there is no app" in told.stdout


def process(*words: str) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("FLASK_", "CTXKIT_"))}
    return subprocess.run(
        [sys.executable, "-m", "flask_ctxkit", *words, "--format", "md"],
        env=env | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("words", [("nowhere",), ("--timeout", "0"), ("--timeout", "soon")])
def test_wrong_use_is_2(run: t.Any, words: tuple[str, ...]) -> None:
    assert run("doctor", *words).code == 2


def test_the_installed_extensions_are_read(run: t.Any, here: Path) -> None:
    """The tests' own environment has at least one."""
    report = run("doctor", "--format", "json", serving=shop(here)).json()["doctor"]
    names = [extension["name"].lower() for extension in report["code"]["extensions"]]
    assert "pytest-flask" in names
    assert "flask-ctxkit" not in names


def test_what_the_app_prints_stays_out_of_the_answer(here: Path, run: t.Any) -> None:
    """Also what it prints as its resources are asked."""
    app, kit = Flask("shop", root_path=str(here)), CtxKit()
    kit.init_app(app)
    kit.resource("tea", lambda: print("opening") or "tea", ping=print)
    told = run("doctor", "--no-extensions", "--format", "json", "--timeout", "5", serving=app)
    assert told.json()["doctor"]["resources"][0]["ok"] is True


def test_a_terminal_is_told_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """On standard error, one line that is gone at the end; elsewhere nothing."""
    monkeypatch.setattr(doctor_module, "QUIET", 0.0)
    for terminal in (True, False):
        stream = io.StringIO()
        stream.isatty = lambda terminal=terminal: terminal  # type: ignore[method-assign, misc]
        monkeypatch.setattr(sys, "stderr", stream)
        with doctor_module._Progress() as progress:
            progress.tell(1, 1200)
            progress.tell(2, 1200)  # too soon after the first
        line = "reading file 1 of 1,200"
        assert stream.getvalue() == (f"\r{line}\r{' ' * len(line)}\r" if terminal else "")


def test_a_short_reading_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    stream.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stderr", stream)
    with doctor_module._Progress() as progress:
        progress.tell(1, 2)
    assert stream.getvalue() == ""


def test_many_places_and_files_are_cut_and_counted(run: t.Any, here: Path) -> None:
    """JSON has all of them."""
    for number in range(9):
        (here / f"a{number}.py").write_text("from flask import escape\n")
        (here / f"b{number}.py").write_text("from flask import escape\ndef f(:\n")
    told = run("doctor", "--no-extensions", ".")
    assert "and 5 more; --format json has all" in told.out
    assert "b0.py was not read: Python can't parse it in line 2" in told.out
    assert "and 3 more; --format json has all" in told.out
    report = run("doctor", "--no-extensions", ".", "--format", "json").json()["doctor"]
    assert len(report["problems"][0]["places"]) == len(report["code"]["unread"]) == 9


@pytest.mark.parametrize(
    "report",
    [{}, {"problems": 1, "code": [], "versions": None}, {"problems": [{}], "guard": {"kit": 1}}],
)
def test_a_document_of_an_odd_report_is_drawn(report: dict[str, t.Any]) -> None:
    assert doctor_document(report)


# ---------------------------------------------------------- extensions from the index

RESTFUL: t.Final = """
from flask_restful import Api, Resource, abort

class Tea(Resource):
    def get(self):
        abort(404)

Api(app).add_resource(Tea, "/")
assert app.test_client().get("/").status_code == 404
"""
CORS: t.Final = """
from flask_cors import cross_origin
app.add_url_rule("/", "index", cross_origin(automatic_options=True)(lambda: ""),
                 methods=["GET", "OPTIONS"])
assert app.test_client().options("/").status_code == 200
"""
TOOLBAR: t.Final = """
from flask_debugtoolbar import DebugToolbarExtension
app.debug = True
DebugToolbarExtension(app)
app.add_url_rule("/", "index", lambda: "")
assert app.test_client().get("/").status_code == 200
"""
EXTENSIONS: t.Final = {
    "Flask-RESTful": (
        ("Flask-RESTful==0.3.10", "aniso8601", "pytz", "six"),
        RESTFUL,
        {"flask_restful/__init__.py:222", "flask_restful/__init__.py:223"},
    ),
    "flask-cors": (("flask-cors==6.0.5",), CORS, {"flask_cors/decorator.py:133"}),
    "Flask-DebugToolbar": (
        ("Flask-DebugToolbar==0.14.1", "packaging"),
        TOOLBAR,
        {"flask_debugtoolbar/__init__.py:10", "flask_debugtoolbar/__init__.py:105"},
    ),
}


@pytest.mark.index
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", EXTENSIONS)
def test_what_is_said_of_a_real_extension_comes_true(name: str, here: Path) -> None:
    """What works until Flask 3.1 fails on 3.2, as the doctor says before."""
    packages, source, places = EXTENSIONS[name]
    site = here / "site"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(site)]
    got = subprocess.run([*pip, *packages], capture_output=True, text=True, check=False)
    if got.returncode:
        pytest.skip(f"the index gave no {name}: {got.stderr[-300:]}")
    env = {**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{ROOT}"}
    words = ["-m", "flask_ctxkit", "doctor", "--format", "json", "."]
    told = subprocess.run(
        [sys.executable, *words], env=env, capture_output=True, text=True, check=False
    )
    rows = [
        row for row in json.loads(told.stdout)["doctor"]["problems"]
        if (row["owner"] or "").startswith(name)
    ]  # fmt: skip
    assert places <= {place for row in rows for place in row["places"]}
    assert {row["severity"] for row in rows} == {"error" if ONE_CONTEXT else "warning"}
    whole = f"from flask import Flask\napp = Flask('shop')\napp.secret_key = 'x'\n{source}"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", whole], env=env, capture_output=True, check=False
    )
    assert (done.returncode != 0) == ONE_CONTEXT
