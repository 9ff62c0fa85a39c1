"""Contexts in flight: where each is now, and which were left behind."""

from __future__ import annotations

import typing as t

from ...report.families import spoken
from .. import fields
from ..document import Cell, Column, Gap, Span, Table, cell, heading, item, line
from ..text import age, counted, span
from . import marks

if t.TYPE_CHECKING:
    from ..document import Block

FRAMES: t.Final = 3
_COLUMNS: t.Final = (
    Column("AGE", right=True),
    Column("WORKER", drop=3),
    Column("RUNNING IN", least=8, drop=2),
    Column("REQUEST", least=14),
    Column("PHASE", least=12),
    Column("WHERE IT IS NOW", least=18, drop=1),
)
_HELD: t.Final = (
    Column("RESOURCE", least=8),
    Column("STATE", drop=3),
    Column("FOR", right=True),
    Column("ASKED FOR BY", least=8, drop=2),
    Column("REQUEST", least=14),
    Column("AT", least=12, drop=1),
)


def live_document(report: fields.Row, *, frames: bool = False) -> list[Block]:
    """The answer to ``flask ctx live``; *frames* lists every frame below its context."""
    rows = fields.rows(report, "contexts")
    blocks: list[Block] = []
    if rows:
        blocks += [live_table(rows), line(_sum(rows), indent=1), *_held(rows)]
    else:
        blocks.append(line("Nothing is running."))
    pools = fields.rows(report, "pools")
    if pools:
        blocks += [Gap(), *map(_pool_line, pools)]
    if frames:
        blocks += _all_frames(rows)
    leaks = fields.rows(report, "leaks")
    if leaks:
        blocks += [Gap(), heading(f"LEFT BEHIND {len(leaks)}"), *map(_leak_item, leaks)]
    missing = fields.texts(report, "missing")
    if missing:
        blocks += [Gap(), *(line(Span(f"? {said}", "dim"), hang=2) for said in missing)]
    return blocks


def live_table(rows: t.Sequence[fields.Row]) -> Table:
    """The table of live contexts."""
    return Table(_COLUMNS, tuple(_row(row) for row in rows))


def _row(row: fields.Row) -> tuple[Cell, ...]:
    unit = fields.mapping(row, "unit")
    return (
        _age_cell(row),
        cell(fields.text(unit, "worker", "?")),
        cell(marks.unit_name(unit)),
        cell(marks.request_line(row)),
        _phase_cell(row),
        cell(_where(row)),
    )


def _age_cell(row: fields.Row) -> Cell:
    shown = span(fields.number(row, "age_s"))
    if fields.text(row, "state") == "left":
        return cell(Span("left", "warning"))
    if shown != "?" and not fields.flag(row, "age_exact"):
        shown = f"≥ {shown}"
    return cell(Span(shown, "warning" if fields.flag(row, "stuck") else ""))


def _phase_cell(row: fields.Row) -> Cell:
    if fields.text(row, "state") == "left":
        return cell(Span("still current", "warning"))
    phase, hook = fields.text(row, "phase", "?"), fields.text(row, "hook")
    style = marks.FAMILIES[marks.family(phase)][1]
    slow = Span(" ! slow", "warning") if fields.flag(row, "stuck") else ""
    shown = spoken(phase, fields.text(row, "kind", "request"))
    return cell(Span(shown, style), f" {hook}" if hook not in {"", phase} else "", slow)


def _where(row: fields.Row) -> str:
    frames = _inside_hook(row, fields.rows(row, "frames"))
    if frames:
        first, *rest = frames
        # The innermost frame tells what it waits for, the outermost who of the user's asked.
        shown = rest if len(frames) <= FRAMES else [*rest[: FRAMES - 2], rest[-1]]
        named = f"{_frame_place(first)} {fields.text(first, 'function')}".strip()
        return " ← ".join([named, *map(_frame_place, shown)])
    where, pushed = fields.text(row, "where"), fields.text(row, "pushed")
    return marks.place(where) if where else f"pushed {marks.place(pushed)}" if pushed else ""


def _inside_hook(row: fields.Row, frames: list[fields.Row]) -> list[fields.Row]:
    """The frames from the innermost to that of the hook or view: what called that is Flask's."""
    hook = fields.text(row, "hook").rpartition(".")[2]
    file = fields.text(row, "where").rpartition(":")[0]
    for index, frame in enumerate(frames):
        same = fields.text(frame, "function").rpartition(".")[2] == hook
        if same and _ends_alike(fields.text(frame, "file"), file):
            return frames[: index + 1]
    return frames


