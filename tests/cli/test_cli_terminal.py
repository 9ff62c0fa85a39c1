"""In a real terminal: rich tables and colours, and none of them where they aren't wanted."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

pty = pytest.importorskip("pty")
termios = pytest.importorskip("termios")

ROOT = Path(__file__).parents[2]
ANSI = re.compile(r"\x1b\[[0-9;]*m")


def in_terminal(*words: str, columns: int, env: dict[str, str] | None = None) -> str:
    """What ``python -m flask_ctxkit`` writes to a terminal of that width."""
    outer, inner = pty.openpty()
    termios.tcsetwinsize(inner, (40, columns)) if sys.version_info >= (3, 11) else None
    names = ("CTXKIT_", "FLASK_", "NO_COLOR", "COLUMNS", "TERM", "FORCE_COLOR")
    clean = {k: v for k, v in os.environ.items() if not k.startswith(names)}
    clean |= {"PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"} | (env or {})
    if sys.version_info < (3, 11):
        clean.setdefault("COLUMNS", str(columns))
    process = subprocess.Popen(
        [sys.executable, "-m", "flask_ctxkit", *words],
        env=clean, stdin=inner, stdout=inner, stderr=inner,
    )  # fmt: skip
    os.close(inner)
    written = bytearray()
    while True:
        try:
            chunk = os.read(outer, 65536)
        except OSError:  # Linux: the other end is closed
            break
        if not chunk:
            break
        written += chunk
    os.close(outer)
    process.wait(timeout=30)
    return written.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("command", ["", "ps", "stacks", "requests", "show"])
@pytest.mark.parametrize("columns", [60, 100])
def test_a_terminal_gets_coloured_tables_that_fit(shop: t.Any, command: str, columns: int) -> None:
    pytest.importorskip("rich")
    told = in_terminal("--url", shop.url, *command.split(), columns=columns)
    assert ANSI.search(told)
    assert "\x1b" not in ANSI.sub("", told)
    assert max(len(line) for line in ANSI.sub("", told).splitlines()) <= columns
    assert "| -" not in told


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"NO_COLOR": "1", "FORCE_COLOR": "1"}])
def test_no_color_means_no_escape_at_all(shop: t.Any, env: dict[str, str]) -> None:
    """Neither colours nor bold: https://no-color.org."""
    told = in_terminal("--url", shop.url, columns=100, env=env)
    assert "PROBLEMS 1" in told
    assert "\x1b" not in told


def test_hostile_data_in_a_terminal_moves_nothing(shop: t.Any, made: t.Any) -> None:
    """The only escapes are the kit's own colours."""
    row = made.summary(path="/" + made.escape, note=made.escape)
    shop.bodies["/_ctx/requests.json"]["requests"] = [row]
    told = in_terminal("--url", shop.url, "requests", columns=100)
    assert "\x1b" not in ANSI.sub("", told)
    assert not {"\x07", "\x9b", "\u202e", "\u2028"} & set(told)


def test_a_terminal_that_is_not_utf8_gets_ascii(shop: t.Any) -> None:
    env = {"PYTHONIOENCODING": "ascii", "NO_COLOR": "1"}
    told = in_terminal("--url", shop.url, columns=100, env=env)
    assert told.isascii()
    assert " x session" in told


def test_markup_of_rich_in_a_path_is_only_text(shop: t.Any, made: t.Any) -> None:
    shop.bodies["/_ctx/requests.json"]["requests"] = [made.summary(path="/[bold red]x[/]:smile:")]
    told = in_terminal("--url", shop.url, "requests", columns=100)
    assert "/[bold red]x[/]:smile:" in ANSI.sub("", told)


def test_without_rich_a_terminal_gets_markdown_that_fits(shop: t.Any, tmp_path: Path) -> None:
    """rich is an extra."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "from importlib.machinery import PathFinder\n"
        "class Without(PathFinder):\n"
        "    @classmethod\n"
        "    def find_spec(cls, name, path=None, target=None):\n"
        "        return None if name == 'rich' else super().find_spec(name, path, target)\n"
        "sys.meta_path[:] = [Without if f is PathFinder else f for f in sys.meta_path]\n"
    )
    env = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])}
    told = in_terminal("--url", shop.url, columns=60, env=env)
    assert "| -----: |" in told
    assert "\x1b" not in told
    assert max(map(len, told.splitlines())) <= 60
