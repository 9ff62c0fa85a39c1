"""From what was seen of a session to its verdict: the code, and the evidence for it."""

from __future__ import annotations

import typing as t

from itsdangerous import SignatureExpired

from flask_ctxkit.internals import current_request_context, request_of

from .budget import LARGEST
from .delivery import BUDGET, obstacle
from .split import SplitCookie, part_name
from .suspects import suspect

if t.TYPE_CHECKING:
    from types import TracebackType

    from .codec import MalformedPayloadError, Verified
    from .cookie import SentCookie
    from .headers import Cookie

Evidence = dict[str, t.Any]
Secrets = t.Sequence[str | bytes]

MAX_DUPLICATES: t.Final = 10
"""How many session cookies of one request are tried, to find the one that verifies."""
ATTRIBUTES_ROOM: t.Final = 200
"""More bytes than all other attributes of a cookie take together."""


def opening(
    cookie: SentCookie, error: MalformedPayloadError | None, secrets: Secrets
) -> tuple[str, str, Evidence]:
    """Code, fingerprint of the key, and evidence, for a cookie that was read.

    :param secrets: the app's keys, if the cookie may be looked into at length; else none.
    """
    verified = cookie.verify()
    if verified is None:
        return "absent", "", {}
    if verified.key is None:
        return _refused(cookie, verified, secrets)
    key = fingerprint(cookie, verified.key)
    evidence: Evidence = {
        "key": key,
        "number": verified.key,
        "age": verified.age,
        "signed_at": verified.signed_at,
        "length": cookie.length,
    }
    if isinstance(cookie, SplitCookie) and cookie.count > 1:
        evidence["cookies"] = cookie.count
    if error is not None:
        return "undecodable", key, {**evidence, "problem": error.evidence["error"]}
    if verified.code == "not-encrypted":
        return "not-encrypted", key, evidence
    if cookie.refusal is not None:
        code, found = cookie.refusal
        return code, key, {**evidence, **found}
    if verified.code == "valid":
        return ("valid-fallback" if verified.key else "valid"), key, evidence
    if verified.code == "expired":
        limits, limit = cookie.terms.timeouts, cookie.terms.max_age
        idle = limits is not None and limits.idle == limit
        return "idle" if idle else "expired", key, {**evidence, "limit": limit}
    if verified.code == "future":
        return "future", key, {**evidence, "ahead": -(verified.age or 0)}
    return "undecodable", key, {**evidence, "problem": "its time of signing is missing"}


def acceptance(cookie: SentCookie) -> Evidence:
    """The evidence for a *cookie* that is taken."""
    found = opening(cookie, None, ())[2]
    return found if cookie.ruling is None else {**found, **cookie.ruling.evidence}


def fingerprint(cookie: SentCookie, number: int) -> str:
    """The fingerprint of the key *number* of those that *cookie* was tried with."""
    keys = cookie.terms.keys
    return (keys.keys[number] if number else keys.current).fingerprint


def _refused(cookie: SentCookie, verified: Verified, secrets: Secrets) -> tuple[str, str, Evidence]:
    others = cookie.request.cookies.getlist(cookie.terms.name)
    for number, text in enumerate(others[1:MAX_DUPLICATES], 2):
        other = cookie.verdict_on(text.encode(errors="surrogatepass"))
        if other.code == "valid" and other.key is not None:
            key = fingerprint(cookie, other.key)
            evidence: Evidence = {"count": len(others), "verifies": number, "key": key}
            return "duplicate", key, evidence
    if isinstance(cookie, SplitCookie) and cookie.missing is not None:
        return "incomplete", "", {"missing": part_name(cookie.terms.name, cookie.missing)}
    code, found = suspect(cookie.text() or "", secrets, cookie.terms.keys)
    if len(others) > 1:
        found["count"] = len(others)
    return code, found.get("key", ""), {**found, "refused_as": verified.code}


def plain_refusal(error: Exception) -> str:
    """The code for what Flask's own serializer raised."""
    if not isinstance(error, SignatureExpired):
        return "unknown-key"
    return "future" if "< 0" in error.message else "expired"


def saving(cookie: Cookie, header: t.Callable[[], str]) -> tuple[str, Evidence]:
    """Code and evidence for a *cookie* that was sent to the current request.

    :param header: gives the whole ``Set-Cookie`` value; asked where the size may matter.
    """
    attributes = cookie.attributes
    domain, path = attributes["domain"] or "", attributes["path"] or "/"
    least = len(cookie.name) + len(cookie.value) + len(domain) + len(path)
    if least + ATTRIBUTES_ROOM > BUDGET:
        size = len(header())
        if size > BUDGET:
            return "over-budget", {"size": size, "limit": BUDGET}
    asks = domain or path != "/" or attributes["secure"]
    found = obstacle(cookie.name, attributes, current_environ() if asks else None)
    return ("saved", {}) if found is None else found


def current_environ() -> t.Mapping[str, t.Any] | None:
    """The environ of the current request, or None outside of one."""
    ctx = current_request_context()
    request = None if ctx is None else request_of(ctx)
    return None if request is None else request.environ


def largest(sizes: t.Mapping[str, int]) -> str:
    """The largest keys of a session with their bytes, as a phrase.

    :param sizes: the bytes of each key, the largest first; empty where that can't be told.
    """
    named = [f"{name} ({size} bytes)" for name, size in [*sizes.items()][:LARGEST]]
    return ", ".join(named) or "unknown"


def lost(error: BaseException | None) -> tuple[str, Evidence]:
    """Code and evidence for a change that never came to ``save_session``."""
    if error is None:
        return "not-saved", {}
    evidence: Evidence = {"problem": type(error).__name__}
    if _went_through(error.__traceback__, "process_response"):
        return "after-request-raised", evidence
    return "exception-propagated", evidence


def is_refused_write(error: BaseException | None) -> bool:
    """Whether *error* is what a session without a secret key answers a write with."""
    return type(error) is RuntimeError and _went_through(error.__traceback__, "_fail")


def _went_through(trace: TracebackType | None, function: str) -> bool:
    while trace is not None:
        if trace.tb_frame.f_code.co_name == function:
            return True
        trace = trace.tb_next
    return False


def listed(names: t.Iterable[str]) -> str:
    """Names of session keys as they are written in code: ``session["a"] and session["b"]``."""
    return " and ".join(f"session[{name!r}]".replace("'", '"') for name in names)