def _ends_alike(path: str, ending: str) -> bool:
    return bool(ending) and f"/{path}".endswith(f"/{ending}")


def _frame_place(frame: fields.Row) -> str:
    name = fields.text(frame, "file", "?").replace("\\", "/").rpartition("/")[2]
    return f"{name}:{fields.text(frame, 'line', '?')}"


def _sum(rows: t.Sequence[fields.Row]) -> Span:
    left = sum(fields.text(row, "state") == "left" for row in rows)
    waiting = sum(fields.text(row, "state") == "suspended" for row in rows)
    parts = [f"{len(rows) - left - waiting} running"]
    parts += [f"{waiting} suspended"] if waiting else []
    parts += [f"{left} left behind"] if left else []
    workers = len({fields.text(fields.mapping(row, "unit"), "worker") for row in rows})
    return Span(f"{' · '.join(parts)} · {counted(workers, 'worker')} seen", "dim")


def _held(rows: t.Sequence[fields.Row]) -> list[Block]:
    """What the contexts hold open, and who asked for it; nothing where they hold nothing."""
    found = [(row, held) for row in rows for held in fields.rows(row, "resources")]
    if not found:
        return []
    table = Table(_HELD, tuple(_held_row(row, held) for row, held in found))
    return [Gap(), heading(f"OPEN RESOURCES {len(found)}"), table]


def _held_row(row: fields.Row, held: fields.Row) -> tuple[Cell, ...]:
    return (
        cell(Span(fields.text(held, "resource", "?"), "resource")),
        cell(fields.text(held, "state", "?")),
        cell(span(fields.number(held, "age_s"))),
        cell(marks.unit_name(fields.mapping(held, "unit"))),
        cell(marks.request_line(row)),
        cell(marks.place(fields.text(held, "where", "?"))),
    )


def _pool_line(pool: fields.Row) -> Block:
    """How full it is, who waits, and who has had a connection for the longest time."""
    taken, limit = fields.number(pool, "taken"), fields.number(pool, "limit")
    used = f"{fields.count(pool, 'held') if taken is None else taken:g}"
    used += " in use" if limit is None else f" of {limit:g} in use"
    full = taken is not None and limit is not None and taken >= limit
    parts = [Span(used, "warning" if full else "")]
    waiting = fields.count(pool, "waiting")
    if waiting:
        parts.append(Span(f", {waiting} waiting", "warning"))
    for holder in fields.rows(pool, "holders")[:1]:
        name = marks.unit_name(fields.mapping(holder, "unit"))
        request = fields.text(holder, "request")
        during = f" in {request}" if request else ""
        where = marks.place(fields.text(holder, "where", "?"))
        age_s = span(fields.number(holder, "age_s"))
        parts.append(Span(f", longest held by {name}{during} for {age_s} ({where})"))
    return line("pool ", Span(fields.text(pool, "name", "?"), "resource"), ": ", *parts, hang=2)


def _all_frames(rows: t.Sequence[fields.Row]) -> t.Iterator[Block]:
    for row in rows:
        yield Gap()
        name = marks.unit_name(fields.mapping(row, "unit"))
        yield heading(f"{marks.request_line(row)} in {name}, innermost first")
        frames = fields.rows(row, "frames")
        if not frames:
            yield line(Span("? its frames can't be seen", "dim"), indent=1)
        for frame in frames:
            place = f"{fields.text(frame, 'file', '?')}:{fields.text(frame, 'line', '?')}"
            function = fields.text(frame, "function", "?")
            yield line(f"{place}  ", Span(function, "strong"), indent=3, hang=5)


def _leak_item(leak: fields.Row) -> Block:
    still = Span("!", "warning") if fields.flag(leak, "still") else Span("·", "note")
    request = marks.request_line(leak)
    ago = age(fields.number(leak, "age_s"))
    details = [Span(f"{fields.text(leak, 'kind', '?')} · {request} · {ago} ago", "dim")]
    pushed, trace = fields.text(leak, "pushed"), fields.text(leak, "trace")
    if pushed:
        details.append(Span(f"pushed {marks.place(pushed)}"))
    if trace:
        details.append(Span(f"flask ctx show {trace[: marks.ID]}"))
    return item(still, fields.text(leak, "message", "A context was left behind."), details=details)
