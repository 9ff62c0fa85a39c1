"""Text that is safe and fits: escapes, widths in terminal cells, times in words."""

from __future__ import annotations

import typing as t
import unicodedata
from datetime import datetime, timezone

LONGEST: t.Final = 4000
"""The most characters of one text that are looked at; a longer one is cut."""

ASCII_SIGNS: t.Final[t.Mapping[str, str]] = {
    "✗": "x", "✓": "+", "·": "-", "▸": ">", "◂": "<", "…": "...", "→": "->", "←": "<-",
    "└": "`-", "─": "-", "━": "=", "▲": "^", "•": "*", "≥": ">=", "µ": "u", "~": "~",
    "▓": "#", "▒": "=", "▤": "%", "░": "~", "▪": ".", "◆": "o", "≈": "&",
}  # fmt: skip


def clean(text: str) -> str:
    """*text* with everything that a terminal would act on, or hide, written as an escape.

    That is all that is not printable: C0 and C1 controls, ``DEL``, line separators,
    direction overrides, zero-width characters and lone surrogates. An app's data can
    hold terminal escapes that retitle the window, hide lines or answer for the user.
    """
    if len(text) > LONGEST:
        text = text[:LONGEST] + "…"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def cells(text: str) -> int:
    """How many cells *text* takes: two for wide characters, none for combining ones."""
    if text.isascii():
        return len(text)
    return sum(_cells(c) for c in text)


def _cells(character: str) -> int:
    if unicodedata.category(character) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def head(text: str, width: int) -> str:
    """As many characters from the start of *text* as fit in *width* cells."""
    used = 0
    for index, character in enumerate(text):
        used += _cells(character)
        if used > width:
            return text[:index]
    return text


def cut(text: str, width: int, *, end: bool = True) -> str:
    """*text* in at most *width* cells; ``…`` stands where its end (or start) was cut."""
    if cells(text) <= width:
        return text
    if width < 1:
        return ""
    if end:
        return head(text, width - 1) + "…"
    # Without its first cells: a file's name and line matter more than its folders.
    return "…" + head(text[::-1], width - 1)[::-1]


def ascii_only(text: str) -> str:
    """*text* for a terminal that isn't UTF-8: signs get their ASCII stand-in."""
    if text.isascii():
        return text
    signs = "".join(ASCII_SIGNS.get(c, c) for c in text)
    return signs.encode("ascii", "backslashreplace").decode("ascii")


def duration(ms: float | None) -> str:
    """Milliseconds in the unit that reads best; ``?`` where unknown."""
    if ms is None:
        return "?"
    if ms < 1000:  # noqa: PLR2004
        return f"{ms:.2f} ms" if ms < 0.95 else f"{ms:.1f} ms"  # noqa: PLR2004
    return seconds(ms / 1000)


def seconds(value: float | None) -> str:
    """A span of seconds, with one digit after the point below a minute."""
    if value is None:
        return "?"
    if value < 60:  # noqa: PLR2004
        return f"{value:.2f} s" if value < 10 else f"{value:.1f} s"  # noqa: PLR2004
    return age(value)


def span(value: float | None) -> str:
    """How long something runs by now, in tenths below a minute: ``31.2 s``, ``3 min``."""
    if value is None:
        return "?"
    return f"{max(value, 0.0):.1f} s" if value < 60 else age(value)  # noqa: PLR2004


def age(value: float | None) -> str:
    """How long ago, in whole units: ``8 s``, ``12 min``, ``3 h``, ``4 d``."""
    if value is None:
        return "?"
    whole = max(int(value), 0)
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if whole >= size:
            return f"{whole // size} {unit}"
    return f"{whole} s"


def age_of(moment: str | None) -> float | None:
    """Seconds since an ISO time; None where it isn't one.

    The moment comes from the server's clock, so a negative difference counts as none.
    """
    then = _moment(moment)
    if then is None:
        return None
    return max((datetime.now(timezone.utc) - then).total_seconds(), 0.0)


def clock(moment: str | None) -> str:
    """The time of day of an ISO time, in UTC; ``?`` where it isn't one."""
    then = _moment(moment)
    return "?" if then is None else then.strftime("%H:%M:%S")


def _moment(text: str | None) -> datetime | None:
    try:
        # Python 3.10 doesn't read the "Z".
        then = datetime.fromisoformat((text or "").replace("Z", "+00:00"))
        if then.tzinfo is None:
            return then.replace(tzinfo=timezone.utc)
        return then.astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return None


def counted(number: float, singular: str, plural: str | None = None) -> str:
    """``1 request``, ``2 requests``."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"
