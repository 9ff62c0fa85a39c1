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
    """A ``CTXKIT_`` key is unknown, of the wrong type, or out of its range.

    Raised by :meth:`~flask_ctxkit.CtxKit.init_app`, never in a request.
    """


class SessionTooLargeError(CtxKitError):
    """The session doesn't fit into its cookie; raised where it is saved, after the view.

    ``evidence``: ``size`` and ``limit`` in bytes, and ``largest``, the bytes of the largest
    keys by name.
    """


class AlreadyRegisteredError(CtxKitError):
    """The app already has a kit; ``evidence["app"]`` names the app."""


class NotRegisteredError(CtxKitError):
    """The current app has no kit, or there is no current app."""
