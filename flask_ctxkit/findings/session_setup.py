"""How sessions are set up: what ``flask ctx session check`` calls an error or a warning."""

from __future__ import annotations

import functools
import typing as t

from ..session import attributes, own_keys
from ..session import check as checks
from ..session.settings import settings_of
from .model import Evidence, Finding, Rule

if t.TYPE_CHECKING:
    from flask import Flask

    from ..config import Config
    from ..session.check import Check
    from ..session.settings import Problem, Severity

TOLD_ELSEWHERE: t.Final = frozenset({"key-known", "key-short", "fallbacks-string"})
"""Of the keys, which ``secret-weak`` and ``secret-fallbacks-string`` tell."""
DROPPED: t.Final = frozenset({"prefix-rules", "samesite-none", "domain-mismatch"})
"""What a saved session is told as well: both times it is one mistake, so it has one code."""


class Kind(t.NamedTuple):
    """A problem that is looked for: by what, and what the catalogue says of it."""

    code: str
    look: Check
    severity: Severity
    title: str
    cause: str
    fix: str


KINDS: t.Final = (
    Kind("key-type", checks.secret_key, "error", "The secret key is of a wrong type",
         "SECRET_KEY, or a fallback, is neither str nor bytes, so nothing can be signed.",
         "Set a str or bytes."),
    Kind("fallbacks-type", checks.fallbacks, "error", "SECRET_KEY_FALLBACKS is no list",
         "The order in which its keys are tried is not certain.",
         "Write a list, the oldest key first."),
    Kind("fallback-empty", checks.fallbacks, "error", "A fallback key is empty",
         "What anybody signs with no key at all is valid then.",
         "Remove it; an environment variable that isn't set is the usual source."),
    Kind("fallbacks-ignored", checks.fallbacks, "warning", "Fallback keys are ignored",
         "Flask 3.0 doesn't read SECRET_KEY_FALLBACKS, and the kit's interface is not used.",
         "Use the kit's interface, or Flask 3.1.1."),
    Kind("fallbacks-sign", checks.fallbacks, "error", "Flask signs with a fallback key",
         "Flask 3.1.0 signs with the last fallback (CVE-2025-47278), and the kit's interface is "
         "not used.", "Use the kit's interface, or Flask 3.1.1."),
    Kind("serializer-pickle", checks.signer, "error", "Sessions are pickled",
         "The serializer is pickle or the like: whoever learns the key runs any code.",
         "Use Flask's own serializer: flask.json.tag.TaggedJSONSerializer"),
    Kind("digest-weak", checks.signer, "warning", "Sessions are signed with MD5",
         "The interface's digest_method is MD5.", "Leave it as it is, or set hashlib.sha256."),
    Kind("derivation-none", checks.signer, "warning", "The secret key signs as it is",
         'The interface\'s key_derivation is "none".', 'Set key_derivation = "hmac".'),
    Kind("derivation-unknown", checks.signer, "error", "A key derivation that doesn't exist",
         "itsdangerous doesn't know the interface's key_derivation: each request fails.",
         'Set key_derivation = "hmac".'),
    Kind("name-invalid", attributes.name, "error", "The session cookie's name is none",
         "SESSION_COOKIE_NAME has characters that browsers drop or change.",
         'Use letters, digits, "-" and "_".'),
    Kind("name-taken", attributes.name, "error", "Two cookies of one name",
         "SESSION_COOKIE_NAME is REMEMBER_COOKIE_NAME of Flask-Login too.",
         "Give one of them another name."),
    Kind("samesite-invalid", attributes.samesite, "error", "SESSION_COOKIE_SAMESITE is wrong",
         "It is not Strict, Lax or None: saving a session raises an error.",
         'Set "Lax", "Strict", "None" (as text), or None.'),
    Kind("httponly-off", attributes.secure, "warning", "Scripts can read the session cookie",
         "SESSION_COOKIE_HTTPONLY is off.", "Remove SESSION_COOKIE_HTTPONLY = False."),
    Kind("partitioned-ignored", attributes.partitioned, "warning",
         "SESSION_COOKIE_PARTITIONED is ignored", "This Flask doesn't read it.",
         "Use Flask 3.1, with Werkzeug 3.1."),
    Kind("partitioned-secure", attributes.partitioned, "warning", "Partitioned without Secure",
         "SESSION_COOKIE_PARTITIONED makes the cookie Secure although SESSION_COOKIE_SECURE is "
         "off.", "Set SESSION_COOKIE_SECURE = True."),
    Kind("domain-invalid", attributes.domain, "error", "SESSION_COOKIE_DOMAIN is no domain",
         "Browsers drop the session cookie.", "Leave it unset, or write the domain alone."),
    Kind("domain-single", attributes.domain, "warning", "A cookie for a domain without a dot",
         "SESSION_COOKIE_DOMAIN has no dot, and browsers drop such a cookie.",
         "Leave SESSION_COOKIE_DOMAIN unset."),
    Kind("path-relative", attributes.path, "error", "The cookie's path has no leading slash",
         "SESSION_COOKIE_PATH doesn't begin with a slash: browsers take the page's folder.",
         "Leave it unset, or write it like /app"),
    Kind("lifetime-type", checks.lifetime, "error", "PERMANENT_SESSION_LIFETIME is no time",
         "It is neither a timedelta nor a number: no session can be opened.",
         "Set a datetime.timedelta, or seconds as a number."),
    Kind("lifetime-none", checks.lifetime, "error", "Sessions live for no second",
         "PERMANENT_SESSION_LIFETIME is under a second, which counts for all sessions.",
         "Set a datetime.timedelta, like timedelta(days=31)."),
    Kind("key-misspelled", checks.misspelled, "warning", "A config key that nobody reads",
         "It is nearly the name of one of Flask's keys for the session.",
         "Write the name that is proposed."),
    Kind("idle-long", own_keys.timeouts, "warning", "Idle for longer than a session lives",
         "CTXKIT_SESSION_IDLE is more than PERMANENT_SESSION_LIFETIME, and the shorter counts.",
         "Set PERMANENT_SESSION_LIFETIME to more than CTXKIT_SESSION_IDLE."),
    Kind("absolute-short", own_keys.timeouts, "error", "No session is ever idle for so long",
         "The absolute timeout is no more than the idle one.",
         "Set CTXKIT_SESSION_IDLE to less than CTXKIT_SESSION_ABSOLUTE."),
    Kind("reissue-late", own_keys.timeouts, "warning", "Signed anew when it is over",
         "CTXKIT_SESSION_REISSUE is no less than what ends a session that is not written.",
         "Set CTXKIT_SESSION_REISSUE to a tenth of the shortest limit, or leave it unset."),
    Kind("resign-late", own_keys.resign, "warning", "An old key's sessions end first",
         "CTXKIT_SESSION_RESIGN is more than PERMANENT_SESSION_LIFETIME.",
         "Set it to the minutes that it takes to give all workers a key."),
    Kind("encrypt-window-long", own_keys.window, "warning", "Signed cookies for too long",
         "CTXKIT_SESSION_ENCRYPT_READ_SIGNED_UNTIL is later than the last honest one can be.",
         "Set it to the day on which the last signed session ends."),
)  # fmt: skip
STORE: t.Final = Kind(
    "revocations-down",
    own_keys.revocations,
    "error",
    "The store of revocations is down",
    "It can't be read, so sessions are taken unchecked, or refused, as "
    "CTXKIT_SESSION_REVOCATIONS_DOWN says. At the start it is asked only while app.debug.",
    "Start the store, and give this process the right to read it.",
)


