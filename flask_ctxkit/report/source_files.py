"""Which source files there are: the app's own, and those of installed extensions."""

from __future__ import annotations

import json
import os
import re
import typing as t
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

LEFT_OUT: t.Final = frozenset({"__pycache__", "node_modules", "site-packages", "dist-packages"})
NO_EXTENSIONS: t.Final = frozenset({"flask", "flask-ctxkit", "quart"})
"""What no extension is: Quart builds on Flask, and its app is another one."""
_NO_FILES: t.Final = frozenset({"proc", "sys", "dev"})
_FLASK: t.Final = re.compile(r"flask(?![\w.-])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Extension:
    """A distribution that requires Flask. ``files`` are None where it doesn't list them."""

    name: str
    version: str
    root: Path
    files: tuple[Path, ...] | None


def python_files(path: Path) -> t.Iterator[Path]:
    """*path* itself if it is a file, else every Python file below, in order.

    Hidden folders, virtual environments, installed packages and links to folders are left
    out, and what is no folder of files in a system's root.
    """
    if not path.is_dir():
        yield path
        return
    for folder, below, files in os.walk(path):
        if Path(folder) != path and any(name.endswith(".dist-info") for name in below):
            below.clear()  # what was installed with --target
            continue
        below[:] = sorted(name for name in below if _is_source(folder, name))
        yield from (Path(folder, name) for name in sorted(files) if name.endswith(".py"))


def _is_source(folder: str, name: str) -> bool:
    if name in LEFT_OUT or name.startswith("."):
        return False
    if name in _NO_FILES and folder == os.sep:  # an app may stand in a container's root
        return False
    return not Path(folder, name, "pyvenv.cfg").exists()


def extensions() -> list[Extension]:
    """Every installed distribution that requires Flask, by name. None is imported."""
    found: dict[str, Extension] = {}
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"]
        key = re.sub(r"[-_.]+", "-", name or "").lower()
        # The first one on the path is the one that is imported.
        if key and key not in found and key not in NO_EXTENSIONS and _requires_flask(distribution):
            found[key] = _extension(name, distribution)
    return [found[key] for key in sorted(found)]


def _requires_flask(distribution: metadata.Distribution) -> bool:
    needs = (need for need in distribution.requires or () if _FLASK.match(need.strip()))
    return any(not re.search(r";.*\bextra\s*==", need) for need in needs)


def _extension(name: str, distribution: metadata.Distribution) -> Extension:
    root = Path(str(distribution.locate_file("")))
    checkout = _checkout(distribution)
    if checkout is not None:
        return Extension(name, distribution.version, checkout, tuple(python_files(checkout)))
    listed = distribution.files
    files = None if listed is None else tuple(
        Path(str(file.locate())) for file in listed if file.suffix == ".py"
    )  # fmt: skip
    return Extension(name, distribution.version, root, files)


def _checkout(distribution: metadata.Distribution) -> Path | None:
    """Where an editable installation points at (PEP 610)."""
    try:
        origin = json.loads(distribution.read_text("direct_url.json") or "{}")
        editable = bool(origin["dir_info"]["editable"])
        path = Path(url2pathname(urlsplit(origin["url"]).path))
    except (ValueError, KeyError, TypeError, AttributeError, OSError):
        return None
    return path if editable and path.is_dir() else None
