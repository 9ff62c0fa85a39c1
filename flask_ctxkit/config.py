"""Every ``CTXKIT_`` key: its default, type, unit and one line of help."""

from __future__ import annotations

import difflib
import ipaddress
import re
import typing as t
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone

from .errors import ConfigError

PREFIX = "CTXKIT_"
TOKEN_CHARACTERS = 32
"""The least length of a token, in characters (128 bits even as hexadecimal)."""

LONGEST = 400 * 86_400
"""The most seconds that a session may be allowed: what browsers keep a cookie (RFC 6265bis)."""
TOLD = 12
"""The most characters of a wrong value that are told."""

Check = t.Callable[[str, t.Any], t.Any]


def _refuse(key: str, value: object, wanted: str) -> t.NoReturn:
    raise ConfigError(f"{key} is {_described(value)}. Set it to {wanted}.", key=key, wanted=wanted)


def _described(value: object) -> str:
    # A wrong value may be a secret in the wrong place, so only its type is told
    # unless it is too short to be one.
    shown = repr(value) if type(value) in {str, int, float, bool, type(None)} else ""
    return shown if 0 < len(shown) <= TOLD else f"a {type(value).__name__}"


def boolean(key: str, value: t.Any) -> bool:
    if type(value) is not bool:
        _refuse(key, value, "True or False")
    return value


def auto_boolean(key: str, value: t.Any) -> bool | t.Literal["auto"]:
    if value == "auto" and type(value) is str:
        return "auto"
    if type(value) is not bool:
        _refuse(key, value, '"auto", True or False')
    return value


def number(low: float, high: float) -> Check:
    def check(key: str, value: t.Any) -> float:
        if type(value) not in {int, float} or not low <= value <= high:
            _refuse(key, value, f"a number from {low:g} to {high:g}")
        return float(value)

    return check


def integer(low: int, high: int) -> Check:
    def check(key: str, value: t.Any) -> int:
        if type(value) is not int or not low <= value <= high:
            _refuse(key, value, f"a whole number from {low:,} to {high:,}")
        return int(value)

    return check


def one_of(*known: str) -> Check:
    def check(key: str, value: t.Any) -> str:
        if type(value) is not str or value not in known:
            _refuse(key, value, " or ".join(f'"{word}"' for word in known))
        return str(value)

    return check


def seconds_or_none(key: str, value: t.Any) -> int | None:
    if value is None:
        return None
    if type(value) is timedelta:
        value = value.total_seconds()
    if type(value) not in {int, float} or not 1 <= value <= LONGEST or value != int(value):
        _refuse(key, value, f"None, or whole seconds from 1 to {LONGEST:,}")
    return int(value)


def words(key: str, value: t.Any) -> tuple[str, ...]:
    # A single string would be read as one word per character.
    if isinstance(value, (str, bytes)) or not isinstance(value, (list, tuple, set, frozenset)):
        _refuse(key, value, "a list of strings")
    if not all(type(word) is str and word for word in value):
        _refuse(key, value, "a list of non-empty strings")
    return tuple(value)


def url_prefix(key: str, value: t.Any) -> str:
    if type(value) is not str or not value.startswith("/") or len(value) < 2:  # noqa: PLR2004
        _refuse(key, value, 'a path that begins with "/", like "/_ctx"')
    if value.endswith("/") or "//" in value or any(c in value for c in "?#<> \t\r\n"):
        _refuse(key, value, 'a path without a slash at its end, like "/_ctx"')
    return str(value)


def token(key: str, value: t.Any) -> str | None:
    if value is None:
        return None
    if type(value) is not str or len(value) < TOKEN_CHARACTERS:
        raise ConfigError(
            f"{key} must have {TOKEN_CHARACTERS} or more characters. Make one with: "
            'python -c "import secrets; print(secrets.token_urlsafe(32))"',
            key=key,
        )
    return value


def values(key: str, value: t.Any) -> bool | str:
    if type(value) is bool or (type(value) is str and value == "auto"):
        return value
    if type(value) is not str:
        _refuse(key, value, '"auto", True, False, or a second token')
    return t.cast("str", token(key, value))


