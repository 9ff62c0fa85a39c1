"""Headers: set twice, overwritten, or saying two things at once."""

from __future__ import annotations

import re
import typing as t

from .hooks import AFTER
from .model import Evidence, Finding, Rule, Severity
from .wording import identity, listed, named, phased, told

if t.TYPE_CHECKING:
    from ..trace.model import Captured, Event, Trace
    from .facts import Known

SINGLE: t.Final = frozenset(
    "access-control-allow-credentials access-control-allow-origin access-control-max-age age "  # noqa: SIM905  # words
    "content-disposition content-length content-location content-type "
    "cross-origin-opener-policy cross-origin-resource-policy date etag expires last-modified "
    "location retry-after server strict-transport-security x-content-type-options "
    "x-frame-options".split()
)
"""Headers of which one value counts: not lists (RFC 9110, section 5.3)."""
HARMFUL: t.Final = frozenset({"access-control-allow-origin", "content-length", "location"})
"""Of those, the ones whose repetition makes clients refuse the response."""
REWRITTEN: t.Final = frozenset(
    "age content-encoding content-length content-type date etag last-modified server "  # noqa: SIM905  # words
    "server-timing set-cookie vary".split()
)
"""Headers that hooks rewrite for good reasons, such as compressing the body."""
MADE: t.Final = REWRITTEN | frozenset(
    "accept-ranges allow cache-control content-disposition content-range expires location "  # noqa: SIM905  # words
    "retry-after www-authenticate".split()
)
"""Headers that Flask and Werkzeug set on the responses that views return, for hooks to refine."""
SHOWN: t.Final = frozenset(
    "access-control-allow-credentials access-control-allow-origin cache-control "  # noqa: SIM905  # words
    "cross-origin-opener-policy cross-origin-resource-policy expires referrer-policy "
    "strict-transport-security x-content-type-options x-frame-options".split()
)
"""Headers whose values are policies, never a user's data."""


def overwritten(trace: Trace, _known: Known) -> t.Iterator[Finding]:
    """A hook replaced a header that another hook, or the view, had set."""
    setters: dict[str, Event] = {}
    for event in trace.events:
        change = event.response
        if not change:
            continue
        for name, values in change.changed.items():
            setter = setters.get(name.lower())
            if event.phase in AFTER and setter is not None:
                finding = _overwritten(trace, name, setter, event, values)
                if finding is not None:
                    yield finding
        if event.phase in AFTER or event.phase == "make_response":
            setters.update(dict.fromkeys(map(str.lower, (*change.added, *change.changed)), event))


def _overwritten(
    trace: Trace, name: str, setter: Event, event: Event, values: t.Sequence[Captured]
) -> Finding | None:
    made = setter.phase == "make_response"
    before, after = values
    if name.lower() in (MADE if made else REWRITTEN) or identity(setter) == identity(event):
        return None
    if not (type(before) is str and type(after) is str) or _extends(before, after):
        return None
    if made and (setter.name == "start_response" or trace.endpoint is None):
        return None
    first = f"the view of {trace.endpoint}" if made else told(setter)
    short = f"the view of {trace.endpoint}" if made else named(setter)
    shown = f': "{before}" became "{after}"' if name.lower() in SHOWN else ""
    return Finding(
        f"{told(event)} overwrites {name}, which {first} had set{shown}.",
        (
            Evidence(f"{name} was set.", setter.index, setter.where),
            Evidence(f"{told(event)} replaced it.", event.index, event.where),
        ),
        f'Write response.headers.setdefault("{name}", ...) in {named(event)} if it only means a '
        f"default, or don't set it in {short}. after_request functions run in reverse order of "
        "registration, those of blueprints first.",
        f"{name} {short} {identity(event)}",
        severity="note" if not made and setter.source == event.source else None,
    )


def _extends(before: str, after: str) -> bool:
    """Whether one value holds every part of the other, as when a directive is added."""
    old, new = (
        {part.strip().lower() for part in re.split(r"[,;\n]", value)} for value in (before, after)
    )
    return old <= new or new <= old


def repeated(trace: Trace, _known: Known) -> t.Iterator[Finding]:
    """A header of which one value counts was sent twice."""
    rows: dict[str, list[tuple[str, t.Any]]] = {}
    for name, value, _ in (trace.response or {}).get("headers", ()):
        if name.lower() in SINGLE:
            rows.setdefault(name.lower(), []).append((name, value))
    for key, found in rows.items():
        if len(found) < 2:  # noqa: PLR2004
            continue
        name, setters = found[0][0], _setters(trace, key)
        differ = any(value != found[0][1] for _, value in found)
        severity: Severity | None = "error" if differ and key in HARMFUL else None
        by = f" Set by {listed(map(told, setters))}." if setters else ""
        yield Finding(
            f"The response carries {name} {len(found)} times.{by}",
            tuple(
                Evidence(f"{named(event)} set or added it.", event.index, event.where)
                for event in setters
            ),
            f'Write response.headers["{name}"] = ... , which replaces; headers.add() and '
            "headers.extend() add a second one.",
            f"{name} {' '.join(map(identity, setters))}",
            severity=severity,
        )


def _setters(trace: Trace, key: str) -> list[Event]:
    return [
        event
        for event in trace.events
        for name in (*event.response.added, *event.response.changed)
        if name.lower() == key and event.name != "start_response"
    ]


def _values(trace: Trace) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value, _ in (trace.response or {}).get("headers", ()):
        if type(value) is str:
            key = name.lower()
            found[key] = f"{found[key]}, {value}" if key in found else value
    return found


