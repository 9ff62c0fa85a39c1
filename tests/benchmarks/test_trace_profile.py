"""The profile of a full trace counts what the trace runs, and the same on each run."""

from __future__ import annotations

import typing as t

from . import trace_profile

if t.TYPE_CHECKING:
    import pytest


def test_the_profile_names_what_a_trace_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """Functions of the trace room lead; what the trace replaces of Flask counts below zero."""
    counted = trace_profile.main(["json", "--top=5"])
    (file, _), most = counted.most_common(1)[0]
    assert most > 0
    assert file.startswith("trace/")
    assert min(counted.values()) < 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert file in lines[1]


def test_a_count_is_repeatable() -> None:
    """What it is for: to see a change of a few percent on any machine."""
    first, second = (sum(trace_profile.bytecodes("trace", "html").values()) for _ in range(2))
    assert abs(first - second) < first / 50