_HOST_NAME: t.Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,252}", re.IGNORECASE)


def hosts(key: str, value: t.Any) -> tuple[str, ...]:
    checked = words(key, value)
    for host in checked:
        # What the guard never finds in a Host header would be silently of no effect.
        if not (_HOST_NAME.fullmatch(host) or _is_address(host)):
            right = 'a list of whole host names without scheme or port, like ["dev.local"]'
            _refuse(key, value, right)
    return tuple(host.lower() for host in checked)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def store(key: str, value: t.Any) -> str:
    if value != "memory://":
        _refuse(key, value, '"memory://", the store that this release has')
    return str(value)


def revocations(key: str, value: t.Any) -> str | None:
    if value is None:
        return None
    schemes = ("redis://", "rediss://", "unix://")
    known = type(value) is str and (
        value == "memory://"
        or (value.startswith("sqlite:///") and value != "sqlite:///")
        or value.startswith(schemes)
    )
    if not known:
        wanted = 'None, "memory://", "sqlite:///FILE" or "redis://HOST"'
        # An address may hold a password, so not even a short one is told.
        kind = type(value).__name__
        raise ConfigError(
            f"{key} is a {kind} that names no store. Set it to {wanted}.", key=key, wanted=wanted
        )
    return str(value)


def end_of_day(key: str, value: t.Any) -> int | None:
    if value is None:
        return None
    try:
        day = date.fromisoformat(value) if type(value) is str else value
    except ValueError:
        day = None
    if type(day) is not date:
        _refuse(key, value, 'None, or a day like "2026-12-31"')
    end = datetime(day.year, day.month, day.day, tzinfo=timezone.utc) + timedelta(days=1)
    return int(end.timestamp())


def some_words(key: str, value: t.Any) -> tuple[str, ...]:
    checked = (value,) if type(value) is str and value else words(key, value)
    if not checked:
        _refuse(key, value, "a name, or a list of names")
    return checked


@dataclass(frozen=True, slots=True)
class Option:
    """One key: its name after ``CTXKIT_``, default, check, unit and help."""

    name: str
    default: t.Any
    check: Check
    kind: str
    unit: str
    help: str

    @property
    def key(self) -> str:
        return PREFIX + self.name


