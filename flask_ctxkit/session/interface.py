"""``open_session`` and ``save_session`` like Flask's: faster, lazy, and able to say why."""

from __future__ import annotations

import time
import typing as t
from functools import cached_property

from flask.json.provider import DefaultJSONProvider
from flask.json.tag import TaggedJSONSerializer
from flask.sessions import SecureCookieSessionInterface, SessionInterface
from itsdangerous import BadPayload, BadSignature, URLSafeTimedSerializer
from werkzeug.wrappers import Request as WerkzeugRequest

from flask_ctxkit.internals import ACCESS_IS_TOLD, current_app_context, opens_for

from . import codec, tags
from .codec import Keyring
from .cookie import SentCookie
from .mapping import SESSION_CLASS, CtxSession, PendingSession, load, pend

if t.TYPE_CHECKING:
    from flask import Flask, Request, Response
    from flask.sessions import SecureCookieSession, SessionMixin

MAX_CACHED: t.Final = 16
"""How many key configurations, JSON settings and request classes one interface remembers."""
_HAS_PARTITIONED: t.Final = hasattr(SessionInterface, "get_cookie_partitioned")  # since 3.1


class Cache:
    """What one interface worked out before, by the configuration that it follows from.

    Lifetime: the interface's. Nothing in it goes stale: another configuration is another key.
    """

    def __init__(self) -> None:
        self.keyrings: dict[t.Any, Keyring] = {}
        self.encoders: dict[t.Any, tags.Encode] = {}
        self.requests: dict[type, bool] = {}
        self.order: list[t.Any] = []
        self.tags: dict[str, t.Any] = {}

    def has_own_tags(self, serializer: TaggedJSONSerializer) -> bool:
        """Whether *serializer* has exactly the tags that Flask gave it."""
        if type(serializer) is not TaggedJSONSerializer:
            return False
        if serializer.order == self.order and serializer.tags == self.tags:
            return True
        fresh = TaggedJSONSerializer()
        if [*map(type, serializer.order)] != [*map(type, fresh.order)]:
            return False
        if {k: type(v) for k, v in serializer.tags.items()} != {
            k: type(v) for k, v in fresh.tags.items()
        }:
            return False
        self.order, self.tags = [*serializer.order], {**serializer.tags}
        return True

    def reads_environ(self, cls: type[Request]) -> bool:
        """Whether a request of *cls* takes its cookies from the environ, as Werkzeug does."""
        known = self.requests.get(cls)
        if known is None:
            known = cls.cookies is WerkzeugRequest.cookies
            remember(self.requests, cls, known)
        return known

    def encode(self, provider: DefaultJSONProvider) -> tags.Encode:
        """The encoder for the present settings of *provider*."""
        settings = (provider.default, provider.ensure_ascii, provider.sort_keys)
        encode = self.encoders.get(settings)
        if encode is None:
            encode = tags.make_encode(
                provider.default,
                ensure_ascii=provider.ensure_ascii,
                sort_keys=provider.sort_keys,
            )
            remember(self.encoders, settings, encode)
        return encode


def remember(cache: dict[t.Any, t.Any], key: t.Any, value: t.Any) -> None:
    """Put *value* into a *cache* that starts anew when it is full."""
    if len(cache) >= MAX_CACHED:
        cache.clear()
    cache[key] = value


