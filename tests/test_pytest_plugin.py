"""The pytest plugin as a whole: what it costs, what it asks for, and beside other plugins."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

Run = t.Callable[..., pytest.RunResult]
ALWAYS = ("-p", "no:cacheprovider", "-W", "error")

SHOP = """
import pytest
from flask import Flask, jsonify, session, url_for
from flask_ctxkit import CtxKit

def create_app(kit=True):
    app = Flask("shop")
    app.secret_key = "k" * 32
    if kit:
        CtxKit(app)

    @app.get("/")
    def index():
        session["n"] = session.get("n", 0) + 1
        return jsonify(n=session["n"])

    return app
"""
APP = """
@pytest.fixture
def app():
    return create_app()
"""


@pytest.fixture
def run(pytester: pytest.Pytester) -> Run:
    """Runs a suite in a process of its own, where each warning is an error."""

    def run(source: str, *arguments: str, conftest: str = APP) -> pytest.RunResult:
        pytester.makepyfile(shops=SHOP, test_it=f"from shops import *\n{source}")
        pytester.makeconftest(f"from shops import *\n{conftest}")
        return pytester.runpytest_subprocess(*ALWAYS, *arguments, timeout=100)

    return run


# ----------------------------------------------------------------------------- what it costs


def test_loading_it_imports_neither_flask_nor_a_room() -> None:
    """Only what pytest has loaded by itself, and three small files."""
    code = (
        "import pytest, sys; before = {*sys.modules}; import flask_ctxkit.pytest_plugin; "
        "print(*sorted({*sys.modules} - before))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == [
        "flask_ctxkit", "flask_ctxkit.pytest_plugin", "flask_ctxkit.testing",
    ]  # fmt: skip


def test_a_run_without_flask_stays_without_it(pytester: pytest.Pytester) -> None:
    """Also where tests fail, and fixtures of each scope are set up and torn down."""
    pytester.makepyfile("""
import sys
import pytest

@pytest.fixture(scope="module")
def module():
    yield

@pytest.mark.ctx_leaks("error")
def test_passes(module):
    pass

def test_fails():
    assert False

def test_last():
    ours = {name for name in sys.modules if name.startswith(("flask", "werkzeug"))}
    assert ours == {"flask_ctxkit", "flask_ctxkit.pytest_plugin", "flask_ctxkit.testing"}
""")
    result = pytester.runpytest_subprocess(*ALWAYS, "-p", "no:flask", timeout=100)
    result.assert_outcomes(passed=2, failed=1)


def test_a_suite_that_uses_flask_alone_pays_for_the_check_alone(
    pytester: pytest.Pytester,
) -> None:
    """No trace, session or page of the kit is imported for it."""
    pytester.makepyfile("""
import sys
from flask import Flask

def test_flask():
    with Flask("plain").app_context():
        pass

def test_last():
    ours = {name.split(".")[1] for name in sys.modules if name.startswith("flask_ctxkit.")}
    assert ours == {"definition", "internals", "pytest_plugin", "testing"}
""")
    result = pytester.runpytest_subprocess(*ALWAYS, timeout=100)
    result.assert_outcomes(passed=2)


def test_a_kit_that_was_imported_before_pytest_began_is_no_warning(
    pytester: pytest.Pytester,
) -> None:
    """As in a command that runs the tests; pytest can't rewrite what is imported."""
    pytester.makepyfile(
        test_it="def test_one(): pass",
        command="""
import flask_ctxkit.extension
import pytest
raise SystemExit(pytest.main(["-q", "-p", "no:cacheprovider", "-W", "error", "test_it.py"]))
""",
    )
    assert pytester.runpython(pytester.path / "command.py").ret == 0


def test_it_can_be_switched_off(pytester: pytest.Pytester) -> None:
    """By the name of its entry point."""
    pytester.makepyfile("def test_one(ctxkit): pass")
    result = pytester.runpytest_subprocess(*ALWAYS, "-p", "no:ctxkit", timeout=100)
    result.stdout.fnmatch_lines(["*fixture 'ctxkit' not found"])


