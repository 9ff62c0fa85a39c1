"""For pytest: fixtures that show contexts, traces and sessions, and a check for leaked contexts.

pytest loads this wherever the kit is installed, so it imports neither Flask nor the kit's rooms
before a test needs them; without Flask in the process each hook is one look into a dictionary.
"""

from __future__ import annotations

import sys
import typing as t

import pytest

from .testing import MODES

if t.TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from .state import State
    from .testing.check import Check
    from .testing.sessions import Sessions
    from .testing.traces import Traces

CHECK: t.Final = pytest.StashKey["Check"]()
TRACES: t.Final = pytest.StashKey["Traces"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """What to do about a test that leaves a context pushed."""
    told = (
        "What a test does that leaves a Flask context pushed: fail, warn or pass. Unset, it fails "
        "where the context's app has a kit."
    )
    parser.getgroup("flask-ctxkit").addoption("--ctx-leaks", choices=MODES, help=told)
    parser.addini("ctx_leaks", f"{told} error, warn or off.", default="")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker.

    :raises pytest.UsageError: if the ini file names no mode.
    """
    config.addinivalue_line(
        "markers", "ctx_leaks(mode): error, warn or off for contexts that the test leaves pushed"
    )
    mode = config.getini("ctx_leaks")
    if mode and mode not in MODES:
        raise pytest.UsageError(f"ctx_leaks = {mode!r} is none of {', '.join(MODES)}.")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave Flask as it was."""
    check = config.stash.get(CHECK, None)
    if check is not None:
        check.stop()


def check_of(config: pytest.Config) -> Check | None:
    """The check for leaks, made as soon as Flask is in the process."""
    if "flask" not in sys.modules:
        return None
    check = config.stash.get(CHECK, None)
    if check is None:
        from .testing.check import Check

        check = config.stash[CHECK] = Check(config)
    return check


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    """See what the test finds pushed."""
    __tracebackhide__ = True
    check = check_of(item.config)
    if check is not None:
        check.test_begins()
    result = yield
    check = check_of(item.config)  # a fixture may have imported Flask
    if check is not None:
        check.test_is_set_up(item)
    return result


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None]:
    """See what the test, and the fixtures that end with it, left pushed."""
    __tracebackhide__ = True
    check = check_of(item.config)
    if check is None:
        return (yield)
    check.teardown_begins()
    try:
        result = yield
    except BaseException:
        check.test_failed_to_end(item)
        raise
    check.test_ended(item)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[t.Any], request: pytest.FixtureRequest
) -> Generator[None, object, object]:
    """See what a fixture of a wider scope pushes: that is legal until it ends."""
    __tracebackhide__ = True
    if fixturedef.scope == "function":
        return (yield)
    check = check_of(request.config)
    before = {} if check is None else check.before_fixture()
    result = yield
    check = check_of(request.config)  # setting up the fixture may have imported Flask
    if check is not None:
        check.fixture_set_up(fixturedef, before)
    return result


def pytest_fixture_post_finalizer(
    fixturedef: pytest.FixtureDef[t.Any], request: pytest.FixtureRequest
) -> None:
    """What the fixture has left pushed is legal no more."""
    check = check_of(request.config)
    if check is not None:
        check.fixture_ended(fixturedef)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to the report of a failed test what it found pushed, and what was traced."""
    report = yield
    if report.failed:
        for title, text in _sections(item, call):
            # Not a captured section: --show-capture=no would hide it.
            add = getattr(report.longrepr, "addsection", None)
            report.sections.append((title, text)) if add is None else add(title, text)
    return report


def _sections(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[tuple[str, str]]:
    check = item.config.stash.get(CHECK, None)
    for text in () if check is None else check.sections(call.when):
        yield "Flask contexts", text
    traces = item.stash.get(TRACES, None)
    if traces is not None and call.when == "call" and len(traces) and not _shows_trace(call):
        yield "Flask traces", traces.text


def _shows_trace(call: pytest.CallInfo[None]) -> bool:
    from .testing.questions import TraceAssertionError

    return call.excinfo is not None and call.excinfo.errisinstance(TraceAssertionError)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Tell where the check itself failed: no test fails for that."""
    check = config.stash.get(CHECK, None)
    for failure in () if check is None else check.failures:
        terminalreporter.write_line(f"flask-ctxkit: contexts were not checked: {failure}")


@pytest.fixture
def ctxkit(request: pytest.FixtureRequest) -> State:
    """What the app of the ``app`` fixture owns of its kit."""
    from .testing.apps import kit_of

    return kit_of(request)


@pytest.fixture
def ctx_traces(request: pytest.FixtureRequest, ctxkit: State) -> Iterator[Traces]:
    """The finished traces of this test, the oldest first. Switches tracing on."""
    from .testing.traces import Traces

    traces = request.node.stash[TRACES] = Traces(ctxkit)
    traces.begin()
    yield traces
    traces.end()


@pytest.fixture
def ctx_session(request: pytest.FixtureRequest) -> Sessions:
    """Reads the session of a test client, and signs one into it."""
    from .testing.apps import app_of
    from .testing.sessions import Sessions

    return Sessions(app_of(request))
