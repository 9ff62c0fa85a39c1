"""A captured value in one line: what the redactor let through, and why not the rest."""

from __future__ import annotations

import typing as t

from . import fields

_SHOWN: t.Final = 60
_ITEMS: t.Final = 4
_DEPTH: t.Final = 2


def value_text(captured: object, depth: int = 0) -> str:
    """One line for a captured value; long and deep ones are told by type and size."""
    if captured is None or isinstance(captured, (bool, int, float)):
        return str(captured)
    if isinstance(captured, str):
        return _quoted(captured)
    if isinstance(captured, list):
        return (
            "[" + _joined((value_text(v, depth + 1) for v in captured), len(captured), depth) + "]"
        )
    if isinstance(captured, dict):
        return _mapping_text(captured, depth)
    return "?"


def _quoted(text: str) -> str:
    return f'"{text}"' if len(text) <= _SHOWN else f'"{text[:_SHOWN]}…" ({len(text)} characters)'


def _joined(parts: t.Iterable[str], total: int, depth: int) -> str:
    if depth >= _DEPTH:
        return f"{total} items" if total else ""
    shown = [part for part, _ in zip(parts, range(_ITEMS), strict=False)]
    if total > len(shown):
        shown.append(f"… {total - len(shown)} more")
    return ", ".join(shown)


def _mapping_text(captured: fields.Row, depth: int) -> str:
    if "$hidden" in captured:
        return hidden_text(captured)
    if "$type" in captured:
        return _object_text(captured, depth)
    pairs = (f"{_key(name)}: {value_text(v, depth + 1)}" for name, v in captured.items())
    return "{" + _joined(pairs, len(captured), depth) + "}"


def _key(name: object) -> str:
    # A user's key that begins with "$" has one more.
    shown = str(name)
    return shown[1:] if shown.startswith("$$") else shown


def hidden_text(captured: fields.Row) -> str:
    """``••• 91 characters, mark 3f2a (name contains "csrf")``."""
    size = fields.text(captured, "$size")
    kind = fields.text(captured, "$type", "value")
    mark = fields.text(captured, "$mark")
    what = f"{size} characters" if size and kind == "str" else f"{kind} of {size}" if size else kind
    return f"••• {what}{', mark ' + mark if mark else ''} ({fields.text(captured, '$hidden')})"


def _object_text(captured: fields.Row, depth: int) -> str:
    kind = fields.text(captured, "$type", "?")
    size = fields.text(captured, "$size")
    if "$name" in captured:
        return f"<{kind} {fields.text(captured, '$name')}>"
    if "$text" in captured:
        sized = f"{kind}, {size}" if size else kind
        return f"{_quoted(fields.text(captured, '$text'))} ({sized})"
    if "$items" in captured:
        return _cut_text(kind, captured["$items"], size, depth)
    if fields.flag(captured, "$cycle"):
        return f"<{kind}, a cycle>"
    inner = fields.mapping(captured, "$attributes")
    shown = _joined(
        (f"{name}={value_text(v, depth + 1)}" for name, v in inner.items()), len(inner), depth
    )
    return f"<{kind}{' ' + shown if shown else ''}>"


def _cut_text(kind: str, items: object, size: str, depth: int) -> str:
    total = int(size) if size.isdecimal() else 0
    if isinstance(items, dict):
        parts = (f"{_key(name)}: {value_text(v, depth + 1)}" for name, v in items.items())
        return f"{kind}{{{_joined(parts, max(total, len(items)), depth)}}}"
    listed = items if isinstance(items, list) else []
    parts = (value_text(v, depth + 1) for v in listed)
    return f"{kind}({_joined(parts, max(total, len(listed)), depth)})"
