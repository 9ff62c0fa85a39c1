"""The session cookie that one request brought, read when it is asked."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

from itsdangerous import BadPayload

from . import codec, tags
from .codec import MalformedPayloadError

if t.TYPE_CHECKING:
    from flask import Request

    from .codec import Keyring, Verified
    from .mapping import Attributes, Values
    from .model import Ruling
    from .revocation import Revoker
    from .timeouts import Timeouts


_NAME: t.Final = re.compile(r'[^ \t=";]+')
"""What Werkzeug takes for a cookie's name; any other one it never finds in a header."""

Told = t.Callable[["SentCookie", "MalformedPayloadError | None"], None]


class Terms(t.NamedTuple):
    """By what a cookie is judged: the same for each request, until something is configured anew."""

    name: str
    keys: Keyring
    max_age: int
    """In seconds."""
    leeway: int = 0
    """In seconds."""
    strict: bool = False
    revoker: Revoker | None = None
    """Refuses what is revoked; None where nothing can be."""
    timeouts: Timeouts | None = None


@dataclass(eq=False)
class SentCookie:
    """The session cookie of a request, with all that was known when the session was opened.

    Lifetime: from ``open_session`` until it is read, or the end of the request.
    """

    terms: Terms
    request: Request
    header: str | None
    """The ``Cookie`` header as it was then; None where only ``request.cookies`` may be read."""
    now: int
    """Seconds since 1970."""
    told: Told
    """Hears what the cookie said, once."""

    # No arguments: the class has these, so that no request pays for what most never ask.
    checked: Verified | None = field(default=None, init=False)
    """What :meth:`verify` found, once it was called."""
    length: int = field(default=0, init=False)
    """The characters of the cookie, once it was verified; of all its parts together."""
    heard: bool = field(default=False, init=False)
    ruling: Ruling | None = field(default=None, init=False)
    """What is to be said of it, although it is valid."""
    unpacked: str | None = field(default=None, init=False)
    """The JSON text in the payload, if that was looked into; whoever wrote it."""
    refusal: tuple[str, dict[str, t.Any]] | None = field(default=None, init=False)
    """Code and evidence for a cookie that verifies and is refused for what it says."""

    def text(self) -> str | None:
        """The cookie's value as ``request.cookies`` has it; the first of several."""
        # Also where the app has replaced request.cookies since: Flask's session is read by then.
        if self.header is not None:
            found = value_in(self.header, self.terms.name)
            if found is not None:
                return found
        return self.request.cookies.get(self.terms.name)

    def verify(self) -> Verified | None:
        """What the cookie's outside says, or None if there is none."""
        if self.checked is not None:
            return self.checked
        text = self.text()
        if not text:
            return None
        self.length = len(text)
        # A surrogate can't come over HTTP; from elsewhere it is one more bad signature.
        self.checked = self.verdict_on(text.encode(errors="surrogatepass"))
        return self.checked

    def verdict_on(self, raw: bytes) -> Verified:
        """What the outside of *raw* says, by the terms of this cookie."""
        terms = self.terms
        return codec.verify(
            raw, terms.keys, now=self.now, max_age=terms.max_age, leeway=terms.leeway
        )

    def _tell(self, error: MalformedPayloadError | None = None) -> None:
        if not self.heard:
            self.heard = True
            self.told(self, error)

    def __call__(self) -> tuple[Values, Attributes]:
        """Read it.

        :raises BadPayload: in strict mode, when it is signed but can't be read.
        """
        verified = self.verify()
        if verified is None:
            self._tell()
            return {}, {}
        if verified.code != "valid":
            self._tell()
            return {}, {"opening": verified}
        terms = self.terms
        try:
            text = self.unpacked or codec.unpack(verified.payload)
            values = self.values(text)
        except MalformedPayloadError as error:
            self._tell(error)
            if terms.strict:
                raise BadPayload(error.message, original_error=error) from error
            return {}, {"opening": verified._replace(code="malformed", payload=b"")}
        if terms.timeouts is not None and verified.signed_at is not None:
            self.refusal = terms.timeouts.ended(values, verified.signed_at, self.now)
            if self.refusal is not None:
                self._tell()
                return {}, {"opening": verified._replace(code="expired", payload=b"")}
        attributes: dict[str, t.Any] = {"opening": verified, "received": (text, verified.payload)}
        if terms.revoker is not None:
            attributes["users"] = users = terms.revoker.users(values)
            # None says nothing against what is to be said already.
            self.ruling = ruling = terms.revoker.admit(verified.signed_at, users) or self.ruling
            if ruling is not None and ruling.refused:
                self.refusal = (ruling.code, dict(ruling.evidence))
                self._tell()
                return {}, {"opening": verified._replace(code="revoked", payload=b"")}
        self._tell()
        return values, attributes

    def values(self, text: str) -> Values:
        """The values in the JSON *text*.

        :raises MalformedPayloadError: when it can't be read.
        """
        return values_in(text)

    def valid_age(self) -> int | None:
        """The seconds since it was signed, or None if it is refused for its outside."""
        verified = self.verify()
        return verified.age if verified is not None and verified.code == "valid" else None

    def may_be_permanent(self) -> bool:
        """False if the values, were they read, would not have ``_permanent`` set."""
        payload = (self.text() or "").rsplit(".", 2)[0].encode(errors="surrogatepass")
        if payload[:1] == b".":
            # Only what carries a signature is expanded.
            verified = self.verify()
            if verified is None or verified.code != "valid":
                return False
            payload = verified.payload
        try:
            text = self.unpacked = codec.unpack(payload)
        except MalformedPayloadError:
            return False
        named = text.count('"_permanent"')
        return named > text.count('"_permanent":false') or "\\u00" in text


def values_in(text: str) -> Values:
    """The values in the JSON *text* of a verified payload.

    :raises MalformedPayloadError: when it is no JSON, or of something else than a dict.
    """
    try:
        values = tags.decode(text)
    except Exception as error:
        raise codec.malformed("json", error) from error
    if type(values) is dict:
        return values
    try:
        return dict(() if values is None else values)
    except (TypeError, ValueError) as error:
        raise codec.malformed("type", error) from error


def value_in(header: str, name: str) -> str | None:
    """The first value of cookie *name* in a ``Cookie`` header, where that is plain to see.

    None says nothing: the header has to be parsed then.
    """
    if not name.isidentifier() and _NAME.fullmatch(name) is None:
        return None
    start = header.find(name)
    end = start + len(name)
    if not header.startswith("=", end) or (start and header[start - 2 : start] != "; "):
        return None
    stop = header.find(";", end)
    value = header[end + 1 :] if stop < 0 else header[end + 1 : stop]
    return None if " " in value or "\t" in value or '"' in header else value
