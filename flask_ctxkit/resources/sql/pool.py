"""Where connections come from: a pool that somebody else wrote."""

from __future__ import annotations

import contextlib
import os
import typing as t
from dataclasses import dataclass

from ...errors import CtxKitError

if t.TYPE_CHECKING:
    from sqlalchemy.engine import Engine

EXHAUSTED: t.Final = frozenset(
    {
        "sqlalchemy.exc.TimeoutError",
        "dbutils.pooled_db.TooManyConnectionsError",
        "psycopg_pool.PoolTimeout",
        "psycopg_pool.TooManyRequests",
        "psycopg2.pool.PoolError",
    }
)
"""What pools raise when they have no connection left."""
_TOO_MANY: t.Final = frozenset({1040, 1203})  # MariaDB and MySQL
_MEMORY_TIMEOUT: t.Final = 5.0


@dataclass(frozen=True, slots=True)
class Gauge:
    """How full a pool is: connections that are taken, and the most it hands out.

    None for what the pool does not tell.
    """

    taken: int | None = None
    limit: int | None = None

    def __str__(self) -> str:
        if self.taken is None:
            return "unknown"
        return str(self.taken) if self.limit is None else f"{self.taken} of {self.limit}"


class Taken(t.NamedTuple):
    """A connection, and what gives it back."""

    connection: t.Any
    give_back: t.Callable[[], object]


class Pool(t.Protocol):
    """What a helper takes connections from."""

    def take(self) -> Taken:
        """A connection; whatever the pool raises where it has none."""

    def is_lost(self, error: BaseException, connection: t.Any, /) -> bool:
        """Whether *error* says that the server is gone for *connection*."""

    def gauge(self) -> Gauge:
        """How full it is."""

    def close(self) -> None:
        """Close what it keeps, if it is the helper's own."""


class CallablePool:
    """Connections from a callable: a pool's method, or a driver's ``connect``.

    What it returns is a DB-API connection, whose ``close()`` gives it back, or a context
    manager for one.
    """

    def __init__(self, connect: t.Callable[[], t.Any]) -> None:
        self._connect = connect
        owner = getattr(connect, "__self__", None)
        self._pool = getattr(owner, "pool", owner)
        # psycopg's pools lend real connections: close() would close them.
        self._put: t.Callable[[t.Any], object] | None = getattr(owner, "putconn", None)

    def take(self) -> Taken:
        found = self._connect()
        if hasattr(found, "cursor"):
            if _is_of(found, "dbutils"):
                return Taken(_begun(found), found.close)
            put = self._put
            return Taken(found, found.close if put is None else lambda: put(found))
        if hasattr(found, "__enter__"):
            connection = found.__enter__()
            if hasattr(connection, "cursor"):
                return Taken(connection, lambda: found.__exit__(None, None, None))
            found.__exit__(None, None, None)
        raise CtxKitError(
            f"This is no DB-API connection: {type(found).__name__}. Hand SqlHelper() what returns "
            "one: a driver's connect, an engine's raw_connection, PooledDB(...).connection; "
            "nothing that is awaited.",
            given=type(found).__name__,
        )

    def is_lost(self, _error: BaseException, _connection: t.Any, /) -> bool:
        """False: the pool behind the callable looks for itself."""
        return False

    def gauge(self) -> Gauge:
        return gauge_of(self._pool)

    def close(self) -> None:
        """Nothing: who made the pool closes it."""


