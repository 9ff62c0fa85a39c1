"""Is the set-up sound? The secret keys, how they sign, how long a session lives."""

from __future__ import annotations

import difflib
import typing as t
from datetime import timedelta

from flask_ctxkit import strength

from . import attributes, own_keys
from .settings import Problem, Settings, Severity

MAKE_KEY: t.Final = (
    'Make one with  python -c "import secrets; print(secrets.token_hex())"  , keep it outside '
    "of the code, and set it from there."
)
DROP_KEY: t.Final = "Remove it as soon as the sessions that it signed are over."
PICKLES: t.Final = frozenset({"pickle", "_pickle", "dill", "cloudpickle", "jsonpickle"})
DERIVATIONS: t.Final = frozenset({"hmac", "django-concat", "concat", "none"})
LONGEST_KEPT: t.Final = timedelta(days=400)
"""How long browsers keep a cookie at most (RFC 6265bis, 5.5)."""
SIGNS_WRONGLY: t.Final = "3.1.0"
"""The Flask release that signs with a fallback key (CVE-2025-47278)."""
NEAR: t.Final = 0.85
"""How alike two config keys must be for one to be a misspelling of the other."""

Check = t.Callable[[Settings], t.Iterable[Problem]]


def check(settings: Settings) -> tuple[Problem, ...]:
    """Every problem of *settings*, the most severe first. Empty where all is sound."""
    found = [problem for look in CHECKS for problem in look(settings)]
    order = ("error", "warning", "note")
    return tuple(sorted(found, key=lambda problem: order.index(problem.severity)))


# --------------------------------------------------------------------------------- keys


def secret_key(settings: Settings) -> t.Iterator[Problem]:
    """There is a key, of a type that signs, and nobody can guess it."""
    key = settings.secret_key
    if not key:
        yield Problem(
            "key-missing", "note", "SECRET_KEY",
            "There is no SECRET_KEY, so sessions are empty and read-only.", MAKE_KEY,
        )  # fmt: skip
        return
    yield from _strong(key, "SECRET_KEY", settings)
    text = strength.text_of(key)
    if text is not None and text != text.strip():
        yield Problem(
            "key-space", "note", "SECRET_KEY",
            "SECRET_KEY begins or ends with white space, likely the end of a line in a file: a "
            "worker that reads it otherwise refuses these sessions.",
            "Strip it where it is read, in all workers at once: the sessions end with it.",
        )  # fmt: skip


def _strong(key: t.Any, setting: str, settings: Settings) -> t.Iterator[Problem]:
    if strength.text_of(key) is None:
        yield Problem(
            "key-type", "error", setting,
            f"{setting} is of type {type(key).__name__}: nothing can be signed with it.",
            "Set a str or bytes.",
        )  # fmt: skip
        return
    if settings.testing:  # a test's key guards nothing
        return
    size = strength.size_of(key)
    worst: Severity = "warning" if settings.debug else "error"
    effect = "fine while you develop" if settings.debug else "whoever guesses it forges sessions"
    fix = MAKE_KEY if setting == "SECRET_KEY" else DROP_KEY
    if strength.is_default(key):
        yield Problem(
            "key-known", worst, setting,
            f"{setting} stands in tutorials and is tried first (CVE-2023-27524): {effect}.", fix,
        )  # fmt: skip
    elif size < strength.LEAST:
        yield Problem(
            "key-short", worst if size < strength.POOR else "warning", setting,
            f"{setting} has {size} of the {strength.LEAST} bytes that it should have: {effect}.",
            fix,
        )  # fmt: skip


def fallbacks(settings: Settings) -> t.Iterator[Problem]:
    """Old keys come as a list, each as good as a key that signs."""
    value = settings.fallbacks
    if not value:
        return
    if isinstance(value, (str, bytes)):
        yield Problem(
            "fallbacks-string", "error", "SECRET_KEY_FALLBACKS",
            f"SECRET_KEY_FALLBACKS is one {type(value).__name__}, not a list. "
            + _ONE[settings.reader],
            "Write a list: SECRET_KEY_FALLBACKS = [old_key]",
        )  # fmt: skip
        return
    if not isinstance(value, (list, tuple)):
        yield Problem(
            "fallbacks-type", "error", "SECRET_KEY_FALLBACKS",
            f"SECRET_KEY_FALLBACKS is of type {type(value).__name__}, so the order in which its "
            "keys are tried is not certain, if they are read at all.",
            "Write a list, the oldest key first.",
        )  # fmt: skip
        return
    for number, key in enumerate(value):
        yield from _fallback(key, f"SECRET_KEY_FALLBACKS[{number}]", settings)
    yield from _of_flask(settings)


_ONE: t.Final = {
    "ctxkit": "It counts as no key, so sessions that the old key signed are refused; by Flask's "
    "own interface each character would be a key, and sign forged sessions.",
    "flask": 'Each of its characters is taken for a key: whoever signs with "o" is let in.',
    "other": "Each of its characters may be taken for a key.",
}


