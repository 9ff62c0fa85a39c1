"""What live contexts cost to tell: no more for each where there are many."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import typing as t

import pytest
from flask import Flask

from flask_ctxkit import CtxKit
from flask_ctxkit.report import contexts, index


def make() -> Flask:
    app = Flask("crowd")
    app.config["CTXKIT_TRACE"] = True
    CtxKit(app)
    return app


class Crowd:
    """Threads that each have a context pushed."""

    def __init__(self, app: Flask, size: int) -> None:
        self._leave = threading.Event()
        self._there = threading.Barrier(size + 1)
        self._threads = [threading.Thread(target=self._stay, args=(app, n)) for n in range(size)]

    def _stay(self, app: Flask, number: int) -> None:
        with app.test_request_context(f"/{number}"):
            self._there.wait(20)
            self._leave.wait(60)

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()
        self._there.wait(20)

    def __exit__(self, *_: object) -> None:
        self._leave.set()
        for thread in self._threads:
            thread.join(20)


@contextlib.contextmanager
def pile(app: Flask, size: int) -> t.Iterator[None]:
    """Contexts on one stack."""
    with contextlib.ExitStack() as stack:
        for number in range(size):
            stack.enter_context(app.test_request_context(f"/{number}"))
        yield


def calls(function: t.Callable[[], object]) -> int:
    """How many functions it calls, of Python's and of C's."""
    count = 0

    def note(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("report", [contexts, index], ids=["live", "overview"])
@pytest.mark.parametrize("gathered", [Crowd, pile], ids=["threads", "one stack"])
def test_the_cost_grows_with_the_number(
    gathered: t.Callable[[Flask, int], t.ContextManager[None]],
    report: t.Callable[[t.Any], dict[str, t.Any]],
) -> None:
    """Four times as many contexts: four times as many calls."""
    app = make()
    kit = app.extensions["ctxkit"]
    kit.registry.leaks  # noqa: B018 - collects, once a second
    counted = []
    for size in (50, 200):
        with gathered(app, size):
            rows = report(kit)["contexts"]
            assert len(rows) == size
            counted.append(calls(lambda: json.dumps(report(kit))))
    few, many = counted
    assert many < 4.2 * few


def test_each_context_of_a_stack_has_the_frames_of_its_unit() -> None:
    """And they are told once."""
    app = make()
    with pile(app, 3), Crowd(app, 1):
        rows = contexts(app.extensions["ctxkit"])["contexts"]
    own, other = rows[:3], rows[3]
    assert own[0]["frames"] == own[2]["frames"] != other["frames"]
    assert own[0]["frames"] is own[2]["frames"]
    assert [row["path"] for row in rows] == ["/0", "/1", "/2", "/0"]
    assert other["frames"][0]["function"].endswith("wait")
    assert {row["unit"]["key"] for row in own} != {other["unit"]["key"]}
