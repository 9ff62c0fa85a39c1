"""The session object: Flask's own kind of dict, which may read its cookie only when touched."""

from __future__ import annotations

import time
import typing as t

from flask.sessions import SecureCookieSession

from flask_ctxkit.internals import ACCESS_IS_TOLD

if t.TYPE_CHECKING:
    from .codec import Verified

Values = dict[str, t.Any]
Attributes = t.Mapping[str, t.Any]

_OWN: t.Final = frozenset({"after_save", "on_touch", "reread"})
"""What no copy of a session has: who listens to it, and where it came from."""


class CtxSession(SecureCookieSession):
    """A session like :class:`~flask.sessions.SecureCookieSession`.

    Lifetime: one per request, made by ``open_session``, dead with the request's context.
    """

    loaded: bool = True
    """False while the cookie was not read. Asking doesn't read it."""
    opening: Verified | None = None
    """What the cookie's outside said; None without a cookie, or while it was not read."""
    received: tuple[str, bytes] | None = None
    """The JSON text and the payload that the values were read from."""
    reread: t.Callable[[], t.Any] | None = None
    """Reads the values from the cookie once more, where ``received`` can't have them."""
    users: tuple[str, ...] = ()
    """Whose session the cookie was, where sessions can be revoked."""
    came_signed: bool = False
    """Whether it came signed only, where it should be encrypted."""
    writes: int = 0
    """How often its names changed; a look in between that finds the same has nothing to do."""
    after_save: t.Callable[[CtxSession], object] | None = None
    """Called on the first change after ``save_session`` is through; None before it is."""
    on_touch: t.Callable[[CtxSession], object] | None = None
    """Called with the session when it is touched for the first time, once its values are in,
    and on each change. It must not raise."""

    def __init__(self, initial: t.Any = None) -> None:
        # Flask gives each session a closure of its own to notice changes with. One function
        # for all does the same.
        dict.__init__(self, () if initial is None else initial)

    def __repr__(self) -> str:
        # What a page prints of the session stays what it was.
        return f"<SecureCookieSession {dict.__repr__(self)}>"

    def __getstate__(self) -> dict[str, t.Any]:
        """What a copy, or a pickle, has beside the values."""
        return {name: value for name, value in self.__dict__.items() if name not in _OWN}

    @staticmethod
    def on_update(session: CtxSession) -> None:
        """Notice a change."""
        session.modified = True
        session.writes += 1
        hears = session.on_touch
        if hears is not None:
            hears(session)
        late = session.after_save
        if late is not None:
            late(session)


class TrackedSession(CtxSession):
    """A session for Flask before 3.1.3, which notices every way of access by itself.

    Flask's own notices only item access there, so ``"user" in session`` made a response
    that a shared cache could serve to someone else (GHSA-68rp-wp8r-4726).
    """

    @staticmethod
    def on_update(session: CtxSession) -> None:
        """Notice a change, which is an access too."""
        session.accessed = True
        CtxSession.on_update(session)


class Source(t.Protocol):
    """A cookie that can be read: the values, and attributes for the loaded session."""

    now: int
    """When it came, in seconds since 1970."""

    def __call__(self) -> tuple[Values, Attributes]: ...

    def may_be_permanent(self) -> bool:
        """False only if the values surely say nothing of ``permanent``."""
        ...

    def valid_age(self) -> int | None:
        """The seconds since it was signed, or None if it is refused for its outside."""
        ...


class PendingSession(CtxSession):
    """A session whose cookie was not read yet. The first touch reads it.

    It is a plain :class:`CtxSession` once it was handed out, so nothing is paid after that.
    """

    loaded = False
    source: Source
    """Reads the cookie when it is called."""

    def _accessed(self, value: bool) -> None:
        load(self)
        self.accessed = value

    # Nothing is in (), and to ask it costs a third of a function that returns False.
    accessed = property(().__contains__, _accessed)
    """Always False. Flask sets it as it hands the session out, and that loads it."""


class UntouchedSession(CtxSession):
    """A session whose values are in, if there are any, and that nobody touched yet. As Flask
    hands it out for the first time, it becomes a plain :class:`CtxSession`.
    """

    def _accessed(self, value: bool) -> None:
        session: CtxSession = self
        session.__class__ = CtxSession
        session.accessed = value
        if session.on_touch is not None:
            session.on_touch(session)

    accessed = property(().__contains__, _accessed)
    """Always False."""


def pend(source: Source) -> PendingSession:
    """A session that calls *source* when it is touched first."""
    session = PendingSession.__new__(PendingSession)
    session.source = source
    return session


def load(session: CtxSession) -> None:
    """Read the cookie of *session* now, if that was not done.

    Several threads may come here at once with one session: each reads the cookie, one of
    them fills the session in, and none goes on before that.
    """
    source = session.__dict__.get("source")
    if source is not None:
        values, attributes = source()
        # The pop is one step for the interpreter, so one thread alone gets past it.
        if session.__dict__.pop("source", None) is not None:
            dict.update(session, values)
            session.__dict__.update(attributes)
            session.__class__ = UntouchedSession
            if session.on_touch is not None:
                session.on_touch(session)
            return
    while type(session) is PendingSession:
        time.sleep(0)


_TOUCHES: t.Final = (
    "__contains__", "__delitem__", "__eq__", "__getitem__", "__ior__", "__iter__", "__len__",
    "__ne__", "__or__", "__reduce_ex__", "__repr__", "__reversed__", "__ror__", "__setitem__",
    "clear", "copy", "get", "items", "keys", "pop", "popitem", "setdefault", "update", "values",
)  # fmt: skip
_Method = t.Callable[..., t.Any]


def _loading(name: str) -> _Method:
    def touch(self: CtxSession, *args: t.Any, **kwargs: t.Any) -> t.Any:
        load(self)
        return getattr(self, name)(*args, **kwargs)

    return touch


def _telling(name: str) -> _Method:
    original: _Method = getattr(CtxSession, name)

    def touch(self: CtxSession, *args: t.Any, **kwargs: t.Any) -> t.Any:
        self.accessed = True
        return original(self, *args, **kwargs)

    return touch


def _override(cls: type, make: t.Callable[[str], _Method]) -> None:
    for name in _TOUCHES:
        method = make(name)
        method.__name__ = name
        method.__qualname__ = f"{cls.__name__}.{name}"
        setattr(cls, name, method)


_override(PendingSession, _loading)
_override(TrackedSession, _telling)

SESSION_CLASS: t.Final = CtxSession if ACCESS_IS_TOLD else TrackedSession
"""What a session is on this Flask line."""
ABSENT_CLASS: t.Final = UntouchedSession if ACCESS_IS_TOLD else TrackedSession
"""What it is without a cookie."""
KINDS: t.Final = (CtxSession, PendingSession, UntouchedSession, TrackedSession)
"""The classes that this module makes sessions of."""
TELLING: t.Final = (PendingSession, UntouchedSession)
"""The classes whose ``on_touch`` tells of the first access, which else only ``accessed`` does."""


def is_ours(session: object) -> t.TypeGuard[CtxSession]:
    """``isinstance(session, CtxSession)``.

    Sessions are abstract mappings, so ``isinstance`` asks the abstract base class, which takes it
    ten times as long for any class but the very one.
    """
    return type(session) in KINDS or isinstance(session, CtxSession)
