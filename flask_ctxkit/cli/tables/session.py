"""``flask ctx session``: verdicts, keys, lost sessions; and a single cookie."""

from __future__ import annotations

import json
import typing as t

from .. import fields
from ..document import Cell, Column, Gap, Rule, Span, Table, cell, heading, item, line
from ..text import age, counted
from . import marks

if t.TYPE_CHECKING:
    from ..document import Block, Line, Style

SHOWN: t.Final = 6
"""How many refused, and how many unsaved sessions are listed."""
MOST_LINES: t.Final = 120
"""How many lines of a cookie's content are printed."""
_STATES: t.Final[t.Mapping[str, Span]] = {
    "ok": Span("✓", "sound"),
    "note": Span("·", "note"),
    "bad": Span("✗", "error"),
    "none": Span("-", "dim"),
    "unknown": Span("?", "warning"),
}
_SOUND: t.Final = Span("✓", "sound")


def session_document(session: fields.Row) -> list[Block]:
    """The answer of the running app: sentences, then tables, then what can't be seen."""
    blocks: list[Block] = [item(_sign(said), fields.text(said, "text")) for said in
                           fields.rows(session, "story")]  # fmt: skip
    for part in (_problems, _counts, _refused, _unsaved, _keys, _revocation, _touched):
        found = list(part(session))
        blocks += [Gap(), *found] if found else []
    interface = fields.mapping(session, "interface")
    named = f"{fields.text(interface, 'module')}.{fields.text(interface, 'class', '?')}"
    blocks += [Gap(), line(Span("interface  ", "session"), named, hang=11)]
    blocks += [line(Span("? ", "dim"), Span(s, "dim"), hang=2) for s in
               fields.texts(session, "missing")]  # fmt: skip
    steps = ("decode COOKIE", "verify COOKIE", "check")
    return [*blocks, Gap(), marks.next_steps(*(f"flask ctx session {step}" for step in steps))]


def _sign(row: fields.Row) -> Span:
    return _SOUND if fields.text(row, "severity") == "ok" else marks.severity_sign(row)


def _problems(session: fields.Row) -> t.Iterator[Block]:
    rows = fields.rows(session, "check")
    loud = [row for row in rows if fields.text(row, "severity") != "note"]
    if loud:
        yield heading(f"SET-UP {len(loud)}")
        yield from map(problem_item, loud)
    quiet = len(rows) - len(loud)
    if quiet:
        said = f"{counted(quiet, 'note')} on the set-up: flask ctx session check"
        yield line(Span(said, "dim"), indent=1, hang=3)


def problem_item(row: fields.Row) -> Block:
    """What is wrong with a setting, and what to write."""
    sure = fields.text(row, "severity") != "note"
    message = Span(fields.text(row, "message", "?"), "strong" if sure else "")
    return item(marks.severity_sign(row), message, details=[fields.text(row, "fix")])


def _counts(session: fields.Row) -> t.Iterator[Block]:
    counts = fields.mapping(session, "counts")
    rows = fields.rows(counts, "rows")
    if not rows:
        return
    columns = (
        Column("", least=1),
        Column("VERDICT", least=14),
        Column("KEY", drop=1),
        Column("5 MIN", right=True),
        Column("IN ALL", right=True),
        Column("WHAT TO DO", least=20, drop=2),
    )
    table: list[tuple[Cell, ...] | Rule] = []
    for step, title in (("open", "opened"), ("save", "saved")):
        found = [row for row in rows if fields.text(row, "step") == step]
        table += [Rule(title), *map(_count, found)] if found else []
    yield heading("VERDICTS", aside=Span(f"worker {fields.text(session, 'worker', '?')}", "dim"))
    yield Table(columns, tuple(table))


def _count(row: fields.Row) -> tuple[Cell, ...]:
    return (
        cell(_sign(row)),
        cell(fields.text(row, "title", "?")),
        cell(Span(fields.text(row, "key"), "dim")),
        cell(f"{fields.count(row, 'recent'):,}"),
        cell(f"{fields.count(row, 'total'):,}"),
        cell(Span(fields.text(row, "fix"), "dim")),
    )


def _refused(session: fields.Row) -> t.Iterator[Block]:
    return _listed("REFUSED COOKIES", fields.rows(session, "refused"))


def _unsaved(session: fields.Row) -> t.Iterator[Block]:
    return _listed("NOT SAVED, OR DROPPED BY THE BROWSER", fields.rows(session, "unsaved"))


