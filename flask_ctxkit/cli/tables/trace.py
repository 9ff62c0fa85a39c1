"""``flask ctx show``: one trace, from its headline to its waterfall."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from .. import fields
from ..document import (
    Cell,
    Column,
    Gap,
    Line,
    Span,
    Table,
    cell,
    heading,
    line,
    verbatim,
)
from ..text import age, age_of, duration
from ..values import value_text
from . import marks
from .overview import finding_item
from .session import session_lines
from .waterfall import waterfall

if t.TYPE_CHECKING:
    from ..document import Block


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to show of a trace beside its waterfall."""

    full: bool = False
    g: bool = False
    headers: bool = False
    contexts: bool = False


def trace_document(trace: fields.Row, url: str | None, wanted: Wanted) -> list[Block]:
    """The answer to ``flask ctx show``. *url*: where the pages are, None where nowhere."""
    blocks: list[Block] = [*_headline(trace), Gap()]
    findings = fields.rows(trace, "findings")
    if findings:
        blocks += [*(finding_item(_of_this(f)) for f in findings), Gap()]
    blocks += [*waterfall(trace, full=wanted.full), Gap(), *session_lines(trace), *_who_set(trace)]
    blocks += _family(trace)
    blocks += _asked_for(trace, wanted)
    blocks += _last_lines(trace, url, wanted)
    return blocks


def _of_this(finding: fields.Row) -> fields.Row:
    # On its own trace a finding needs no command that shows the trace.
    return {name: value for name, value in finding.items() if name not in {"trace", "traces"}}


def _headline(trace: fields.Row) -> t.Iterator[Block]:
    yield heading(headline(trace), aside=Span(_seen_text(trace), "dim"))
    first, *rest = fields.texts(trace, "story") or ["?"]
    failed = bool(fields.mapping(trace, "exception"))
    yield line(Span(first, "error" if failed else ""), *(f" {said}" for said in rest), hang=2)


def headline(trace: fields.Row) -> Cell:
    """``GET /cart → 200 in 41.8 ms``; a context without a request has its name."""
    state = fields.text(trace, "state")
    took = duration(fields.number(trace, "duration_ms"))
    status = fields.number(trace, "status")
    raised = fields.mapping(trace, "exception")
    answer: Cell
    if state == "running":
        answer = cell(Span("still running", "warning"))
    elif status is None and raised:
        # It went on to the server, which answered: with what, nobody here knows.
        error = Span(f"✗ {fields.text(raised, 'type', '?')}", "error")
        answer = (error, Span(f" in {took}", "strong"))
    elif status is None:
        # Work has the method and path of the request that started it, and is not it.
        answer = cell(f"task in {took}" if fields.text(trace, "kind") == "task" else took)
    else:
        answer = (*marks.status_cell(trace), Span(f" in {took}", "strong"))
    left = Span(" · left current", "warning") if state == "left" else ""
    return cell(Span(f"{marks.request_line(trace)} → ", "strong"), answer, left)


def _seen_text(trace: fields.Row) -> str:
    ago = age_of(fields.text(trace, "started_at"))
    unit = fields.mapping(trace, "unit")
    parts = [marks.short_id(trace), f"{age(ago)} ago" if ago is not None else ""]
    parts += [marks.unit_name(unit), f"worker {fields.text(unit, 'worker', '?')}"]
    return " · ".join(part for part in parts if part)


def _who_set(trace: fields.Row) -> t.Iterator[Line]:
    # What the view returned says so itself; who adds to it is the question.
    names = _event_names(trace, but="make_response")
    set_by = [
        f"{name} by {names[index]}"
        for name, _, index in header_rows(trace)
        if index is not None and names.get(index)
    ]
    if set_by:
        yield line(Span("headers  ", "hooks"), " · ".join(set_by), hang=9)


