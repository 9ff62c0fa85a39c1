"""What can each context open, what became of it, and does it answer?"""

from __future__ import annotations

import time
import typing as t

from ..definition import define

if t.TYPE_CHECKING:
    from flask import Flask

    from ..resources.health import Ping, Resources

Row = dict[str, t.Any]


def resources(app: Flask, known: Resources | None) -> list[Row]:
    """Each resource of *app*: who opens it, how many objects were opened and closed in this
    process, and how it answered when it was last asked.

    :param known: None for an app without a kit, which has none.
    """
    if known is None:
        return []
    return [_resource(app, known, name) for name in known.known]


def _resource(app: Flask, known: Resources, name: str) -> Row:
    made, tally, ping = (
        define(known.known[name].opened_by, app),
        known.tally(name),
        known.last_ping(name),
    )
    return {
        "name": name,
        "function": made.name,
        "module": made.module,
        "source": made.source,
        "where": made.where,
        "opened": tally.opened,
        "open": tally.opened - tally.closed,
        "failed": tally.failed,
        "forgotten": tally.forgotten,
        "ping": None if ping is None else _ping(ping),
    }


def _ping(ping: Ping) -> Row:
    """An answer as plain data: ``ms`` in milliseconds, ``age_s`` in seconds."""
    return {
        "ok": ping.ok,
        "error": ping.error,
        "ms": round(ping.ms, 3),
        "age_s": round(max(0.0, time.time() - ping.at), 1),
    }