def _listed(title: str, rows: t.Sequence[fields.Row]) -> t.Iterator[Block]:
    if not rows:
        return
    yield heading(f"{title} {len(rows)}")
    by_code: dict[str, list[fields.Row]] = {}
    for row in rows:
        by_code.setdefault(fields.text(row, "code", "?"), []).append(row)
    for found in list(by_code.values())[:SHOWN]:
        newest = found[0]
        often = marks.times(len(found))
        where = f"{marks.request_line(newest)}, {age(fields.number(newest, 'age_s'))} ago"
        trace = fields.text(newest, "trace")[: marks.ID]
        details: list[str | Span] = [
            fields.text(newest, "fix"),
            Span(" · ".join(p for p in (often, where, f"flask ctx show {trace}") if p), "dim"),
        ]
        message = Span(fields.text(newest, "message", "?"), "strong")
        yield item(_sign(newest), message, details=[d for d in details if d])


def _keys(session: fields.Row) -> t.Iterator[Block]:
    rows = fields.rows(session, "keys")
    if not rows:
        return
    columns = (
        Column("KEY"),
        Column("FROM", least=12),
        Column("USED TO", drop=1),
        Column("5 MIN", right=True),
        Column("IN ALL", right=True),
    )
    known = bool(fields.mapping(session, "counts"))
    yield heading("KEYS", aside=Span("by fingerprint", "dim"))
    yield Table(columns, tuple(_key(row, known=known) for row in rows))
    for told in filter(None, (fields.text(row, "told") for row in rows)):
        yield line(Span(told, "dim"), indent=1, hang=3)


def _key(row: fields.Row, *, known: bool) -> tuple[Cell, ...]:
    numbers = [f"{fields.count(row, name):,}" if known else "?" for name in ("recent", "total")]
    return (
        cell(Span(fields.text(row, "fingerprint", "?"), "strong")),
        cell(fields.text(row, "setting")),
        cell("sign and read" if fields.text(row, "role") == "signs" else "read old sessions"),
        *map(cell, numbers),
    )


def _revocation(session: fields.Row) -> t.Iterator[Block]:
    found = fields.mapping(session, "revocation")
    if found:
        yield item(_sign(found), fields.text(found, "text"))


def _touched(session: fields.Row) -> t.Iterator[Block]:
    for row in fields.rows(session, "touched")[:1]:
        where = fields.text(row, "where")
        told = f"{marks.function_name(row, 'name')}{' (' + where + ')' if where else ''}"
        often = counted(fields.count(row, "count"), "request")
        yield line(
            Span("touched  ", "session"),
            f"first by {told} in {often}, which is why responses say Vary: Cookie",
            hang=9,
        )


# -------------------------------------------------------------------------- one cookie


def cookie_document(found: fields.Row) -> list[Block]:
    """One cookie: whether it is verified, what is known of it, what it holds."""
    blocks: list[Block] = [_headline(found)]
    blocks += [line(Span("! ", "warning"), said, hang=2) for said in fields.texts(found, "missing")]
    blocks += _facts(found)
    problem = fields.text(found, "problem")
    if problem:
        return [*blocks, line(Span("✗ ", "error"), f"It can't be read: {problem}.", hang=2)]
    title = "CONTENT" if fields.flag(found, "authentic") else "CONTENT, UNVERIFIED"
    return [*blocks, Gap(), heading(title), *_content(found)]


def _headline(found: fields.Row) -> Block:
    if fields.flag(found, "verified"):
        return item(_SOUND, Span(fields.text(found, "message", "?"), "strong"))
    if fields.text(found, "message"):
        fix = fields.text(found, "fix")
        message = Span(f"REFUSED. {fields.text(found, 'message')}", "strong")
        return item(Span("✗", "error"), message, details=[fix] if fix else [])
    return item(
        Span("!", "warning"),
        Span("UNVERIFIED: anybody may have written this. ", "warning"),
        "No key was tried; flask ctx session verify tries the app's.",
    )


def _facts(found: fields.Row) -> t.Iterator[Line]:
    yield _fact("cookie", ", ".join(_shape(found)))
    signed_at = fields.text(found, "signed_at")
    if signed_at:
        ago = fields.number(found, "age_s") or 0
        when = f"{age(ago)} ago" if ago >= 0 else f"{age(-ago)} in the future"
        claims = "" if fields.flag(found, "authentic") else "claims "
        yield _fact("signed", f"{claims}{signed_at}, {when}")
    tried = fields.rows(found, "tried")
    if tried:
        keys = (f"{fields.text(r, 'fingerprint')} ({fields.text(r, 'setting')})" for r in tried)
        yield _fact("keys", ", ".join(keys))
    tags = fields.texts(found, "tags")
    if tags:
        yield _fact("tags", f"{' '.join(tags)}: names that begin with a space are Flask's types")


