"""What the verdicts on all sessions sum up to, and which keys they were read with."""

from __future__ import annotations

import time
import typing as t

from ..session import rotation, tally
from ..session.interface import CtxSessionInterface
from ..session.model import REASONS
from ..session.settings import reader_of
from .steps import NOT_LOOKED_AT, READ, was_not_saved, was_refused, words
from .summary import iso

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from flask import Flask

    from ..session.model import Reason
    from ..session.tally import Key, Tally

Row = dict[str, t.Any]

WINDOW: t.Final = 300
"""How far back "lately" goes, in seconds."""
_SEVERITIES: t.Final = ("error", "warning", "note", "ok")
_REASONS: t.Final[dict[tuple[str, str], Reason]] = {(r.step, r.code): r for r in REASONS}


def counts(counted: Tally) -> Row:
    """How often each verdict was given, by key: lately, and since the first one."""
    recent, total = counted.window(int(time.time()), WINDOW), counted.totals()
    rows = [_count(key, recent.get(key, 0), number) for key, number in total.items()]
    rows.sort(key=lambda r: (r["step"] != "open", _SEVERITIES.index(r["severity"]), -r["total"]))
    return {
        "window_s": WINDOW,
        "since": None if counted.since is None else iso(counted.since),
        "unknown_keys": {
            "recent": list(tally.unknown_keys(recent)),
            "total": list(tally.unknown_keys(total)),
        },
        "rows": rows,
    }


def _count(key: Key, recent: int, total: int) -> Row:
    step, code, fingerprint = key
    reason = _REASONS.get((step, code))
    return {
        "step": step,
        "code": code,
        "key": fingerprint or None,
        "severity": "note" if reason is None else reason.severity,
        "title": words(code),
        "fix": "" if reason is None or reason.severity == "ok" else reason.fix,
        "recent": recent,
        "total": total,
    }


def sentences(found: Row | None) -> list[Row]:
    """What the counts say in sentences, the most important first, each with its severity."""
    if found is None:
        return [_said("note", "This app's session interface counts no verdicts.")]
    rows = found["rows"]
    if not rows:
        return [_said("ok", "No session was opened yet in this process.")]
    span = "in five minutes" if any(row["recent"] for row in rows) else "so far, none lately"
    which = "recent" if any(row["recent"] for row in rows) else "total"
    told = [*_refusals(rows, found, which, span), *_losses(rows, which, span)]
    return told or [_said("ok", f"{_sound(rows, which)} {span}.")]


def _said(severity: str, text: str) -> Row:
    return {"severity": severity, "text": text}


def _refusals(rows: Sequence[Row], found: Row, which: str, span: str) -> t.Iterator[Row]:
    unknown, looked = found["unknown_keys"][which]
    if unknown:
        yield _said(
            "warning",
            f"{unknown:,} of {many(looked, 'cookie')} {span} {_were(unknown)} signed with a key "
            f"that this worker doesn't have, or {_were(unknown)} changed on the way.",
        )
    refused = _sums(r for r in rows if was_refused(r) and r["code"] != "unknown-key")
    others = {code: n[which] for code, n in refused.items() if n[which]}
    if others:
        total = sum(others.values())
        worst = any(refused[code]["loud"] for code in others)
        yield _said(
            "warning" if worst else "note",
            f"{total:,} of {many(looked, 'cookie')} {span} {_were(total)} refused: "
            f"{_told(others)}.",
        )


def _losses(rows: Sequence[Row], which: str, span: str) -> t.Iterator[Row]:
    lost = _sums(r for r in rows if was_not_saved(r))
    loud = {code: n[which] for code, n in lost.items() if n[which] and n["loud"]}
    if loud:
        total = sum(loud.values())
        what = f"{many(total, 'session')} {span} {_were(total)} not saved"
        yield _said("warning", f"{what}, or won't come back: {_told(loud)}.")


def _sums(rows: Iterable[Row]) -> dict[str, Row]:
    """The counts per code, of all keys."""
    found: dict[str, Row] = {}
    for row in rows:
        known = found.setdefault(row["code"], {"recent": 0, "total": 0, "loud": False})
        known["recent"] += row["recent"]
        known["total"] += row["total"]
        known["loud"] = row["severity"] in {"warning", "error"}
    return found


def _told(counts: Mapping[str, int]) -> str:
    most = sorted(counts.items(), key=lambda pair: -pair[1])
    return ", ".join(f"{words(code)} {number:,}" for code, number in most)


def _sound(rows: Sequence[Row], which: str) -> str:
    read = sum(r[which] for r in rows if r["step"] == "open" and r["code"] in READ)
    rest = sum(r[which] for r in rows if r["step"] == "open" and r["code"] in NOT_LOOKED_AT)
    if not read:
        return f"{many(rest, 'request')} came without a session cookie that was looked at"
    return f"{many(read, 'cookie')} {_were(read)} read, none refused"


def _were(number: int) -> str:
    return "was" if number == 1 else "were"


def many(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def keys(app: Flask, counted: Tally | None) -> list[Row] | None:
    """The keys by fingerprint; None where it is not known how the interface signs."""
    interface = app.session_interface
    if reader_of(interface) == "other":
        return None
    found = interface if isinstance(interface, CtxSessionInterface) else CtxSessionInterface()
    ring = found.outer_keyring(app)
    if ring is None:
        return [] if not app.secret_key else None
    now, totals = int(time.time()), {} if counted is None else counted.totals()
    recent = {} if counted is None else counted.window(now, WINDOW)
    last = {} if counted is None else counted.last_used
    lifetime = int(app.permanent_session_lifetime.total_seconds())
    unused = {
        number: rotation.unused_for(counted, key.fingerprint, now)
        for number, key in ring.keys.items()
    }
    return [
        {
            "number": number,
            "fingerprint": key.fingerprint,
            "role": "signs" if not number else "fallback",
            "setting": f"SECRET_KEY_FALLBACKS[{number - 1}]" if number else "SECRET_KEY",
            "recent": _opened(recent, key.fingerprint),
            "total": _opened(totals, key.fingerprint),
            "last_used": iso(last[key.fingerprint]) if key.fingerprint in last else None,
            "unused_s": unused[number],
            "told": rotation.told_unused(number, unused[number], lifetime) if number else None,
        }
        for number, key in ring.keys.items()
    ]


def _opened(counts: Mapping[Key, int], fingerprint: str) -> int:
    """How many cookies in *counts* were read with a key."""
    return sum(
        number
        for (step, code, key), number in counts.items()
        if step == "open" and key == fingerprint and code in READ
    )
