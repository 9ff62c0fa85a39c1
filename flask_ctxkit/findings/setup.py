"""Set-up: keys, the proxy in front, and debug where strangers are."""

from __future__ import annotations

import ipaddress
import sys
import typing as t

from .. import strength
from ..definition import short_path
from . import keys
from .model import Evidence, Finding, Rule
from .wording import listed

if t.TYPE_CHECKING:
    from flask import Flask

    from ..config import Config
    from ..trace.model import Trace
    from .facts import Known

MAKE_KEY: t.Final = (
    'Make one with  python -c "import secrets; print(secrets.token_hex())"  , keep it outside '
    "of the code, and set SECRET_KEY from there."
)
SERVERS: t.Final = ("gunicorn", "waitress", "uwsgi", "apache", "mod_wsgi", "cheroot", "bjoern")
"""How the names of servers begin that are made for production, in lower case."""

# --------------------------------------------------------------------------------- keys


def weak_key(app: Flask, _config: Config) -> t.Iterator[Finding]:
    """A secret key that can be guessed."""
    if app.testing:
        return
    fallbacks = app.config.get("SECRET_KEY_FALLBACKS")
    rows = [("SECRET_KEY", app.secret_key)]
    if isinstance(fallbacks, (list, tuple)):
        rows += [(f"SECRET_KEY_FALLBACKS[{i}]", key) for i, key in enumerate(fallbacks)]
    for name, key in rows:
        size = strength.size_of(key)
        # An empty one is no key; among the fallbacks that is another mistake.
        if not key or (size >= strength.LEAST and not strength.is_default(key)):
            continue
        if strength.text_of(key) is None:
            continue
        if strength.is_default(key):
            shown = f'"{strength.text_of(key)}"' if size < strength.LEAST else "one from a tutorial"
            what = f"is {shown}, a value that everybody knows"
        else:
            what = f"has only {size} bytes"
        poor = strength.is_default(key) or size < strength.POOR
        fine = "fine while you develop, forgeable in production" if app.debug else ""
        effect = fine or "whoever guesses it can forge sessions"
        yield Finding(
            f"{name} {what}: {effect}.",
            (Evidence(f"{name} has {size} bytes; {strength.LEAST} are recommended."),),
            MAKE_KEY,
            name,
            severity=("warning" if app.debug else "error") if poor else "note",
        )


def random_key(app: Flask, _config: Config) -> t.Iterator[Finding]:
    """A secret key that is made anew at each start, and in each worker that loads the app."""
    if app.testing or not app.secret_key:
        return
    line = keys.made_at_start(app)
    if line is None:
        return
    file = short_path(str(sys.modules[app.import_name].__file__))
    yield Finding(
        "SECRET_KEY is random at each start, so every session ends with a restart, and workers "
        "that load the app on their own refuse each other's sessions.",
        (Evidence("The key is made here.", None, f"{file}:{line}"),),
        MAKE_KEY,
        "SECRET_KEY",
    )


def fallbacks_text(app: Flask, _config: Config) -> t.Iterator[Finding]:
    """Fallback keys given as one string, which is read as one key per character."""
    value = app.config.get("SECRET_KEY_FALLBACKS")
    if "SECRET_KEY_FALLBACKS" not in app.default_config or not isinstance(value, (str, bytes)):
        return
    if value:
        yield Finding(
            "SECRET_KEY_FALLBACKS is one string, so each of its characters is taken for a key, "
            "and one-character keys sign valid sessions.",
            (Evidence(f"SECRET_KEY_FALLBACKS is a {type(value).__name__}."),),
            "Write a list: SECRET_KEY_FALLBACKS = [old_key]",
            "SECRET_KEY_FALLBACKS",
        )


# ----------------------------------------------------------------------- seen in requests


def proxy_fix_missing(trace: Trace, _known: Known) -> t.Iterator[Finding]:
    """A proxy says https, and the app believes http."""
    environ = trace.environ
    said = environ.get("HTTP_X_FORWARDED_PROTO")
    if type(said) is not str or said.split(",")[-1].strip().lower() != "https":
        return
    if environ.get("wsgi.url_scheme") != "http" or "werkzeug.proxy_fix.orig" in environ:
        return
    yield Finding(
        "A proxy in front says that the request came by https (X-Forwarded-Proto), but the app "
        "takes it for http: url_for and redirects make http links, and cookies miss Secure.",
        (Evidence("X-Forwarded-Proto is https while wsgi.url_scheme is http."),),
        "If there is one proxy in front, write app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, "
        "x_proto=1, x_host=1), from werkzeug.middleware.proxy_fix.",
        "proxy",
    )


