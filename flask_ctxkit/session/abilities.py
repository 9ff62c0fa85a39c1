"""What the ``CTXKIT_SESSION_`` keys make of an interface."""

from __future__ import annotations

import typing as t

from flask_ctxkit.config import OPTIONS, PREFIX, refuse_idle
from flask_ctxkit.errors import ConfigError

from .interface import CtxSessionInterface
from .timeouts import Timeouts

if t.TYPE_CHECKING:
    from flask.sessions import SessionInterface

    from flask_ctxkit.config import Config

_CHOICE: t.Final = "SESSION_INTERFACE"


def equip(interface: SessionInterface, config: Config) -> None:
    """Give *interface* what the config asks for. What it leaves at the default stays as it is,
    so a subclass may have defaults of its own.

    :raises ConfigError: for a key that *interface* knows nothing of, or that has no effect:
        who set a timeout must not believe that there is one.
    """
    chosen = chosen_of(config)
    if not chosen:
        return
    if not isinstance(interface, CtxSessionInterface):
        key = f"{PREFIX}{next(iter(chosen)).upper()}"
        raise ConfigError(
            f"{key} has no effect on the app's session interface, "
            f"{type(interface).__qualname__}. Leave CTXKIT_SESSION_INTERFACE = True and register "
            f"the kit before another interface is set, or remove {key}.",
            key=key,
        )
    for name, attribute in (
        ("session_nested", "nested"),
        ("session_size", "size"),
        ("session_parts", "parts"),
        ("session_leeway", "leeway"),
    ):
        if name in chosen:
            setattr(interface, attribute, chosen[name])
    if "session_parts" in chosen and interface.size != "split":
        refuse_idle("SESSION_PARTS", "sessions are not split", 'CTXKIT_SESSION_SIZE = "split"')
    if chosen.keys() & {"session_idle", "session_absolute", "session_reissue"}:
        interface.timeouts = Timeouts(
            config.session_idle, config.session_absolute, config.session_reissue
        )


def chosen_of(config: Config) -> dict[str, t.Any]:
    """The session's keys that are not at their default, as attributes of the config."""
    names = {o.name.lower(): o.default for o in OPTIONS if o.name.startswith("SESSION_")}
    del names[_CHOICE.lower()]
    found = {name: getattr(config, name) for name in names}
    return {name: value for name, value in found.items() if value != names[name]}
