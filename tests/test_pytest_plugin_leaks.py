"""The check for leaked contexts, run over small suites of their own."""

from __future__ import annotations

import contextvars
import gc
import re
import typing as t
from pathlib import Path

import pytest
from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st

from flask_ctxkit.testing.leaks import LeakCheck, Owner, pushed

pytest_plugins = ["pytester"]

SHOP = """
import pytest
from flask import Flask, Response, stream_with_context
from flask_ctxkit import CtxKit

def shop(kit=True):
    app = Flask("shop")
    app.secret_key = "k" * 32
    if kit:
        CtxKit(app)
    app.add_url_rule("/", "index", lambda: "fine")
    app.add_url_rule("/stream", "stream", lambda: Response(stream_with_context(iter(["a", "b"]))))
    return app

"""

Run = t.Callable[..., pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a suite in a process of its own, where each warning is an error.

    Without other plugins, whose imports take longer than the tests.
    """
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run(source: str, *arguments: str, conftest: str = "") -> pytest.RunResult:
        pytester.makepyfile(shops=SHOP, test_it=f"from shops import *\n{source}")
        pytester.makeconftest(f"from shops import *\n{conftest}")
        always = ("-p", "ctxkit", "-p", "no:cacheprovider", "-W", "error")
        return pytester.runpytest_subprocess(*always, *arguments, timeout=100)

    return run


# ------------------------------------------------------------------------------ what leaks


def test_a_leak_fails_its_test_with_the_line_of_the_push(run: Run) -> None:
    """At its teardown, and only its own test: the next one is none the worse for it."""
    result = run("""
def push(app):
    app.test_request_context("/cart?token=secret").push()

def test_leaks():
    app = shop()
    push(app)
    assert app.test_client().get("/").text == "fine"

def test_next():
    pass
""")
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines([
        "*ERROR at teardown of test_leaks*",
        "Left pushed: the context of GET /cart of 'shop', pushed at test_it.py:4.",
    ])  # fmt: skip
    result.stdout.no_fnmatch_line("*secret*")


def test_each_context_that_is_left_is_told(run: Run) -> None:
    """Several of several apps, bottom to top, and one that was pushed twice once."""
    result = run("""
def test_leaks():
    one = shop().app_context()
    one.push()
    shop().test_request_context("/two").push()
    one.push()
""")
    result.assert_outcomes(passed=1, errors=1)
    told = [line for line in result.outlines if line.startswith("Left pushed")]
    assert len(told) == 2
    assert "an application context of 'shop', pushed at test_it.py:7, 2 times." in "\n".join(told)
    assert "the context of GET /two of 'shop', pushed at test_it.py:6." in "\n".join(told)


def test_a_preserved_context_and_a_stream_are_told_by_the_line_that_asked(run: Run) -> None:
    """Flask and Werkzeug push on behalf of the test, or of the view that streams."""
    result = run("""
held = []

def test_client():
    client = shop().test_client()
    client.__enter__()
    client.get("/")
    held.append(client)

def test_stream():
    response = shop().test_client().get("/stream")
    held.append(response)
    assert next(response.response) == b"a"
""")
    result.assert_outcomes(passed=2, errors=2)
    told = [line for line in result.outlines if line.startswith("Left pushed: the context of")]
    assert told[0] == "Left pushed: the context of GET / of 'shop', pushed at test_it.py:8."
    # Flask 3.0 and 3.2 push where the body is made, 3.1 where it is read.
    assert re.search(r"GET /stream of 'shop', pushed at (shops.py:11|test_it.py:12).", told[1])


def test_a_context_class_of_somebodys_is_told_by_its_caller(run: Run) -> None:
    """It pushes by its own function, which calls Flask's."""
    result = run(
        """
from flask.ctx import AppContext

class Own(AppContext):
    def push(self):
        super().push()

class Shop(Flask):
    def app_context(self):
        return Own(self)

def test_leaks():
    Shop("own").app_context().push()
""",
        "--ctx-leaks=error",
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["Left pushed: an application context of 'own', *test_it.py:14."])


def test_a_context_that_was_popped_in_another_thread_leaks(run: Run) -> None:
    """Older Flasks take it for popped, and it stays current here."""
    result = run("""
import threading

def test_leaks():
    ctx = shop().app_context()
    ctx.push()
    failed = []
    def pop():
        try:
            ctx.pop()
        except (LookupError, RuntimeError, ValueError) as error:
            failed.append(error)
    thread = threading.Thread(target=pop)
    thread.start()
    thread.join()
    assert failed
""")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["Left pushed: an application context of 'shop'*test_it.py:7*"])


