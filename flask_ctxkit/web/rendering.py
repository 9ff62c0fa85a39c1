"""The pages' own Jinja environment: everything is escaped, nothing of the app's is in it."""

from __future__ import annotations

import typing as t
from datetime import timezone
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ..report.families import FAMILIES, spoken
from ..report.story import milliseconds, short
from ..report.summary import moment
from .waterfall import SYMBOLS

STRIP: t.Final = 1000.0
"""The units of a strip's whole width."""
THINNEST: t.Final = 12.0
"""What a family gets at least, so that an error that took no time is seen."""
SEVERITY: t.Final[t.Mapping[str, tuple[str, str]]] = {
    "error": ("✗", "error"),
    "warning": ("!", "warning"),
    "note": ("·", "note"),
}


@lru_cache(maxsize=1)
def environment() -> Environment:
    """The environment, made once: it knows nothing of an app, and compiles each template."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters.update(
        ms=duration, us=microseconds, ago=ago, clock=clock, query=query_string,
        brief=brief, short=short, strip=strip, kind_of=kind_of, count=counted,
        spoken=spoken,
    )  # fmt: skip
    made.globals.update(symbols=SYMBOLS, families=FAMILIES, severities=SEVERITY)
    return made


def duration(value: float | None) -> str:
    """Milliseconds as they are read; "?" for what is not known."""
    return "?" if value is None else milliseconds(value)


def microseconds(value: float) -> str:
    """Microseconds as they are read."""
    return milliseconds(value / 1000)


def ago(seconds: float | None) -> str:
    """An age: "0.4 s", "31 s", "12 min", "3 h", "5 d"; "?" where it is not known."""
    if seconds is None:
        return "?"
    if seconds < 10:  # noqa: PLR2004
        return f"{seconds:.1f} s"
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"


def clock(iso: str) -> str:
    """The time of day of an ISO time, in UTC with milliseconds."""
    return moment(iso).astimezone(timezone.utc).strftime("%H:%M:%S.%f")[:-3]


def counted(number: int, noun: str) -> str:
    """A number with its noun, which gets an s for every number but 1."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def query_string(parameters: t.Mapping[str, t.Any]) -> str:
    """Parameters as a query string with its question mark; empty ones are left out."""
    shown = {name: value for name, value in parameters.items() if value not in {None, ""}}
    return f"?{urlencode(shown)}" if shown else ""


def kind_of(captured: t.Any) -> str:
    """How a captured value is shown: "hidden", "bare", "object", "items", "map" or "plain"."""
    if isinstance(captured, list):
        return "items"
    if not isinstance(captured, dict):
        return "plain"
    for key, kind in (("$hidden", "hidden"), ("$items", "items"), ("$attributes", "object")):
        if key in captured:
            return kind
    return "bare" if "$type" in captured else "map"


def brief(captured: t.Any, most: int = 60) -> str:
    """A captured value in one line."""
    text = _brief(captured)
    return text if len(text) <= most else text[: most - 1] + "…"


def _brief(captured: t.Any) -> str:
    kind = kind_of(captured)
    if kind == "plain":
        return repr(captured) if isinstance(captured, str) else str(captured)
    if kind == "map":
        return f"dict, {counted(len(captured), 'key')}"
    if isinstance(captured, list):
        return f"list, {counted(len(captured), 'item')}"
    if kind == "hidden":
        return _sized(captured)
    if "$text" in captured:
        return _told(captured, captured["$text"])
    if "$name" in captured:
        return f"{captured['$type']} {captured['$name']}"
    return _sized(captured)


def _told(captured: t.Mapping[str, t.Any], text: str) -> str:
    size = captured.get("$size")
    if not isinstance(size, int):  # a time, a path: all of it is there
        return f"{text} ({captured['$type']})"
    return f"{text!r}{'…' if size > len(text) else ''} ({_sized(captured)})"


def _sized(captured: t.Mapping[str, t.Any]) -> str:
    name = str(captured.get("$type", "?")).rpartition(".")[2]
    size = captured.get("$size")
    if not isinstance(size, int):
        return name
    unit = {"str": "character", "bytes": "byte"}.get(name, "item")
    return f"{name}, {counted(size, unit)}"


def strip(rows: t.Sequence[t.Sequence[t.Any]]) -> Markup:
    """Where a request's time went, as a small picture with its text beside it."""
    # Markup by hand: the rows are ours, and a macro would cost 200 times as much per page.
    whole = sum(row[1] for row in rows) or 1.0
    told = ", ".join(f"{name} {milliseconds(time)}" for name, time in rows if time)
    parts = [
        Markup(
            '<svg class="strip" viewBox="0 0 1000 8" preserveAspectRatio="none" role="img">'
            "<title>{}</title>"
        ).format(told)
    ]
    x = 0.0
    scale = STRIP - THINNEST * len(rows)
    for name, time in rows:
        width = THINNEST + time / whole * scale
        parts.append(
            Markup('<rect class="f-{}" x="{:.1f}" width="{:.1f}" height="8"/>').format(
                name, x, width
            )
        )
        x += width
    return Markup("").join([*parts, Markup("</svg>")])
