"""The benchmark of sessions runs, and refuses to time what does not agree with Flask."""

from __future__ import annotations

import json
import typing as t

import pytest

from flask_ctxkit.session import codec

from . import session_cost

if t.TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """One round of a few calls: the figures mean nothing."""
    compared = session_cost.compared
    monkeypatch.setattr(session_cost, "ROUNDS", 1)
    monkeypatch.setattr(session_cost, "compared", lambda stock, own, _: compared(stock, own, 3))


def test_every_figure_is_measured_and_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "figures.json"
    session_cost.main([f"--json={target}"])
    figures = json.loads(target.read_text())
    steps = [
        f"{step} {name}" for name in session_cost.SESSIONS for step in ("dumps", "loads", "verify")
    ]
    assert [name for name in figures if not name.startswith("request")] == steps
    assert len(figures) == len(steps) + 7
    assert all(row["own_us"] > 0 and row["stock_us"] > 0 for row in figures.values())
    assert "request written" in capsys.readouterr().out


def test_a_codec_that_reads_other_values_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A faster one that is wrong is worth nothing."""
    monkeypatch.setattr(session_cost, "values_in", lambda text: {})
    with pytest.raises(AssertionError):
        session_cost.codec_costs()


def test_a_request_that_is_answered_otherwise_is_not_timed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where only the cookie differs."""
    seal = codec.seal
    monkeypatch.setattr(codec, "seal", lambda *args, **now: seal(*args, **now) + "A")
    with pytest.raises(AssertionError):
        session_cost.request_costs()
