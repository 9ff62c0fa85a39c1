"""The commands as processes: found without importing the app, ended by signals and pipes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import typing as t
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IMPORTED = "import pathlib; pathlib.Path('imported').touch()\n"
BROKEN_APPS = {
    "raises": IMPORTED + "raise RuntimeError('no database')\n",
    "hangs": IMPORTED + "import time; time.sleep(600)\n",
    "exits": IMPORTED + "raise SystemExit(3)\n",
    "syntax": "def (:\n",
}
RUNNING = (
    ["ctx"], ["ctx", "ps"], ["ctx", "stacks"], ["ctx", "requests"], ["ctx", "tail"],
    ["ctx", "show", "latest"], ["ctx", "link"],
)  # fmt: skip
Start = t.Callable[..., "subprocess.Popen[str]"]


LEFT: t.Final = "ignore:unclosed:ResourceWarning"
"""What Ctrl-C interrupts leaves its socket to the collector."""


@pytest.fixture
def start(tmp_path: Path) -> t.Iterator[Start]:
    """Start ``python -m ...`` where the kit's entry point is installed."""
    info = tmp_path / "site" / "flask_ctxkit-0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: flask-ctxkit\nVersion: 0\n")
    (info / "entry_points.txt").write_text("[flask.commands]\nctx = flask_ctxkit.cli:ctx\n")
    for name, source in BROKEN_APPS.items():
        (tmp_path / f"{name}.py").write_text(source)
    started: list[subprocess.Popen[str]] = []

    def begin(*words: str, **options: t.Any) -> subprocess.Popen[str]:
        env = {k: v for k, v in os.environ.items() if not k.startswith(("CTXKIT_", "FLASK_"))}
        env["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(info.parent)])
        env |= options.pop("env", {})
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-W", LEFT, "-m", *words],
            cwd=tmp_path,
            env=env,
            text=True,
            encoding="utf-8",
            stdin=subprocess.DEVNULL,
            **({"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options),
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


@pytest.mark.parametrize("broken", BROKEN_APPS)
def test_a_command_about_a_running_app_never_imports_it(
    start: Start, shop: t.Any, tmp_path: Path, broken: str
) -> None:
    """It must answer where ``create_app()`` would raise, exit or hang too."""
    env = {"CTXKIT_URL": shop.url}
    code, out, err = ended(start("flask", "--app", broken, "ctx", "ps", env=env))
    assert (code, err) == (0, "")
    assert "GET /report" in out
    assert not (tmp_path / "imported").exists()


@pytest.mark.parametrize("words", RUNNING, ids=" ".join)
def test_none_of_them_imports_it(
    start: Start, shop: t.Any, tmp_path: Path, words: list[str]
) -> None:
    env = {"CTXKIT_URL": shop.url, "FLASK_APP": "raises"}
    code, _, err = ended(start("flask", *words, env=env))
    assert (code, "Traceback" in err) == (0, False)
    assert not (tmp_path / "imported").exists()


def test_help_lists_every_command_without_an_app(start: Start, tmp_path: Path) -> None:
    code, out, _ = ended(start("flask", "--app", "hangs", "ctx", "--help"))
    commands = (
        "app",
        "hooks",
        "link",
        "live",
        "requests",
        "show",
        "stacks",
        "tail",
        "try",
        "where",
    )
    assert code == 0
    assert [name for name in commands if not re.search(rf"^  {name} ", out, re.MULTILINE)] == []
    assert not (tmp_path / "imported").exists()


def test_the_package_is_the_same_command(start: Start, shop: t.Any) -> None:
    """``python -m flask_ctxkit``."""
    code, out, err = ended(start("flask_ctxkit", "ps", "--url", shop.url))
    assert (code, err) == (0, "")
    assert "GET /report" in out


def test_the_package_reads_flaskenv_as_flask_does(
    start: Start, shop: t.Any, tmp_path: Path
) -> None:
    """So that ``CTXKIT_URL`` of a project counts for both."""
    pytest.importorskip("dotenv")
    (tmp_path / ".flaskenv").write_text(f"CTXKIT_URL={shop.url}\n")
    assert ended(start("flask_ctxkit", "ps"))[0] == 0
    assert ended(start("flask", "ctx", "ps"))[0] == 0


def test_nobody_to_ask_ends_with_2(start: Start) -> None:
    code, out, err = ended(start("flask", "ctx", "--url", "http://127.0.0.1:1"))
    assert (code, out) == (2, "")
    assert "connection refused" in err


def test_a_closed_pipe_is_no_error(start: Start, shop: t.Any) -> None:
    """``flask ctx requests | head -0``: quiet, and with the code of a broken pipe."""
    reading, writing = os.pipe()
    os.close(reading)
    process = start("flask", "ctx", "requests", "--url", shop.url, stdout=writing)
    os.close(writing)
    code, _, err = ended(process)
    assert (code, err) == (141, "")


class Lines:
    """The lines that a process writes, as they come."""

    def __init__(self, stream: t.IO[str]) -> None:
        self.seen: list[str] = []
        self._stream = stream
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        try:
            for line in self._stream:
                self.seen.append(line.rstrip("\n"))
        except ValueError:
            return  # closed when the test ended

    def until(self, condition: t.Callable[[list[str]], bool]) -> list[str]:
        end = time.monotonic() + 30
        while not condition(self.seen):
            assert time.monotonic() < end, self.seen
            time.sleep(0.02)
        return self.seen


def _interrupt(process: subprocess.Popen[str]) -> int:
    process.send_signal(signal.SIGINT)
    return process.wait(timeout=30)


@pytest.fixture
def growing(shop: t.Any, made: t.Any) -> t.Callable[..., None]:
    """Let the server finish one more request."""
    rows: list[dict[str, t.Any]] = []

    def add(**changes: t.Any) -> None:
        rows.insert(0, made.summary(**changes))
        listed = {"requests": list(rows), "total": len(rows), "shown": len(rows)}
        shop.bodies["/_ctx/requests.json"] = {"schema": 1, "folded": {}, "near": {}} | listed

    return add


def test_tail_follows_and_ends_with_130(start: Start, shop: t.Any, growing: t.Any) -> None:
    """Each request once, the oldest first; Ctrl-C leaves no traceback."""
    for serial in range(5):
        growing(id=f"0000000{serial}", path=f"/{serial}")
    process = start("flask", "ctx", "tail", "-f", "-n", "2", "--interval", "0.05",
                    "--url", shop.url)  # fmt: skip
    lines = Lines(t.cast("t.IO[str]", process.stdout))
    lines.until(lambda seen: len(seen) == 2)
    growing(id="00000005", path="/5")
    growing(id="00000006", path="/6")
    lines.until(lambda seen: len(seen) == 4)
    time.sleep(0.3)
    assert [re.search(r"/(\d)", line)[1] for line in lines.seen] == ["3", "4", "5", "6"]  # type: ignore[index]
    assert _interrupt(process) == 130
    assert t.cast("t.IO[str]", process.stderr).read() == ""


def test_tail_as_json_is_a_line_for_each(start: Start, shop: t.Any, growing: t.Any) -> None:
    growing(id="00000001")
    process = start("flask", "ctx", "tail", "-f", "--interval", "0.05", "--format", "json",
                    "--url", shop.url)  # fmt: skip
    lines = Lines(t.cast("t.IO[str]", process.stdout))
    growing(id="00000002")
    seen = lines.until(lambda seen: len(seen) == 2)
    assert [json.loads(line)["id"] for line in seen] == ["00000001", "00000002"]
    assert _interrupt(process) == 130


def test_tail_waits_for_an_app_that_reloads(start: Start, shop: t.Any, growing: t.Any) -> None:
    """The development server is away for a moment; another answer than the kit's ends it."""
    growing(id="00000001", path="/one")
    rows = shop.bodies["/_ctx/requests.json"]
    away = threading.Event()

    def answer(canned: t.Any) -> t.Any:
        if away.is_set():
            time.sleep(0.3)  # longer than the timeout
        return rows

    shop.bodies["/_ctx/requests.json"] = answer
    process = start("flask", "ctx", "tail", "-f", "--interval", "0.05", "--timeout", "0.1",
                    "--url", shop.url)  # fmt: skip
    out, err = (
        Lines(t.cast("t.IO[str]", process.stdout)),
        Lines(t.cast("t.IO[str]", process.stderr)),
    )
    out.until(lambda seen: len(seen) == 1)
    away.set()
    err.until(lambda seen: "The app is away (no answer within 0.1 s); waiting for it." in seen)
    away.clear()
    err.until(lambda seen: "The app is back." in seen)
    assert len(out.seen) == 1
    shop.bodies["/_ctx/requests.json"] = (404, b"")
    assert process.wait(timeout=30) == 2


def test_watch_looks_again_until_ctrl_c(start: Start, shop: t.Any) -> None:
    process = start("flask", "ctx", "live", "--watch", "0.1", "--format", "json", "--url", shop.url)
    lines = Lines(t.cast("t.IO[str]", process.stdout))
    seen = lines.until(lambda seen: len(seen) >= 3)
    assert all(json.loads(line)["schema"] == 1 for line in seen)
    assert _interrupt(process) == 130
