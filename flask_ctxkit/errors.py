"""Errors that hold their evidence and end with what to do."""

from __future__ import annotations

import typing as t


class CtxKitError(Exception):
    """Base of every error that the kit raises on purpose.

    :param message: one or two sentences; the last one says what to do.
    :param evidence: what was seen, by name, as plain data.
    """

    def __init__(self, message: str, **evidence: t.Any) -> None:
        super().__init__(message)
        self.message = message
        self.evidence = evidence

    def __str__(self) -> str:
        return self.message


class ConfigError(CtxKitError):
    """A ``CTXKIT_`` key is unknown, of the wrong type, or out of its range; or
    ``SECRET_KEY_FALLBACKS`` is one text.

    Raised by :meth:`~flask_ctxkit.CtxKit.init_app`, never in a request.
    """


class SessionTooLargeError(CtxKitError):
    """The session doesn't fit into its cookie; raised where it is saved, after the view.

    ``evidence``: ``size`` and ``limit`` in bytes, and ``largest``, the bytes of the largest
    keys by name.
    """


class AlreadyRegisteredError(CtxKitError):
    """The app already has a kit; ``evidence["app"]`` names the app."""


class ContextStackError(CtxKitError):
    """A stand-in for one of Flask's old context stacks can't push or pop that context;
    ``evidence["stack"]`` is its name.
    """


class SnapshotError(CtxKitError):
    """Work that runs elsewhere asked its copy of a request for what no copy can have, or tried
    to change the session in it.
    """


class PoolExhaustedError(CtxKitError):
    """A :class:`~flask_ctxkit.SqlHelper` got no connection: its pool has none left.

    ``evidence``: ``holders``, a dict for each connection that is out (``unit``, ``where``,
    ``seconds``, ``depth``, ``request``), the longest held first; ``waited`` in seconds;
    ``pool``, how full it is; ``name``, the helper's.
    """


class RolledBackError(CtxKitError):
    """A block of a :class:`~flask_ctxkit.SqlHelper` ended without an error, or was used after
    its end, and what it wrote is not committed; ``evidence["where"]`` began it.
    """


class NotRegisteredError(CtxKitError):
    """The current app has no kit, or there is no current app."""


class ResourceError(CtxKitError):
    """A resource can't be opened the way it is registered; ``evidence["name"]`` names it."""


class OutsideContextError(CtxKitError, RuntimeError):
    """Something that lives in a context was asked for outside of one.

    ``evidence["what"]`` names it. A :exc:`RuntimeError` too, like Flask's own.
    """


class ClosedContextError(OutsideContextError):
    """The context has ended, and what it held is closed: work outlived its request."""


class ReentranceError(CtxKitError, RuntimeError):
    """What makes something needs it, or waits for who does: going on would never end.

    ``evidence``: its ``name``, the key of the ``unit`` that makes it, and ``where``, the
    "file:line" that asked for it.
    """


class UnhashableArgumentError(CtxKitError, TypeError):
    """A function with ``@kit.cached`` was called with what can't be a key.

    ``evidence``: the ``function`` and the ``types`` of the arguments that can't be hashed.
    """
