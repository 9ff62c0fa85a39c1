"""The benchmark of requests runs, and refuses to time a variant that delivers less."""

from __future__ import annotations

import json
import typing as t
from dataclasses import replace

import pytest

from . import request_cost

if t.TYPE_CHECKING:
    from pathlib import Path


def test_every_figure_is_measured_and_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With tiny counts, every case, page and variant gets its figures, also as JSON."""
    target = tmp_path / "figures.json"
    few = ["--rounds=2", "--requests=3", "--memory=20", "--pages=1", "--small"]
    figures = request_cost.main([*few, f"--json={target}"])
    assert json.loads(target.read_text()) == figures
    assert list(figures["requests"]) == list(request_cost.CASES)
    for variants in figures["requests"].values():
        assert list(variants) == list(request_cost.VARIANTS)
        assert variants["bare"]["ratio"] == variants["bare"]["ratio_of_least"] == 1
        assert all(row["least_us"] > 0 for row in variants.values())
    assert len(figures["pages"]) == 6
    assert all(took > 0 for took in figures["pages"].values())
    assert figures["memory"]["requests"] == 20
    assert figures["versions"]["flask"] in capsys.readouterr().out


def _traced() -> t.Any:
    app = request_cost.make_app("trace")
    request_cost.call(app, "/plain/5")
    return app, next(app.extensions["ctxkit"].store.newest())


def test_a_trace_without_one_event_is_not_timed() -> None:
    """A full trace is one with every event."""
    _, trace = _traced()
    request_cost.check_trace(trace)
    with pytest.raises(AssertionError):
        request_cost.check_trace(replace(trace, events=trace.events[:-1]))


def test_a_trace_without_a_diff_is_not_timed() -> None:
    """A full trace tells what each hook did to g."""
    _, trace = _traced()
    place = next(n for n, event in enumerate(trace.events) if event.name == "count")
    blind = replace(trace.events[place], g=type(trace.events[place].g)())
    events = (*trace.events[:place], blind, *trace.events[place + 1 :])
    with pytest.raises(AssertionError):
        request_cost.check_trace(replace(trace, events=events))


def test_a_variant_that_stores_nothing_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full trace is one that is kept."""
    app = request_cost.make_app("trace")
    request_cost.call(app, "/plain/5")
    app.extensions["ctxkit"].recorder.sinks.clear()
    with pytest.raises(AssertionError):
        request_cost.check_product(app, "trace")
