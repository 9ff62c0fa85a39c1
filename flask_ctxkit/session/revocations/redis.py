"""Revocations in Redis: for all workers on all hosts."""

from __future__ import annotations

import typing as t

import redis

from .base import KEPT

NAME: t.Final = "ctxkit:revoked"
"""The sorted set that holds them: the users, by the time until which they are refused."""
PATIENCE: t.Final = 0.5
"""How many seconds the server has to answer; a request waits for it."""


class RedisRevocations:
    """Revocations in one sorted set, which is never lowered (Redis 6.2 and later).

    Lifetime: its interface's; the client connects at its first use, and anew after a fork.
    Apps that share a database share it: give an app a database of its own by the URL's number.

    :raises ValueError: for a URL that is none of Redis's.
    """

    shared = True

    def __init__(self, url: str) -> None:
        self._client: t.Any = redis.Redis.from_url(
            url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE
        )

    def revoke(self, user: str, before: int, keep: int = KEPT) -> None:
        """Refuse what was signed for *user* until *before*.

        :raises redis.RedisError: when the server can't be reached.
        """
        pipeline = self._client.pipeline()
        pipeline.zremrangebyscore(NAME, "-inf", f"({before - keep}")
        pipeline.zadd(NAME, {_member(user): before}, gt=True)
        pipeline.execute()

    def revoked_before(self, user: str) -> int | None:
        """Until when what was signed for *user* is refused; None if nothing is.

        :raises redis.RedisError: when the server can't be reached.
        """
        found = self._client.zscore(NAME, _member(user))
        return None if found is None else int(found)

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()


def _member(user: str) -> bytes:
    return user.encode(errors="surrogatepass")
