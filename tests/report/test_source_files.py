"""Which files are read: the app's own and the extensions', and no others."""

from __future__ import annotations

import json
import sys
import typing as t

import pytest

from flask_ctxkit.report.source_files import extensions, python_files

if t.TYPE_CHECKING:
    from pathlib import Path


def written(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("import flask\n", encoding="utf-8")


def names(root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in python_files(root)]


def test_own_files_are_those_that_somebody_wrote_here(tmp_path: Path) -> None:
    """No environment, no cache, no installed package, nothing hidden."""
    written(
        tmp_path, "app.py", "shop/views.py", "shop/tea.txt", "env/lib/a.py", ".venv/b.py",
        "shop/__pycache__/c.py", "lib/site-packages/d.py", "node_modules/e.py", ".git/f.py",
        "vendored/tea-1.0.dist-info/g.py", "vendored/h.py", "vendored/tea/i.py",
    )  # fmt: skip
    (tmp_path / "env" / "pyvenv.cfg").touch()
    assert names(tmp_path) == ["app.py", "shop/views.py"]


def test_a_file_that_is_named_is_read_whatever_it_is_called(tmp_path: Path) -> None:
    written(tmp_path, "script")
    assert list(python_files(tmp_path / "script")) == [tmp_path / "script"]


def test_a_link_to_a_folder_above_is_no_circle(tmp_path: Path) -> None:
    written(tmp_path, "shop/app.py")
    (tmp_path / "shop" / "again").symlink_to(tmp_path, target_is_directory=True)
    assert names(tmp_path) == ["shop/app.py"]


# -------------------------------------------------------------------------- extensions


def distribution(
    root: Path, name: str, requires: t.Sequence[str], files: t.Sequence[str] | None, **more: str
) -> None:
    """An installed distribution, as an installer leaves it."""
    info = root / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    needs = "".join(f"Requires-Dist: {need}\n" for need in requires)
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{needs}"
    (info / "METADATA").write_text(metadata, encoding="utf-8")
    if files is not None:
        written(root, *files)
        (info / "RECORD").write_text("".join(f"{f},,\n" for f in files), encoding="utf-8")
    for file, text in more.items():
        (info / f"{file}.json").write_text(text, encoding="utf-8")


def found() -> dict[str, list[str] | None]:
    return {
        e.name: None if e.files is None else sorted(f.name for f in e.files)
        for e in extensions()
    }  # fmt: skip


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one place where packages are installed."""
    place = tmp_path / "site"
    place.mkdir()
    monkeypatch.setattr(sys, "path", [str(place)])
    return place


def test_an_extension_is_what_requires_flask(site: Path) -> None:
    """Itself, in whatever way it is written; not another name that begins with it."""
    for number, need in enumerate(
        ["Flask", "flask>=2", "flask (>=2)", "flask[async]~=3.0", 'flask; python_version > "3"']
    ):
        distribution(site, f"flask-tea{number}", [need], [f"tea{number}.py"])
    distribution(site, "tea", ["flask-login", "flask_sqlalchemy", "flasky"], ["tea.py"])
    distribution(site, "cups", ['flask; extra == "web"', 'Flask>2 ; (extra == "x")'], ["cups.py"])
    distribution(site, "plain", [], ["plain.py"])
    assert list(found()) == [f"flask-tea{number}" for number in range(5)]


def test_flask_the_kit_and_quart_are_no_extensions(site: Path) -> None:
    """Quart requires Flask, and its apps are others."""
    for name in ("Flask", "flask_ctxkit", "Quart"):
        distribution(site, name, ["flask"], [f"{name}.py"])
    assert found() == {}


def test_only_python_files_that_it_installed_are_its_own(site: Path) -> None:
    distribution(site, "flask-tea", ["flask"], ["tea/a.py", "tea/b.py", "tea/t.html"])
    written(site, "tea/not_listed.py")
    assert found() == {"flask-tea": ["a.py", "b.py"]}


def test_one_that_lists_no_files_is_known_by_name(site: Path) -> None:
    """A package manager of a system may keep no list."""
    distribution(site, "flask-tea", ["flask"], None)
    assert found() == {"flask-tea": None}


def test_an_editable_one_is_where_it_is_developed(site: Path, tmp_path: Path) -> None:
    """Its own list has only what finds the checkout."""
    written(tmp_path, "checkout of tea/tea/a.py", "checkout of tea/.tox/b.py")
    url = (tmp_path / "checkout of tea").as_uri()
    origin = json.dumps({"url": url, "dir_info": {"editable": True}})
    distribution(site, "flask-tea", ["flask"], ["__editable__.py"], direct_url=origin)
    assert found() == {"flask-tea": ["a.py"]}


@pytest.mark.parametrize(
    "origin",
    ["", "no json", "[]", "null", '{"url": 1, "dir_info": {"editable": true}}',
     '{"url": "file:///nowhere", "dir_info": {"editable": true}}',
     '{"url": "https://x.example/a.zip", "archive_info": {}}'],
)  # fmt: skip
def test_a_record_of_its_origin_may_say_anything(site: Path, origin: str) -> None:
    distribution(site, "flask-tea", ["flask"], ["a.py"], direct_url=origin)
    assert found() == {"flask-tea": ["a.py"]}


def test_the_first_of_two_on_the_path_is_the_one(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for an import."""
    distribution(site, "Flask-Tea", ["flask"], ["new.py"])
    distribution(tmp_path / "old", "flask_tea", ["flask"], ["old.py"])
    monkeypatch.setattr(sys, "path", [str(site), str(tmp_path / "old")])
    assert found() == {"Flask-Tea": ["new.py"]}
