"""What does the session cookie say, why was it refused or not saved, is the set-up sound?"""

from __future__ import annotations

import os
import typing as t
from collections import Counter

from ..internals import ACCESS_IS_TOLD
from ..session.check import CHECKS, check
from ..session.interface import CtxSessionInterface
from ..session.settings import reader_of, settings_of
from .session_counts import counts, keys, many, sentences
from .session_look import look
from .session_revocation import revocation
from .steps import was_not_saved, was_refused
from .summary import age, utc_now

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from flask import Flask

    from ..trace.model import Trace
    from .sources import Sources

Row = dict[str, t.Any]

TOLD: t.Final = 20
"""How many refused, and how many unsaved sessions are listed, the newest first."""
TOUCHERS: t.Final = 5


def session(sources: Sources, environ: Mapping[str, t.Any] | None = None) -> Row:
    """Everything about the sessions of the app, as this process knows it.

    :param environ: the request whose own cookie is looked at; None for none. Looking is not
        counted, and nothing is saved.
    """
    app = sources.app
    interface = app.session_interface
    counted = interface.tally if isinstance(interface, CtxSessionInterface) else None
    traces = list(sources.store.newest())
    own = None if environ is None else look(app, environ, sources.redactor.capture)
    found = None if counted is None else counts(counted)
    revoking = revocation(app)
    down = [revoking] if revoking is not None and revoking["state"] == "down" else []
    return {
        "story": [{name: row[name] for name in ("severity", "text")} for row in down]
        + sentences(found),
        "request": own,
        "counts": found,
        "refused": _listed(traces, was_refused),
        "unsaved": _listed(traces, was_not_saved),
        "keys": keys(app, counted),
        "revocation": revoking,
        "check": [problem.as_dict() for problem in check(settings_of(app))],
        "checks": len(CHECKS),
        "touched": _touched(traces),
        "interface": _interface(app),
        "missing": list(_missing(sources)),
        "worker": os.getpid(),
    }


# ---------------------------------------------------------------------- refused, unsaved


def _listed(traces: Iterable[Trace], wanted: t.Callable[[Mapping[str, t.Any]], bool]) -> list[Row]:
    now = utc_now()
    rows = [
        {
            "trace": trace.id,
            "at": trace.started_at,
            "age_s": age(trace.started_at, now),
            "method": trace.method,
            "path": trace.path,
            "endpoint": trace.endpoint,
            **{name: verdict[name] for name in ("step", "code", "severity", "message", "fix")},
        }
        for trace in traces
        for verdict in (trace.session or {}).get("verdicts", ())
        if wanted(verdict)
    ]
    return rows[:TOLD]


def _touched(traces: Iterable[Trace]) -> list[Row]:
    """Who touches the session first, and so makes responses vary by cookie; most often first."""
    found: Counter[tuple[str, str | None]] = Counter()
    for trace in traces:
        index = (trace.session or {}).get("accessed_by")
        event = next((e for e in trace.events if e.index == index), None) if index else None
        if event is not None:
            found[event.name, event.where] += 1
    return [
        {"name": name, "where": where, "count": count}
        for (name, where), count in found.most_common(TOUCHERS)
    ]


# --------------------------------------------------------------------------- interface


def _interface(app: Flask) -> Row:
    interface = app.session_interface
    found = {
        "class": type(interface).__qualname__,
        "module": type(interface).__module__,
        "reader": reader_of(interface),
        "does": [],
    }
    if isinstance(interface, CtxSessionInterface):
        found["does"] = list(_does(interface))
    return found


def _does(interface: CtxSessionInterface) -> t.Iterator[str]:
    if type(interface) is not CtxSessionInterface:
        yield "A class of the app's own, built on the kit's."
    elif ACCESS_IS_TOLD and not interface.strict:
        yield "Reads and checks the cookie when something first touches the session."
    else:
        yield "Reads and checks the cookie of each request."
    yield {
        "tell": "Tells of changes inside a value, which Flask doesn't notice, and leaves them "
        "unsaved.",
        "save": "Saves changes inside a value, which Flask doesn't notice.",
        "off": "Doesn't look for changes inside a value, and Flask doesn't notice them.",
    }[interface.nested]
    yield (
        "Answers 500 to a signed cookie that can't be read, as Flask does."
        if interface.strict
        else "Gives an empty session for a signed cookie that can't be read; Flask answers 500."
    )
    if interface.size == "split":
        yield f"Saves a session that one cookie can't hold in up to {interface.parts} cookies."
    elif interface.size == "error":
        yield "Raises an error where one cookie can't hold a session."
    limits = interface.timeouts
    if limits is not None and limits.idle is not None:
        yield f"Ends a session that was not signed for {limits.idle:,} s."
    if limits is not None and limits.absolute is not None:
        yield f"Ends a session {limits.absolute:,} s after it began."
    if limits is not None and limits.due_at is not None:
        yield f"Signs the cookie of an unchanged session anew when it is {limits.due_at:,} s old."
    if interface.encryption is not None:
        yield "Encrypts the session, so that the visitor can't read it."
    if interface.resign is not None:
        yield (
            "Signs anew what an old key signed, when it is read and at least "
            f"{interface.resign:,} s old."
        )
    if interface.revoker is not None:
        down = "refuses sessions" if interface.revoker.when_down == "closed" else "takes sessions"
        yield (
            "Refuses the sessions of users that are revoked; while the store can't be read, it "
            f"{down} unchecked."
        )
    if interface.leeway:
        yield f"Forgives clocks that are up to {interface.leeway} s ahead."


def _missing(sources: Sources) -> t.Iterator[str]:
    interface = sources.app.session_interface
    name = f"{type(interface).__module__}.{type(interface).__qualname__}"
    reader = reader_of(interface)
    if reader == "other":
        yield (
            f"{name} reads and saves sessions in a way of its own. Why a cookie was refused or "
            "not saved, its keys and counts can't be seen from outside."
        )
    elif reader == "flask":
        yield (
            f"{name} tells no verdicts and counts none. The kit's own interface does: "
            "CTXKIT_SESSION_INTERFACE = True, and no other one on app.session_interface."
        )
    elif not sources.tracing:
        yield "Recording is off (CTXKIT_TRACE): verdicts are counted, their requests not kept."
    failures = interface.failures if isinstance(interface, CtxSessionInterface) else 0
    if failures:
        yield f"{many(failures, 'verdict')} could not be told; the log has the tracebacks."
    yield "Counts are of this process since it started. Other workers count their own."
