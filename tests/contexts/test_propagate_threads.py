"""A thread that fails for want of a context tells which request started it."""

from __future__ import annotations

import functools
import gc
import logging
import sys
import threading
import typing as t
import weakref

import pytest
from flask import Flask, current_app, g, request

from flask_ctxkit import CtxKit, OutsideContextError, explain_threads, propagate

from .test_propagate import make

NOTES = sys.version_info >= (3, 11)


class Ended(t.NamedTuple):
    """What the hook that was set before was given, with what explains it."""

    error: BaseException
    thread: threading.Thread
    notes: list[str]


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> t.Iterator[list[Ended]]:
    """The errors that ended a thread while threads are explained."""
    found: list[Ended] = []

    def before(args: t.Any) -> None:
        notes = [*getattr(args.exc_value, "__notes__", [])]
        found.append(Ended(args.exc_value, args.thread, notes))

    monkeypatch.setattr(threading, "excepthook", before)
    undo = explain_threads()
    yield found
    undo()
    assert threading.excepthook is before


def run(target: t.Callable[[], t.Any], name: str = "mailer") -> None:
    thread = threading.Thread(target=target, name=name)
    thread.start()
    thread.join(20)


def explained(ended: Ended, caplog: pytest.LogCaptureFixture) -> str:
    """The one explanation: on the traceback, or before Python 3.11 in the log."""
    lines = ended.notes if NOTES else [r.message for r in caplog.records if r.levelno >= 40]
    lines = [line for line in lines if line.startswith("ctxkit: ")]
    (line,) = lines
    return line


def in_view(shop: Flask, function: t.Callable[[], t.Any], path: str = "/checkout") -> None:
    shop.add_url_rule(path, "checkout", lambda: function() or "x")
    assert shop.test_client().get(f"{path}?token=s3cr3t").status_code == 200


def send_mail() -> str:
    return str(current_app.name)


@pytest.mark.parametrize("kind", ["tracing off", "tracing on"])
def test_the_request_and_the_line_that_started_it_are_named(
    kind: str, ended: list[Ended], caplog: pytest.LogCaptureFixture
) -> None:
    in_view(make(kind), lambda: run(send_mail))
    (one,) = ended
    assert str(one.error).startswith("Working outside of application context")
    note = explained(one, caplog)
    assert "send_mail (contexts/test_propagate_threads.py:" in note
    assert "none is pushed in mailer, which GET /checkout (contexts/" in note
    assert note.splitlines()[0].endswith(" started.")
    assert "propagate(function)" in note
    assert "s3cr3t" not in note


def ask_cached() -> None:
    CtxKit().cached(send_mail)()


def ask_resource() -> None:
    CtxKit().resource("db", open=dict)()


def take_along() -> None:
    propagate(send_mail)


@pytest.mark.parametrize(
    ("work", "needs"),
    [
        (ask_cached, "an application context for send_mail, and none is pushed in mailer, which"),
        (ask_resource, "an application context for db, and none is pushed in mailer, which"),
        (take_along, "an application context, and none is pushed in mailer, which"),
    ],
)
def test_the_kits_own_error_is_explained_too(
    work: t.Callable[[], None], needs: str, ended: list[Ended], caplog: pytest.LogCaptureFixture
) -> None:
    in_view(make(), lambda: run(work))
    (one,) = ended
    assert type(one.error) is OutsideContextError
    note = explained(one, caplog)
    assert f"{work.__name__} (contexts/test_propagate_threads.py:" in note
    assert f"needs {needs} GET /checkout (contexts/" in note


def test_a_thread_that_such_a_thread_starts_is_of_the_same_request(
    ended: list[Ended], caplog: pytest.LogCaptureFixture
) -> None:
    in_view(make(), lambda: run(lambda: run(send_mail, "inner"), "outer"))
    (one,) = ended
    assert "in inner, which GET /checkout" in explained(one, caplog)


def test_a_thread_that_propagated_work_starts_is_of_the_same_request(
    ended: list[Ended], caplog: pytest.LogCaptureFixture
) -> None:
    in_view(make(), lambda: run(propagate(lambda: run(send_mail, "inner"))))
    (one,) = ended
    assert "in inner, which GET /checkout" in explained(one, caplog)


def test_a_request_that_work_without_one_asks_for_is_explained(
    ended: list[Ended], caplog: pytest.LogCaptureFixture
) -> None:
    def asks() -> str:
        return request.path

    in_view(make(), lambda: run(propagate(asks, request="none")))
    (one,) = ended
    assert isinstance(one.error, RuntimeError)
    assert "asks (contexts/" in explained(one, caplog)


def test_a_block_without_a_request_is_named_as_such(
    ended: list[Ended], caplog: pytest.LogCaptureFixture
) -> None:
    shop = make()
    with shop.app_context():
        run(send_mail)
    (one,) = ended
    assert "which a context without a request (contexts/" in explained(one, caplog)


def test_the_finding_is_counted(ended: list[Ended]) -> None:
    shop = make()
    in_view(shop, lambda: run(send_mail))
    rules = shop.extensions["ctxkit"].rules
    assert rules.tally.counts() == {"context-missing": 1}
    assert "GET /checkout" in rules.tally.rows()[0].finding.message


def test_other_errors_pass_as_they_are(
    ended: list[Ended], caplog: pytest.LogCaptureFixture
) -> None:
    """Also one that only looks like Flask's, or like the kit's."""
    namesake = type("OutsideContextError", (RuntimeError,), {})

    def fails() -> None:
        raise RuntimeError("mine")

    def fails_likewise() -> None:
        raise namesake("mine too")

    def both() -> None:
        run(fails)
        run(fails_likewise)

    shop = make()
    in_view(shop, both)
    assert [(str(one.error), one.notes) for one in ended] == [("mine", []), ("mine too", [])]
    assert shop.extensions["ctxkit"].rules.tally.counts() == {}


