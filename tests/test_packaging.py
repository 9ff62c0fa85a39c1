"""The wheel holds the package whole, and works where nothing but its requirements is."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "flask_ctxkit"
NOT_SHIPPED = {".pyc", ".pyo", ".orig", ".rej", ".db"}

BUILD = "import sys; from flit_core.buildapi import build_wheel; build_wheel(sys.argv[1])"

USE = """
import importlib.util, pathlib, sys
assert importlib.util.find_spec("rich") is None, "an extra is installed here"
import flask_ctxkit
assert pathlib.Path(sys.prefix) in pathlib.Path(flask_ctxkit.__file__).parents
from flask import Flask
app = Flask("shop")
app.debug = True
flask_ctxkit.CtxKit(app)
app.get("/")(lambda: "hello")
client = app.test_client()
assert client.get("/").data == b"hello"
page = client.get("/_ctx/", environ_base={"REMOTE_ADDR": "127.0.0.1"})
assert page.status_code == 200, page.status
assert b"shop" in page.data
print("works")
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-c", BUILD, str(folder)], cwd=ROOT, check=True)
    (built,) = folder.glob("*.whl")
    return built


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    """Templates, static files and ``py.typed`` included."""
    wanted = {
        path.relative_to(ROOT).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix not in NOT_SHIPPED
    }
    assert wanted <= names(wheel)
    assert "flask_ctxkit/py.typed" in wanted
    assert any(PurePosixPath(name).match("flask_ctxkit/web/templates/*.html") for name in wanted)
    assert any(PurePosixPath(name).match("flask_ctxkit/web/static/*.css") for name in wanted)


def test_the_wheel_holds_nothing_else(wheel: Path) -> None:
    """No tests, no example, no cache: the package, its metadata and its licence."""
    tops = {PurePosixPath(name).parts[0] for name in names(wheel)}
    (metadata,) = tops - {"flask_ctxkit"}
    assert metadata.startswith("flask_ctxkit-")
    assert metadata.endswith(".dist-info")
    assert f"{metadata}/licenses/LICENSE" in names(wheel)
    parts = {part for name in names(wheel) for part in PurePosixPath(name).parts}
    assert not {part for part in parts if part in {"tests", "__pycache__"} or part[:5] == "test_"}


def test_the_metadata_says_what_is_promised(wheel: Path) -> None:
    """The command, the pytest plugin, the lowest Python and the extras."""
    with zipfile.ZipFile(wheel) as archive:
        (info,) = {name.split("/")[0] for name in archive.namelist()} - {"flask_ctxkit"}
        metadata = archive.read(f"{info}/METADATA").decode()
        commands = archive.read(f"{info}/entry_points.txt").decode()
    assert "ctx=flask_ctxkit.cli:ctx" in commands.replace(" ", "")
    assert "[flask.commands]" in commands
    assert "ctxkit=flask_ctxkit.pytest_plugin" in commands.replace(" ", "")
    assert "[pytest11]" in commands
    assert "Requires-Python: >=3.10" in metadata
    required = [line for line in metadata.splitlines() if line.startswith("Requires-Dist: ")]
    unconditional = {line.split()[1].split(">")[0] for line in required if "extra ==" not in line}
    assert unconditional == {"flask", "itsdangerous", "blinker"}


@pytest.mark.index
@pytest.mark.timeout(600)
def test_the_wheel_works_in_a_fresh_environment(wheel: Path, tmp_path: Path) -> None:
    """Installed without extras, it imports, records a request and serves its pages."""
    home = tmp_path / "fresh"
    venv.create(home, with_pip=True)
    python = home / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    install = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", str(wheel)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if install.returncode:
        pytest.skip(f"the package index did not answer: {install.stderr[-300:]}")
    used = subprocess.run(
        [python, "-W", "error", "-c", USE],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert used.returncode == 0, used.stderr
    assert used.stdout.strip() == "works"
    told = subprocess.run(
        [python, "-m", "flask", "ctx", "--help"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    assert "live" in told.stdout
