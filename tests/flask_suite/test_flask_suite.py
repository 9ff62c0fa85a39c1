"""The comparison of Flask's own suite without and with the kit sees what it is made to see."""

from __future__ import annotations

import json
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

from .run import Difference, compared, read_outcomes

HERE = Path(__file__).parent
SUITE = """
import flask
import pytest

def test_same():
    app = flask.Flask("same")
    app.get("/")(lambda: "hello")
    assert app.test_client().get("/").data == b"hello"
    assert not any(key.startswith("CTXKIT") for key in app.config)

def test_fails():
    assert False

def test_skips():
    pytest.skip("for a reason")

def test_hooks():
    assert flask.Flask("counted").before_request_funcs == {}

def test_subclass():
    class Shop(flask.Flask):
        pass
    assert "ctxkit" not in Shop("shop").extensions
"""
HOOKS = Difference("test_small::test_hooks", "passed", "failure")
SUBCLASS = Difference("test_small::test_subclass", "passed", "failure")


def outcomes(folder: Path, *arguments: str) -> dict[str, str]:
    (folder / "test_small.py").write_text(SUITE)
    run = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml=out.xml")
    environ = {"PYTHONPATH": str(HERE), "PATH": "", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    subprocess.run([*run, *arguments], cwd=folder, env=environ, check=False, capture_output=True)
    return read_outcomes(folder / "out.xml")


@pytest.mark.parametrize("mode", ["off", "trace", "pages"])
def test_a_test_that_ends_otherwise_is_told(tmp_path: Path, mode: str) -> None:
    """One that fails or skips without the kit too is none."""
    without = outcomes(tmp_path)
    kits = outcomes(tmp_path, "-p", "plugin", f"--ctxkit-mode={mode}", "--ctxkit-report=kits")
    assert without["test_small::test_fails"] == "failure"
    assert without["test_small::test_skips"] == "skipped"
    unknown, known = compared(without, kits)
    assert (unknown, known) == ([HOOKS, SUBCLASS], [])
    report = json.loads((tmp_path / "kits").read_text())
    assert report["apps"] == 3
    assert report.get("traces", 0) == (0 if mode == "off" else 1)
    assert report["failures"] == {}


def test_a_failure_inside_of_the_kit_is_told(tmp_path: Path) -> None:
    """Although no test of the suite can see it."""
    (tmp_path / "conftest.py").write_text(
        "from flask_ctxkit.trace.recording import Recording\nRecording.look_response = None\n"
    )
    kits = outcomes(tmp_path, "-p", "plugin", "--ctxkit-mode=trace", "--ctxkit-report=kits")
    assert kits["test_small::test_same"] == "passed"
    assert json.loads((tmp_path / "kits").read_text())["failures"]


def test_a_test_that_is_missing_with_the_kit_differs() -> None:
    """A module that can't be imported any more takes its tests with it."""
    unknown, _ = compared({"a::b": "passed"}, {})
    assert unknown == [Difference("a::b", "passed", "missing")]


@pytest.mark.index
@pytest.mark.timeout(600)
def test_the_command_runs_a_part_of_the_suite_from_the_index() -> None:
    """The whole of it is a step of its own in ``.ci/run``."""
    command: t.Final = (sys.executable, HERE / "run.py", "3.1.3", "--", "tests/test_reqctx.py")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "could not be run" in done.stdout:
        pytest.skip(f"the package index did not answer: {done.stdout[-300:]}")
    assert done.returncode == 0, done.stdout + done.stderr
    passed, failed = done.stdout.splitlines()[-1].split(", ")
    assert failed == "0 failed"
    assert int(passed.removesuffix(" passed")) > 3 * 10
