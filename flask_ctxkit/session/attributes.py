"""Is the cookie sound? Its name, where browsers keep it, and to whom they send it."""

from __future__ import annotations

import re
import typing as t

from .delivery import domain_matches, obstacle, path_matches
from .model import Verdict
from .settings import Problem, Settings

SAMESITE: t.Final = frozenset({"Strict", "Lax", "None"})
TOLD: t.Final = 3
"""How many URLs outside of the cookie's path are named."""
_TOKEN: t.Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 6265, 4.1.1
_HOST: t.Final = re.compile(r"[A-Za-z0-9.\-]+|\[[0-9A-Fa-f:.]+\]")


def name(settings: Settings) -> t.Iterator[Problem]:
    """A name that browsers send back as it is."""
    found = settings.name
    if not isinstance(found, str) or _TOKEN.fullmatch(found) is None:
        yield Problem(
            "name-invalid", "error", "SESSION_COOKIE_NAME",
            f"SESSION_COOKIE_NAME is {found!r}, which is no name for a cookie: browsers drop it, "
            "or send back another.",
            'Use letters, digits, "-" and "_", like "session".',
        )  # fmt: skip
    elif settings.remember_name == found:
        yield Problem(
            "name-taken", "error", "SESSION_COOKIE_NAME",
            f"SESSION_COOKIE_NAME and REMEMBER_COOKIE_NAME are both {found!r}, so Flask-Login's "
            "cookie and the session overwrite each other.",
            "Give one of them another name.",
        )  # fmt: skip


def browser_rules(settings: Settings) -> t.Iterator[Problem]:
    """Combinations that browsers drop: name prefixes, and SameSite=None without Secure."""
    if not isinstance(settings.name, str):
        return
    found = obstacle(settings.name, settings.attributes, None)
    if found is not None:
        told = Verdict("save", *found)
        setting = "SESSION_COOKIE_NAME" if found[0] == "prefix-rules" else "SESSION_COOKIE_SAMESITE"
        yield Problem(found[0], "error", setting, told.message, told.fix)


def samesite(settings: Settings) -> t.Iterator[Problem]:
    """Which other sites' requests bring the session."""
    value = settings.samesite
    if value is None:
        yield Problem(
            "samesite-unset", "note", "SESSION_COOKIE_SAMESITE",
            "SESSION_COOKIE_SAMESITE is not set, so each browser decides whether requests from "
            "other sites bring the session.",
            'Set SESSION_COOKIE_SAMESITE = "Lax".',
        )  # fmt: skip
    elif not isinstance(value, str) or value.title() not in SAMESITE:
        yield Problem(
            "samesite-invalid", "error", "SESSION_COOKIE_SAMESITE",
            f"SESSION_COOKIE_SAMESITE is {value!r}, so saving a session raises an error.",
            'Set "Lax", "Strict", "None" (as text), or None.',
        )  # fmt: skip


def secure(settings: Settings) -> t.Iterator[Problem]:
    """Over which connections the cookie goes, and who in the browser reads it."""
    if not settings.secure and not settings.partitioned:
        yield Problem(
            "secure-off", "note", "SESSION_COOKIE_SECURE",
            "The session cookie is not Secure, so browsers also send it over plain http, where "
            "others can read it.",
            "Set SESSION_COOKIE_SECURE = True where the app is served by https.",
        )  # fmt: skip
    if not settings.httponly:
        yield Problem(
            "httponly-off", "warning", "SESSION_COOKIE_HTTPONLY",
            "SESSION_COOKIE_HTTPONLY is off, so any script on a page can read the session cookie "
            "and send it away.",
            "Remove SESSION_COOKIE_HTTPONLY = False.",
        )  # fmt: skip


def partitioned(settings: Settings) -> t.Iterator[Problem]:
    """A cookie of its own for each site that frames this one."""
    setting = "SESSION_COOKIE_PARTITIONED"
    if not settings.partitioned:
        return
    if setting not in settings.known_keys and settings.reader != "other":
        yield Problem(
            "partitioned-ignored", "warning", setting,
            f"Flask {settings.flask} doesn't read {setting}.",
            "Use Flask 3.1, with Werkzeug 3.1.",
        )  # fmt: skip
        return
    if not settings.secure:
        yield Problem(
            "partitioned-secure", "warning", setting,
            f"{setting} makes the cookie Secure although SESSION_COOKIE_SECURE is off, so "
            "browsers drop it over http.",
            "Set SESSION_COOKIE_SECURE = True.",
        )  # fmt: skip
    if str(settings.samesite).title() != "None" or settings.samesite is None:
        yield Problem(
            "partitioned-samesite", "note", setting,
            f"{setting} is for frames in other sites' pages, and there browsers send only a "
            "cookie with SameSite=None.",
            'Set SESSION_COOKIE_SAMESITE = "None", or leave the cookie unpartitioned.',
        )  # fmt: skip


def domain(settings: Settings) -> t.Iterator[Problem]:
    """Which hosts get the cookie, and can replace it."""
    found, setting = settings.domain, "SESSION_COOKIE_DOMAIN"
    if not found:
        return
    bare = found.partition(":")[0].lstrip(".") if isinstance(found, str) else ""
    if "/" in str(found) or _HOST.fullmatch(bare) is None:
        yield Problem(
            "domain-invalid", "error", setting,
            f"{setting} is {found!r}, which is no domain, so browsers drop the session cookie.",
            'Leave it unset, or write the domain alone, like "example.com".',
        )  # fmt: skip
        return
    server = str(settings.server_name or "").rpartition("@")[2].partition(":")[0].lower()
    if server and not domain_matches(bare, server):
        yield Problem(
            "domain-mismatch", "error", setting,
            f"The session cookie is for {bare} and the app answers at {server} (SERVER_NAME), so "
            "browsers drop it.",
            f"Leave {setting} unset.",
        )  # fmt: skip
    elif "." not in bare:
        yield Problem(
            "domain-single", "warning", setting,
            f"{setting} is {bare!r}, and browsers drop a cookie for a domain without a dot.",
            f"Leave {setting} unset.",
        )  # fmt: skip
    else:
        yield Problem(
            "domain-shared", "note", setting,
            f"Every host under {bare} gets the session cookie, and can replace it by one of its "
            "own (cookie tossing).",
            f'Leave {setting} unset, or better: SESSION_COOKIE_NAME = "__Host-session", which '
            "browsers take from this host only.",
        )  # fmt: skip


def path(settings: Settings) -> t.Iterator[Problem]:
    """Which URLs of the app get the cookie."""
    found, setting = settings.path, "SESSION_COOKIE_PATH"
    if not found:
        return
    if not isinstance(found, str) or not found.startswith("/"):
        yield Problem(
            "path-relative", "error", setting,
            f"The path of the session cookie is {found!r}; it has to begin with a slash, else "
            "browsers take the folder of whichever page sets it.",
            f'Leave {setting} unset, or write it like "/app".',
        )  # fmt: skip
        return
    # Mounted at that root, none of the app's rules shows the path.
    if found in ("/", settings.root):
        return
    outside = [rule for rule in settings.rules if not path_matches(found, rule)]
    if outside:
        more = f" and {len(outside) - TOLD} more" if len(outside) > TOLD else ""
        yield Problem(
            "path-outside", "note", setting,
            f"The session cookie is for {found}, so it does not come with "
            f"{', '.join(outside[:TOLD])}{more}.",
            f"Leave {setting} unset; for an app that is mounted below {found} set "
            "APPLICATION_ROOT to it.",
        )  # fmt: skip


CHECKS: t.Final = (name, browser_rules, samesite, secure, partitioned, domain, path)
