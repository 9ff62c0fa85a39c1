"""A request as a curl command: capped, and without what is hidden."""

from __future__ import annotations

import re
import shlex
import typing as t
from urllib.parse import quote

if t.TYPE_CHECKING:
    from ..trace.model import Trace

MOST: t.Final = 2000
"""The most characters of a command."""
HEADERS: t.Final = 20
_LEFT_OUT: t.Final = frozenset(
    {"Host", "Connection", "Content-Length", "Accept-Encoding", "Upgrade-Insecure-Requests"}
)
_CONTROL: t.Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def curl(trace: Trace) -> str | None:
    """What to type to send the request of *trace* again; None for what is not a request.

    The body was never recorded, and hidden headers are named in a comment.
    """
    if trace.method is None or trace.path is None:
        return None
    parts = ["curl", "-i"]
    if trace.method == "HEAD":
        parts[1] = "-I"
    elif trace.method != "GET":
        parts += ["-X", shlex.quote(trace.method)]
    hidden: list[str] = []
    headers = _headers(trace, hidden)
    command = " ".join([*parts, _url(trace, hidden)])
    for header in headers:
        if len(command) + len(header) > MOST:
            hidden.append("the headers that did not fit")
            break
        command += f" \\\n  {header}"
    length = _text(trace.environ.get("CONTENT_LENGTH"))
    if length and length != "0" and trace.method not in {"GET", "HEAD"}:
        hidden.append(f"the body of {length} bytes, which is never recorded")
    return command + (f"\n# without {', '.join(hidden)}" if hidden else "")


def _url(trace: Trace, hidden: list[str]) -> str:
    host = _text(trace.environ.get("HTTP_HOST")) or "127.0.0.1:5000"
    scheme = _text(trace.environ.get("wsgi.url_scheme")) or "http"
    root = _text(trace.environ.get("SCRIPT_NAME")) or ""
    url = f"{scheme}://{quote(host, safe=':[]')}{quote(root + (trace.path or ''), safe='/~')}"
    query = _text(trace.query) if trace.query else None
    if query:
        if "•" in query:
            hidden.append("what is hidden in the query string")
        url += "?" + quote(query, safe="=&%+/~,:;@!*().-_")
    return shlex.quote(url[: MOST // 2])


def _headers(trace: Trace, hidden: list[str]) -> list[str]:
    found: list[str] = []
    for key, value in trace.environ.items():
        if not (key.startswith("HTTP_") or key == "CONTENT_TYPE"):
            continue
        name = key.removeprefix("HTTP_").replace("_", "-").title()
        if name in _LEFT_OUT:
            continue
        text = _text(value)
        if text is None:
            hidden.append(name)
        elif text and len(found) < HEADERS:
            found.append("-H " + shlex.quote(_CONTROL.sub(" ", f"{name}: {text}")))
    return found


def _text(captured: t.Any) -> str | None:
    """What was captured whole as text; None for what is hidden, cut or no text."""
    if isinstance(captured, int) and not isinstance(captured, bool):
        return str(captured)
    return captured if isinstance(captured, str) else None
