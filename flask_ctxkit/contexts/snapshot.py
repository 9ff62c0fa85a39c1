"""A request and its session, kept for work that may run longer than they live."""

from __future__ import annotations

import copy
import sys
import typing as t
from io import BytesIO

from werkzeug.datastructures import FileStorage, iter_multi_items

from .. import internals
from ..errors import SnapshotError
from .session_copy import SessionCopy

if t.TYPE_CHECKING:
    from flask import Flask

PLAIN: t.Final = (str, bytes, int, float, bool, type(None))
"""What of an environ is kept. Other objects may be a connection, or belong to one."""
_SERVERS_OWN: t.Final = ("wsgi.version",)


class Snapshot:
    """What the request of a context says now, for any number of contexts of its own.

    Kept are the environ's texts and numbers (and so headers, arguments, cookies, addresses),
    what the URL matched, the session, and of the body what was read by now. Each context that
    is made has a request object of its own.
    """

    def __init__(self, ctx: t.Any) -> None:
        request = internals.request_of(ctx)
        assert request is not None
        self._environ = {
            name: value
            for name, value in request.environ.items()
            if type(value) in PLAIN or name in _SERVERS_OWN
        }
        self._rule = request.url_rule
        self._values = request.view_args
        self._routing_error = request.routing_exception
        self._body = _kept(internals.body_of(request))
        self._files = self._body.pop("files", None)
        self.session = SessionCopy(internals.raw_session(ctx))

    def context(self, app: Flask) -> t.Any:
        """A new context with this request, not pushed.

        When it is pushed, no session is opened. Nothing is matched as long as its
        ``url_adapter`` is None.
        """
        ctx = app.request_context(self._new_environ())
        request = t.cast("t.Any", internals.request_of(ctx))
        request.environ.pop("werkzeug.request", None)  # a cycle, which keeps both alive
        request.url_rule = self._rule
        request.view_args = None if self._values is None else dict(self._values)
        request.routing_exception = self._routing_error
        internals.give_body(request, self._new_body(request))
        internals.give_session(ctx, self.session.new())
        return ctx

    def _new_environ(self) -> dict[str, t.Any]:
        # app.logger writes to this stream, and the parent's ends with its connection.
        fresh = {"wsgi.errors": sys.stderr, "wsgi.input": BytesIO()}
        if _may_have_body(self._environ):
            fresh["wsgi.input"] = t.cast("t.Any", _UnreadBody())
        return self._environ | fresh

    def _new_body(self, request: t.Any) -> dict[str, t.Any]:
        body = {name: copy.copy(value) for name, value in self._body.items()}
        if "form" in body:  # it was read to its end
            body["stream"] = BytesIO(body.get("_cached_data", b""))
        if self._files is not None:
            lent = [(name, _lent(file)) for name, file in iter_multi_items(self._files)]
            body["files"] = request.parameter_storage_class(lent)
        return body


def _kept(body: dict[str, t.Any]) -> dict[str, t.Any]:
    # A form that was parsed of kept data is parsed anew, with files that are the reader's own.
    # Data that is read after a form was is empty.
    if not body.get("_cached_data"):
        return body
    return {name: value for name, value in body.items() if name not in {"form", "files"}}


def _may_have_body(environ: t.Mapping[str, t.Any]) -> bool:
    """Whether a body may have come with the request: RFC 9112, section 6.3."""
    if environ.get("CONTENT_LENGTH") not in {None, "", "0"}:
        return True
    if "HTTP_TRANSFER_ENCODING" in environ:
        return True
    newer = not str(environ.get("SERVER_PROTOCOL", "HTTP/1")).startswith("HTTP/1")
    return newer and environ.get("REQUEST_METHOD") not in {"GET", "HEAD", "OPTIONS"}


class _UnreadBody:
    """Stands for a body that the request had not read when the snapshot was taken."""

    def read(self, *_: t.Any) -> t.NoReturn:
        raise SnapshotError(
            "The body of this request was not read when the work was started, and it can't be "
            "read here: it comes through the request's connection, which this work may outlive. "
            "So there is no form, files, JSON or data. Read it before propagate(), for example "
            "with request.form or request.get_json()."
        )

    readinto = readline = readlines = __iter__ = read


def _lent(file: FileStorage) -> FileStorage:
    stream: t.Any = _LentFile(file.stream)
    return FileStorage(stream, file.filename, file.name, headers=file.headers)


class _LentFile:
    """An uploaded file of the parent's, which alone closes it."""

    def __init__(self, stream: t.Any) -> None:
        self._lent = stream

    @property
    def closed(self) -> bool:
        return bool(getattr(self._lent, "closed", False))

    def close(self) -> None:
        """Leave it open: it is the parent's."""

    def __getattr__(self, name: str) -> t.Any:
        if self.closed:
            raise SnapshotError(
                "This uploaded file is closed: files end with the request that they came with, "
                "and it has ended. Save the file or read it in the view, and hand over the path "
                "or the bytes."
            )
        return getattr(self._lent, name)

    def __enter__(self) -> t.Any:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave it open, as :meth:`close` does."""

    def __iter__(self) -> t.Iterator[bytes]:
        return iter(self.__getattr__("__iter__")())
