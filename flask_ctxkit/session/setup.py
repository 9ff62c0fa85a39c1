"""What an interface has to know of its app: the keys, how it writes JSON, which tags it has."""

from __future__ import annotations

import typing as t

from flask.json.provider import DefaultJSONProvider
from flask.json.tag import TaggedJSONSerializer
from werkzeug.wrappers import Request as WerkzeugRequest

from flask_ctxkit.internals import current_app_context

from . import codec, tags
from .codec import Keyring

if t.TYPE_CHECKING:
    from flask import Flask, Request

    from .cookie import Terms

MAX_CACHED: t.Final = 16
"""How many key configurations, JSON settings and request classes one interface remembers."""


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
        self.terms: tuple[t.Any, Terms | None] = (None, None)
        """The last configuration that cookies were judged by, and what follows from it. One
        tuple, so that no thread sees the one without the other."""

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

    def current_encode(self) -> tags.Encode | None:
        """The encoder of the current app's JSON provider, or None where only the provider
        itself knows: it is no Flask's, or there is no current app, and keys stay unsorted.
        """
        ctx = current_app_context(None)
        provider = None if ctx is None else ctx.app.json
        if not isinstance(provider, DefaultJSONProvider):
            return None
        if type(provider).dumps is not DefaultJSONProvider.dumps or "dumps" in vars(provider):
            return None
        return self.encode(provider)


def remember(cache: dict[t.Any, t.Any], key: t.Any, value: t.Any) -> None:
    """Put *value* into a *cache* that starts anew when it is full."""
    if len(cache) >= MAX_CACHED:
        cache.clear()
    cache[key] = value


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
