"""When a session ends: idle for too long, or too long after it began; and signing it anew."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from flask_ctxkit.internals import current_request_context, request_of

from .mapping import CtxSession

if t.TYPE_CHECKING:
    from flask import Response
    from flask.sessions import SessionMixin

    from .mapping import Values

BEGAN: t.Final = "_ctx_began"
"""The key of the session that holds when it began, in seconds since 1970. It is set with the
first save while there is an absolute timeout, and is signed with the rest."""
NEVER: t.Final = frozenset({"HEAD", "OPTIONS"})
"""Methods whose responses carry no cookie that is signed anew: browsers and caches send them
without a visitor."""
_SHARE: t.Final = 10
_SERVER_ERROR: t.Final = 500


@dataclass(frozen=True, slots=True)
class Timeouts:
    """The limits of a session's life, each in whole seconds, or None for none.

    ``idle`` counts from the signature, ``absolute`` from the begin of the session.
    ``reissue`` is the age at which an unchanged session is signed anew; None is a tenth of
    ``idle``, and without that the way of Flask.
    """

    idle: int | None = None
    absolute: int | None = None
    reissue: int | None = None

    @property
    def due_at(self) -> int | None:
        """The age at which an unchanged session is signed anew; None leaves it to Flask."""
        if self.reissue is None and self.idle is not None:
            return self.idle // _SHARE
        return self.reissue

    def max_age(self, lifetime: int) -> int:
        """How old a signature may be where the app allows *lifetime* seconds."""
        return lifetime if self.idle is None else min(lifetime, self.idle)

    def ended(
        self, values: Values, signed_at: int, now: int
    ) -> tuple[str, dict[str, t.Any]] | None:
        """Code and evidence, if the session of a cookie that verifies is over.

        :param signed_at: when the cookie was signed, in seconds since 1970, like *now*.
        """
        if self.absolute is None:
            return None
        age = now - began_at(values, signed_at)
        if age <= self.absolute:
            return None
        return "over", {"age": age, "limit": self.absolute}

    def begin(self, session: SessionMixin, now: int) -> None:
        """Write into *session*, which is to be saved, when it began.

        One that was cleared begins now. One from before there was a timeout began when it was
        signed, as far as anybody knows.
        """
        if self.absolute is None or not isinstance(session, dict) or not self.lacks_begin(session):
            return
        began = _began_before(session) if isinstance(session, CtxSession) else None
        # Not a change that Flask should notice: the session is saved already.
        dict.__setitem__(session, BEGAN, now if began is None else began)
        if isinstance(session, CtxSession):
            session.writes += 1

    def lacks_begin(self, session: dict[str, t.Any]) -> bool:
        """Whether *session* should say when it began, and doesn't."""
        return self.absolute is not None and not is_moment(dict.get(session, BEGAN))

    def is_due(self, session: SessionMixin, response: Response) -> bool:
        """Whether an unchanged *session* is to be signed anew with *response*."""
        opened = session.opening if isinstance(session, CtxSession) else None
        if self.due_at is None or opened is None or opened.code != "valid" or opened.age is None:
            return False
        return opened.age >= self.due_at and may_reissue(response)


def _began_before(session: CtxSession) -> int | None:
    """When a *session* was signed whose cookie does not say when it began; else None."""
    opening, received, reread = session.opening, session.received, session.reread
    if opening is None:
        return None
    if received is not None:
        said = BEGAN in received[0]
    else:
        said = reread is None or BEGAN in dict(reread() or ())
    return None if said else opening.signed_at


def holds_only_begin(session: SessionMixin) -> bool:
    """Whether nothing is left in *session* but when it began."""
    return isinstance(session, dict) and dict.keys(session) == {BEGAN}


def is_moment(value: t.Any) -> bool:
    """Whether *value* can be a time in seconds since 1970."""
    return type(value) is int and value >= 0


def began_at(values: t.Mapping[str, t.Any], signed_at: int) -> int:
    """When a session of *values* began, in seconds since 1970; no later than it was signed."""
    said = values.get(BEGAN)
    return min(said, signed_at) if type(said) is int and is_moment(said) else signed_at


def may_reissue(response: Response) -> bool:
    """Whether *response* to the current request may carry a cookie that is signed anew."""
    ctx = current_request_context()
    request = None if ctx is None else request_of(ctx)
    if request is None or request.method in NEVER or response.status_code >= _SERVER_ERROR:
        return False
    endpoint = request.endpoint or ""
    return endpoint != "static" and not endpoint.endswith(".static")