def _family(trace: fields.Row) -> t.Iterator[Line]:
    lineage, parent = fields.mapping(trace, "lineage"), fields.text(trace, "parent")
    if lineage and parent:
        by, where = fields.text(lineage, "by"), fields.text(lineage, "where")
        yield line(Span("started by  ", "hooks"), f"{by} at {where}: flask ctx show {parent}")
    children = fields.texts(trace, "children")
    more = fields.count(trace, "dropped_children")
    if children:
        shown = " · ".join([*children, *([f"{more} more"] if more else [])])
        yield line(Span("started  ", "hooks"), shown, hang=9)


def _event_names(trace: fields.Row, but: str = "") -> dict[int, str]:
    return {
        fields.count(event, "index"): fields.text(event, "name")
        for event in fields.rows(trace, "events")
        if fields.text(event, "phase") != but
    }


def header_rows(trace: fields.Row) -> t.Iterator[tuple[str, object, int | None]]:
    """Each header of the response: name, captured value, index of the event that set it."""
    headers = fields.mapping(trace, "response").get("headers")
    for header in headers if isinstance(headers, list) else ():
        if isinstance(header, list) and len(header) == 3 and isinstance(header[0], str):  # noqa: PLR2004
            index = header[2] if isinstance(header[2], int) else None
            yield header[0], header[1], index


def _asked_for(trace: fields.Row, wanted: Wanted) -> t.Iterator[Block]:
    if wanted.g or wanted.full:
        yield from _names("G AT ITS FULLEST", fields.mapping(trace, "g"))
        names = fields.mapping(fields.mapping(trace, "session"), "names")
        yield from _names("SESSION", names)
    if wanted.headers or wanted.full:
        yield from _headers(trace)
    if wanted.contexts or wanted.full:
        yield from _contexts(trace)


def _names(title: str, names: fields.Row) -> t.Iterator[Block]:
    yield Gap()
    yield heading(title)
    columns = (Column("NAME", least=10), Column("VALUE", least=20))
    rows = tuple((cell(str(name)), cell(value_text(value))) for name, value in names.items())
    yield Table(columns, rows) if rows else line(Span("nothing", "dim"), indent=1)


def _headers(trace: fields.Row) -> t.Iterator[Block]:
    names = _event_names(trace)
    rows = tuple(
        (cell(name), cell(_header_value(value)), cell(_setter(index, names)))
        for name, value, index in header_rows(trace)
    )
    yield Gap()
    yield heading("RESPONSE HEADERS")
    columns = (Column("NAME", least=10), Column("VALUE", least=20), Column("SET BY", least=10))
    yield Table(columns, rows) if rows else line(Span("none", "dim"), indent=1)
    yield line(
        Span(
            "A header that is seen but not listed was added outside the app: a WSGI middleware, "
            "the server or a proxy.",
            "dim",
        ),
        hang=2,
    )


def _header_value(value: object) -> str:
    return value if isinstance(value, str) else value_text(value)


def _setter(index: int | None, names: t.Mapping[int, str]) -> str:
    return "?" if index is None else f"{names.get(index) or 'event'} ({index})"


def _contexts(trace: fields.Row) -> t.Iterator[Block]:
    yield Gap()
    yield heading("CONTEXTS, bottom to top")
    for ctx in fields.rows(trace, "contexts"):
        reused = " reused" if fields.flag(ctx, "reused") else ""
        named = f"{fields.text(ctx, 'kind', '?')} context of {fields.text(ctx, 'app', '?')}{reused}"
        yield line(
            f"{named}  ", Span(f"pushed {fields.text(ctx, 'pushed', '?')}", "dim"), indent=1, hang=3
        )


def _last_lines(trace: fields.Row, url: str | None, wanted: Wanted) -> t.Iterator[Block]:
    curl = fields.text(trace, "curl")
    if wanted.full and curl:
        yield Gap()
        yield from map(verbatim, curl.splitlines())
    more = "" if wanted.full else "more: --full --g --headers --contexts"
    opened = f"open {url}/requests/{marks.short_id(trace)}   " if url else ""
    if opened or more:
        yield line(Span(opened + more, "dim"), hang=2)
