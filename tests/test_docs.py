"""The README: whole, and true."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import typing as t
import urllib.request
from pathlib import Path

import click
import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

from flask_ctxkit.cli import ctx
from flask_ctxkit.config import OPTIONS
from flask_ctxkit.findings.catalogue import BUILT_IN
from flask_ctxkit.report.query import Query
from flask_ctxkit.web.routes import ROUTES

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"


def readme() -> str:
    return README.read_text(encoding="utf-8")


def table(head: t.Sequence[str], rows: t.Iterable[t.Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    escaped = [[cell.replace("|", r"\|") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)


def config_table() -> str:
    return table(
        ("key", "default", "type", "what it does"),
        [
            (
                f"`{option.key}`",
                f"`{option.default!r}`".replace("'", '"'),
                f"{option.kind}{', ' if option.unit else ''}{option.unit}",
                option.help,
            )
            for option in OPTIONS
        ],
    )


def commands() -> dict[str, click.Command]:
    context = click.Context(ctx)
    found = {name: ctx.get_command(context, name) for name in ctx.list_commands(context)}
    named = {name: command for name, command in found.items() if command is not None}
    inner = {
        f"{name} {below}": command.commands[below]
        for name, command in named.items()
        if isinstance(command, click.Group)
        for below in command.commands
    }
    return dict(sorted((named | inner).items()))


def commands_table() -> str:
    rows = [("`flask ctx`", "what is wrong, what runs now, what came last")]
    for name, command in commands().items():
        pieces = command.collect_usage_pieces(click.Context(command))
        left_out = {"[OPTIONS]", "COMMAND [ARGS]...", "[COMMAND] [ARGS]..."}
        arguments = [piece for piece in pieces if piece not in left_out]
        usage = " ".join(["flask ctx", name, *arguments])
        rows.append((f"`{usage}`", command.get_short_help_str(limit=200)))
    return table(("command", "answers"), rows)


def findings_table() -> str:
    rows = [
        (f"`{rule.code}`", rule.severity, f"**{rule.title}.** {rule.cause}", rule.fix)
        for rule in BUILT_IN
    ]
    return table(("code", "severity", "what, and why it happens", "what to write instead"), rows)


TABLES: dict[str, t.Callable[[], str]] = {
    "config": config_table,
    "commands": commands_table,
    "findings": findings_table,
}


def section(name: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- {name} -->\n)(.*?)(<!-- end of {name} -->)", re.DOTALL)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", readme(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("name", TABLES)
def test_a_table_says_what_the_code_says(name: str) -> None:
    """Every key, command and finding, with its help as the code has it."""
    found = section(name).search(readme())
    assert found is not None
    written = f"{found[2].strip()}\n"
    assert written == f"{TABLES[name]()}\n", "write the tables with: python tests/test_docs.py"


def test_every_page_is_in_the_readme() -> None:
    """Each URL that the pages answer."""
    missing = []
    for route in ROUTES:
        path = "/".join(part.replace("<id>", "ID") for part in route.parts).replace("index", "")
        if f"`/_ctx/{path}" not in readme():
            missing.append(path)
    assert missing == []


def test_every_parameter_of_the_requests_page_is_in_the_readme() -> None:
    """What the query string may say."""
    fields = {"q", *Query.__slots__} - {"text"}  # the plain words of q
    said = re.search(r"`/_ctx/requests` takes (.*?)checks", readme(), re.DOTALL)
    assert said is not None
    assert {name for name in fields if not re.search(rf"\b{name}\b", said[1])} == set()


def test_every_extra_is_in_the_readme() -> None:
    """Those that the packaging declares, and no other."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = set(project["optional-dependencies"])
    assert set(re.findall(r"flask-ctxkit\[(\w+)\]", readme())) == declared


def test_every_public_name_is_in_the_readme() -> None:
    """Apart from the errors, which say themselves what to do."""
    import flask_ctxkit

    public = {name for name in flask_ctxkit.__all__ if not name.endswith("Error")}
    assert {name for name in public if name not in readme()} == set()


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_the_python_in_the_readme_runs(number: int) -> None:
    """As it stands, without a warning."""
    code = compile(blocks("python")[number], f"README.md, block {number + 1}", "exec")
    exec(code, {"__name__": "readme"})


def test_ci_runs_the_readmes_test_command() -> None:
    """Exactly: what users are told to run is what is held to pass."""
    start, test = (block.strip() for block in blocks("sh"))
    assert f"'{test}'" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert test.endswith("pytest")
    assert start.endswith("flask --app example run --debug")


@pytest.mark.index
@pytest.mark.server
@pytest.mark.timeout(600)
def test_the_readmes_start_command_starts_the_example(tmp_path: Path) -> None:
    """In a copy of what is checked in, with nothing installed before."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    for name in listed.stdout.decode().splitlines():
        if (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        ["bash", "-c", blocks("sh")[0]],
        cwd=tmp_path,
        env={**os.environ, "FLASK_RUN_PORT": str(port)},
        start_new_session=True,
    )
    try:
        tour = answer_of(process, f"http://127.0.0.1:{port}/")
        assert "A tea house" in tour
        assert "ctxkit" in answer_of(process, f"http://127.0.0.1:{port}/_ctx/")
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def answer_of(process: subprocess.Popen[bytes], url: str) -> str:
    """The page at *url*, as soon as the command has come so far."""
    deadline = time.monotonic() + 400
    while time.monotonic() < deadline:
        assert process.poll() is None, "the command ended"
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=10) as answer:
            return str(answer.read().decode())
        time.sleep(0.3)
    raise AssertionError(f"no answer from {url}")


def test_the_changelog_begins_with_what_is_not_released() -> None:
    """Or with the version that the package has."""
    from flask_ctxkit import __version__

    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    first = re.search(r"^## \[(.+?)\]", text, re.MULTILINE)
    assert first is not None
    assert first[1] in {"Unreleased", __version__}


def write() -> None:
    """Write the tables of the README."""
    text = readme()
    for name, make in TABLES.items():
        found = section(name).search(text)
        assert found is not None
        text = f"{text[: found.start(2)]}{make()}\n{text[found.end(2) :]}"
    README.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