def test_its_words_are_explained(pytester: pytest.Pytester) -> None:
    """Option, ini key, marker and fixtures, where pytest lists them."""
    told = pytester.runpytest_subprocess("--help", timeout=100).stdout
    told.fnmatch_lines(["*--ctx-leaks={error,warn,off}*"])
    told.fnmatch_lines(["*ctx_leaks (string):*"])
    told = pytester.runpytest_subprocess("--markers", timeout=100).stdout
    told.fnmatch_lines(["@pytest.mark.ctx_leaks(mode): error, warn or off *"])
    told = pytester.runpytest_subprocess("--fixtures", timeout=100).stdout
    for name in ("ctxkit", "ctx_traces", "ctx_session"):
        told.re_match_lines([rf"{name} -- .*pytest_plugin\.py:\d+"])


# ----------------------------------------------------------------------- what it asks for


@pytest.mark.parametrize(
    ("conftest", "words"),
    [
        ("", "*needs a fixture named app that returns your Flask app. Write in conftest.py:"),
        (
            "@pytest.fixture\ndef app():\n    return create_app(kit=False)",
            "The app 'shop' of the app fixture has no kit. Register one in the fixture,*",
        ),
        (
            "@pytest.fixture\ndef app():\n    return create_app",
            "The app fixture returned 'function', which is no Flask app.*",
        ),
        (
            "@pytest.fixture(params=[1])\ndef app(request):\n    return create_app()",
            "The app fixture is parametrized*: def test(app, ctxkit).",
        ),
        (
            "@pytest.fixture\ndef app(database):\n    return create_app()",
            "*fixture 'database' not found",
        ),
        ("@pytest.fixture\ndef app():\n    pytest.fail('no network')", "*Failed: no network"),
    ],
    ids=["no app", "no kit", "no Flask", "parametrized", "lacks a fixture", "fails"],
)
def test_what_is_missing_is_said_with_what_to_write(run: Run, conftest: str, words: str) -> None:
    """Of the app and its kit; what is wrong in the fixture itself is told as ever."""
    result = run("def test_one(ctxkit): pass", conftest=conftest)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([words])


def test_the_fixtures_name_themselves(run: Run) -> None:
    """A test asks for one of them, and reads of that one."""
    result = run("def test_one(ctx_session): pass", conftest="")
    result.stdout.fnmatch_lines(["The fixture ctx_session needs a fixture named app *"])


def test_a_session_needs_no_kit(run: Run) -> None:
    """It is Flask's own."""
    result = run(
        """
def test_session(app, ctx_session):
    client = app.test_client()
    ctx_session.set(client, {"n": 4})
    assert client.get("/").json == {"n": 5}
""",
        conftest="@pytest.fixture\ndef app():\n    return create_app(kit=False)",
    )
    result.assert_outcomes(passed=1)


def test_the_readmes_suite_passes(pytester: pytest.Pytester) -> None:
    """As it stands."""
    text = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    section = text[text.index("## In your tests") :]
    block = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert block is not None
    pytester.makepyfile(block[1])
    result = pytester.runpytest_subprocess(*ALWAYS, timeout=100)
    result.assert_outcomes(passed=1)


def test_every_question_is_in_the_readme() -> None:
    """Of a trace, and what picks traces and sessions."""
    from flask_ctxkit.testing.questions import CheckedTrace
    from flask_ctxkit.testing.sessions import Sessions
    from flask_ctxkit.testing.traces import Traces

    text = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    asked = {name for name in vars(CheckedTrace) if name.startswith("assert_")}
    picked = {name for cls in (Traces, Sessions) for name in vars(cls) if name[0] != "_"}
    own = {"begin", "end", "text"}
    assert {name for name in (asked | picked) - own if f"`{name}" not in text} == set()


# ---------------------------------------------------------------------- beside other plugins

FLASK_SUITE = """
def test_client(client, ctx_traces, ctx_session):
    assert client.get(url_for("index")).json == {"n": 1}
    assert client.get(url_for("index")) == 200
    assert [trace.status for trace in ctx_traces.requests] == [200, 200]
    assert ctx_session.get(client) == {"n": 2}
    ctx_traces.requests[-1].assert_session_saved()

@pytest.mark.usefixtures("client_class")
class TestIndex:
    def test_index(self, ctx_traces):
        assert self.client.get("/").json == {"n": 1}
        ctx_traces.one(kind="request").assert_answered_by("index")

def test_accept(accept_json, accept_jsonp, accept_any, client, ctxkit):
    assert client.get("/", headers=accept_json).json == {"n": 1}
    assert not ctxkit.tracing

@pytest.mark.options(debug=False)
def test_config(config, app, ctxkit):
    assert ctxkit.app is app
    assert not config["DEBUG"]

def test_client_keeps_its_context(client):
    client.get("/")
    assert session["n"] == 1
"""