class CtxSessionInterface(SecureCookieSessionInterface):
    """Flask's signed cookie session: the same cookies in and out, read only when touched.

    A subclass may override what a subclass of Flask's may; where it changes how a cookie is
    made or read, the slower way of Flask is taken.
    """

    session_class: type[SecureCookieSession] = SESSION_CLASS
    strict = False
    """Whether a cookie that carries a valid signature but can't be read is an error, as it
    is in Flask: each request of that visitor is answered 500. Else the session is empty."""
    leeway = 0
    """Seconds that another host's clock may be ahead of this one."""

    @cached_property
    def _cache(self) -> Cache:
        # Not in __init__: a subclass of an interface that has none won't call it.
        return Cache()

    # ------------------------------------------------------------------ configuration

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
        cache = self._cache
        if not cache.has_own_tags(self.serializer):
            return None
        config = (
            secret, fallbacks_of(app), self.salt, self.digest_method, self.key_derivation,
        )  # fmt: skip
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
        made_by = getattr(self.get_signing_serializer, "__func__", None)
        return made_by is CtxSessionInterface.get_signing_serializer

    def _encode(self) -> tags.Encode | None:
        # Flask encodes with the provider of the current app, and without one unsorted.
        ctx = current_app_context(None)
        provider = None if ctx is None else ctx.app.json
        if not isinstance(provider, DefaultJSONProvider):
            return None
        if type(provider).dumps is not DefaultJSONProvider.dumps or "dumps" in vars(provider):
            return None
        return self._cache.encode(provider)

    # ------------------------------------------------------------------------- opening

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """The session of *request*: None without a secret key, empty without a cookie or
        with one that is refused.

        :raises BadPayload: in strict mode, when a signed cookie can't be read.
        """
        if not self._signs_like_flask():
            return self._open_plain(app, request)
        if not app.secret_key:
            return None
        name = self.get_cookie_name(app)
        header: str | None = None
        if self._cache.reads_environ(type(request)) and "cookies" not in request.__dict__:
            header = request.environ.get("HTTP_COOKIE", "")
            if name not in header:
                return self.session_class()
        keys = self.keyring(app)
        if keys is None or not reads_plain_json():
            return self._open_plain(app, request)
        cookie = SentCookie(
            request,
            header,
            name,
            keys,
            int(time.time()),
            int(app.permanent_session_lifetime.total_seconds()),
            self.leeway,
            self.strict,
        )
        return self._open(cookie, request)

    def _open(self, cookie: SentCookie, request: Request) -> SecureCookieSession:
        cls = self.session_class
        if cls is CtxSession and not self.strict and ACCESS_IS_TOLD and opens_for(request):
            return pend(cookie)
        values, attributes = cookie()
        session = cls(values)
        if attributes and isinstance(session, CtxSession):
            session.__dict__.update(attributes)
        return session

    def _open_plain(self, app: Flask, request: Request) -> SecureCookieSession | None:
        serializer = self.get_signing_serializer(app)
        if serializer is None:
            return None
        text = request.cookies.get(self.get_cookie_name(app))
        if not text:
            return self.session_class()
        try:
            return self.session_class(
                serializer.loads(text, max_age=int(app.permanent_session_lifetime.total_seconds()))
            )
        except BadSignature:
            return self.session_class()
        except BadPayload:
            if self.strict:
                raise
            return self.session_class()

    # -------------------------------------------------------------------------- saving

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Write *session* into *response* if that is called for."""
        if isinstance(session, CtxSession) and not session.modified and not session.accessed:
            if type(session) is PendingSession:
                if not self._may_refresh(app, session):
                    return
            elif not dict.__len__(session):
                return
        if type(session) is PendingSession:
            load(session)
        if session.accessed:
            response.vary.add("Cookie")
        if is_empty(session):
            if session.modified:
                self._delete(app, response)
            return
        if self.should_set_cookie(app, session):
            self._set(app, session, response)

    def _may_refresh(self, app: Flask, session: PendingSession) -> bool:
        decided_by = getattr(self.should_set_cookie, "__func__", None)
        if decided_by is not SessionInterface.should_set_cookie:
            return True
        return app.config["SESSION_REFRESH_EACH_REQUEST"] and session.source.may_be_permanent()

    def _delete(self, app: Flask, response: Response) -> None:
        response.delete_cookie(self.get_cookie_name(app), **self._attributes(app))
        response.vary.add("Cookie")

    def _set(self, app: Flask, session: SessionMixin, response: Response) -> None:
        expires = self.get_expiration_time(app, session)
        response.set_cookie(
            self.get_cookie_name(app),
            self.dumps(app, session),
            expires=expires,
            **self._attributes(app),
        )
        response.vary.add("Cookie")

    def _attributes(self, app: Flask) -> dict[str, t.Any]:
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
        keys = self.keyring(app)
        encode = None if keys is None else self._encode()
        if keys is None or encode is None:
            serializer = self.get_signing_serializer(app)
            assert serializer is not None, "a session is saved only with a secret key"
            return serializer.dumps(dict(session))
        text = encode(tags.tag(dict(session), self.serializer.tag))
        received = session.received if isinstance(session, CtxSession) else None
        same = received is not None and received[0] == text
        payload = received[1] if received is not None and same else codec.pack(text)
        return codec.seal(payload, keys, now=int(time.time()))


def fallbacks_of(app: Flask) -> tuple[str | bytes, ...]:
    """The old keys of *app*, oldest first; also on Flask 3.0, which has none of its own.

    A single string would be read as one key per character, and "o" then forges cookies: it
    counts as none.
    """
    keys = app.config.get("SECRET_KEY_FALLBACKS")
    return () if not keys or isinstance(keys, (str, bytes)) else tuple(keys)


def derive(
    secret: t.Any,
    fallbacks: tuple[t.Any, ...],
    salt: t.Any,
    digest: codec.Digest,
    derivation: str,
) -> Keyring | None:
    """The keyring of a configuration, or None where only Flask's serializer can tell."""
    try:
        return Keyring.derive(secret, fallbacks, salt=salt, digest=digest, derivation=derivation)
    except (AttributeError, TypeError, ValueError):
        # An odd digest, derivation or key. Flask's serializer raises the error that it has.
        return None


def reads_plain_json() -> bool:
    """Whether the current app decodes JSON as the standard library does."""
    ctx = current_app_context(None)
    if ctx is None:
        return True
    provider = ctx.app.json
    return (
        isinstance(provider, DefaultJSONProvider)
        and type(provider).loads is DefaultJSONProvider.loads
        and "loads" not in vars(provider)
    )


def is_empty(session: SessionMixin) -> bool:
    """Whether *session* holds nothing, without touching it."""
    return not (dict.__len__(session) if isinstance(session, CtxSession) else session)
