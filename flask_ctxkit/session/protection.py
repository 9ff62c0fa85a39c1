"""What protects a session beside its signature, as an app's config says."""

from __future__ import annotations

import typing as t

from .interface import CtxSessionInterface

if t.TYPE_CHECKING:
    from flask.sessions import SessionInterface

    from flask_ctxkit.config import Config


def protect(interface: SessionInterface, config: Config, folder: str) -> None:
    """Give *interface* what *config* asks for. What it leaves at the default stays as it is.

    :param folder: where a file with a relative name is.
    :raises ConfigError: when a package is missing.
    """
    if not isinstance(interface, CtxSessionInterface):
        return  # asked for nothing, or refused before
    if config.session_resign is not None:
        interface.resign = config.session_resign
    if config.session_revocations is not None:
        from .revocation import Revoker
        from .revocations.base import open_revocations

        store = open_revocations(config.session_revocations, folder)
        down = config.session_revocations_down
        interface.revoker = Revoker(store, config.session_user_key, down)
