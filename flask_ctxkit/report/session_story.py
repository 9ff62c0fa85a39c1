"""What a trace tells of its session: its four steps, who touched it first, who changed what."""

from __future__ import annotations

import json
import typing as t

from .steps import steps

if t.TYPE_CHECKING:
    from collections.abc import Sequence

    from ..trace.model import Event, Trace
    from .steps import Facts

Row = dict[str, t.Any]

UNSEEN: t.Final = (
    "The app's session interface tells no verdicts: it is not the kit's, or was set after the "
    "first request."
)


def told_by(found: Trace) -> Row | None:
    """What a trace tells of its session; None where none was opened.

    ``first`` is the event that touched it first; ``varies`` whether the response says
    ``Vary: Cookie``; ``changes`` names who changed which key; ``sizes`` the bytes of JSON
    per key, None where the value is not known whole.
    """
    session = found.session
    if session is None:
        return None
    by_index = {event.index: event for event in found.events}
    first = by_index.get(session.get("accessed_by") or 0)
    facts: Facts = {"state": "running" if found.state == "running" else session["state"]}
    verdicts = session.get("verdicts", ())
    if found.lineage is not None:
        facts["lent"] = _lent(found.lineage)
    elif not verdicts:
        facts["unseen"] = UNSEEN
    if session["state"] in {"read", "changed"}:
        facts["names"] = _names_at_open(found)
    return {
        "steps": steps(verdicts, facts),
        "verdicts": [dict(verdict) for verdict in verdicts],
        "first": None if first is None else _named(first),
        "varies": varies_by_cookie(found),
        "changes": _changes(found.events),
        "sizes": {name: json_size(name, value) for name, value in session["names"].items()},
    }


def _lent(lineage: t.Mapping[str, t.Any]) -> tuple[str, str]:
    """Whose session it is that work elsewhere has, and what becomes of its changes."""
    owner = lineage["by"] or "the request that started this"
    if lineage["how"] == "copy":
        return f"It is the session of {owner} itself.", f"{owner} saves it, until it has answered."
    return f"It is a copy of the session of {owner}.", "It is read-only."


def _names_at_open(found: Trace) -> int:
    """How many keys there were before any step changed some."""
    assert found.session is not None
    names = {name for name in found.session["names"] if not name.startswith("$")}
    for event in reversed(found.events):
        names = (names - set(event.session.added)) | set(event.session.removed)
    return len(names)


def _named(event: Event) -> Row:
    return {"event": event.index, "name": event.name, "where": event.where, "phase": event.phase}


def _changes(events: Sequence[Event]) -> list[Row]:
    rows: list[Row] = []
    for event in events:
        for how, names in (
            ("added", event.session.added),
            ("changed", event.session.changed),
            ("removed", event.session.removed),
        ):
            rows += [{"key": name, "how": how} | _named(event) for name in names]
    return rows


def varies_by_cookie(found: Trace) -> bool:
    """Whether the response of *found* says that it differs by cookie."""
    for name, value, _ in (found.response or {}).get("headers", ()):
        if name.lower() == "vary" and isinstance(value, str):
            parts = {part.strip().lower() for part in value.split(",")}
            if "cookie" in parts:
                return True
    return False


def json_size(name: str, captured: t.Any) -> int | None:
    """The bytes of JSON that a captured value takes with its name, as Flask writes it; None
    where it is hidden, cut, or of a type that JSON has no own form for.
    """
    if not _is_whole(captured):
        return None
    return len(json.dumps({name: captured}, separators=(",", ":"), sort_keys=True)) - 1


def _is_whole(captured: t.Any) -> bool:
    if isinstance(captured, dict):
        return all(not k.startswith("$") and _is_whole(v) for k, v in captured.items())
    return all(map(_is_whole, captured)) if isinstance(captured, list) else True
