"""The note that explains an exception on its own traceback."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from .model import Finding

MARK: t.Final = "ctxkit: "


def note_of(findings: t.Sequence[Finding], link: str = "") -> str | None:
    """What a traceback should say of *findings*, or None where there is nothing to say.

    :param link: where the trace can be seen.
    """
    lines = [line for f in findings for line in (f"{MARK}{f.message}", f"        {f.fix}")]
    if lines and link:
        lines.append(f"        {link}")
    return "\n".join(lines) or None


def annotate(error: BaseException, findings: t.Sequence[Finding], link: str = "") -> bool:
    """Put :func:`note_of` on *error*, once; whether it was put.

    Before Python 3.11 exceptions have no notes, and nothing is changed.
    """
    note = note_of(findings, link)
    add = getattr(BaseException, "add_note", None)
    if note is None or add is None:
        return False
    notes = BaseException.__getattribute__(error, "__dict__").get("__notes__", ())
    if any(type(old) is str and old.startswith(MARK) for old in notes):
        return False
    try:
        add(error, note)
    except Exception:  # an exception class of the user's that refuses attributes
        return False
    return True
