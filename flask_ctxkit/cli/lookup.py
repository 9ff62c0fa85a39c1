"""Which trace is meant: an id, ``latest``, or the newest or slowest of a path or status."""

from __future__ import annotations

import re
import shlex
import typing as t

from . import fields
from .client import AskError, NotFoundError
from .tables.marks import near_text

if t.TYPE_CHECKING:
    from .client import Client, Report

_ID: t.Final = re.compile(r"[0-9a-fA-F]{3,8}")


def find_trace(client: Client, which: str, *, status: str | None, slow: bool) -> Report:
    """The report of one trace.

    :raises NotFoundError: there is no such trace.
    :raises AskError: *which* is none of the three, or nobody answered.
    """
    if which == "latest" and status is None and not slow:
        return client.ask("requests/latest")
    if which.startswith("/") or which == "latest":
        return client.ask(f"requests/{_searched(client, which, status, slow)}")
    if not _ID.fullmatch(which):
        raise AskError(
            f"{which!r} is not a trace. Give 3 to 8 hexadecimal digits of an id, latest, or a "
            "path that begins with a slash.",
            code="bad-trace",
        )
    if status is not None or slow:
        raise AskError(
            "An id names one trace already. Leave out --status and --slow, or the id.",
            code="bad-trace",
        )
    return client.ask(f"requests/{which.lower()}")


def _searched(client: Client, which: str, status: str | None, slow: bool) -> str:
    query = None if which == "latest" else f"path:{shlex.quote(which)}"
    report = client.ask(
        "requests", q=query, status=status, sort="slowest" if slow else None, limit=1000
    )
    rows = fields.rows(report, "requests")
    # The list holds every path that has the words in it.
    exact = [row for row in rows if fields.text(row, "path") == which]
    for row in exact or rows:
        return fields.text(row, "id")
    asked = " ".join(
        p for p in (f"path:{which}" if query else "", f"status:{status}" if status else "") if p
    )
    near = "".join(f" {near_text(less, n)}" for less, n in fields.mapping(report, "near").items())
    raise NotFoundError(
        f"No request matches  {asked or which} .{near or ' See: flask ctx requests'}",
        code="no-match",
    )