def _fallback(key: t.Any, setting: str, settings: Settings) -> t.Iterator[Problem]:
    if not key and isinstance(key, (str, bytes)):
        yield Problem(
            "fallback-empty", "error", setting,
            f"{setting} is empty, so what anybody signs with no key at all is valid.",
            "Remove it; an environment variable that isn't set is the usual source.",
        )  # fmt: skip
        return
    yield from _strong(key, setting, settings)
    if key == settings.secret_key:
        yield Problem(
            "fallback-current", "note", setting,
            f"{setting} is SECRET_KEY itself, so it changes nothing.",
            "Keep the old key there, the one before SECRET_KEY.",
        )  # fmt: skip


def _of_flask(settings: Settings) -> t.Iterator[Problem]:
    if settings.reader != "flask":
        return
    if "SECRET_KEY_FALLBACKS" not in settings.known_keys:
        yield Problem(
            "fallbacks-ignored", "warning", "SECRET_KEY_FALLBACKS",
            f"Flask {settings.flask} doesn't read SECRET_KEY_FALLBACKS, so sessions that an old "
            "key signed are refused.",
            "Use the kit's interface (CTXKIT_SESSION_INTERFACE = True), or Flask 3.1.1.",
        )  # fmt: skip
    elif settings.flask == SIGNS_WRONGLY:
        yield Problem(
            "fallbacks-sign", "error", "SECRET_KEY_FALLBACKS",
            f"Flask {settings.flask} signs with the last fallback instead of SECRET_KEY "
            "(CVE-2025-47278).",
            "Use the kit's interface (CTXKIT_SESSION_INTERFACE = True), or Flask 3.1.1.",
        )  # fmt: skip


# ------------------------------------------------------------------------------ signing


def signer(settings: Settings) -> t.Iterator[Problem]:
    """How the interface signs and what it stores a session as."""
    if settings.serializer.partition(".")[0] in PICKLES:
        yield Problem(
            "serializer-pickle", "error", "session_interface.serializer",
            "Sessions are pickled: whoever learns SECRET_KEY runs any code on the server.",
            "Use Flask's own serializer: flask.json.tag.TaggedJSONSerializer",
        )  # fmt: skip
    if settings.digest == "md5":
        yield Problem(
            "digest-weak", "warning", "session_interface.digest_method",
            "Sessions are signed with MD5.",
            "Leave digest_method as it is, or set hashlib.sha256.",
        )  # fmt: skip
    if settings.derivation == "none":
        yield Problem(
            "derivation-none", "warning", "session_interface.key_derivation",
            "SECRET_KEY signs sessions as it is, so a signature made for something else by the "
            "same key is one for a session as well.",
            'Set key_derivation = "hmac".',
        )  # fmt: skip
    elif settings.derivation not in DERIVATIONS:
        yield Problem(
            "derivation-unknown", "error", "session_interface.key_derivation",
            f"key_derivation is {settings.derivation!r}, which itsdangerous doesn't know, so "
            "each request with a session is answered 500.",
            'Set key_derivation = "hmac".',
        )  # fmt: skip


# --------------------------------------------------------------------------------- time


def lifetime(settings: Settings) -> t.Iterator[Problem]:
    """How long a session lives; permanent or not, the age of its signature counts."""
    setting, value = "PERMANENT_SESSION_LIFETIME", settings.lifetime
    if isinstance(value, (int, float)) and abs(value) < timedelta.max.total_seconds():
        value = timedelta(seconds=value)
    if not isinstance(value, timedelta):
        yield Problem(
            "lifetime-type", "error", setting,
            f"{setting} is of type {type(value).__name__}: no session can be opened.",
            "Set a datetime.timedelta, or seconds as a number.",
        )  # fmt: skip
    elif value < timedelta(seconds=1):
        yield Problem(
            "lifetime-none", "error", setting,
            f"{setting} is {value.total_seconds():g} s, so each session is over within a second, "
            "also one that is not permanent.",
            "Set a datetime.timedelta, like timedelta(days=31).",
        )  # fmt: skip
    elif value > LONGEST_KEPT:
        yield Problem(
            "lifetime-long", "note", setting,
            f"{setting} is {value.days} days; browsers keep a cookie for at most "
            f"{LONGEST_KEPT.days}, while a stolen one works to the end.",
            "Set what a visitor really needs.",
        )  # fmt: skip


def misspelled(settings: Settings) -> t.Iterator[Problem]:
    """Config keys that look like Flask's and are not read."""
    known = [k for k in settings.known_keys if "SESSION" in k or k.startswith("SECRET_KEY")]
    for key in settings.keys:
        if key in settings.known_keys:
            continue
        upper = key.upper()
        near = [upper] if upper in known else difflib.get_close_matches(key, known, 1, NEAR)
        if near:
            yield Problem(
                "key-misspelled", "warning", key,
                f"The config key {key} is read by nobody.", f"Did you mean {near[0]}?",
            )  # fmt: skip


CHECKS: t.Final[tuple[Check, ...]] = (
    secret_key, fallbacks, signer, *attributes.CHECKS, lifetime, misspelled, *own_keys.CHECKS,
)  # fmt: skip
"""What is looked at, one function each."""