def told(kind: Kind, app: Flask, _config: Config) -> t.Iterator[Finding]:
    """The problem *kind* of the settings of *app*."""
    for problem in kind.look(settings_of(app)):
        if problem.code == kind.code:
            yield finding_of(problem)


def store_down(app: Flask, config: Config) -> t.Iterator[Finding]:
    """A store of revocations that can't be read. In production it is not asked: the first
    request would wait for it, and the first visitor with a user shows the same.
    """
    if app.debug:
        yield from told(STORE, app, config)


def dropped(app: Flask, _config: Config) -> t.Iterator[Finding]:
    """A cookie that browsers drop, whatever the request."""
    for look in (attributes.browser_rules, attributes.domain):
        for problem in look(settings_of(app)):
            if problem.code in DROPPED:
                yield finding_of(problem, code=f"session-{problem.code}", subject=problem.code)


def finding_of(problem: Problem, code: str = "", subject: str = "") -> Finding:
    """*problem* as a finding."""
    seen = (Evidence(f"It is about {problem.setting}."),)
    return Finding(
        problem.message, seen, problem.fix, subject or problem.setting, code,
        None if problem.severity == "note" else problem.severity,
    )  # fmt: skip


def _rule(kind: Kind, check: t.Callable[..., t.Iterator[Finding]] | None = None) -> Rule:
    return Rule(
        f"session-{kind.code}", kind.severity, "set-up", kind.title, kind.cause, kind.fix,
        check or functools.partial(told, kind), when="app",
    )  # fmt: skip


RULES: t.Final = (
    *map(_rule, KINDS),
    _rule(STORE, store_down),
    Rule(
        "session-cookie-dropped",
        "error",
        "set-up",
        "Browsers drop the session cookie",
        "SameSite=None without Secure, a name like __Host- whose rules are not kept, or a domain "
        "that is not the app's. Told at the start under the code of what a request shows later: "
        "session-samesite-none, session-prefix-rules, session-domain-mismatch.",
        "Set what the message says.",
        dropped,
        when="app",
    ),
)
