"""The recorder by hand delivers what it promises, and is not timed where it does not."""

from __future__ import annotations

import json
import typing as t

import pytest

from . import trace_floor

if t.TYPE_CHECKING:
    from pathlib import Path


def test_every_level_is_measured_and_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With tiny counts, beside bare Flask and the kit itself."""
    target = tmp_path / "figures.json"
    figures = trace_floor.main(["--rounds=2", "--requests=3", f"--json={target}"])
    assert json.loads(target.read_text()) == figures
    assert list(figures["floor"]) == list(trace_floor.CASES)
    for rows in figures["floor"].values():
        assert list(rows) == ["bare", "off", *trace_floor.LEVELS, "trace"]
        assert rows["bare"]["ratio"] == 1
        assert all(row["least_us"] > 0 for row in rows.values())
    assert "whole" in capsys.readouterr().out


def test_an_unknown_case_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """With the names of those that there are."""
    with pytest.raises(SystemExit):
        trace_floor.main(["sesion"])
    assert "session written" in capsys.readouterr().err


@pytest.mark.parametrize("level", trace_floor.LEVELS)
def test_every_level_delivers_its_product(level: str) -> None:
    """Each step, and for the whole one what each step changed."""
    trace_floor.check(trace_floor.make_app(level), level)


@pytest.mark.parametrize("level", ["times", "whole"])
def test_a_recorder_that_misses_a_step_is_not_timed(
    level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A floor that leaves something out would be too low."""
    monkeypatch.setattr(trace_floor.Times, "bind", lambda *_: None)
    with pytest.raises(AssertionError):
        trace_floor.check(trace_floor.make_app(level), level)


def test_a_recorder_that_captures_nothing_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values are a part of the whole."""
    monkeypatch.setattr(trace_floor, "written", lambda live, *_: live.log.clear())
    with pytest.raises(AssertionError):
        trace_floor.check(trace_floor.make_app("whole"), "whole")