class EnginePool:
    """The pool of an engine that SQLAlchemy made."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._pid = os.getpid()

    def take(self) -> Taken:
        if self._pid != os.getpid():
            # A fork: the connections are the parent's, which goes on talking over them.
            self._engine.dispose(close=False)
            self._pid = os.getpid()
        connection = self._engine.raw_connection()
        return Taken(connection, connection.close)

    def is_lost(self, error: BaseException, connection: t.Any, /) -> bool:
        dialect, raw = self._engine.dialect, connection.dbapi_connection
        known = raw is not None and isinstance(error, dialect.loaded_dbapi.Error)
        return known and dialect.is_disconnect(t.cast("t.Any", error), raw, None)

    def gauge(self) -> Gauge:
        return gauge_of(self._engine.pool)

    def close(self) -> None:
        if self._pid == os.getpid():
            self._engine.dispose()


def engine_pool(url: str, options: dict[str, t.Any]) -> tuple[EnginePool, bool]:
    """The pool of an engine for *url*, and whether all it has is one connection in memory.

    :raises CtxKitError: where there is no SQLAlchemy.
    """
    try:
        import sqlalchemy
    except ImportError as error:
        raise CtxKitError(
            "SqlHelper.from_url() needs SQLAlchemy 2: pip install 'flask-ctxkit[sql]'. Or hand "
            "SqlHelper() a callable that returns connections."
        ) from error
    parsed = sqlalchemy.make_url(url)
    sqlite = parsed.get_backend_name() == "sqlite"
    in_memory = sqlite and parsed.database in {None, "", ":memory:"}
    if in_memory:
        # Each further connection would have an empty database of its own.
        one = {"pool_size": 1, "max_overflow": 0, "pool_timeout": _MEMORY_TIMEOUT}
        shared = {"poolclass": sqlalchemy.QueuePool, "connect_args": {"check_same_thread": False}}
        options = {**one, **shared, **options}
    # A file does not drop its connections.
    options = {"pool_pre_ping": not sqlite, **options}
    return EnginePool(sqlalchemy.create_engine(parsed, **options)), in_memory


def discard(taken: Taken) -> None:
    """Give *taken* back so that nobody gets this connection again."""
    connection = taken.connection
    invalidate = getattr(connection, "invalidate", None)
    if callable(invalidate):  # SQLAlchemy's; it gives the place back as well
        invalidate()
        return
    try:
        if taken.give_back != connection.close:
            connection.close()
    finally:
        taken.give_back()


def is_exhausted(error: BaseException) -> bool:
    """Whether *error* says that a pool, or the server, has no connection left."""
    names = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__}
    if names & EXHAUSTED:
        return True
    first = error.args[0] if error.args else None
    if type(first) is int:
        return first in _TOO_MANY
    # PostgreSQL tells a client that it refuses no more than this.
    return type(first) is str and ("too many clients" in first or "too many connections" in first)


def gauge_of(pool: t.Any) -> Gauge:
    """How full *pool* is, if it is one of SQLAlchemy's, DBUtils' or psycopg's."""
    if _is_of(pool, "sqlalchemy") and hasattr(pool, "checkedout"):
        overflow = getattr(pool, "_max_overflow", -1)
        limit = None if overflow < 0 else pool.size() + overflow
        return Gauge(pool.checkedout(), limit)
    if _is_of(pool, "dbutils"):
        limit = getattr(pool, "_maxconnections", None) or None
        return Gauge(getattr(pool, "_connections", None), limit)
    if _is_of(pool, "psycopg_pool"):
        told = pool.get_stats()
        return Gauge(told["pool_size"] - told["pool_available"], told["pool_max"] or None)
    return Gauge()


def innermost(connection: t.Any) -> t.Any:
    """The driver's own connection, inside of what a pool made of it."""
    for name in ("driver_connection", "dbapi_connection"):
        connection = getattr(connection, name, connection)
    return connection


def _is_of(value: object, package: str) -> bool:
    return type(value).__module__.partition(".")[0] == package


def _begun(connection: t.Any) -> t.Any:
    """A connection of DBUtils' in a transaction of its own.

    Without one it opens another connection when the server drops this one, and goes on: the
    first half of a block would be lost without a word.
    """
    try:
        if not hasattr(innermost(connection), "ping"):
            # It can't be tested by DBUtils. Before the transaction a statement that fails is
            # run on another connection.
            with contextlib.closing(connection.cursor()) as cursor:
                cursor.execute("select 1")
        try:
            connection.begin()
        except Exception:
            # It was dropped while it was idle. A rollback that fails replaces it, and whether
            # all is well again says the next begin.
            with contextlib.suppress(Exception):
                connection.rollback()
            connection.begin()
    except BaseException:
        connection.close()
        raise
    return connection
