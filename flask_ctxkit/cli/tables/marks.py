"""Signs that all tables share: severities, phase families, statuses, request lines."""

from __future__ import annotations

import typing as t

from .. import fields
from ..document import Cell, Line, Span, Style, cell, line

FAMILIES: t.Final[t.Mapping[str, tuple[str, Style]]] = {
    "plumbing": ("▪", "plumbing"),
    "hooks": ("▒", "hooks"),
    "view": ("▓", "view"),
    "template": ("▤", "template"),
    "session": ("░", "session"),
    "stream": ("≈", "stream"),
    "resource": ("◆", "resource"),
    "error": ("✗", "error"),
}
"""The sign and the style of each phase family: colour is never the only sign."""

_PHASE_FAMILIES: t.Final[t.Mapping[str, str]] = {
    "before_first_request": "hooks", "before_request": "hooks", "after_this_request": "hooks",
    "after_request": "hooks", "teardown_request": "hooks", "teardown_appcontext": "hooks",
    "error_handler": "hooks", "view": "view", "template": "template",
    "open_session": "session", "save_session": "session", "stream": "stream",
    "resource": "resource",
}  # fmt: skip

ID: t.Final = 6
"""Digits of an id that are shown; any three that are unique name a trace."""

_SEVERITIES: t.Final[t.Mapping[str, Span]] = {
    "error": Span("✗", "error"),
    "warning": Span("!", "warning"),
    "note": Span("·", "note"),
}
UNKNOWN: t.Final = Span("?", "dim")


def severity_sign(finding: fields.Row) -> Span:
    """``✗``, ``!`` or ``·``; ``?`` for a severity that isn't known."""
    return _SEVERITIES.get(fields.text(finding, "severity"), UNKNOWN)


def severity_rank(finding: fields.Row) -> int:
    """For sorting, the worst first."""
    severity = fields.text(finding, "severity")
    return list(_SEVERITIES).index(severity) if severity in _SEVERITIES else len(_SEVERITIES)


def family(phase: str, outcome: str = "ok") -> str:
    """The family that a phase is drawn as."""
    return "error" if outcome == "raised" else _PHASE_FAMILIES.get(phase, "plumbing")


def strip(shares: object, width: int) -> Cell:
    """Time per family as a bar of *width* cells, one sign per family.

    Each family that took any time gets a cell, so that a short hook before a long view
    can still be seen.
    """
    parts = _drawn(shares)
    total = sum(ms for _, ms in parts)
    if not parts:
        return ()
    room = max(width - len(parts), 0)
    bars = []
    for name, ms in parts:
        sign, style = FAMILIES[name]
        extra = 0 if name == "error" or total <= 0 else int(room * ms / total)
        bars.append(Span(sign * (1 + extra), style))
    return tuple(bars)


def _drawn(shares: object) -> list[tuple[str, float]]:
    named = [(name if name in FAMILIES else "plumbing", ms) for name, ms in _shares(shares)]
    return [(name, ms) for name, ms in named if ms > 0 or name == "error"]


def _shares(shares: object) -> t.Iterator[tuple[str, float]]:
    for share in shares if isinstance(shares, list) else ():
        if isinstance(share, list) and len(share) == 2 and isinstance(share[0], str):  # noqa: PLR2004
            ms = fields.number({"ms": share[1]}, "ms")
            yield share[0], ms or 0.0


def legend(rows: t.Iterable[fields.Row]) -> list[Line]:
    """What the signs in the strips of *rows* stand for, on one line; none without strips."""
    drawn = {name for row in rows for name, _ in _drawn(row.get("strip"))}
    spans: list[Span] = [Span("strip: ", "dim")]
    for name, (sign, style) in FAMILIES.items():
        if name in drawn:
            spans += [Span(sign, style), Span(f" {name}  ", "dim")]
    return [line(tuple(spans), indent=1, hang=8)] if drawn else []


def status_cell(row: fields.Row) -> Cell:
    """The status, styled; what kind of context it was where there is none."""
    status = fields.number(row, "status")
    if status is None:
        kind = fields.text(row, "kind", "?")
        return cell(Span("-" if kind == "request" else kind.upper(), "dim"))
    style: Style = "error" if status >= 500 else "warning" if status >= 400 else ""  # noqa: PLR2004
    return cell(Span(str(int(status)), style))


def near_text(less: str, found: object) -> str:
    """What a search would find with one filter less: "Without status there are 98."."""
    return f"{less[:1].upper()}{less[1:]} there {'is' if found == 1 else 'are'} {found}."


def request_line(row: fields.Row) -> str:
    """``GET /cart``, or the name of a context that is no request."""
    method, path = fields.text(row, "method"), fields.text(row, "path")
    if method or path:
        return f"{method} {path}".strip()
    return fields.text(row, "name") or fields.text(row, "kind", "?")


def short_id(row: fields.Row) -> str:
    """The id of a trace as far as one types it."""
    return fields.text(row, "id", "?")[:ID]


def unit_name(unit: fields.Row) -> str:
    """The name of a thread, greenlet or task, without the target that Python adds to it."""
    return fields.text(unit, "name", "?").partition(" (")[0]


def function_name(row: fields.Row, key: str = "function") -> str:
    """A function's name, without the functions that it is defined in."""
    return fields.text(row, key, "?").rpartition("<locals>.")[2]


def place(where: str) -> str:
    """A "file:line" with the last two folders at most."""
    folders = where.replace("\\", "/").split("/")
    return where if len(folders) <= 3 else "/".join(folders[-2:])  # noqa: PLR2004


def next_steps(*commands: str) -> Line:
    """The last line of an answer: where to go from here."""
    return line(Span("next: ", "dim"), Span(" · ".join(commands), "dim"), hang=6)


def hidden_line(folded: fields.Row) -> Line | None:
    """How many requests a list leaves out, and how to see them; None where none."""
    names = {"static": "static files", "health": "health checks", "head_options": "HEAD or OPTIONS"}
    parts = [
        f"{fields.count(folded, key)} {name}"
        for key, name in names.items()
        if fields.count(folded, key)
    ]
    if not parts:
        return None
    return line(Span(f"hidden: {', '.join(parts)}   (--all shows them)", "dim"), indent=1, hang=9)


def times(number: float | None) -> str:
    """``2x``; nothing for once or unknown."""
    return f"{int(number)}x" if number and number > 1 else ""
