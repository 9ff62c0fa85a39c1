"""A pytest plugin that puts a kit on every Flask app that a suite makes.

Used as ``python -m pytest -p plugin --ctxkit-mode=trace --ctxkit-report=FILE``.
"""

from __future__ import annotations

import json
import typing as t
from collections import Counter
from functools import wraps
from pathlib import Path

from flask import Flask

from flask_ctxkit import CtxKit
from flask_ctxkit.trace.recorder import Recorder

if t.TYPE_CHECKING:
    import pytest

MODES: t.Final[dict[str, dict[str, t.Any]]] = {
    "off": {"CTXKIT_TRACE": False, "CTXKIT_PAGES": False},
    "trace": {"CTXKIT_TRACE": True, "CTXKIT_PAGES": False},
    "pages": {"CTXKIT_TRACE": True, "CTXKIT_PAGES": True, "CTXKIT_TOKEN": "0123456789abcdef" * 2},
}
"""What each mode sets."""


class Kits:
    """The kits of one run, and whether they worked."""

    def __init__(self, settings: dict[str, t.Any]) -> None:
        self.settings = settings
        self.counts: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()

    def install(self) -> None:
        """From now on each new app has a kit."""
        stock_init, stock_finish, stock_failed = Flask.__init__, Recorder.finish, Recorder.failed

        @wraps(stock_init)
        def init(app: Flask, *args: t.Any, **kwargs: t.Any) -> None:
            stock_init(app, *args, **kwargs)
            # The suite asks what the config holds, so the keys don't stay there.
            app.config.update(self.settings)
            CtxKit(app)
            for key in self.settings:
                del app.config[key]
            self.counts["apps"] += 1

        def finish(recorder: Recorder, recording: t.Any) -> None:
            self.counts["traces"] += 1
            stock_finish(recorder, recording)

        def failed(recorder: Recorder, step: str, error: BaseException) -> None:
            self.failures[f"{step}: {type(error).__name__}: {error}"] += 1
            stock_failed(recorder, step, error)

        Flask.__init__ = init  # type: ignore[assignment,method-assign]
        Recorder.finish = finish  # type: ignore[assignment,method-assign]
        Recorder.failed = failed  # type: ignore[assignment,method-assign]

    def report(self) -> dict[str, t.Any]:
        """How many apps had a kit, what was recorded, and what failed inside of the kit."""
        return {**self.counts, "failures": self.failures}


def pytest_addoption(parser: pytest.Parser) -> None:
    """The mode of the kits, and where to tell what they did."""
    parser.addoption("--ctxkit-mode", choices=sorted(MODES), required=True)
    parser.addoption("--ctxkit-report", type=Path, required=True)


def pytest_configure(config: pytest.Config) -> None:
    """Install the kits before any test module makes an app."""
    kits = Kits(MODES[config.getoption("--ctxkit-mode")])
    kits.install()
    report: Path = config.getoption("--ctxkit-report")
    config.add_cleanup(lambda: t.cast("None", report.write_text(json.dumps(kits.report()))))
