"""What a context asked a pool for, and has until it gives it back."""

from __future__ import annotations

import typing as t

from ..internals import current_app_context, current_request_context, request_of
from ..redact import Redactor
from ..units import Unit, current_unit
from .callers import Site, caller
from .scope import KEY as SCOPE
from .steps import now

if t.TYPE_CHECKING:
    from .once import Slot
    from .scope import Scope

KEY: t.Final = "_ctxkit_claims"
"""The attribute of an application context that holds its claims, in the order of asking."""


class Request(t.NamedTuple):
    """A request as it came. Whoever asks for :meth:`told` may stand in another app, or in none."""

    method: str
    path: str
    rule: str | None
    redactor: Redactor | None

    def told(self) -> str:
        """As "GET /reset/•••": without what its own app calls a secret.

        Of an app without a kit its own rule tells, by the names of its arguments.
        """
        redactor = self.redactor
        if redactor is None:
            redactor = Redactor()
            redactor.hide_arguments([] if self.rule is None else [self.rule])
        return f"{self.method} {redactor.url(self.path)}"


class Claim:
    """Who asks for a connection, as it is cheap to note; it is put into words when asked for.

    ``depth`` is the level that it is for, or 0; ``granted`` whether the connection was given;
    ``slot`` the resource of the context that it was asked for, until it ends. Compared by
    identity.
    """

    __slots__ = ("_among", "depth", "granted", "name", "request", "since", "site", "slot", "unit")

    def __init__(self, name: str, depth: int, unit: Unit | None = None) -> None:
        self.name = name
        self.depth = depth
        self.unit = unit or current_unit()
        self.site: Site = caller()
        self.since = now()
        self.request = _request()
        self.granted = False
        context = current_app_context(None)
        self._among: dict[Claim, None] = {}
        self.slot: Slot | None = None
        if context is not None:
            self._among = context.__dict__.setdefault(KEY, self._among)
            scope: Scope | None = context.__dict__.get(SCOPE)
            self.slot = None if scope is None else scope.opening(self.unit)
        self._among[self] = None

    @property
    def age_s(self) -> float:
        """Seconds since it was asked for."""
        return (now() - self.since) / 1e9

    def end(self) -> None:
        """It was given back, or refused."""
        self._among.pop(self, None)
        self.slot = None  # its value may hold the connection


def claims_of(ctx: t.Any) -> tuple[Claim, ...]:
    """What the application context *ctx* asked for and did not give back yet."""
    found: dict[Claim, None] = getattr(ctx, KEY, {})
    return tuple(found)


def _request() -> Request | None:
    """What is known of the current request, from its environ: a user's own class of request
    may make anything of the attributes of these names.
    """
    context = current_request_context()
    request = None if context is None else request_of(context)
    if context is None or request is None:
        return None
    environ, rule = request.environ, vars(request).get("url_rule")
    kit = context.app.extensions.get("ctxkit")
    path = environ.get("PATH_INFO") or "/"
    return Request(
        environ.get("REQUEST_METHOD", "?"),
        path.encode("latin-1", "replace").decode("utf-8", "replace"),
        None if rule is None else rule.rule,
        None if kit is None else kit.redactor,
    )
