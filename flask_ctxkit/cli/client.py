"""Asking a running app over HTTP. Never imports it: an app that hangs must still be told of."""

from __future__ import annotations

import ipaddress
import json
import time
import typing as t
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException, IncompleteRead

from ..errors import CtxKitError

if t.TYPE_CHECKING:
    from http.client import HTTPResponse

SCHEMA: t.Final = 1
"""The newest schema of a report that this release reads."""
PREFIX: t.Final = "/_ctx"
MOST: t.Final = 64 * 1024 * 1024
"""Bytes of an answer that are read at most."""
_CHUNK: t.Final = 64 * 1024

Report = t.Mapping[str, t.Any]


class AskError(CtxKitError):
    """No answer could be had. ``evidence["code"]`` names why, ``evidence["url"]`` whom.

    ``exit_code`` is 2, since nobody could be asked, and 1 where the answer is "no".
    """

    exit_code = 2

    def __init__(self, message: str, *, code: str, **evidence: t.Any) -> None:
        super().__init__(message, code=code, **evidence)
        self.code = code


class NotFoundError(AskError):
    """The app answered: what was asked for isn't there."""

    exit_code = 1


class NobodyError(AskError):
    """Nobody answered at ``evidence["url"]``, or not the kit."""


@dataclass(frozen=True, slots=True)
class Client:
    """Asks the pages of one running app for their reports.

    :param url: where the pages are, with their prefix and without a slash at the end.
    :param token: ``CTXKIT_TOKEN`` of that app, sent as a bearer token.
    :param timeout: seconds until an answer must be whole.
    """

    url: str
    token: str | None = None
    timeout: float = 3.0

    @classmethod
    def at(cls, url: str, token: str | None = None, timeout: float = 3.0) -> Client:
        """A client for a URL as a user writes it; one without a path gets ``/_ctx``.

        :raises AskError: where the URL isn't an http(s) one, or the token can't be sent.
        """
        if token is not None and not (token.isascii() and token.isprintable() and " " not in token):
            raise AskError(
                "The token has characters that a header can't carry. "
                "Copy it from CTXKIT_TOKEN of the app again.",
                code="bad-token",
            )
        return cls(_pages_url(url), token, timeout)

    def ask(self, question: str, **query: t.Any) -> Report:
        """The report of one page, like ``ask("requests", limit=5)``.

        Entries of *query* that are None are left out.

        :raises NotFoundError: the app knows no such thing.
        :raises AskError: nobody answered, or not with a report that this release reads.
        """
        asked = {name: value for name, value in query.items() if value is not None}
        url = f"{self.url}/{question}.json"
        if asked:
            url += "?" + urllib.parse.urlencode(asked)
        status, body = self._fetch(url)
        return _report(status, body, self.url)

    def _fetch(self, url: str) -> tuple[int, bytes]:
        headers = {"Accept": "application/json", "User-Agent": "flask-ctxkit"}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 (checked in at())
        deadline = time.monotonic() + self.timeout
        try:
            with _opener(url).open(request, timeout=self.timeout) as response:
                return response.status, _body(response, deadline)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, self._error_body(error, deadline)
        except (OSError, HTTPException, ValueError) as error:
            raise _nobody(error, self.url, self.timeout) from error

    def _error_body(self, error: urllib.error.HTTPError, deadline: float) -> bytes:
        try:
            return _body(t.cast("HTTPResponse", error), deadline)
        except (OSError, HTTPException) as broken:
            raise _nobody(broken, self.url, self.timeout) from broken


class _StayHere(urllib.request.HTTPRedirectHandler):
    # A redirect is a login page or another server; the token must not follow it.
    def redirect_request(self, *_: t.Any) -> None:
        return None


