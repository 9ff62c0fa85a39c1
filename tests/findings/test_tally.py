"""How often each mistake was found, in the log, and by who listens."""

from __future__ import annotations

import logging
import threading
import typing as t

import pytest
from flask import Flask

from flask_ctxkit.findings import Finding, Tally
from flask_ctxkit.findings.tally import KEPT, TRACES
from flask_ctxkit.signals import finding_raised


def found(code: str = "hook-order", trace: str | None = None, **fields: t.Any) -> Finding:
    values: dict[str, t.Any] = {"message": "It is late.", "fix": "Move it.", "severity": "error"}
    return Finding(code=code, trace=trace, **{**values, **fields})


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def test_the_same_mistake_is_counted_with_its_times_and_last_traces() -> None:
    clock = Clock()
    tally = Tally(clock=clock)
    for serial in range(TRACES + 5):
        clock.now += 1
        tally.add(found(trace=f"{serial:08x}"))
    (row,) = tally.rows()
    assert row.count == TRACES + 5
    assert row.last_at - row.first_at == TRACES + 4
    assert len(row.traces) == TRACES
    assert row.traces[0] == f"{TRACES + 4:08x}"
    data = row.as_dict()
    assert data["first_at"] == "1970-01-12T13:46:41.000+00:00"
    assert data["traces"][0] == row.traces[0]
    assert data["trace"] == row.traces[0]


def test_messages_with_different_numbers_are_one_mistake_by_their_subject() -> None:
    tally = Tally()
    tally.add(Finding("It took 31 ms.", subject="load_user", code="hook-slow"))
    tally.add(Finding("It took 32 ms.", subject="load_user", code="hook-slow"))
    tally.add(Finding("It took 32 ms.", subject="load_cart", code="hook-slow"))
    assert [row.count for row in tally.rows()] == [2, 1]
    assert tally.rows()[0].finding.message == "It took 32 ms."
    assert tally.counts() == {"hook-slow": 3}


def test_errors_stand_first_then_the_most_frequent() -> None:
    tally = Tally()
    for code, severity, times in (
        ("note", "note", 9),
        ("rare", "warning", 1),
        ("often", "warning", 5),
        ("error", "error", 1),
    ):
        for _ in range(times):
            tally.add(found(code, severity=severity))
    assert [row.finding.code for row in tally.rows()] == ["error", "often", "rare", "note"]


def test_what_is_kept_is_bounded_and_what_goes_is_counted() -> None:
    tally = Tally()
    for serial in range(KEPT + 7):
        tally.add(Finding(f"It is {serial}.", code="x"))
    assert len(tally.rows()) == KEPT
    assert tally.dropped == 7
    assert "It is 0." not in {row.finding.message for row in tally.rows()}


def test_a_code_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "flask_ctxkit")
    clock = Clock()
    tally = Tally(clock=clock)
    tally.add(found(trace="8f3a1c00"), about="GET /cart")
    tally.add(found(message="Another one."))
    tally.add(found("hook-slow", severity="note"))
    clock.now += 59
    tally.add(found())
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        ("ERROR", "ctxkit ✗ GET /cart: It is late. Move it. (trace 8f3a1c00)"),
        ("INFO", "ctxkit · It is late. Move it."),
    ]
    clock.now += 1
    tally.add(found())
    assert len(caplog.records) == 3


def test_a_clock_that_is_set_back_does_not_silence_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    tally = Tally(clock=clock)
    tally.add(found())
    clock.now -= 100_000
    tally.add(found())
    assert len(caplog.records) == 2


def test_percent_signs_in_a_message_are_text(caplog: pytest.LogCaptureFixture) -> None:
    Tally().add(Finding("100 %s of %d", code="x", severity="warning"))
    assert "100 %s of %d" in caplog.text


def test_who_listens_gets_the_finding_and_the_app() -> None:
    app = Flask(__name__)
    heard: list[tuple[t.Any, Finding]] = []

    def listen(sender: t.Any, finding: Finding) -> None:
        heard.append((sender, finding))

    tally = Tally(lambda finding, sender: finding_raised.send(sender, finding=finding))
    with finding_raised.connected_to(listen, app):
        tally.add(found(), app)
        tally.add(found(), Flask("other"))
    assert [(sender, finding.code) for sender, finding in heard] == [(app, "hook-order")]


def test_a_listener_that_raises_is_told_and_the_count_stands() -> None:
    failures: list[tuple[str, BaseException]] = []

    def listen(finding: Finding, app: t.Any) -> None:
        raise ZeroDivisionError("by design")

    tally = Tally(listen, lambda step, error: failures.append((step, error)))
    tally.add(found())
    assert tally.rows()[0].count == 1
    assert [(step, type(error)) for step, error in failures] == [
        ("finding_raised", ZeroDivisionError)
    ]


def test_a_log_handler_that_raises_changes_nothing() -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise OSError("full")

    failures: list[str] = []
    tally = Tally(failed=lambda step, error: failures.append(step))
    handler = Broken()
    logger = logging.getLogger("flask_ctxkit")
    logger.addHandler(handler)
    try:
        tally.add(found())
    finally:
        logger.removeHandler(handler)
    assert failures == ["log"]
    assert tally.rows()[0].count == 1


def test_an_interrupt_is_not_swallowed() -> None:
    def listen(finding: Finding, app: t.Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Tally(listen).add(found())


def test_threads_lose_no_count() -> None:
    tally = Tally()
    barrier = threading.Barrier(8)

    def count(number: int) -> None:
        barrier.wait()
        for serial in range(200):
            tally.add(Finding("It is late.", code=f"code-{serial % 3}", trace=f"{number}{serial}"))

    threads = [threading.Thread(target=count, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(tally.counts().values()) == 8 * 200


def test_clearing_forgets_counts_and_the_log(caplog: pytest.LogCaptureFixture) -> None:
    tally = Tally()
    tally.add(found())
    tally.clear()
    assert tally.rows() == ()
    tally.add(found())
    assert len(caplog.records) == 2
