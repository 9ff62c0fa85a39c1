"""The pages' own small WSGI app, asked before the user's app and apart from it.

It is not a Flask app: that would push contexts on the stacks that it shows, and send Flask's
signals to receivers of the user's that listen to every sender.
"""

from __future__ import annotations

import json
import logging
import threading
import typing as t
from urllib.parse import parse_qsl, quote

from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header
from werkzeug.wrappers import Response

from ..errors import CtxKitError
from .assets import asset
from .guard import COOKIE, LOGIN_SECONDS, Access, Guard
from .protection import HEADERS
from .rendering import environment
from .routes import NAVIGATION, Answer, PageError, Visit, find_route
from .veil import VeiledSources

if t.TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from ..report import Sources

SCHEMA: t.Final = 1
METHODS: t.Final = frozenset({"GET", "HEAD"})
MOST_PARAMETERS: t.Final = 50
_JSON: t.Final = "application/json"
_log: t.Final = logging.getLogger("flask_ctxkit")


class Pages:
    """Answers what is under the URL prefix, for viewers who may look.

    :param state: what the reports read; its ``pages`` tells whether there are pages at all.
    """

    def __init__(self, state: Sources) -> None:
        self._state = state
        self.guard = Guard(state.config, lambda: bool(state.app.debug))
        # WSGI paths are UTF-8 bytes, shown as latin-1.
        self._prefix = state.config.url_prefix.encode().decode("latin-1")
        self._lock = threading.Lock()
        self.failures: dict[str, int] = {}
        """How often a page could not be made, by the error's type."""

    def answer(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> t.Iterable[bytes] | None:
        """The answer to a request of somebody who may look; None hands it to the user's app."""
        path = environ.get("PATH_INFO", "")
        if not path.startswith(self._prefix) or path[len(self._prefix) :][:1] not in {"", "/"}:
            return None
        if not self._state.pages:
            return None
        inner = path[len(self._prefix) :].strip("/")
        access = self.guard.access(environ)
        if inner == "login" and self.guard.has_login:
            login = self._login(environ, access)
            if login is not None:
                return login(environ, start_response)
        if not access.look:
            self.guard.refused(environ, access.reason or "failed")
            return None
        return self._respond(environ, access, inner)(environ, start_response)

    # ------------------------------------------------------------------------ answers

    def _respond(self, environ: WSGIEnvironment, access: Access, inner: str) -> Response:
        wants_json = inner.endswith(".json") or _prefers_json(environ.get("HTTP_ACCEPT", ""))
        visit = self._visit(environ, access, wants_json=wants_json)
        try:
            return self._routed(visit, inner)
        except PageError as error:
            return self._rendered(visit, _error_answer(error))
        except CtxKitError as error:
            # What a report refuses is a parameter: it names it, and what to do.
            return self._rendered(visit, _error_answer(PageError("bad-parameter", str(error), 400)))
        except Exception as error:
            return self._rendered(visit, _error_answer(self._failed(error)))

    def _routed(self, visit: Visit, inner: str) -> Response:
        if visit.environ.get("REQUEST_METHOD") not in METHODS:
            raise PageError("method", "The pages only answer GET and HEAD. Use GET.", 405)
        if _too_many(visit.environ.get("QUERY_STRING", "")):
            told = f"There are more than {MOST_PARAMETERS} parameters. Leave some out."
            raise PageError("bad-parameter", told, 400)
        if inner.startswith("static/"):
            return _asset(inner.removeprefix("static/"))
        if not inner and not visit.environ["PATH_INFO"].endswith("/"):
            return _protected(Response(status=308, headers={"Location": f"{visit.root}/"}))
        route, arguments = find_route(inner.removesuffix(".json"))
        return self._rendered(visit, route.answer(visit, *arguments))

    def _failed(self, error: Exception) -> PageError:
        name = type(error).__name__
        with self._lock:
            self.failures[name] = self.failures.get(name, 0) + 1
        _log.error("ctxkit could not make a page.", exc_info=error)
        return PageError(
            "failed",
            f"The kit could not make this page ({name}). Your app is not affected; "
            "the server's log has the traceback. Please report it.",
            500,
        )

    def _visit(self, environ: WSGIEnvironment, access: Access, *, wants_json: bool) -> Visit:
        sources: Sources = self._state if access.values else VeiledSources(self._state)
        return Visit(
            sources=sources,
            access=access,
            environ=environ,
            parameters=_parameters(environ.get("QUERY_STRING", "")),
            wants_json=wants_json,
            root=_quoted(environ.get("SCRIPT_NAME", "")) + self._state.config.url_prefix,
            app_root=_quoted(environ.get("SCRIPT_NAME", "")),
            has_login=self.guard.has_login,
        )

    def _rendered(self, visit: Visit, answer: Answer) -> Response:
        known = visit.parameters.get("since")
        if known and known == answer.since and answer.status < 300:  # noqa: PLR2004
            return _protected(Response(status=204))
        if visit.wants_json:
            since = {} if answer.since is None else {"since": answer.since}
            body = json.dumps({"schema": SCHEMA, **answer.body, **since}, default=_listed)
            response = Response(body, answer.status, content_type=_JSON)
        else:
            html = environment().get_template(answer.template).render(
                visit=visit, root=visit.root, navigation=NAVIGATION, since=answer.since,
                app_name=self._state.app.name, **answer.context,
            )  # fmt: skip
            # A text of the user's may hold half a surrogate pair, which UTF-8 can't carry.
            response = Response(
                html.encode("utf-8", "replace"),
                answer.status,
                content_type="text/html; charset=utf-8",
            )
        response.headers["Vary"] = "Accept, Authorization, Cookie"
        if answer.status == 405:  # noqa: PLR2004
            response.headers["Allow"] = "GET, HEAD"
        return _protected(response)

    # -------------------------------------------------------------------------- login

    def _login(self, environ: WSGIEnvironment, access: Access) -> Response | None:
        """The page that turns a token into a cookie; None if there is nothing to show."""
        visit = self._visit(environ, access, wants_json=False)
        token = visit.parameters.get("token")
        if environ.get("REQUEST_METHOD") not in METHODS:
            return None
        value = None if token is None else self.guard.login(environ, token)
        if value is None:
            if token is not None:
                self.guard.refused(environ, "token" if access.reason != "host" else "host")
            if not access.look:
                return None
            return self._rendered(visit, Answer({}, "login.html", {"wrong": token is not None}))
        # Not a redirect: after a link from elsewhere, a browser would follow it without the
        # SameSite=Strict cookie. The page itself goes on.
        response = self._rendered(visit, Answer({}, "welcome.html", {}))
        response.set_cookie(
            COOKIE, value, max_age=LOGIN_SECONDS, path=visit.root, httponly=True,
            samesite="Strict", secure=environ.get("wsgi.url_scheme") == "https",
        )  # fmt: skip
        return response


def _protected(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers[name] = value
    return response


def _asset(name: str) -> Response:
    found = asset(name)
    if found is None:
        raise PageError("unknown-page", "There is no such file of the pages.", 404)
    return _protected(Response(found.content, content_type=found.content_type))


def _error_answer(error: PageError) -> Answer:
    body = {"error": {"code": error.code, "message": error.message}}
    return Answer(body, "error.html", {"error": error}, status=error.status)


def _prefers_json(accept: str) -> bool:
    found: MIMEAccept = parse_accept_header(accept, MIMEAccept)
    return found.best_match(["text/html", _JSON], default="text/html") == _JSON


def _parameters(query: str) -> dict[str, str]:
    return {} if _too_many(query) else dict(parse_qsl(query, keep_blank_values=True))


def _too_many(query: str) -> bool:
    return query.count("&") >= MOST_PARAMETERS


def _quoted(script_name: str) -> str:
    # A SCRIPT_NAME of "//host" would make every link lead to that host.
    return (
        "/" + quote(script_name.encode("latin-1").strip(b"/"), safe="/")
        if script_name.strip("/")
        else ""
    )


def _listed(value: t.Any) -> t.Any:
    # Mappings and sequences of records that json does not know by their type.
    return dict(value) if hasattr(value, "items") else list(value)