def cookie_not_secure(trace: Trace, known: Known) -> t.Iterator[Finding]:
    """A session cookie goes out over https without Secure."""
    if known.facts is None or known.facts.secure_cookie:
        return
    session = trace.session or {}
    if trace.environ.get("wsgi.url_scheme") != "https" or session.get("state") != "changed":
        return
    if session.get("saved"):
        yield Finding(
            "The session cookie was sent over https without Secure, so browsers also send it over "
            "plain http, where others can read it.",
            (Evidence("SESSION_COOKIE_SECURE is off and the request came by https."),),
            "Set SESSION_COOKIE_SECURE = True in production.",
            "SESSION_COOKIE_SECURE",
        )


def debug_in_public(trace: Trace, known: Known) -> t.Iterator[Finding]:
    """Debug is on, and the server listens on more than this machine."""
    if known.facts is None or not known.facts.debug or known.facts.in_container:
        return
    address = _bound(trace)
    if address is not None and not address.is_loopback:
        yield Finding(
            f"Debug is on and the server listens on {address}: whoever reaches this machine can "
            "reach the interactive debugger, which runs any code.",
            (Evidence(f"The server listens on {address}, and app.debug is True."),),
            "Listen on 127.0.0.1 while debug is on: flask run --host 127.0.0.1",
            f"debug {address}",
        )


def _bound(trace: Trace) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that the server listens on, where it told one."""
    environ = trace.environ
    if "SERVER_SOFTWARE" not in environ or "werkzeug.proxy_fix.orig" in environ:
        return None
    try:
        return ipaddress.ip_address(str(environ.get("SERVER_NAME")).strip("[]"))
    except ValueError:
        return None


def testing_in_production(trace: Trace, known: Known) -> t.Iterator[Finding]:
    """TESTING or PROPAGATE_EXCEPTIONS is on behind a server made for production."""
    if known.facts is None or known.facts.debug:
        return
    software = trace.environ.get("SERVER_SOFTWARE")
    if type(software) is not str or not software.lower().startswith(SERVERS):
        return
    on = [
        name
        for name, value in (
            ("TESTING", known.facts.testing),
            ("PROPAGATE_EXCEPTIONS", known.facts.propagate),
        )
        if value
    ]
    if on:
        yield Finding(
            f"{listed(on)} {'is' if len(on) == 1 else 'are'} on under {software}: an error reaches "
            "the server instead of the app's error handlers, and the session is not saved.",
            (Evidence(f"The server is {software}."),),
            f"Remove {listed(on)} from the configuration that runs in production.",
            " ".join(on),
        )


RULES: t.Final = (
    Rule(
        "secret-weak",
        "warning",
        "set-up",
        "The secret key can be guessed",
        "SECRET_KEY, or one of its fallbacks, is a known default or shorter than 32 bytes.",
        MAKE_KEY,
        weak_key,
        when="app",
    ),
    Rule(
        "secret-random",
        "warning",
        "set-up",
        "The secret key is new at each start",
        "SECRET_KEY is set to os.urandom(...) or the like. Only a line in the app's own module "
        "that must run is told; elsewhere it is unknown.",
        MAKE_KEY,
        random_key,
        when="app",
    ),
    Rule(
        "secret-fallbacks-string",
        "error",
        "set-up",
        "SECRET_KEY_FALLBACKS is a string",
        "Flask takes each item for a key, and the items of a string are its characters.",
        "Write a list: SECRET_KEY_FALLBACKS = [old_key]",
        fallbacks_text,
        when="app",
    ),
    Rule(
        "proxy-fix-missing",
        "warning",
        "set-up",
        "The app does not know that it is behind an https proxy",
        "X-Forwarded-Proto says https, the request says http, and ProxyFix was not there.",
        "Wrap app.wsgi_app in ProxyFix with the number of proxies in front.",
        proxy_fix_missing,
        timed=True,
    ),
    Rule(
        "cookie-not-secure",
        "warning",
        "set-up",
        "A session cookie without Secure over https",
        "SESSION_COOKIE_SECURE is off and a session was saved in a request by https.",
        "Set SESSION_COOKIE_SECURE = True in production.",
        cookie_not_secure,
        timed=True,
        needs="response",
    ),
    Rule(
        "debug-public",
        "warning",
        "set-up",
        "Debug is on where others can reach it",
        "app.debug is True and the server listens on an address that is not loopback; not told "
        "inside a container.",
        "Listen on 127.0.0.1 while debug is on.",
        debug_in_public,
        timed=True,
    ),
    Rule(
        "testing-in-production",
        "warning",
        "set-up",
        "TESTING is on in production",
        "TESTING or PROPAGATE_EXCEPTIONS is on under a server that is made for production.",
        "Remove it from the configuration that runs in production.",
        testing_in_production,
        timed=True,
    ),
)
