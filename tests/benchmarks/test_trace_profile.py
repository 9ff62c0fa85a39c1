"""The profile of a full trace counts what the trace runs, and the same on each run."""

from __future__ import annotations

import subprocess
import sys

import pytest

from . import trace_profile

pytestmark = pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="bytecodes can be counted up to Python 3.11"
)


def test_the_profile_names_what_a_trace_runs() -> None:
    """Functions of the trace room lead; what the trace replaces of Flask counts below zero.

    In a process of its own: a receiver of ``trace_finished`` that another test left would count.
    """
    ran = subprocess.run(
        [sys.executable, trace_profile.__file__, "json", "--top=5"],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    told, *rows = ran.stdout.splitlines()
    more, less = (int(word) for word in told.split() if word.isdigit())
    assert more > less > 0
    assert len(rows) == 5
    assert all("  trace/" in row for row in rows)


def test_a_count_is_repeatable() -> None:
    """What it is for: to see a change of a few percent on any machine."""
    first, second = (sum(trace_profile.bytecodes("trace", "html").values()) for _ in range(2))
    assert abs(first - second) < first / 50
