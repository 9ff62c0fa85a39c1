"""What protects a session beside its signature, as an app's config says."""

from __future__ import annotations

import typing as t

from flask_ctxkit.errors import ConfigError

from .interface import CtxSessionInterface

if t.TYPE_CHECKING:
    from flask import Flask

    from flask_ctxkit.config import Config


def protect(app: Flask, config: Config) -> None:
    """Give the session interface of *app* what *config* asks for.

    :raises ConfigError: when the app's sessions are not the kit's, or a package is missing.
    """
    interface = app.session_interface
    wanted = {
        "CTXKIT_SESSION_RESIGN": config.session_resign,
        "CTXKIT_SESSION_REVOCATIONS": config.session_revocations,
    }
    asked = [key for key, value in wanted.items() if value]
    if not asked:
        return
    if type(interface) is not CtxSessionInterface:
        raise ConfigError(
            f"{asked[0]} is for sessions of the kit's own interface, and this app has a "
            f"{type(interface).__qualname__}. Remove the key, or leave app.session_interface and "
            "CTXKIT_SESSION_INTERFACE as they are.",
            key=asked[0],
        )
    interface.resign = config.session_resign
    if config.session_revocations is not None:
        from .revocation import Revoker
        from .revocations.base import open_revocations

        store = open_revocations(config.session_revocations, app.instance_path)
        interface.revoker = Revoker(store, config.session_user_key, config.session_revocations_down)
