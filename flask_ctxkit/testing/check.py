"""The check for leaked contexts, as pytest asks for it."""

from __future__ import annotations

import typing as t

import pytest

from . import MODES
from .leaks import LeakCheck, Owner, pushed

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from .leaks import Left, Pushed

T = t.TypeVar("T")
Mode = t.Literal["error", "warn", "off", ""]
"""What to do about a leak; "" fails the test where the context's app has a kit."""
MOST: t.Final = 20
"""The most contexts that one report tells of."""
FIX: t.Final = (
    "Push in a with block, or pop in the teardown of what pushed. A response that streams its\n"
    'body keeps its context until response.close(). @pytest.mark.ctx_leaks("off") allows it.'
)


class LeakWarning(pytest.PytestWarning):
    """A test left a Flask context pushed."""


class Check:
    """Watches each test of a run.

    Whatever fails in here fails no test; it is told at the end of the run.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.failures: list[str] = []
        self._late = ""
        self._mode: Mode = ""
        self._leaks = LeakCheck(config.rootpath)
        self._leaks.sites.watch()

    def stop(self) -> None:
        """Leave Flask as it was."""
        self._leaks.sites.stop()

    def _try(self, step: Callable[[], T], instead: T) -> T:
        try:
            return step()
        except Exception as own:
            told = f"{type(own).__name__}: {own}"
            if told not in self.failures:
                self.failures.append(told)
            return instead

    # ---------------------------------------------------------------------- fixtures

    def before_fixture(self) -> Pushed:
        """What is pushed before a fixture is set up."""
        return self._try(pushed, {})

    def fixture_set_up(self, fixture: pytest.FixtureDef[t.Any], before: Pushed) -> None:
        """*fixture*, of a wider scope than a test, was set up."""
        owner = Owner(fixture.argname, fixture.scope)
        self._try(lambda: self._leaks.fixture_set_up(fixture, owner, before), None)

    def fixture_ended(self, fixture: pytest.FixtureDef[t.Any]) -> None:
        """*fixture* was torn down."""
        self._try(lambda: self._leaks.fixture_ended(fixture), None)

    # ------------------------------------------------------------------------- tests

    def test_begins(self) -> None:
        """Note what the next test finds."""
        self._late, self._mode = "", ""
        self._try(self._leaks.test_begins, None)

    def test_is_set_up(self, item: pytest.Item) -> None:
        """See what *item* is to do about a leak. Fails it if its marker names no mode."""
        self._mode = mode_of(item)

    def test_ended(self, item: pytest.Item) -> None:
        """Fail *item*, or warn, if it left a context pushed."""
        mode, text = self._left(item)
        if not text:
            return
        if mode == "warn":
            item.warn(LeakWarning(text))
        else:
            pytest.fail(text, pytrace=False)

    def teardown_begins(self) -> None:
        """Note what is pushed before anything is torn down."""
        self._try(self._leaks.teardown_begins, None)

    def test_failed_to_end(self, item: pytest.Item) -> None:
        """The teardown of *item* raised, maybe since something was popped in the wrong order."""
        stack: list[str] = self._try(self._leaks.at_end, [])
        self._left(item)
        if stack:
            first = "Pushed when the teardown began, bottom to top:"
            self._late = "\n  ".join([first, *_some(stack)])

    def _left(self, item: pytest.Item) -> tuple[Mode, str]:
        mode = self._mode
        left: list[Left] = self._try(lambda: self._leaks.test_ended(item.nodeid), [])
        told = [f"Left pushed: {one.text}." for one in left if mode or one.has_kit]
        if mode == "off" or not told:
            return mode, ""
        return mode, "\n".join([*_some(told), FIX])

    def sections(self, when: str) -> list[str]:
        """What to add to the report of a test that failed in the phase *when*."""
        found: list[str] = self._try(self._leaks.found, [])
        told = [self._late] if self._late and when == "teardown" else []
        if found:
            first = "This test began with what an earlier one had left pushed:"
            told.insert(0, "\n  ".join([first, *_some(found)]))
        return told


def _some(lines: list[str]) -> list[str]:
    more = len(lines) - MOST
    return lines if more <= 0 else [*lines[:MOST], f"... and {more:,} more."]


def mode_of(item: pytest.Item) -> Mode:
    """What to do about a leak of *item*: its marker says it, or the option, or the ini file."""
    marker = item.get_closest_marker("ctx_leaks")
    if marker is None:
        return t.cast("Mode", item.config.getoption("ctx_leaks") or item.config.getini("ctx_leaks"))
    if len(marker.args) != 1 or marker.args[0] not in MODES or marker.kwargs:
        pytest.fail(f"Write @pytest.mark.ctx_leaks(mode), a mode of {MODES}.", pytrace=False)
    return t.cast("Mode", marker.args[0])
