"""What every test shares: on CI, a test that needs a tool may not be skipped for want of it."""

from __future__ import annotations

import gc
import logging
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import typing as t

import pytest

if t.TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
NEEDY = ("browser", "server", "service", "index")
"""Marks of tests that skip themselves where the machine lacks what they need."""


def pytest_configure() -> None:
    """Let processes that tests start be interrupted, as in a terminal.

    A shell has its background jobs, and so all that they start, ignore Ctrl-C.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over what is there by now: many tests call it."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> t.Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure where ``CTXKIT_REQUIRE_ALL`` promises all tools."""
    report = yield
    needs = any(item.get_closest_marker(mark) for mark in NEEDY)
    if report.skipped and needs and os.environ.get("CTXKIT_REQUIRE_ALL") == "1":
        report.outcome = "failed"
        report.longrepr = f"skipped although CTXKIT_REQUIRE_ALL is set: {report.longrepr}"
    return report


@pytest.fixture(autouse=True)
def fresh_log() -> None:
    """The kit's logger is the process's: what an earlier test set on it is taken back."""
    logger = logging.getLogger("flask_ctxkit")
    logger.disabled, logger.propagate = False, True
    logger.setLevel(logging.NOTSET)
    logging.disable(logging.NOTSET)


@pytest.fixture(autouse=True)
def not_from_the_cli() -> t.Iterator[None]:
    """Flask's commands set this for their process, and ``app.run()`` then does nothing."""
    yield
    os.environ.pop("FLASK_RUN_FROM_CLI", None)


@pytest.fixture
def pytester(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Pytest's own, of whose suites the reports are the same on CI: there they are not cut.

    None of them has use for Hypothesis, whose import takes half of their time.
    """
    for name in ("CI", "BUILD_NUMBER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:hypothesispytest")
    return pytester


PATCHED = """
from gevent import monkey
monkey.patch_all()
import gevent
from flask import Flask
from flask_ctxkit import CtxKit

app = Flask("shop")
app.config.update(SECRET_KEY="k" * 40, CTXKIT_TRACE=True)
CtxKit(app)
"""


@pytest.fixture
def in_greenlets() -> t.Callable[[str], str]:
    """What a script prints that runs where gevent has patched everything, with an ``app`` that
    has a kit: in a process of its own, since patching can't be taken back.
    """
    pytest.importorskip("gevent")

    def run(script: str) -> str:
        whole = PATCHED + textwrap.dedent(script)
        command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", whole]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


@pytest.fixture(scope="module")
def browser() -> t.Iterator[Browser]:
    """The machine's own Chromium, without a window; for tests marked ``browser``."""
    path = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if path is None:
        pytest.skip("there is no Chromium here")
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield running
        running.close()
