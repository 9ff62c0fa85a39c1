"""How a session becomes a cookie's text: keys, salt, JSON; as Flask does it, and faster."""

from __future__ import annotations

import time
import typing as t
from functools import cached_property

from flask.sessions import SecureCookieSessionInterface, SessionInterface
from itsdangerous import URLSafeTimedSerializer

from . import codec, tags
from .mapping import CtxSession
from .setup import Cache, derive, fallbacks_of, remember

if t.TYPE_CHECKING:
    from flask import Flask
    from flask.sessions import SessionMixin

    from .codec import Keyring
    from .encryption import Encryption

_HAS_PARTITIONED: t.Final = hasattr(SessionInterface, "get_cookie_partitioned")  # since 3.1


class SigningInterface(SecureCookieSessionInterface):
    """The part of the interface that signs.

    What a subclass replaces (the signing serializer, tags, salt, digest) is noticed, and
    Flask's own way taken where the codec can't follow.
    """

    encryption: Encryption | None = None
    """Encrypts the cookies; None where they are signed only, as Flask's."""

    # Not made in __init__: a subclass of an interface that has none won't call it.
    @cached_property
    def _cache(self) -> Cache:
        return Cache()

    def get_signing_serializer(self, app: Flask) -> URLSafeTimedSerializer | None:
        """Flask's serializer for *app*, or None without a secret key.

        The current key signs and is tried first, then the fallbacks from last to first, on
        every Flask line.
        """
        if not app.secret_key:
            return None
        keys: list[t.Any] = [*fallbacks_of(app), app.secret_key]
        return URLSafeTimedSerializer(
            keys,
            salt=self.salt,
            serializer=self.serializer,
            signer_kwargs={
                "key_derivation": self.key_derivation,
                "digest_method": self.digest_method,
            },
        )

    def keyring(self, app: Flask) -> Keyring | None:
        """The keys of *app* for the codec; None where Flask's serializer has to be used.

        That is so for other tags, another serializer, and keys or digests of an odd kind.
        """
        secret = app.secret_key
        if not secret or not self._signs_like_flask():
            return None
        return self._ring(app) if self._cache.has_own_tags(self.serializer) else None

    def outer_keyring(self, app: Flask) -> Keyring | None:
        """The keys for the outside of a cookie, its time and signature: also where only
        Flask's serializer reads what is inside.
        """
        return self._ring(app) if app.secret_key and self._signs_like_flask() else None

    def _ring(self, app: Flask) -> Keyring | None:
        return self._ring_of((
            app.secret_key, fallbacks_of(app), self.salt, self.digest_method, self.key_derivation,
        ))  # fmt: skip

    def _ring_of(
        self, config: tuple[t.Any, tuple[t.Any, ...], t.Any, t.Any, str]
    ) -> Keyring | None:
        cache = self._cache
        try:
            found = cache.keyrings.get(config)
        except TypeError:  # something unhashable
            return None
        if found is None:
            found = derive(*config)
            if found is not None:
                remember(cache.keyrings, config, found)
        return found

    def _signs_like_flask(self) -> bool:
        return (
            type(self).get_signing_serializer is SigningInterface.get_signing_serializer
            and "get_signing_serializer" not in self.__dict__
        )

    def cookie_attributes(self, app: Flask) -> dict[str, t.Any]:
        """The attributes of the session cookie but for ``Expires``, as ``set_cookie`` takes
        them.
        """
        attributes: dict[str, t.Any] = {
            "domain": self.get_cookie_domain(app),
            "path": self.get_cookie_path(app),
            "secure": self.get_cookie_secure(app),
            "samesite": self.get_cookie_samesite(app),
            "httponly": self.get_cookie_httponly(app),
        }
        if _HAS_PARTITIONED:
            attributes["partitioned"] = self.get_cookie_partitioned(app)
        return attributes

    def dumps(self, app: Flask, session: SessionMixin) -> str:
        """The cookie's text for *session*, signed now with the current key of *app*.

        :raises TypeError: for a value that JSON can't hold.
        """
        if self.encryption is not None:
            return self._encrypted(app, self.encryption, self._json(session), None)
        keys = self.keyring(app)
        encode = None if keys is None else self._cache.current_encode()
        if keys is None or encode is None:
            serializer = self.get_signing_serializer(app)
            assert serializer is not None, "a session is saved only with a secret key"
            return serializer.dumps(dict(session))
        text = encode(tags.tag(dict(session), self.serializer.tag))
        received = session.received if isinstance(session, CtxSession) else None
        same = received is not None and received[0] == text
        payload = received[1] if received is not None and same else codec.pack(text)
        return codec.seal(payload, keys, now=int(time.time()))

    def signed_anew(self, app: Flask, session: CtxSession, now: int | None = None) -> str:
        """The cookie that *session* came with, signed with the current key of *app*.

        What changed in the session since is not in it.

        :param now: the time to sign it with, in seconds since 1970; the present one if None.
        """
        received, opening = session.received, session.opening
        if self.encryption is not None:
            text = self._json(session) if received is None else received[0]
            return self._encrypted(app, self.encryption, text, now)
        keys, payload = self.outer_keyring(app), b"" if opening is None else opening.payload
        if keys is not None and payload:
            return codec.seal(payload, keys, now=int(time.time()) if now is None else now)
        return self.dumps(app, session if session.reread is None else CtxSession(session.reread()))

    def _json(self, session: SessionMixin) -> str:
        own = self._cache.has_own_tags(self.serializer)
        encode = self._cache.current_encode() if own else None
        if encode is not None:
            return encode(tags.tag(dict(session), self.serializer.tag))
        text: str | bytes = self.serializer.dumps(dict(session))
        return text.decode() if isinstance(text, bytes) else text

    def _encrypted(self, app: Flask, encryption: Encryption, text: str, now: int | None) -> str:
        ciphers = encryption.ciphers(app, self.salt)
        return encryption.encrypt(text, self.get_cookie_name(app), ciphers, now)
