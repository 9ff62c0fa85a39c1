"""The key that signs sessions: random, made once, kept beside the database."""

from __future__ import annotations

import os
import secrets
import typing as t

if t.TYPE_CHECKING:
    from pathlib import Path


def secret_key(folder: Path) -> str:
    """The key in *folder*; several workers that start at once agree on one."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "secret_key"
    draft = folder / f"secret_key.{os.getpid()}"
    if not file.exists():
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_hex(32), encoding="ascii")
        try:
            os.link(draft, file)  # fails if another worker was first, unlike a rename
        except FileExistsError:
            draft.unlink()
        else:
            draft.unlink()
    return file.read_text(encoding="ascii")
