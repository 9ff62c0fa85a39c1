"""See Flask's contexts: what is pushed now, what happened, and what is wrong.

Each name is imported when it is first asked for: the pytest plugin stands in this package, and
a test run without Flask pays for none of it. PYTEST_DONT_REWRITE: else pytest would warn where
this was imported before it began.
"""

from __future__ import annotations

import importlib
import sys
import typing as t

if t.TYPE_CHECKING:
    from .contexts.executor import ContextExecutor
    from .contexts.legacy import install_legacy
    from .contexts.locals import Local, LocalProxy, LocalStack, unwrap
    from .contexts.propagate import CapturedProxyWarning, SharedValueWarning, propagate
    from .contexts.threads import explain_threads
    from .errors import (
        AlreadyRegisteredError,
        ClosedContextError,
        ConfigError,
        ContextStackError,
        CtxKitError,
        NotRegisteredError,
        OutsideContextError,
        PoolExhaustedError,
        ReentranceError,
        ResourceError,
        RolledBackError,
        SessionTooLargeError,
        SnapshotError,
        UnhashableArgumentError,
    )
    from .extension import CtxKit
    from .globals import current_ctxkit
    from .resources.resource import Resource
    from .resources.sql import SqlHelper
    from .session.interface import CtxSessionInterface
    from .session.renewal import regenerate_session
    from .session.revocation import revoke_sessions
    from .signals import finding_raised, trace_finished

__all__ = [
    "AlreadyRegisteredError",
    "CapturedProxyWarning",
    "ClosedContextError",
    "ConfigError",
    "ContextExecutor",
    "ContextStackError",
    "CtxKit",
    "CtxKitError",
    "CtxSessionInterface",
    "Local",
    "LocalProxy",
    "LocalStack",
    "NotRegisteredError",
    "OutsideContextError",
    "PoolExhaustedError",
    "ReentranceError",
    "Resource",
    "ResourceError",
    "RolledBackError",
    "SessionTooLargeError",
    "SharedValueWarning",
    "SnapshotError",
    "SqlHelper",
    "UnhashableArgumentError",
    "current_ctxkit",
    "explain_threads",
    "finding_raised",
    "install_legacy",
    "propagate",
    "regenerate_session",
    "revoke_sessions",
    "trace_finished",
    "unwrap",
]
__version__ = "0.1.0.dev0"

_HOMES: t.Final[t.Mapping[str, tuple[str, ...]]] = {
    "contexts.executor": ("ContextExecutor",),
    "contexts.legacy": ("install_legacy",),
    "contexts.locals": ("Local", "LocalProxy", "LocalStack", "unwrap"),
    "contexts.propagate": ("CapturedProxyWarning", "SharedValueWarning", "propagate"),
    "contexts.threads": ("explain_threads",),
    "errors": (
        "AlreadyRegisteredError",
        "ClosedContextError",
        "ConfigError",
        "ContextStackError",
        "CtxKitError",
        "NotRegisteredError",
        "OutsideContextError",
        "PoolExhaustedError",
        "ReentranceError",
        "ResourceError",
        "RolledBackError",
        "SessionTooLargeError",
        "SnapshotError",
        "UnhashableArgumentError",
    ),
    "extension": ("CtxKit",),
    "globals": ("current_ctxkit",),
    "resources.resource": ("Resource",),
    "resources.sql": ("SqlHelper",),
    "session.interface": ("CtxSessionInterface",),
    "session.renewal": ("regenerate_session",),
    "session.revocation": ("revoke_sessions",),
    "signals": ("finding_raised", "trace_finished"),
}
"""The public names by the module that defines them."""

if not t.TYPE_CHECKING:  # a type checker reads the imports, and knows a name that is none

    def __getattr__(name: str) -> object:
        for home, names in _HOMES.items():
            if name in names:
                return getattr(importlib.import_module(f"{__name__}.{home}"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*vars(sys.modules[__name__]), *__all__})
