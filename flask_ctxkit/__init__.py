"""See Flask's contexts: what is pushed now, what happened, and what is wrong."""

from __future__ import annotations

from .contexts.locals import Local, LocalProxy, LocalStack, unwrap
from .errors import (
    AlreadyRegisteredError,
    ConfigError,
    CtxKitError,
    NotRegisteredError,
    SessionTooLargeError,
)
from .extension import CtxKit
from .globals import current_ctxkit
from .session.renewal import regenerate_session
from .session.revocation import revoke_sessions
from .signals import finding_raised, trace_finished

__all__ = [
    "AlreadyRegisteredError",
    "ConfigError",
    "CtxKit",
    "CtxKitError",
    "Local",
    "LocalProxy",
    "LocalStack",
    "NotRegisteredError",
    "SessionTooLargeError",
    "current_ctxkit",
    "finding_raised",
    "regenerate_session",
    "revoke_sessions",
    "trace_finished",
    "unwrap",
]
__version__ = "0.1.0.dev0"
