"""What an app's sessions are set to, gathered from its config and its interface."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from flask_ctxkit.internals import FLASK_VERSION

from .interface import CtxSessionInterface
from .witness import reads_like_flask

if t.TYPE_CHECKING:
    from flask import Flask
    from flask.sessions import SessionInterface

Reader = t.Literal["ctxkit", "flask", "other"]
Severity = t.Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Problem:
    """A setting that is wrong, or that should be known: what it does, and what to write.

    ``setting`` is the config key it is about. A message never quotes a secret key.
    """

    code: str
    severity: Severity
    setting: str
    message: str
    fix: str

    def as_dict(self) -> dict[str, str]:
        """The problem as a JSON-safe dictionary."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that sessions depend on. Holds the secret keys: never show it.

    ``reader`` tells whose interface it is, and ``interface`` is it where it is the kit's;
    ``lifetime`` is as configured, a timedelta or seconds; ``rules`` are the app's URLs;
    ``flask`` is Flask's version.
    """

    secret_key: t.Any = None
    fallbacks: t.Any = None
    name: t.Any = "session"
    domain: t.Any = None
    path: t.Any = "/"
    secure: bool = False
    httponly: bool = True
    samesite: t.Any = None
    partitioned: bool = False
    root: t.Any = "/"
    server_name: t.Any = None
    lifetime: t.Any = 0
    remember_name: t.Any = None
    keys: tuple[str, ...] = ()
    known_keys: frozenset[str] = frozenset()
    rules: tuple[str, ...] = ()
    reader: Reader = "ctxkit"
    interface: CtxSessionInterface | None = None
    digest: str = "sha1"
    derivation: str = "hmac"
    serializer: str = ""
    flask: str = FLASK_VERSION
    debug: bool = False
    testing: bool = False

    def __repr__(self) -> str:
        # A traceback or a log must not show the keys.
        return f"<Settings of the cookie {self.name!r}>"

    @property
    def attributes(self) -> dict[str, t.Any]:
        """The cookie's attributes, as ``set_cookie`` takes them."""
        return {
            name: getattr(self, name)
            for name in ("domain", "path", "secure", "samesite", "httponly", "partitioned")
        }


def settings_of(app: Flask) -> Settings:
    """The settings of *app*. What its interface says of the cookie counts, else its config."""
    config, interface = app.config, app.session_interface
    return Settings(
        secret_key=app.secret_key,
        fallbacks=config.get("SECRET_KEY_FALLBACKS"),
        root=config.get("APPLICATION_ROOT"),
        server_name=config.get("SERVER_NAME"),
        lifetime=config.get("PERMANENT_SESSION_LIFETIME"),
        remember_name=config.get("REMEMBER_COOKIE_NAME"),
        keys=tuple(str(key) for key in config),
        known_keys=frozenset(map(str, app.default_config)),
        rules=tuple(rule.rule for rule in app.url_map.iter_rules()),
        reader=reader_of(interface),
        interface=interface if isinstance(interface, CtxSessionInterface) else None,
        debug=bool(app.debug),
        testing=bool(app.testing),
        **_cookie(app),
        **_signer(interface),
    )


def reader_of(interface: SessionInterface) -> Reader:
    """Whose way of reading a cookie *interface* has: the kit's, Flask's, or its own."""
    if isinstance(interface, CtxSessionInterface):
        return "ctxkit"
    return "flask" if reads_like_flask(interface) else "other"


def _cookie(app: Flask) -> dict[str, t.Any]:
    config = app.config
    configured = {
        "name": config.get("SESSION_COOKIE_NAME"),
        "domain": config.get("SESSION_COOKIE_DOMAIN"),
        "path": config.get("SESSION_COOKIE_PATH") or config.get("APPLICATION_ROOT"),
        "secure": config.get("SESSION_COOKIE_SECURE"),
        "httponly": config.get("SESSION_COOKIE_HTTPONLY"),
        "samesite": config.get("SESSION_COOKIE_SAMESITE"),
        "partitioned": config.get("SESSION_COOKIE_PARTITIONED"),
    }
    told = {name: _asked(app, name, value) for name, value in configured.items()}
    return {**told, **{k: bool(told[k]) for k in ("secure", "httponly", "partitioned")}}


def _asked(app: Flask, name: str, configured: t.Any) -> t.Any:
    ask = getattr(app.session_interface, f"get_cookie_{name}", None)
    try:
        return configured if ask is None else ask(app)
    except Exception:  # one of the user's that needs a request
        return configured


def _signer(interface: SessionInterface) -> dict[str, t.Any]:
    if reader_of(interface) == "other":
        return {}
    found: t.Any = interface
    serializer = found.serializer
    dumps = getattr(serializer, "dumps", None)
    try:
        digest = str(found.digest_method().name)
    except Exception:  # no digest of hashlib's; signing itself will say so
        digest = "unknown"
    return {
        "digest": digest,
        "derivation": str(found.key_derivation),
        "serializer": str(getattr(dumps, "__module__", type(serializer).__module__)),
    }
