"""One cookie, taken apart outside of any request: decoded, verified, or made."""

from __future__ import annotations

import time
import typing as t
from dataclasses import replace

from flask.testing import EnvironBuilder
from werkzeug.wrappers import Response

from .. import internals
from ..errors import CtxKitError
from ..session import split
from ..session.codec import ENCRYPTED
from ..session.delivery import BUDGET
from ..session.interface import CtxSessionInterface
from ..session.peek import Peeked, opened, peek
from ..session.settings import reader_of
from ..session.witness import witnessed
from .session_counts import keys
from .session_look import iso_or_none, look
from .steps import READ

if t.TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from _typeshed.wsgi import WSGIEnvironment
    from flask import Flask

    from .session_look import Capture

Row = dict[str, t.Any]

UNASKED: t.Final = (
    "A key of the app opens this cookie, but the app does not encrypt its sessions: "
    "CTXKIT_SESSION_ENCRYPT is off, or its interface has ways of its own."
)
AUTHENTIC: t.Final = frozenset({"expired", "future", "undecodable", "revoked", "not-encrypted"})
"""Refused although the signature is right."""


class SigningError(CtxKitError):
    """The session that was given can't be signed by this app."""


def decoded(
    name: str | None, values: Sequence[str], cookies: Mapping[str, str] | None = None
) -> Row:
    """What the first of *values* claims, with no key: anybody may have written it.

    :param cookies: what came beside it, by name; the rest of a session in several cookies is
        among them.
    """
    whole, missing = split.join(values[0], name or "", cookies or {})
    found = peek(whole)
    if missing is not None:
        named = f"{name or 'its name'}.{missing}"
        found = replace(found, problem=f"{named}, a part of it, is not here: give the whole header")
    return {
        "cookie": name,
        "came": len(values),
        "verified": False,
        "authentic": False,
        "parts": found.parts,
        "split": split.count_of(values[0]),
        **_content(found),
    }


def _content(found: Peeked) -> Row:
    signed_at = found.signed_at
    return {
        "problem": found.problem,
        "length": found.length,
        "compressed": found.compressed,
        "encrypted": found.encrypted,
        "signed_at": iso_or_none(signed_at),
        "age_s": None if signed_at is None else int(time.time()) - signed_at,
        "signature_bytes": found.signature,
        "json_bytes": found.json_size,
        "tags": list(found.tags),
        "value": found.value,
    }


def verified(
    app: Flask,
    name: str,
    values: Sequence[str],
    capture: Capture,
    cookies: Mapping[str, str] | None = None,
) -> Row:
    """Whether *app* takes a cookie, by which key, or why not. ``authentic`` says whether the
    signature is right, also of one that is too old. An encrypted one is shown where a key of
    the app opens it.

    Several values are several cookies of one name, as a browser may send them. Where the
    app's interface has ways of its own, this is what Flask's would say with the app's keys.

    :param cookies: what came beside it, as for :func:`decoded`.
    """
    interface = app.session_interface
    foreign = reader_of(interface) == "other"
    reader = CtxSessionInterface() if foreign else interface
    environ = _environ(app)
    environ["HTTP_COOKIE"] = _header(name, values, cookies or {})
    seen = look(app, environ, capture, reader)
    opening: Row = next((v for v in seen["verdicts"] if v["step"] == "open"), {})
    evidence = opening.get("evidence", {})
    taken = opening.get("code") in READ
    content = _unsealed(app, name, split.join(values[0], name, cookies or {})[0])
    missing = _foreign(interface) if foreign else []
    if content is not None and opening.get("code") == "undecryptable":
        missing.append(UNASKED)
    return {
        **decoded(name, values, cookies),
        **({} if content is None else _content(content)),
        "verified": taken,
        "authentic": opening.get("code") in READ | AUTHENTIC or content is not None,
        "code": opening.get("code"),
        "message": opening.get("message") or seen["steps"][1]["message"],
        "fix": opening.get("fix", ""),
        "key": evidence.get("key"),
        "number": evidence.get("number"),
        "evidence": dict(evidence),
        "tried": [] if foreign else (keys(app, None) or []),
        "missing": missing,
    }