def test_many_leaks_are_counted(run: Run) -> None:
    """A report stays readable."""
    result = run("""
def test_leaks():
    app = shop()
    for _ in range(1500):
        app.app_context().push()
""")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["... and 1,480 more."])
    assert len(result.outlines) < 60


def test_what_the_collector_pops_is_no_leak(run: Run) -> None:
    """A block inside a generator that nobody runs to its end, kept by a cycle."""
    result = run("""
def test_abandons():
    app = shop()

    def pushing():
        with app.app_context():
            yield cycle

    cycle = [pushing()]
    cycle.append(cycle)
    next(cycle[0])
""")
    result.assert_outcomes(passed=1)


def test_a_test_that_pushes_a_legal_context_again_leaks_it(run: Run) -> None:
    """It is the module's, and one push of it is the test's."""
    result = run("""
@pytest.fixture(scope="module")
def ctx():
    with shop().app_context() as ctx:
        yield ctx

def test_leaks(ctx):
    ctx.push()

def test_pops(ctx):
    ctx.pop()
""")
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_leaks*", "*test_it.py:9, 2 times."])


def test_a_failed_test_that_leaks_is_told_for_both(run: Run) -> None:
    """And so is one whose fixture pushed and then failed."""
    result = run("""
@pytest.fixture
def broken():
    shop().app_context().push()
    raise OSError("no disk")

def test_fails():
    shop().app_context().push()
    assert False

def test_errs(broken):
    pass
""")
    result.assert_outcomes(failed=1, errors=3)
    result.stdout.fnmatch_lines(["*pushed at test_it.py:9.", "*pushed at test_it.py:5."])


def test_a_teardown_that_raises_is_told_first_with_the_stack_as_it_was(run: Run) -> None:
    """A fixture can't pop what lies under a context that the test left."""
    result = run("""
@pytest.fixture
def pushed():
    ctx = shop().app_context()
    ctx.push()
    yield
    ctx.pop()

def test_leaks(pushed):
    shop().test_request_context("/above").push()
""")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines([
        "*Flask contexts*",
        "Pushed when the teardown began, bottom to top:",
        "  an application context of 'shop', pushed at test_it.py:6",
        "  the context of GET /above of 'shop', pushed at test_it.py:11",
    ])  # fmt: skip


# ------------------------------------------------------------------------------- what is legal


def test_what_wider_fixtures_and_modules_push_is_legal(run: Run) -> None:
    """Of each scope, set up before or in a test, asked for late, and with apps of their own."""
    result = run(
        """
CONTEXT = shop().app_context()
CONTEXT.push()  # while the tests are collected

@pytest.fixture(scope="session")
def whole():
    with shop().app_context():
        yield

@pytest.fixture(scope="module")
def module(whole):
    with shop().test_request_context("/module"):
        yield

@pytest.fixture(scope="class")
def classy(module):
    with shop().app_context():
        yield

@pytest.mark.usefixtures("classy")
class TestClass:
    def test_one(self):
        pass

    @pytest.mark.parametrize("n", [1, 2])
    def test_two(self, n):
        with shop().app_context():
            pass

def test_late(request):
    request.getfixturevalue("late")

@pytest.fixture(scope="module")
def late():
    with shop().app_context():
        yield
""",
        conftest="""
@pytest.fixture(scope="package", autouse=True)
def package():
    ctx = shop().app_context()
    ctx.push()
    yield
    ctx.pop()
""",
    )
    result.assert_outcomes(passed=4)