OPTIONS: t.Final = (
    Option("PAGES", "auto", auto_boolean, '"auto", bool', "",
           "Answer under the prefix. auto: only while app.debug. True: also outside debug, "
           "and then CTXKIT_TOKEN is required."),
    Option("TRACE", "auto", auto_boolean, '"auto", bool', "",
           "Record each context. auto: only while app.debug."),
    Option("TRACE_RATE", 1.0, number(0, 1), "float", "share from 0 to 1",
           "The share of requests that is recorded."),
    Option("SESSION_INTERFACE", True, boolean, "bool", "",
           "Replace the session interface where the app still has Flask's own."),
    Option("SESSION_NESTED", "tell", one_of("tell", "save", "off"), '"tell", "save" or "off"', "",
           "A change inside a value of the session, which Flask doesn't notice. tell: name the "
           "key as a finding. save: save it."),
    Option("SESSION_SIZE", "warn", one_of("warn", "error", "split"),
           '"warn", "error" or "split"', "",
           "A session cookie of more than 4093 bytes. warn: send it, as Flask does, though "
           "browsers drop it. error: raise SessionTooLargeError, which names the largest keys. "
           "split: send numbered cookies that rejoin."),
    Option("SESSION_PARTS", 2, integer(2, 10), "int", "cookies",
           "The most cookies that a session is split into; more is an error. nginx and gunicorn "
           "refuse a request whose Cookie header is over 8 KiB, uWSGI one of 4 KiB."),
    Option("SESSION_IDLE", None, seconds_or_none, "int, timedelta or None", "seconds",
           "A session ends when its cookie was not signed for so long. A visitor's requests sign "
           "it anew, as CTXKIT_SESSION_REISSUE says."),
    Option("SESSION_ABSOLUTE", None, seconds_or_none, "int, timedelta or None", "seconds",
           "A session ends so long after it began, whatever the visitor does. "
           "regenerate_session() begins it anew."),
    Option("SESSION_REISSUE", None, seconds_or_none, "int, timedelta or None", "seconds",
           "Sign the cookie of an unchanged session anew when it is older, and not before: a "
           "permanent session is then not sent with every response. Never on HEAD, OPTIONS, "
           "static files and 5xx. None: a tenth of CTXKIT_SESSION_IDLE; without that, as Flask."),
    Option("SESSION_LEEWAY", 0, integer(0, 60), "int", "seconds",
           "How far the clock of another host that signs sessions may be ahead."),
    Option("SESSION_ENCRYPT", False, boolean, "bool", "",
           "Encrypt the session cookie (AES-256-GCM), so that the visitor can't read it. It is "
           "not compressed then. Needs flask-ctxkit with the extra crypto."),
    Option("SESSION_ENCRYPT_READ_SIGNED_UNTIL", None, end_of_day, "str, date or None", "day, UTC",
           "Take cookies that are only signed to the end of this day, so that nobody is logged "
           "out as encryption begins. None: refuse them."),
    Option("SESSION_RESIGN", None, seconds_or_none, "int, timedelta or None", "seconds",
           "Sign a session that an old key signed anew with the current key when it is read and "
           "so old; it gets no younger. A younger one may come from a worker that lacks the new "
           "key. None: when the session is next written, as Flask."),
    Option("SESSION_REVOCATIONS", None, revocations, "str or None", "URL",
           "Where it is kept whose sessions are revoked: memory:// (one process), "
           "sqlite:///FILE (one host; a relative FILE is in the instance folder) or redis://. "
           "None: sessions can't be revoked."),
    Option("SESSION_REVOCATIONS_DOWN", "open", one_of("open", "closed"), '"open" or "closed"', "",
           "While that store can't be read: open takes sessions unchecked, closed refuses those "
           "that name a user. Either is told."),
    Option("SESSION_USER_KEY", ("user_id", "_user_id"), some_words, "str or list of str", "names",
           "The names under which a session says whose it is; _user_id is Flask-Login's."),
    Option("URL_PREFIX", "/_ctx", url_prefix, "str", "path",
           "Where the pages are."),
    Option("TOKEN", None, token, "str or None", "32 or more characters",
           "Who presents it may look, from anywhere, at a trusted host name."),
    Option("PAGE_HOSTS", (), hosts, "list of str", "host names",
           "Host names trusted beside localhost and the loopback addresses."),
    Option("VALUES", "auto", values, '"auto", bool or str', "",
           "Who may see values and not only names, types and sizes. auto: loopback while "
           "app.debug. A string is a second token that shows them."),
    Option("REDACT", (), words, "list of str", "words",
           "Words that make a name secret, beside the built-in ones."),
    Option("REDACT_ALLOW", (), words, "list of str", "names",
           "Names that are shown although a word in them is secret."),
    Option("HEADERS", "auto", auto_boolean, '"auto", bool', "",
           "Send X-Ctxkit-Trace and Server-Timing to a viewer who may look. "
           "auto: only while app.debug."),
    Option("STORE", "memory://", store, "str", "URL",
           "Where finished traces are kept."),
    Option("MAX_TRACES", 200, integer(1, 100_000), "int", "traces",
           "How many of the last finished traces are kept, beside the slow, the failed and the "
           "last few of each endpoint."),
    Option("MAX_EVENTS", 4000, integer(20, 1_000_000), "int", "events",
           "The most events of one trace; of a longer one the middle is dropped."),
    Option("SLOW_HOOK", 0.2, number(0, 3600), "float", "seconds",
           "A hook that takes longer is named as slow."),
    Option("STUCK_AFTER", 10.0, number(0.01, 86_400), "float", "seconds",
           "A context that lives longer is marked as stuck."),
)  # fmt: skip
_BY_KEY: t.Final = {option.key: option for option in OPTIONS}


