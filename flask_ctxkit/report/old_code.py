"""Which names that are gone, or that go, does the code use?"""

from __future__ import annotations

import os
import typing as t
from dataclasses import dataclass, field
from importlib import metadata
from itertools import islice
from pathlib import Path

from ..findings.old_code import How, old_uses
from ..findings.old_names import DISPATCH, STAND_IN, OldName, numbers
from ..internals import FLASK_VERSION
from .source_files import extensions, python_files

LARGEST: t.Final = 2_000_000
"""Bytes of a file that is read; larger ones are data, or made by a program."""
MOST: t.Final = 20_000
"""Files of the user's that are read: more are no app's."""
Row = dict[str, t.Any]
Progress = t.Callable[[int, int], None]
"""Told after each file how many were read, and of how many."""

_DOES: t.Final = {
    "import": "imports", "read": "uses", "set": "sets", "override": "overrides",
    "patch": "replaces", "call": "calls",
}  # fmt: skip


@dataclass
class Reading:
    """What was read so far, and what was found in it."""

    progress: Progress
    total: int = 0
    done: int = 0
    stands_in: bool = False
    """Whether the user's own code calls ``install_legacy()``."""
    seen: set[Path] = field(default_factory=set)
    unread: list[Row] = field(default_factory=list)
    places: dict[tuple[str, OldName, How], list[str]] = field(default_factory=dict)
    """Where each name is used, by whose code it is in, and how."""

    def read(self, owner: str, file: Path, root: Path) -> bool:
        """Look through *file*, unless it was already; whether it was read."""
        self.done += 1
        self.progress(self.done, self.total)
        resolved = file.resolve()
        if resolved in self.seen:
            return False
        self.seen.add(resolved)
        shown = _shown(file, root)
        try:
            source = _source(file)
            found = old_uses(source)
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
            self.unread.append({"where": shown, "why": _why(error), "owner": owner})
            return False
        self.stands_in |= not owner and b"install_legacy(" in source
        for use in found:
            places = self.places.setdefault((owner, use.old, use.how), [])
            places.append(f"{shown}:{use.line}")
        return True


def old_code(paths: t.Sequence[Path], *, installed: bool, progress: Progress) -> Row:
    """The uses of old names in the files at *paths*, and in installed extensions.

    A file that can't be read or parsed is listed with the reason.

    :param installed: read the extensions too.
    """
    files = (file for path in paths for file in python_files(path))
    own = list(islice(files, MOST))
    others = extensions() if installed else []
    total = len(own) + sum(len(e.files or ()) for e in others)
    reading, here = Reading(progress, total), Path.cwd()
    count = sum(reading.read("", file, here) for file in own)
    if next(files, None) is not None:
        why = f"only the first {MOST:,} files were; name the folders that are yours"
        reading.unread.append({"where": "The rest", "why": why, "owner": ""})
    rows = []
    for extension in others:
        about = f"{extension.name} {extension.version}"
        if extension.files is None:
            why = "it does not list its files"
            reading.unread.append({"where": extension.name, "why": why, "owner": about})
        read = sum(reading.read(about, f, extension.root) for f in extension.files or ())
        rows.append({"name": extension.name, "version": extension.version, "files": read})
    return {
        "problems": [
            _problem(*use, places, stands_in=reading.stands_in)
            for use, places in reading.places.items()
        ],
        "files": count,
        "extensions": rows,
        "unread": reading.unread,
    }


def _source(file: Path) -> bytes:
    if file.stat().st_size > LARGEST:
        raise ValueError(f"it has more than {LARGEST:,} bytes")
    return file.read_bytes()


def _shown(file: Path, root: Path) -> str:
    """*file* as one finds it from *root*, in one path whatever it was named by."""
    whole = Path(os.path.abspath(file))  # noqa: PTH100 - resolve() would follow links
    return (whole.relative_to(root) if whole.is_relative_to(root) else whole).as_posix()


def _why(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        at = f" in line {error.lineno}" if error.lineno else ""
        return f"Python can't parse it{at}: {error.msg}"
    if isinstance(error, OSError):
        return f"it can't be read: {error.strerror}"
    if isinstance(error, (RecursionError, MemoryError)):
        return "it is nested too deeply to be parsed"
    return str(error)


def _problem(owner: str, old: OldName, how: How, places: list[str], *, stands_in: bool) -> Row:
    installed = FLASK_VERSION if old.of == "Flask" else metadata.version("werkzeug")
    gone = numbers(old.gone) <= numbers(installed)
    served = stands_in and STAND_IN in old.instead
    fate = f"{_fate(old, how, gone=gone)}{'; install_legacy() stands in' if served else ''}"
    return {
        "part": "code",
        "code": "old-name",
        "severity": "note" if served else _severity(old, how, gone=gone),
        "message": f"{owner or 'Your code'} {_DOES[how]} {_label(old)}{fate}.",
        "fix": _fix(owner, old, gone=gone),
        "name": old.name or old.modules[0],
        "gone": old.gone,
        "owner": owner or None,
        "places": places,
    }


def _severity(old: OldName, how: How, *, gone: bool) -> str:
    if gone:
        # Setting what nobody reads does no harm but the missing effect.
        return "warning" if how == "set" or old.place == "config" else "error"
    return "note" if old.since else "warning"


def _label(old: OldName) -> str:
    if old.place == "module":
        return f"{old.modules[0]}.{old.name}" if old.name else old.modules[0]
    if old.place == "config":
        return f'app.config["{old.name}"]'
    return f"{old.place}.{old.name}"


def _fate(old: OldName, how: How, *, gone: bool) -> str:
    if old.name in DISPATCH:
        late = f" and {old.gone} demands" if old.since else ""
        return f" without the context, which Flask {old.since or old.gone} passes first{late}"
    release = f"{old.of} {old.gone}"
    if old.since and not gone:
        return f", an old name since Flask {old.since} that goes in {old.gone}"
    if not gone:
        return f", which {release} does not have"
    if how == "set" or old.place == "config":
        return f", which nobody reads since {release}"
    return f", which is gone since {release}"


def _fix(owner: str, old: OldName, *, gone: bool) -> str:
    if not owner:
        return f"Instead, {old.instead}."
    newer = f"Look for a newer release of {owner.rpartition(' ')[0]}"
    newer += "" if gone else f" before you move to {old.of} {old.gone}"
    stands_in = STAND_IN in old.instead
    return f"{newer}, or call flask_ctxkit.install_legacy() first." if stands_in else f"{newer}."