def test_xunit_and_unittest_set_ups_are_legal(run: Run) -> None:
    """As they are: nothing has to be written for them."""
    result = run("""
import unittest

def setup_module(module):
    module.ctx = shop().app_context()
    module.ctx.push()

def teardown_module(module):
    module.ctx.pop()

class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.ctx = shop().test_request_context("/class")
        cls.ctx.push()

    @classmethod
    def tearDownClass(cls):
        cls.ctx.pop()

    def setUp(self):
        self.app_context = shop().app_context()
        self.app_context.push()
        self.addCleanup(self.app_context.pop)

    def test_one(self):
        pass

    def test_two(self):
        pass

class TestPlain:
    def setup_method(self):
        self.ctx = shop().app_context()
        self.ctx.push()

    def teardown_method(self):
        self.ctx.pop()

    def test_plain(self):
        pass
""")
    result.assert_outcomes(passed=3)


def test_a_set_up_without_a_tear_down_leaks(run: Run) -> None:
    """unittest's is a part of the test's own call."""
    result = run("""
import unittest

class Leaky(unittest.TestCase):
    def setUp(self):
        self.app_context = shop().app_context()
        self.app_context.push()

    def test_left(self):
        pass
""")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of Leaky.test_left*", "*test_it.py:8."])


def test_a_wider_fixture_that_ends_without_popping_leaks(run: Run) -> None:
    """It is told once, by its name, with the last test that used it."""
    result = run(
        """
def test_one(forgetful):
    pass

def test_two(forgetful):
    pass
""",
        conftest="""
@pytest.fixture(scope="module")
def forgetful():
    shop().app_context().push()
    yield
""",
    )
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines([
        "*ERROR at teardown of test_two*",
        "*pushed at conftest.py:5, by the fixture 'forgetful' (module scope), which ended.",
    ])  # fmt: skip


def test_an_app_that_is_imported_late_is_checked(run: Run, pytester: pytest.Pytester) -> None:
    """Flask comes into the process with a fixture: its context is legal, the test's is not."""
    pytester.makepyfile(
        test_late="""
import pytest

@pytest.fixture(scope="module")
def pushed():
    from shops import shop
    with shop().app_context():
        yield

def test_legal(pushed):
    pass

left = []

def test_leaks():
    from shops import shop
    left.append(shop().test_request_context("/late"))
    left[0].push()

def test_pops():
    left[0].pop()
"""
    )
    pytester.makepyfile(shops=SHOP)
    result = pytester.runpytest_subprocess(
        "-p", "ctxkit", "-p", "no:cacheprovider", "test_late.py", timeout=100
    )
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["*GET /late of 'shop', pushed at test_late.py:17."])


def test_other_units_are_none_of_the_tests(run: Run) -> None:
    """Threads and tasks have stacks of their own; async tests end as ever."""
    result = run("""
import asyncio, threading, unittest

def test_thread():
    thread = threading.Thread(target=lambda: shop().app_context().push())
    thread.start()
    thread.join()

def test_task():
    async def main():
        shop().app_context().push()
    asyncio.run(main())

class Case(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.ctx = shop().app_context()
        self.ctx.push()

    async def asyncTearDown(self):
        self.ctx.pop()

    async def test_async(self):
        await asyncio.sleep(0)
""")
    result.assert_outcomes(passed=3)


