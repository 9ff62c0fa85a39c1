"""The session cookie that a user hands over: a value, a header, or what curl printed."""

from __future__ import annotations

import sys
import typing as t

import click
from werkzeug.http import parse_cookie

from ..errors import CtxKitError
from ..session.codec import ENCRYPTED
from ..session.split import count_of, is_part

LONGEST: t.Final = 256 * 1024
"""The most characters that are read from standard input."""
STDIN: t.Final = "-"
_PARTS: t.Final = 2
"""Dots in a cookie of Flask's."""


class CookieError(CtxKitError):
    """There is no cookie in what was given, or it isn't clear which one is meant."""

    code = "no-cookie"


def given_text(argument: str | None, what: str) -> str:
    """What was given as *argument*, or on standard input where that is "-" or a pipe.

    :raises click.UsageError: for nothing at all, where a user would wait for ever.
    :raises CookieError: for too much.
    """
    if argument is not None and argument != STDIN:
        return argument
    if argument is None and _is_terminal():
        raise click.UsageError(f"Give {what} as an argument, or on standard input with -")
    text = _read_stdin()
    if len(text) > LONGEST:
        raise CookieError(f"Standard input has more than {LONGEST:,} characters, so no cookie.")
    return text


def _is_terminal() -> bool:
    try:
        return sys.stdin is None or sys.stdin.isatty()
    except ValueError:  # closed
        return True


def _read_stdin() -> str:
    stream = getattr(sys.stdin, "buffer", None)
    try:
        if stream is None:  # a text stream in the place of the real one
            return sys.stdin.read(LONGEST + 1)
        return str(stream.read(LONGEST + 1).decode("utf-8", "replace"))
    except (OSError, ValueError) as error:
        raise CookieError(f"Standard input can't be read: {error}.") from error


def session_cookies(text: str, name: str | None) -> tuple[str | None, list[str]]:
    """The name of the session cookie in *text*, or None where it says none, and its values.

    A browser that has several cookies of one name sends all; the first one counts.

    :param name: how the cookie is called; None where only its looks can tell.
    :raises CookieError: where there is none, or several that could be it.
    """
    pairs = _pairs(text)
    if not pairs:
        bare = text.strip().strip('"')
        if not bare:
            raise CookieError("There is no cookie: what was given is empty.")
        return None, [bare]
    names = list(dict.fromkeys(found for found, _ in pairs))
    wanted = name if name in names else _only(pairs, names, name)
    return wanted, [value for found, value in pairs if found == wanted]


def all_cookies(text: str) -> dict[str, str]:
    """Every cookie in *text* by its name; the first of several of one name."""
    found: dict[str, str] = {}
    for name, value in _pairs(text):
        found.setdefault(name, value)
    return found


def _only(pairs: list[tuple[str, str]], names: list[str], name: str | None) -> str:
    # Asked for by name, another one is not it, unless it is all there is.
    likely = list(dict.fromkeys(name for name, value in pairs if _looks_right(value)))
    # A part that has the time and signature looks right as well.
    likely = [name for name in likely if not any(is_part(name, other) for other in likely)]
    found = names if len(names) == 1 else likely
    if len(found) == 1 and (name is None or len(names) == 1):
        return found[0]
    called = f" called {name!r}" if name is not None else " that is surely the session"
    shown = ", ".join(repr(n) for n in names[:10]) + (" …" if len(names) > 10 else "")  # noqa: PLR2004
    raise CookieError(f"There is no cookie{called}. There are: {shown}. Name one with --name.")


def _looks_right(value: str) -> bool:
    signed = value.lstrip(".").count(".") >= _PARTS
    return signed or value.startswith(ENCRYPTED) or count_of(value) > 1


def _pairs(text: str) -> list[tuple[str, str]]:
    """Names and values in headers, or in the value of one; none for a bare cookie."""
    lines = [line.strip().lstrip("<>").strip() for line in text.strip().splitlines()]
    found: list[tuple[str, str]] = []
    for line in lines:
        header, colon, value = line.partition(":")
        kind = header.strip().lower() if colon else ""
        if kind == "set-cookie":
            # What follows are attributes, not cookies.
            found += _parsed(value.partition(";")[0])
        elif kind == "cookie":
            found += _parsed(value)
    if not found and len(lines) == 1:
        found = _parsed(lines[0]) if "=" in lines[0].rstrip("=") else []
        found = [pair for pair in found if pair[0].lower() not in _ATTRIBUTES]
    return found


_ATTRIBUTES: t.Final = frozenset(
    {"path", "domain", "expires", "max-age", "samesite", "secure", "httponly", "partitioned"}
)
"""What stands behind the cookie in a Set-Cookie header, where its name was left out."""


def _parsed(header: str) -> list[tuple[str, str]]:
    # Werkzeug takes the bytes of a header, shown as latin-1.
    raw = header.strip().encode("utf-8", "replace").decode("latin-1")
    return [(str(k), str(v)) for k, v in parse_cookie(raw).items(multi=True)]