def _opener(url: str) -> urllib.request.OpenerDirector:
    handlers: list[urllib.request.BaseHandler] = [_StayHere()]
    if _is_loopback(urllib.parse.urlsplit(url).hostname or ""):
        # A proxy from the environment can't reach this machine's own loopback.
        handlers.append(urllib.request.ProxyHandler({}))
    return urllib.request.build_opener(*handlers)


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _pages_url(url: str) -> str:
    wanted = "Write it like http://127.0.0.1:5000, or with the prefix of the pages behind it."
    try:
        parts = urllib.parse.urlsplit(url)
        sound = parts.scheme in {"http", "https"} and bool(parts.hostname)
        _ = parts.port  # raises where it isn't one
    except ValueError:
        sound = False
    if not sound or not url.isascii() or not url.isprintable() or " " in url:
        raise AskError(f"{url!r} is not the URL of an app. {wanted}", code="bad-url", url=url)
    if parts.username is not None or parts.password is not None:
        raise AskError(
            "A URL with a user or a password in it is not supported: it would stand in your "
            "shell's history. Use --token.",
            code="bad-url",
        )
    path = parts.path.rstrip("/") or PREFIX
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc, path, "", ""))


def _body(response: HTTPResponse, deadline: float) -> bytes:
    # The socket's timeout starts again with every byte, so a slow answer has its own limit.
    chunks: list[bytes] = []
    size = 0
    while chunk := response.read1(_CHUNK):
        chunks.append(chunk)
        size += len(chunk)
        if size > MOST:
            message = f"the answer is larger than {MOST // 1024 // 1024} MiB"
            raise OSError(message)
        if time.monotonic() > deadline:
            raise TimeoutError
    if response.length:  # read1 ends in silence where the connection broke off
        raise IncompleteRead(b"", response.length)
    return b"".join(chunks)


def _nobody(error: Exception, url: str, timeout: float) -> NobodyError:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    code, said = _reason(reason, timeout)
    return NobodyError(f"No running app answered at {url}/: {said}.", code=code, url=url, said=said)


def _reason(reason: object, timeout: float) -> tuple[str, str]:
    if isinstance(reason, ConnectionRefusedError):
        return "refused", "connection refused"
    if isinstance(reason, TimeoutError):
        return "timeout", f"no answer within {timeout:g} s"
    if isinstance(reason, ConnectionError):
        return "reset", "the connection was closed without an answer"
    if isinstance(reason, HTTPException):
        return "not-http", f"what came back is not HTTP ({type(reason).__name__})"
    text = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    return "unreachable", str(text)


def _report(status: int, body: bytes, url: str) -> Report:
    report = _decoded(body)
    if report is None:
        raise _not_the_kit(status, url)
    schema = report["schema"]
    if schema > SCHEMA:
        raise AskError(
            f"The app at {url}/ runs a newer flask-ctxkit (schema {schema}, known here: "
            f"{SCHEMA}). Upgrade it here too: pip install -U flask-ctxkit",
            code="newer-schema",
            url=url,
        )
    if status != 200 or "error" in report:  # noqa: PLR2004
        raise _refusal(status, report)
    return report


def _decoded(body: bytes) -> Report | None:
    try:
        # NaN is no JSON, and what can't be known is null.
        report = json.loads(body, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        return None
    schema = report.get("schema") if isinstance(report, dict) else None
    return report if type(schema) is int and schema >= 1 else None


def _not_the_kit(status: int, url: str) -> NobodyError:
    said = {
        200: "it answered, but not with a report of the kit",
        401: "HTTP 401, a login is asked for before the kit is reached",
        403: "HTTP 403, forbidden",
        404: "HTTP 404, no pages of the kit there",
    }.get(status, f"HTTP {status}, and no report of the kit")
    if 300 <= status < 400:  # noqa: PLR2004
        said = f"HTTP {status}, a redirect to somewhere else"
    return NobodyError(
        f"{url}/ answered, but not the kit: {said}.", code=f"http-{status}", url=url, said=said
    )


def _refusal(status: int, report: Report) -> AskError:
    error = report.get("error")
    given = error if isinstance(error, dict) else {}
    code, message = str(given.get("code", f"http-{status}")), str(given.get("message", ""))
    kind = NotFoundError if status == 404 else AskError  # noqa: PLR2004
    return kind(message or f"The app answered HTTP {status} without a reason.", code=code)