class Suite:
    """A run in the small: tests and wider fixtures that push and pop as they are told."""

    def __init__(self) -> None:
        self.app = Flask("shop")
        self.check = LeakCheck(Path.cwd())
        self.stack: list[list[t.Any]] = []
        """Contexts with who pushed each: the test's number, a fixture, or "legal"."""

    def run(self, tests: list[list[str]]) -> None:
        """Hold after each test that what it left was told, and nothing else."""
        for number, steps in enumerate(tests):
            left_before = [ctx for ctx, who in self.stack if who == "left"]
            self.check.test_begins()
            assert len(self.check.found()) == len(left_before)
            for step in steps:
                getattr(self, step)(number)
            left = [row for row in self.stack if row[1] == number or row[1] == "ended"]
            assert len(self.check.test_ended(str(number))) == len(left)
            for row in left:
                row[1] = "left"

    def push(self, who: t.Any) -> None:
        """Push an application context."""
        ctx = self.app.app_context()
        ctx.push()
        self.stack.append([ctx, who])

    def push_request(self, who: t.Any) -> None:
        """Push a request."""
        ctx = self.app.test_request_context("/")
        ctx.push()
        self.stack.append([ctx, who])

    def pop(self, _: int) -> None:
        """Pop what is on top, whoever pushed it."""
        if self.stack:
            self.stack.pop()[0].pop()

    def begin_fixture(self, _: int) -> None:
        """Set a wider fixture up, which pushes."""
        before, fixture = pushed(), object()
        self.push(fixture)
        self.check.fixture_set_up(fixture, Owner("wide", "module"), before)

    def end_fixture(self, _: int) -> None:
        """End the last fixture without popping."""
        for row in reversed(self.stack):
            if type(row[1]) is object:
                self.check.fixture_ended(row[1])
                row[1] = "ended"
                break


STEPS = st.sampled_from(["push", "push_request", "pop", "begin_fixture", "end_fixture"])


@given(st.lists(st.lists(STEPS, max_size=6), max_size=6))
@settings(max_examples=60, deadline=None)
def test_each_context_is_told_once_by_the_test_that_left_it(tests: list[list[str]]) -> None:
    """Over any order of pushes, pops and fixtures."""
    gc.freeze()  # a leak is looked for in what the collector leaves, here in what is new
    try:
        contextvars.copy_context().run(Suite().run, tests)
    finally:
        gc.unfreeze()


# -------------------------------------------------------------------------------- the modes

BOTH = """
def test_kit():
    shop().app_context().push()

def test_plain():
    shop(kit=False).app_context().push()
"""


@pytest.mark.parametrize(
    ("arguments", "errors"),
    [
        ((), 1),
        (("--ctx-leaks=error",), 2),
        (("-o", "ctx_leaks=error"), 2),
        (("-o", "ctx_leaks=error", "--ctx-leaks=off"), 0),
        (("--ctx-leaks=off",), 0),
    ],
)
def test_the_option_goes_before_the_ini_file(run: Run, arguments: list[str], errors: int) -> None:
    """Unset, only what an app with a kit left counts."""
    run(BOTH, *arguments).assert_outcomes(passed=2, errors=errors)


def test_the_marker_goes_before_the_option(run: Run) -> None:
    """On a test, a class or a module."""
    result = run(
        """
@pytest.mark.ctx_leaks("off")
class TestOff:
    def test_off(self):
        shop().app_context().push()

    @pytest.mark.ctx_leaks("error")
    def test_on(self):
        shop(kit=False).app_context().push()
""",
        "--ctx-leaks=off",
    )
    result.assert_outcomes(passed=2, errors=1)


def test_warn_warns(run: Run) -> None:
    """With the test's place; it fails where warnings are errors, like any warning."""
    result = run(BOTH, "--ctx-leaks=warn", "-W", "default")
    result.assert_outcomes(passed=2, warnings=2)
    result.stdout.fnmatch_lines(["*test_it.py:3: LeakWarning: Left pushed: an app*"])
    run(BOTH, "--ctx-leaks=warn").assert_outcomes(passed=2, errors=2)


