"""``flask ctx doctor``: what is wrong, by part, and what was looked at."""

from __future__ import annotations

import typing as t

from .. import fields
from ..document import Gap, Span, heading, item, line
from ..text import counted
from . import marks

if t.TYPE_CHECKING:
    from ..document import Block

PARTS: t.Final[t.Mapping[str, str]] = {
    "app": "THE APP",
    "code": "OLD CODE",
    "session": "SESSIONS",
    "guard": "PAGES",
    "resources": "RESOURCES",
}
PLACES: t.Final = 4
"""How many places of one name are listed."""
UNREAD: t.Final = 6
"""How many files that could not be read are listed."""
_SOUND: t.Final = Span("✓", "sound")


def doctor_document(report: fields.Row) -> list[Block]:
    """What is wrong, part by part; what was found sound; what was not looked at."""
    problems = fields.rows(report, "problems")
    loud = [row for row in problems if fields.text(row, "severity") != "note"]
    notes = len(problems) - len(loud)
    blocks: list[Block] = [_verdict(len(loud), notes)]
    for part, title in PARTS.items():
        rows = [row for row in problems if fields.text(row, "part") == part]
        if rows:
            blocks += [Gap(), heading(f"{title} {len(rows)}"), *map(_problem, rows)]
    blocks += [Gap(), *_looked_at(report)]
    unread = list(_unread(report))
    return [*blocks, *([Gap(), *unread] if unread else [])]


def _verdict(loud: int, notes: int) -> Block:
    aside = f", {counted(notes, 'note')}" if notes else ""
    if loud:
        return item(Span("✗", "error"), Span(f"{counted(loud, 'problem')}{aside}.", "strong"))
    return item(_SOUND, Span(f"Nothing is wrong{aside}.", "strong"))


def _problem(row: fields.Row) -> Block:
    sure = fields.text(row, "severity") != "note"
    message = Span(fields.text(row, "message", "?"), "strong" if sure else "")
    places = fields.texts(row, "places")
    more = [f"and {len(places) - PLACES} more; --format json has all"]
    shown = [*places[:PLACES], *(more if len(places) > PLACES else [])]
    details: list[str | Span] = [Span(place, "dim") for place in shown]
    return item(marks.severity_sign(row), message, details=[*details, fields.text(row, "fix")])


def _looked_at(report: fields.Row) -> t.Iterator[Block]:
    versions = fields.mapping(report, "versions")
    told = " · ".join(f"{name} {fields.text(versions, name, '?')}" for name in versions)
    yield _fact("versions", told)
    code = fields.mapping(report, "code")
    installed = fields.rows(code, "extensions")
    names = ", ".join(f"{fields.text(e, 'name')} {fields.text(e, 'version')}" for e in installed)
    files = counted(fields.count(code, "files"), "file")
    read = f"{files} of yours, {counted(len(installed), 'extension')}"
    yield _fact("read", f"{read}{': ' if names else ''}{names}")
    guard = fields.mapping(report, "guard")
    if guard:
        yield _fact("pages", fields.text(guard, "says"))
    for ping in fields.rows(report, "resources"):
        if fields.flag(ping, "ok"):
            name, ms = fields.text(ping, "name"), fields.number(ping, "ms") or 0.0
            yield _fact("resource", f"{name} answered in {ms:.1f} ms")
    for said in fields.texts(report, "missing"):
        yield line(Span("? ", "dim"), Span(f"Not looked at: {said}", "dim"), hang=2)


def _fact(name: str, text: str) -> Block:
    return line(Span(f"{name:<10}", "session"), text, hang=10)


def _unread(report: fields.Row) -> t.Iterator[Block]:
    rows = fields.rows(fields.mapping(report, "code"), "unread")
    for row in rows[:UNREAD]:
        where, why = fields.text(row, "where"), fields.text(row, "why")
        yield item(Span("?", "warning"), f"{where} was not read: {why}")
    if len(rows) > UNREAD:
        yield line(Span(f"and {len(rows) - UNREAD} more; --format json has all", "dim"), hang=2)