def _header(name: str, values: Sequence[str], cookies: Mapping[str, str]) -> str:
    parts = [split.part_name(name, number) for number in range(1, split.MOST)]
    pairs = [f"{name}={value}" for value in values]
    pairs += [f"{part}={cookies[part]}" for part in parts if part in cookies]
    return "; ".join(pairs).encode("utf-8", "replace").decode("latin-1")


def _unsealed(app: Flask, name: str, text: str) -> Peeked | None:
    """What is in an encrypted cookie; None for another one, or where no key of *app* opens it."""
    if not text.startswith(ENCRYPTED) or not app.secret_key:
        return None
    try:
        from ..session import encryption
    except ImportError:  # without the extra crypto
        return None
    interface = app.session_interface
    salt = getattr(interface, "salt", CtxSessionInterface.salt)
    how = getattr(interface, "encryption", None) or encryption.Encryption()
    raw = text.encode(errors="surrogatepass")
    try:
        found = encryption.decrypt(raw, name, how.ciphers(app, salt))
    except encryption.EncryptionError:  # a key that is no text
        return None
    if found is None:
        return None
    _, made_at, content = found
    return opened(replace(peek(text), signed_at=made_at), content)


def _foreign(interface: object) -> list[str]:
    name = f"{type(interface).__module__}.{type(interface).__qualname__}"
    told = (
        f"The app's session interface is {name}, which reads cookies in a way of its own. This "
        "is what Flask's would say with the app's keys."
    )
    return [told]


def _environ(app: Flask) -> WSGIEnvironment:
    builder = EnvironBuilder(app)
    try:
        return builder.get_environ()
    finally:
        builder.close()


def signed(app: Flask, text: str) -> Row:
    """A session cookie for the JSON object *text*, signed now with the current key of *app*.

    Flask's tags in it are read as what they stand for, so that what :func:`decoded` shows
    can be signed again.

    :raises SigningError: for text that is no JSON object, an app without a secret key, and
        one whose interface signs in a way of its own.
    """
    twin = witnessed(app.session_interface)
    if twin is None:
        named = f"{type(app.session_interface).__module__}.{type(app.session_interface).__name__}"
        raise SigningError(f"The app's session interface is {named}: its cookies hold no session.")
    if not app.secret_key:
        raise SigningError("The app has no secret key. Set SECRET_KEY.")
    # Where a request's contexts are placed, JSON is written as the app itself writes it.
    return t.cast(
        "Row", internals.run_placed(app, _environ(app), lambda: _sign(app, twin[0], text), twin[0])
    )


def _sign(app: Flask, interface: CtxSessionInterface, text: str) -> Row:
    serializer: t.Any = interface.serializer
    try:
        values = serializer.loads(text)
    except RecursionError as error:
        raise SigningError("What was given is too deep to be a session.") from error
    except Exception as error:  # the serializer may be the app's
        raise SigningError(f"What was given is not JSON: {error}.") from error
    if not isinstance(values, dict):
        raise SigningError('A session is a JSON object, like {"user_id": 7}.')
    session = interface.session_class(values)
    value = interface.dumps(app, session)
    name = interface.get_cookie_name(app)
    nowhere = Response()
    nowhere.max_cookie_size = 0  # its size is told below
    expires = interface.get_expiration_time(app, session)
    nowhere.set_cookie(name, value, expires=expires, **interface.cookie_attributes(app))
    ring = interface.outer_keyring(app)
    return {
        "cookie": name,
        "value": value,
        "key": None if ring is None else ring.current.fingerprint,
        "set_cookie_bytes": len(nowhere.headers["Set-Cookie"]),
        "budget": BUDGET,
    }