def test_a_wrong_mode_is_refused_with_what_to_write(run: Run) -> None:
    """In the ini file, on the command line and in a marker."""
    result = run(BOTH, "-o", "ctx_leaks=loud")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*ctx_leaks = 'loud' is none of error, warn, off."])
    assert run(BOTH, "--ctx-leaks=loud").ret == pytest.ExitCode.USAGE_ERROR
    result = run("""
@pytest.mark.ctx_leaks("loud")
def test_marked():
    pass

@pytest.mark.ctx_leaks
def test_bare():
    pass
""")
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["Write @pytest.mark.ctx_leaks(mode), a mode of*error*warn*off*"])


# ---------------------------------------------------------------------------- a dirty start


@pytest.mark.parametrize("arguments", [(), ("--ctx-leaks=off", "--show-capture=no")])
def test_a_failed_test_that_began_dirty_names_who_left_the_context(
    run: Run, arguments: list[str]
) -> None:
    """Whatever the mode is, and however little of the output is shown."""
    result = run(
        """
def test_first():
    shop(kit=False).test_request_context("/left").push()

def test_passes():
    pass

def test_fails():
    assert False
""",
        *arguments,
    )
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines([
        "*Flask contexts*",
        "This test began with what an earlier one had left pushed:",
        "  *GET /left of 'shop', pushed at test_it.py:4, left by test_it.py::test_first",
    ])  # fmt: skip


def test_a_failed_test_that_began_clean_says_nothing(run: Run) -> None:
    """Also beside a legal context, and after a leak that somebody popped."""
    result = run("""
@pytest.fixture(scope="module", autouse=True)
def module():
    with shop().app_context():
        yield

LEFT = shop().app_context()

def test_leaves():
    LEFT.push()

def test_pops():
    LEFT.pop()

def test_fails():
    assert False
""")
    result.assert_outcomes(passed=2, failed=1, errors=1)
    result.stdout.no_fnmatch_line("*This test began with*")


def test_it_works_in_workers(run: Run, pytester: pytest.Pytester) -> None:
    """With pytest-xdist each worker checks its own tests, and the reports travel."""
    pytester.makepyfile(
        test_other="""
from shops import shop

def test_leaks():
    shop().test_request_context("/left").push()

def test_fails():
    assert False
"""
    )
    result = run(
        """
@pytest.fixture(scope="module", autouse=True)
def module():
    with shop().app_context():
        yield

@pytest.mark.parametrize("n", range(8))
def test_sound(n):
    with shop().test_request_context("/"):
        pass
""",
        "-p", "xdist", "-n", "2", "--dist", "loadfile", "-W", "default",
    )  # fmt: skip
    result.assert_outcomes(passed=9, failed=1, errors=1)
    result.stdout.fnmatch_lines(["Left pushed: the context of GET /left*"])
    result.stdout.fnmatch_lines(["*left by test_other.py::test_leaks"])


def test_a_check_that_fails_fails_no_test(run: Run) -> None:
    """It is told at the end of the run."""
    result = run(
        "def test_sound():\n    shop().app_context().push()\n",
        conftest="""
from flask_ctxkit import internals

def broken():
    raise OSError("no stack")

internals.app_stack = broken
""",
    )
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["flask-ctxkit: contexts were not checked: OSError: no stack"])


def test_flask_is_left_as_it_was(pytester: pytest.Pytester) -> None:
    """A run inside of a process that goes on."""
    pytester.makepyfile(shops=SHOP, test_it="from shops import shop\n\ndef test(): shop()\n")
    pytester.makepyfile(
        outer="""
import pytest
from flask.ctx import AppContext
before = AppContext.push
assert pytest.main(["-q", "-p", "no:cacheprovider", "-W", "error", "test_it.py"]) == 0
assert AppContext.push is before
print("as it was")
"""
    )
    assert "as it was" in pytester.runpython(pytester.path / "outer.py").outlines
