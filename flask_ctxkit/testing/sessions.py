"""Reads the session that a test client holds, and signs one for it, without a request."""

from __future__ import annotations

import typing as t

from flask import Response
from flask.testing import EnvironBuilder
from werkzeug.http import parse_cookie

from .. import internals
from ..errors import CtxKitError
from ..report.steps import READ
from ..session.witness import witnessed

if t.TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from _typeshed.wsgi import WSGIEnvironment
    from flask import Flask
    from flask.sessions import SessionInterface
    from flask.testing import FlaskClient

    from ..session.model import Verdict


class SessionError(CtxKitError):
    """A session can't be read or signed; ``evidence["code"]`` names the verdict, if any."""


class Sessions:
    """The sessions of the clients of one app.

    No hook runs, no context is pushed and no signal is sent: the app's session interface is
    asked, as in a request. Where it is one of Flask's kind, nothing is counted either.
    """

    def __init__(self, app: Flask) -> None:
        self._app = app

    def get(self, client: FlaskClient) -> dict[str, t.Any]:
        """What the session of *client* holds; empty without a cookie.

        :raises SessionError: if the app refuses the cookie; it says why.
        :raises TypeError: for a client without cookies.
        """
        __tracebackhide__ = True
        return Desk(client.application).read(_cookie_header(client))

    def set(
        self, client: FlaskClient, data: Mapping[str, t.Any], *, base_url: str | None = None
    ) -> None:
        """Give *client* a session that holds *data* and nothing else. Empty data ends it.

        :param base_url: where the client will ask, if not at the app's own address.
        :raises SessionError: if the app can't sign.
        :raises TypeError: for a client without cookies, and for what JSON can't hold.
        """
        __tracebackhide__ = True
        desk = Desk(client.application, base_url)
        headers = desk.save(data, _cookie_header(client))
        internals.give_cookies(client, desk.environ["SERVER_NAME"], headers)

    def sign(self, data: Mapping[str, t.Any]) -> str:
        """The value of a session cookie that holds *data*.

        :raises SessionError: if the app can't sign, or would split it into several cookies.
        :raises TypeError: for what JSON can't hold.
        """
        __tracebackhide__ = True
        headers = Desk(self._app).save(data, "")
        if len(headers) != 1:
            raise SessionError(
                f"The session goes into {len(headers)} cookies. Use ctx_session.set(client, data)."
            )
        return next(iter(parse_cookie(headers[0].partition(";")[0]).values()))

    def read(self, cookie: str) -> dict[str, t.Any]:
        """What the value of a session cookie holds.

        :raises SessionError: if the app refuses it; it says why.
        """
        __tracebackhide__ = True
        name = self._app.session_interface.get_cookie_name(self._app)
        return Desk(self._app).read(f"{name}={cookie}")


class Desk:
    """Where an app's session interface is asked: the contexts of a request that never was.

    :param base_url: the address that was asked.
    """

    def __init__(self, app: Flask, base_url: str | None = None) -> None:
        self._app = app
        twin = witnessed(app.session_interface)
        self._interface: SessionInterface = app.session_interface if twin is None else twin[0]
        self._witness = None if twin is None else twin[1]
        self.environ = _environ(app, base_url)

    def read(self, cookies: str) -> dict[str, t.Any]:
        """What the session in a ``Cookie`` header holds."""
        __tracebackhide__ = True
        found: dict[str, t.Any] = self._placed(cookies, dict)
        refused = self._refusal()
        if cookies and refused is not None and not found:
            raise SessionError(
                f"The app refuses the session's cookie: {refused.message} {refused.fix}".rstrip(),
                code=refused.code,
            )
        return found

    def save(self, data: Mapping[str, t.Any], cookies: str) -> list[str]:
        """The ``Set-Cookie`` headers that change the session of *cookies* to *data*."""
        __tracebackhide__ = True
        headers: list[str] = self._placed(cookies, lambda session: self._saved(session, data))
        if data and not headers:
            told = self._witness.of("save") if self._witness is not None else []
            why = f" {told[-1].message} {told[-1].fix}".rstrip() if told else ""
            raise SessionError(f"The session was not saved.{why}")
        return headers

    def _saved(self, session: t.Any, data: Mapping[str, t.Any]) -> list[str]:
        app, response = self._app, Response()
        if self._interface.is_null_session(session):
            raise SessionError(
                f"The app {app.name!r} can't sign: it has no secret key. Set app.secret_key in "
                "the app fixture."
            )
        session.clear()
        session.update(data)
        self._interface.save_session(app, session, response)
        return response.headers.getlist("Set-Cookie")

    def _placed(self, cookies: str, ask: Callable[[t.Any], t.Any]) -> t.Any:
        environ = {**self.environ, "HTTP_COOKIE": cookies} if cookies else self.environ

        def asked() -> t.Any:
            return ask(internals.raw_session(internals.current_request_context()))

        return internals.run_placed(self._app, environ, asked, self._interface)

    def _refusal(self) -> Verdict | None:
        told = [] if self._witness is None else self._witness.of("open")
        return told[-1] if told and told[-1].code not in READ | {"absent", "untouched"} else None


def _environ(app: Flask, base_url: str | None) -> WSGIEnvironment:
    builder = EnvironBuilder(app, base_url=base_url)
    try:
        return builder.get_environ()
    finally:
        builder.close()


def _cookie_header(client: FlaskClient) -> str:
    """The cookies of *client* that may make up its session.

    :raises SessionError: if there are sessions of several domains or paths.
    """
    app = client.application
    name = app.session_interface.get_cookie_name(app)
    held = internals.client_cookies(client)
    found = [c for c in held if c.key == name or c.key.startswith(f"{name}.")]
    places = sorted({f"{cookie.domain}{cookie.path}" for cookie in found})
    if len(places) > 1:
        raise SessionError(
            f"The client holds sessions of {', '.join(places)}. Use a client for each."
        )
    return "; ".join(f"{cookie.key}={cookie.value}" for cookie in found)
