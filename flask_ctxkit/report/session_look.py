"""The session of one request, looked at: what came, what it says, what would be saved."""

from __future__ import annotations

import typing as t

from flask import request
from werkzeug.wrappers import Response

from .. import internals
from ..session import split
from ..session.delivery import BUDGET
from ..session.interface import CtxSessionInterface
from ..session.mapping import CtxSession
from ..session.peek import peek
from ..session.settings import settings_of
from ..session.witness import witnessed
from .steps import steps, was_refused
from .summary import iso

if t.TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from flask import Flask
    from flask.sessions import SessionInterface, SessionMixin

    from ..session.peek import Peeked
    from ..session.witness import Witness
    from .steps import Facts

Row = dict[str, t.Any]
Capture = t.Callable[[str, object], t.Any]

FOREIGN: t.Final = "The app's session interface works in a way of its own."


def look(
    app: Flask,
    environ: Mapping[str, t.Any],
    capture: Capture,
    reader: SessionInterface | None = None,
) -> Row:
    """What the cookie of a request says, and what would become of a change to the session.

    Opened and saved as the app does it, but counted nowhere, and sent to nobody. Where the
    interface has ways of its own, only what it makes of the cookie is seen.

    :param reader: opens the session instead of the app's own interface.
    """
    name = str(settings_of(app).name)
    twin = witnessed(reader or app.session_interface)
    interface = None if twin is None else twin[0]
    try:
        # A copy: making a request from an environ leaves the request in it.
        found = internals.run_placed(
            app, dict(environ), lambda: _placed(app, name, twin, capture), interface
        )
    except Exception as error:
        found = _failed(name, error)
    return t.cast("Row", found)


def uncounted(app: Flask) -> SessionInterface | None:
    """What opens a session as *app* does without counting it; None where there is no such."""
    twin = witnessed(app.session_interface)
    return None if twin is None else twin[0]


def _placed(
    app: Flask, name: str, twin: tuple[CtxSessionInterface, Witness] | None, capture: Capture
) -> Row:
    ctx = internals.current_request_context()
    session = internals.raw_session(ctx)
    cookies = request.cookies.getlist(name)
    whole = split.join(cookies[0], name, request.cookies)[0] if cookies else ""
    facts: Facts = {
        "length": len(whole),
        "names": len(session),
        "unseen": FOREIGN,
        "trial": True,
    }
    verdicts = []
    if twin is not None:
        interface, witness = twin
        _try_saving(app, interface, session)
        verdicts = [verdict.as_dict() for verdict in witness.verdicts]
    found = {
        **_shape(name, cookies, whole),
        "json_bytes": _json_bytes(whole, session),
        "steps": steps(verdicts, facts),
        "verdicts": verdicts,
        "names": {str(key): capture(str(key), value) for key, value in dict(session).items()},
        "sizes": _sizes(twin, session),
    }
    refused = any(map(was_refused, verdicts))
    return found | {"unverified": _unverified(peek(whole), capture) if refused else None}


def _shape(name: str, cookies: list[str], whole: str) -> Row:
    found = peek(whole) if cookies else None
    return {
        "cookie": name,
        "came": len(cookies),
        "split": split.count_of(cookies[0]) if cookies else 0,
        "length": None if found is None else found.length,
        "compressed": None if found is None else found.compressed,
        "encrypted": None if found is None else found.encrypted,
        "json_bytes": None,
        "budget": BUDGET,
    }


def _json_bytes(whole: str, session: SessionMixin) -> int | None:
    """The bytes of JSON in a cookie: as it was read, or else as it claims."""
    received = session.received if isinstance(session, CtxSession) else None
    return (
        peek(whole).json_size
        if received is None
        else len(received[0].encode(errors="surrogatepass"))
    )


def _try_saving(app: Flask, interface: CtxSessionInterface, session: SessionMixin) -> None:
    """Save a changed *session* into a response that goes nowhere.

    Not by an interface whose saving is the app's own: it could write to a database.
    """
    if type(interface).save_session is not CtxSessionInterface.save_session:
        return
    if interface.is_null_session(session):
        return
    tried = session or interface.session_class({"example": True})
    tried.modified = True
    # Not Flask's, which asks the app: too large a cookie is told as a verdict, not as a warning.
    nowhere = Response()
    nowhere.max_cookie_size = 0
    interface.save_session(app, tried, t.cast("t.Any", nowhere))


def _sizes(
    twin: tuple[CtxSessionInterface, Witness] | None, session: SessionMixin
) -> dict[str, int | None]:
    """The bytes of each key with its value, as they are saved; the largest first."""
    if twin is None:
        return {}
    serializer: t.Any = twin[0].serializer
    found = {str(k): _size(serializer.dumps, {k: v}) for k, v in dict(session).items()}
    return dict(sorted(found.items(), key=lambda pair: -(pair[1] or 0)))


def _size(dumps: Callable[[t.Any], str | bytes], value: t.Any) -> int | None:
    try:
        text = dumps(value)
    except Exception:  # the serializer is the app's
        return None
    return len(text.encode() if isinstance(text, str) else text) - 1


def _unverified(found: Peeked, capture: Capture) -> Row:
    """What a refused cookie claims: anybody may have written it."""
    value = found.value if isinstance(found.value, dict) else {"": found.value}
    return {
        "signed_at": iso_or_none(found.signed_at),
        "names": {} if found.problem else {k: capture(k, v) for k, v in value.items()},
        "problem": found.problem,
    }


def iso_or_none(seconds: int | None) -> str | None:
    """Seconds since 1970 as an ISO time; None for none, and for further than calendars go."""
    try:
        return None if seconds is None else iso(seconds)
    except (OverflowError, ValueError, OSError):
        return None


def _failed(name: str, error: Exception) -> Row:
    told = f"The session could not be opened: {type(error).__name__}."
    facts: Facts = {"unseen": told}
    return {
        **_shape(name, [], ""),
        "steps": steps([], facts),
        "verdicts": [],
        "names": {},
        "sizes": {},
        "unverified": None,
    }