def _fact(name: str, text: str) -> Line:
    return line(Span(f"{name:<8}", "session"), text, indent=3, hang=11)


def _shape(found: fields.Row) -> t.Iterator[str]:
    name = fields.text(found, "cookie")
    if name:
        yield name
    came = fields.count(found, "came")
    if came > 1:
        yield f"{came} of that name, the first one counts"
    pieces = fields.count(found, "split")
    within = f" in {pieces} cookies" if pieces > 1 else ""
    yield counted(fields.count(found, "length"), "character") + within
    if fields.flag(found, "encrypted"):
        yield "encrypted"
    size = fields.number(found, "json_bytes")
    if size is not None:
        packed = ", compressed" if fields.flag(found, "compressed") else ""
        yield f"{int(size):,} bytes of JSON{packed}"


def _content(found: fields.Row) -> t.Iterator[Line]:
    # ASCII, so that no control character reaches a terminal; Markup stays a plain dict.
    lines = json.dumps(found.get("value"), indent=2).splitlines()
    for text in lines[:MOST_LINES]:
        indent = len(text) - len(text.lstrip(" "))
        yield line(text.lstrip(" "), indent=indent + 1, hang=indent + 3)
    if len(lines) > MOST_LINES:
        yield line(
            Span(f"… {len(lines) - MOST_LINES:,} more lines; --format json has all", "dim"),
            indent=1,
        )


def signed_notes(found: fields.Row) -> list[Block]:
    """What stands beside a cookie that was signed."""
    size, budget = fields.count(found, "set_cookie_bytes"), fields.count(found, "budget")
    key = fields.text(found, "key")
    said = f"signed{' with key ' + key if key else ''}; a Set-Cookie header of {size:,} bytes"
    blocks: list[Block] = [line(Span(said, "dim"), hang=2)]
    if size > budget:
        blocks.append(
            item(Span("!", "warning"), f"Browsers drop a header of more than {budget:,} bytes.")
        )
    return blocks


def check_document(session: fields.Row) -> list[Block]:
    """What is wrong with the set-up; notes last."""
    rows = fields.rows(session, "check")
    checks = counted(fields.count(session, "checks"), "check")
    loud = [row for row in rows if fields.text(row, "severity") != "note"]
    first = (
        heading(f"PROBLEMS {len(loud)}", aside=Span(f"{checks} run", "dim"))
        if loud
        else item(_SOUND, Span("Sessions are set up soundly. ", "strong"), f"{checks} run.")
    )
    quiet = [row for row in rows if row not in loud]
    blocks: list[Block] = [first, *map(problem_item, loud)]
    if quiet:
        blocks += [Gap(), heading(f"NOTES {len(quiet)}"), *map(problem_item, quiet)]
    return blocks


# ----------------------------------------------------------------------------- a trace


def session_lines(trace: fields.Row) -> t.Iterator[Line]:
    """The session of a trace: its four steps on one line, and who touched it first."""
    told = fields.mapping(trace, "session_report")
    steps = fields.rows(told, "steps")
    if not steps or all(fields.text(s, "state") == "none" for s in steps):
        return
    pieces: list[Span] = [Span("session  ", "session")]
    for step in steps:
        sign = _STATES.get(fields.text(step, "state"), marks.UNKNOWN)
        if sign.style == "error" and fields.text(step, "severity") == "warning":
            sign = Span("!", "warning")
        style: Style = sign.style if fields.text(step, "state") == "bad" else ""
        pieces += [Span(f"{fields.text(step, 'step')} ", "dim"), sign,
                   Span(f" {fields.text(step, 'text')}   ", style)]  # fmt: skip
    yield line(tuple(pieces), hang=9)
    names = ", ".join(fields.mapping(fields.mapping(trace, "session"), "names"))
    first = fields.mapping(told, "first")
    if first:
        varies = ", so Vary: Cookie" if fields.flag(told, "varies") else ""
        yield line(
            f"{names or 'empty'}; first touched by {marks.function_name(first, 'name')} "
            f"({fields.text(first, 'event', '?')}){varies}",
            indent=9,
            hang=9,
        )