def cache_control(trace: Trace, _known: Known) -> t.Iterator[Finding]:
    """Cache-Control both forbids and allows storing the response."""
    text = _values(trace).get("cache-control")
    if text is None:
        return
    parts = {part.strip().lower() for part in text.split(",")}
    forbids, allows = _contradiction(parts)
    if allows:
        yield Finding(
            f"Cache-Control says two things at once: {listed(forbids)} and {listed(allows)}.",
            _set_by(trace, "cache-control"),
            "Decide: no-store for what nobody may keep, private for what only the browser may "
            "keep, public with max-age for the rest.",
            f"cache-control {' '.join(sorted(parts))}",
        )


def _contradiction(parts: set[str]) -> tuple[list[str], list[str]]:
    lasting = sorted(p for p in parts if re.fullmatch(r"(max-age|s-maxage)=\"?0*[1-9]\d*\"?", p))
    if "no-store" in parts:
        return ["no-store"], [*lasting, *sorted(parts & {"public", "immutable"})]
    if "private" in parts:
        shared = [p for p in lasting if p.startswith("s-maxage")]
        return ["private"], [*shared, *sorted(parts & {"public"})]
    return [], []


def cors(trace: Trace, _known: Known) -> t.Iterator[Finding]:
    """Any origin, with credentials: browsers refuse the response."""
    values = _values(trace)
    if values.get("access-control-allow-origin", "").strip() != "*":
        return
    if _allows_credentials(trace):
        yield Finding(
            'Access-Control-Allow-Origin is "*" together with Access-Control-Allow-Credentials '
            '"true": browsers refuse that for requests with cookies.',
            _set_by(trace, "access-control-allow-origin")
            + _set_by(trace, "access-control-allow-credentials"),
            "Send the one origin that you trust, with Vary: Origin, or don't allow credentials.",
            "cors",
        )


def _allows_credentials(trace: Trace) -> bool:
    for name, value, _ in (trace.response or {}).get("headers", ()):
        if name.lower() == "access-control-allow-credentials":
            # The redactor may hide it for its name. "true" is the only value that counts.
            hidden = type(value) is dict and value.get("$size") == len("true")
            return hidden or (type(value) is str and value.strip().lower() == "true")
    return False


def content_length(trace: Trace, _known: Known) -> t.Iterator[Finding]:
    """A Content-Length that can't be right."""
    values = _values(trace)
    length = values.get("content-length")
    if length is None or "," in length:
        return
    why = ""
    if not length.isascii() or not length.isdigit():
        why = "is not a number"
    elif "chunked" in values.get("transfer-encoding", "").lower():
        why = "contradicts Transfer-Encoding: chunked"
    elif trace.status in {204, 205} and int(length) > 0:
        why = f"is {length} on a {trace.status}, which has no body"
    if why:
        yield Finding(
            f"Content-Length {why}.",
            _set_by(trace, "content-length"),
            "Don't set Content-Length: Werkzeug does where it is known.",
            f"content-length {why}",
        )


def cached_cookie(trace: Trace, _known: Known) -> t.Iterator[Finding]:
    """A cookie on a response that shared caches may hand to everyone."""
    names = {name.lower() for name, _, _ in (trace.response or {}).get("headers", ())}
    if "set-cookie" not in names:
        return
    parts = {p.strip().lower() for p in _values(trace).get("cache-control", "").split(",")}
    if "public" in parts and not parts & {"no-store", "private"}:
        yield Finding(
            "The response sets a cookie and says Cache-Control: public, so a shared cache may "
            "hand one visitor's cookie to others.",
            _set_by(trace, "cache-control") + _set_by(trace, "set-cookie"),
            "Send Cache-Control: private with cookies, or don't touch the session in what "
            "everyone may share.",
            f"set-cookie public {trace.endpoint}",
        )


def _set_by(trace: Trace, key: str) -> tuple[Evidence, ...]:
    return tuple(
        Evidence(f"{phased(event)} set {key}.", event.index, event.where)
        for event in _setters(trace, key)
    )


RULES: t.Final = (
    Rule(
        "header-overwritten",
        "warning",
        "headers",
        "A hook overwrites a header of another",
        "Two functions set the same header, and the one that runs last decides.",
        "Use headers.setdefault() for defaults, or set the header in one place.",
        overwritten,
        timed=True,
        needs="response",
    ),
    Rule(
        "header-repeated",
        "warning",
        "headers",
        "A header that counts once was sent twice",
        "headers.add() was used where a value was there already, often by an extension and a hook.",
        "Assign headers[name] = value, which replaces.",
        repeated,
        timed=True,
        needs="response",
    ),
    Rule(
        "header-cache-conflict",
        "warning",
        "headers",
        "Cache-Control contradicts itself",
        "Directives that forbid storing stand beside ones that allow it.",
        "Decide for one of no-store, private and public.",
        cache_control,
        timed=True,
        needs="response",
    ),
    Rule(
        "header-cors-conflict",
        "warning",
        "headers",
        "Any origin is allowed together with credentials",
        "Access-Control-Allow-Origin: * does not go with Access-Control-Allow-Credentials.",
        "Send the one origin that you trust, with Vary: Origin.",
        cors,
        timed=True,
        needs="response",
    ),
    Rule(
        "header-content-length",
        "error",
        "headers",
        "Content-Length can't be right",
        "A hook or view set Content-Length by hand.",
        "Don't set it: Werkzeug does where it is known.",
        content_length,
        timed=True,
        needs="response",
    ),
    Rule(
        "header-cookie-public",
        "warning",
        "headers",
        "A cookie on a response that shared caches may keep",
        "A response with Set-Cookie says Cache-Control: public.",
        "Send Cache-Control: private with cookies.",
        cached_cookie,
        timed=True,
        needs="response",
    ),
)