@pytest.mark.parametrize("where", ["no context", "no kit"])
def test_where_nothing_is_known_nothing_is_said(where: str, ended: list[Ended]) -> None:
    if where == "no kit":
        with make("no kit").app_context():
            run(send_mail)
    else:
        run(send_mail)
    (one,) = ended
    assert one.notes == []


def test_a_failure_of_the_kits_own_is_counted_and_hides_nothing(
    ended: list[Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = make()
    kit = shop.extensions["ctxkit"]

    def broken(*_: t.Any, **__: t.Any) -> None:
        raise ZeroDivisionError("own")

    monkeypatch.setattr(kit.pipeline, "explain_thread", broken)
    in_view(shop, lambda: run(send_mail))
    assert [type(one.error) for one in ended] == [RuntimeError]
    monkeypatch.setattr(kit.redactor, "url", broken)
    with shop.test_request_context():
        run(send_mail)
    assert len(ended) == 2
    failures = {row["step"]: row["count"] for row in kit.recorder.cost()["failures"]}
    assert failures["explain_threads"] == 2


def test_asked_twice_it_is_done_once(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[t.Any] = []
    monkeypatch.setattr(threading, "excepthook", given.append)
    start = threading.Thread.start
    undo, again = explain_threads(), explain_threads()
    shop = make()
    in_view(shop, lambda: run(send_mail))
    assert len(given) == 1
    assert shop.extensions["ctxkit"].rules.tally.counts() == {"context-missing": 1}
    assert again == undo
    undo()
    again()
    assert threading.Thread.start is start


@pytest.mark.parametrize("on_top", ["hook", "start", "both"])
def test_asked_again_under_what_others_set_it_is_done_once(
    on_top: str, ended: list[Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As monitoring does, of which an app knows nothing that is made anew."""
    hook, start = threading.excepthook, threading.Thread.start
    shop = make()

    def other_hook(args: t.Any) -> None:
        hook(args)

    @functools.wraps(start)
    def other_start(thread: threading.Thread) -> None:
        start(thread)

    with monkeypatch.context() as patch:
        if on_top != "start":
            patch.setattr(threading, "excepthook", other_hook)
        if on_top != "hook":
            patch.setattr(threading.Thread, "start", other_start)
        explain_threads()
        in_view(shop, lambda: run(send_mail))
    assert len(ended) == 1
    assert shop.extensions["ctxkit"].rules.tally.counts() == {"context-missing": 1}


def test_asked_again_after_it_was_undone_it_explains(
    ended: list[Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where another one's start keeps what was undone in its place."""
    start = threading.Thread.start
    shop = make()

    @functools.wraps(start)
    def other_start(thread: threading.Thread) -> None:
        start(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", other_start)
        explain_threads()()
        undo = explain_threads()
        in_view(shop, lambda: run(send_mail))
        undo()
    assert len(ended) == 1
    assert shop.extensions["ctxkit"].rules.tally.counts() == {"context-missing": 1}


def test_undone_it_leaves_everything_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[t.Any] = []
    monkeypatch.setattr(threading, "excepthook", given.append)
    hook, start = threading.excepthook, threading.Thread.start
    explain_threads()()
    assert (threading.excepthook, threading.Thread.start) == (hook, start)
    shop = make()
    in_view(shop, lambda: run(send_mail))
    assert len(given) == 1
    assert shop.extensions["ctxkit"].rules.tally.counts() == {}


def test_undone_below_another_hook_it_only_passes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one stays, and calls what it found."""
    given: list[t.Any] = []
    monkeypatch.setattr(threading, "excepthook", given.append)
    monkeypatch.setattr(threading.Thread, "start", threading.Thread.start)
    undo = explain_threads()
    below = threading.excepthook

    def other(args: t.Any) -> None:
        below(args)

    started = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        started(thread)

    monkeypatch.setattr(threading, "excepthook", other)
    monkeypatch.setattr(threading.Thread, "start", start)
    undo()
    assert (threading.excepthook, threading.Thread.start) == (other, start)
    shop = make()
    in_view(shop, lambda: run(send_mail))
    assert len(given) == 1
    assert shop.extensions["ctxkit"].rules.tally.counts() == {}


def test_a_thread_that_ended_is_not_kept(ended: list[Ended]) -> None:
    shop = make()
    threads: list[weakref.ref[threading.Thread]] = []

    def view() -> None:
        thread = threading.Thread(target=lambda: None)
        threads.append(weakref.ref(thread))
        thread.start()
        thread.join(20)

    in_view(shop, view)
    gc.collect()
    assert threads[0]() is None


def test_without_it_a_thread_fails_as_ever(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    given: list[t.Any] = []
    monkeypatch.setattr(threading, "excepthook", given.append)
    with caplog.at_level(logging.ERROR):
        in_view(make(), lambda: run(send_mail))
    assert not hasattr(given[0].exc_value, "__notes__")
    assert caplog.records == []


def test_a_subclass_and_a_timer_are_known_too(
    ended: list[Ended], caplog: pytest.LogCaptureFixture
) -> None:
    class Mailer(threading.Thread):
        def run(self) -> None:
            g.sent = True

    def both() -> None:
        for thread in (Mailer(name="own"), threading.Timer(0, send_mail)):
            thread.start()
            thread.join(20)

    in_view(make(), both)
    assert len(ended) == 2
    if NOTES:
        assert all("which GET /checkout" in explained(one, caplog) for one in ended)