@pytest.mark.parametrize("arguments", [(), ("-n", "2")])
def test_pytest_flasks_fixtures_work(run: Run, arguments: list[str]) -> None:
    """Its context around each test is no leak, and its client is traced."""
    pytest.importorskip("pytest_flask")
    result = run(FLASK_SUITE, *arguments)
    result.assert_outcomes(passed=6)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="pytest-flask forks its server")
def test_pytest_flasks_server_works(run: Run) -> None:
    """It runs in a process of its own: what it does is not on this process's traces."""
    pytest.importorskip("pytest_flask")
    result = run(
        """
import urllib.request

@pytest.fixture(scope="session")
def app():
    return create_app()

def test_server(live_server, app, ctx_traces):
    host = {"Host": app.config["SERVER_NAME"]}  # by which Flask 3.0 matches
    url = f"http://127.0.0.1:{live_server.port}/"
    asked = urllib.request.Request(url, headers=host)
    with urllib.request.urlopen(asked, timeout=20) as answer:
        assert answer.read() == b'{"n":1}\\n'
    assert list(ctx_traces) == []
""",
        "-W", "default",  # since Python 3.12 of a fork beside threads
        "--live-server-wait", "60",  # a busy machine takes more than 5 seconds
    )  # fmt: skip
    result.assert_outcomes(passed=1)


def test_without_pytest_flask(run: Run) -> None:
    """All that is asked for is a fixture named app."""
    result = run(
        """
def test_traces(app, ctx_traces, ctxkit):
    app.test_client().get("/")
    assert ctx_traces.last.status == 200
    assert ctxkit.tracing

def test_fresh(app, ctxkit):
    assert not ctxkit.tracing
""",
        "-p", "no:flask",
    )  # fmt: skip
    result.assert_outcomes(passed=2)


def test_unittest_style_tests_can_use_the_fixtures(run: Run) -> None:
    """By a fixture of the class's own, as pytest says it."""
    result = run("""
import unittest

class Case(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def kit(self, app, ctx_traces, ctx_session):
        self.app, self.traces, self.sessions = app, ctx_traces, ctx_session

    def setUp(self):
        self.context = self.app.app_context()
        self.context.push()
        self.client = self.app.test_client()

    def tearDown(self):
        self.context.pop()

    def test_index(self):
        self.sessions.set(self.client, {"n": 2})
        self.assertEqual(self.client.get("/").json, {"n": 3})
        self.traces.one(kind="request").assert_ran("index")

    def test_again(self):
        self.client.get("/")
        self.assertEqual(len(self.traces.requests), 1)
""")
    result.assert_outcomes(passed=2)


def test_async_tests_end(run: Run) -> None:
    """With contexts and requests inside a loop, and a view that is a coroutine."""
    pytest.importorskip("asgiref")
    result = run("""
import asyncio, unittest

@pytest.fixture
def asynchronous(app):
    async def view():
        await asyncio.sleep(0)
        return "fine"
    app.add_url_rule("/async", "view", view)
    return app

def test_run(asynchronous, ctx_traces):
    async def main():
        async with asyncio.timeout(20) if hasattr(asyncio, "timeout") else Nothing():
            with asynchronous.app_context():
                await asyncio.sleep(0)
            return await asyncio.to_thread(asynchronous.test_client().get, "/async")
    assert asyncio.run(main()).text == "fine"
    assert ctx_traces.requests[0].status == 200
    ctx_traces.requests[0].assert_answered_by("view")

class Nothing:
    async def __aenter__(self): pass
    async def __aexit__(self, *_): pass

class Case(unittest.IsolatedAsyncioTestCase):
    @pytest.fixture(autouse=True)
    def kit(self, asynchronous, ctx_traces):
        self.app, self.traces = asynchronous, ctx_traces

    async def test_view(self):
        await asyncio.to_thread(self.app.test_client().get, "/async")
        assert len(self.traces.requests) == 1
""")
    result.assert_outcomes(passed=2)