@dataclass(frozen=True, slots=True)
class Config:
    """The checked configuration of one app: one attribute per key, in lower case."""

    pages: bool | t.Literal["auto"]
    trace: bool | t.Literal["auto"]
    trace_rate: float
    session_interface: bool
    session_nested: t.Literal["tell", "save", "off"]
    session_size: t.Literal["warn", "error", "split"]
    session_parts: int
    session_idle: int | None
    session_absolute: int | None
    session_reissue: int | None
    session_leeway: int
    session_encrypt: bool
    session_encrypt_read_signed_until: int | None
    session_resign: int | None
    session_revocations: str | None
    session_revocations_down: t.Literal["open", "closed"]
    session_user_key: tuple[str, ...]
    url_prefix: str
    token: str | None
    page_hosts: tuple[str, ...]
    values: bool | str
    redact: tuple[str, ...]
    redact_allow: tuple[str, ...]
    headers: bool | t.Literal["auto"]
    store: str
    max_traces: int
    max_events: int
    slow_hook: float
    stuck_after: float

    @classmethod
    def from_mapping(cls, mapping: t.Mapping[str, t.Any]) -> Config:
        """Read and check every ``CTXKIT_`` key of an app's config.

        :raises ConfigError: for an unknown key (the nearest known one is named), a value
            of the wrong type or range, and pages outside debug without a token.
        """
        for key in mapping:
            if isinstance(key, str) and key.startswith(PREFIX) and key not in _BY_KEY:
                _refuse_unknown(key)
        config = cls(
            **{o.name.lower(): o.check(o.key, mapping.get(o.key, o.default)) for o in OPTIONS}
        )
        if config.pages is True and config.token is None:
            raise ConfigError(
                "CTXKIT_PAGES = True serves the pages outside debug too, which needs "
                'CTXKIT_TOKEN. Set a token, or CTXKIT_PAGES = "auto".',
                key="CTXKIT_TOKEN",
            )
        fallbacks = mapping.get("SECRET_KEY_FALLBACKS")
        if config.session_interface and fallbacks and isinstance(fallbacks, (str, bytes)):
            raise ConfigError(
                "SECRET_KEY_FALLBACKS is one text, and Flask takes each of its characters for a "
                "key, with which anybody could sign a session. Put the old keys into a list: "
                'SECRET_KEY_FALLBACKS = ["..."].',
                key="SECRET_KEY_FALLBACKS",
            )
        if config.session_encrypt_read_signed_until is not None and not config.session_encrypt:
            refuse_idle(
                "SESSION_ENCRYPT_READ_SIGNED_UNTIL", "sessions are not encrypted",
                "CTXKIT_SESSION_ENCRYPT = True",
            )  # fmt: skip
        if config.session_revocations_down != "open" and config.session_revocations is None:
            refuse_idle(
                "SESSION_REVOCATIONS_DOWN", "there is no store of revocations",
                "CTXKIT_SESSION_REVOCATIONS",
            )  # fmt: skip
        _check_order(config, "session_idle", "session_absolute")
        _check_order(config, "session_reissue", "session_idle")
        _check_order(config, "session_reissue", "session_absolute")
        return config


def refuse_idle(name: str, because: str, remedy: str) -> t.NoReturn:
    """Refuse the key *name*, which has no effect *because* of something else that is not set.

    :raises ConfigError: always.
    """
    key = f"{PREFIX}{name}"
    raise ConfigError(f"{key} has no effect, since {because}. Set {remedy}, or remove it.", key=key)


def _check_order(config: Config, shorter: str, longer: str) -> None:
    least, most = getattr(config, shorter), getattr(config, longer)
    if least is not None and most is not None and least >= most:
        one, other = f"{PREFIX}{shorter.upper()}", f"{PREFIX}{longer.upper()}"
        raise ConfigError(
            f"{one} is {least} seconds and {other} is {most}, so the first has no effect or ends "
            f"every session early. Set {one} to less than {other}.",
            key=one,
        )


def _refuse_unknown(key: str) -> t.NoReturn:
    near = difflib.get_close_matches(key, _BY_KEY, n=1, cutoff=0)
    raise ConfigError(
        f"{key} is not a key of flask_ctxkit. Did you mean {near[0]}? Else remove it.",
        key=key,
        nearest=near[0],
    )
