"""Greenlets that share a context: the hub is never stopped, patched or not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("gevent")


@pytest.mark.parametrize("how", ["patched", "plain"])
def test_greenlets_share_a_context(how: str) -> None:
    """In a process of its own, since patching can't be taken back; it says what it found."""
    script = Path(__file__).with_name("gevent_units.py")
    done = subprocess.run(
        [sys.executable, str(script), how], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("sound")
