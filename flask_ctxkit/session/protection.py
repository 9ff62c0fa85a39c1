"""What protects a session beside its signature, as an app's config says."""

from __future__ import annotations

import typing as t

from flask_ctxkit.errors import ConfigError

from .interface import CtxSessionInterface
from .signing import SigningInterface

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
    if config.session_encrypt:
        encrypt(interface, config)
    if config.session_resign is not None:
        interface.resign = config.session_resign
    if config.session_revocations is not None:
        from .revocation import Revoker
        from .revocations.base import open_revocations

        store = open_revocations(config.session_revocations, folder)
        down = config.session_revocations_down
        interface.revoker = Revoker(store, config.session_user_key, down)


def encrypt(interface: CtxSessionInterface, config: Config) -> None:
    """Have *interface* encrypt its cookies.

    :raises ConfigError: when the package is missing, or its class signs in a way of its own.
    """
    key = "CTXKIT_SESSION_ENCRYPT"
    if type(interface).get_signing_serializer is not SigningInterface.get_signing_serializer:
        raise ConfigError(
            f"{type(interface).__qualname__} signs in a way of its own, which can't be encrypted. "
            f"Remove {key}, or its get_signing_serializer.",
            key=key,
        )
    try:
        from .encryption import Encryption
    except ImportError as error:
        raise ConfigError(
            f"{key} needs the package cryptography. Install it with: "
            'pip install "flask-ctxkit[crypto]"',
            key=key,
        ) from error
    interface.encryption = Encryption(config.session_encrypt_read_signed_until)
