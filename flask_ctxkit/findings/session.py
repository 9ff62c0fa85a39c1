"""The session: every verdict on it that somebody should act on."""

from __future__ import annotations

import functools
import re
import typing as t

from ..session.model import REASONS
from .model import Evidence, Finding, Rule

if t.TYPE_CHECKING:
    from ..session.model import Reason
    from ..trace.model import Trace
    from .facts import Known


_PIECE: t.Final = re.compile(r"\{\w+\}")

TITLES: t.Final[dict[str, str]] = {
    "incomplete": "A piece of a split session is missing",
    "split-unread": "A split session that nobody puts together",
    "future": "A session from the future",
    "unknown-key": "A session signed with an unknown key",
    "other-settings": "A session signed with other settings",
    "foreign": "A session cookie that is not Flask's",
    "truncated": "A session cookie that was cut off",
    "malformed": "A session cookie that is none",
    "undecodable": "A signed session that can't be read",
    "duplicate": "Two session cookies in one request",
    "revocation-unchecked": "A session taken without knowing whether it is revoked",
    "revocation-refused": "A session refused without knowing whether it is revoked",
    "undecryptable": "An encrypted session that no key opens",
    "revocation-unread": "A session not saved, as the store of revocations is down",
    "nested-change": "A change inside the session was lost",
    "too-large": "A session that is too large was lost",
    "unserializable": "A value that no session can hold",
    "exception-propagated": "A change was lost to an exception",
    "null-session": "A change was refused, as there is no secret key",
    "not-saved": "A change was lost, as there was no response",
    "over-budget": "A session cookie that browsers drop for its size",
    "secure-over-http": "A Secure session cookie sent over http",
    "domain-mismatch": "A session cookie for another domain",
    "prefix-rules": "A session cookie that its name's prefix forbids",
    "samesite-none": "SameSite=None without Secure",
}


def judged(code: str, trace: Trace, _known: Known) -> t.Iterator[Finding]:
    """The verdict *code* was given on the session of this request."""
    for verdict in (trace.session or {}).get("verdicts", ()):
        if verdict["code"] == code:
            seen = [
                f"{name.replace('_', ' ')}: {value}" for name, value in verdict["evidence"].items()
            ]
            phase = "open_session" if verdict["step"] == "open" else "save_session"
            event = next((e.index for e in trace.events if e.phase == phase), None)
            evidence = tuple(Evidence(text, event) for text in seen)
            yield Finding(verdict["message"], evidence, verdict["fix"], subject=code)


def _rule(reason: Reason) -> Rule:
    return Rule(
        code=f"session-{reason.code}",
        severity="error" if reason.severity == "error" else "warning",
        theme="session",
        title=TITLES[reason.code],
        cause=_PIECE.sub("…", reason.message),
        fix=reason.fix,
        check=functools.partial(judged, reason.code),
        timed=True,
    )


MANY: t.Final = 5
"""How many cookies of each kind, in five minutes, are no coincidence."""


def keys_differ(trace: Trace, _known: Known) -> t.Iterator[Finding]:
    """Many cookies were signed with this worker's key, and many with one that it doesn't have."""
    for verdict in (trace.session or {}).get("verdicts", ()):
        evidence = verdict["evidence"]
        refused, looked = evidence.get("refused_recently", 0), evidence.get("seen_recently", 0)
        if verdict["code"] == "unknown-key" and min(refused, looked - refused) >= MANY:
            keys = ", ".join(evidence.get("keys", ())) or "none"
            yield Finding(
                f"{refused} of {looked} session cookies in five minutes were signed with a key "
                "that this worker doesn't have, the others with its own.",
                (Evidence(f"This worker's keys, by fingerprint: {keys}."),),
                subject="keys",
            )


KEYS_DIFFER: t.Final = Rule(
    code="session-keys-differ",
    severity="error",
    theme="session",
    title="Workers have different secret keys",
    cause="Each worker signs with its own SECRET_KEY, a random one for instance, or the key was "
    "changed without a fallback, so a visitor is logged out by whichever worker answers next.",
    fix="Give all workers the same SECRET_KEY, from a file or the environment. After a change keep "
    "the old key in SECRET_KEY_FALLBACKS.",
    check=keys_differ,
    timed=True,
)

TOLD_BY_STEP: t.Final = frozenset(
    {"changed-in-stream", "changed-after-save", "after-request-raised"}
)
"""What the rules over hooks see as well, and can say of which step it was."""

RULES: t.Final[tuple[Rule, ...]] = (
    KEYS_DIFFER,
    *(
        _rule(reason)
        for reason in REASONS
        if reason.is_worth_telling and reason.code not in TOLD_BY_STEP
    ),
)
