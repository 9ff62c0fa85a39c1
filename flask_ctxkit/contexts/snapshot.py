"""A request and its session, kept for work that may run longer than they live."""

from __future__ import annotations

import copy
import sys
import typing as t
from collections import OrderedDict, defaultdict
from io import BytesIO

from flask.sessions import SessionMixin
from werkzeug.datastructures import FileStorage, iter_multi_items

from .. import internals
from ..errors import SnapshotError

if t.TYPE_CHECKING:
    from flask import Flask

PLAIN: t.Final = (str, bytes, int, float, bool, type(None))
"""What of an environ is kept. Other objects may be a connection, or belong to one."""
_SERVERS_OWN: t.Final = ("wsgi.version",)
_DICTS: t.Final = (dict, OrderedDict, defaultdict)
"""What is a plain dict in the cookie, and so in the next request."""


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
        self._session = session_values(internals.raw_session(ctx))

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
        internals.give_session(ctx, SnapshotSession(self._session))
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


# ---------------------------------------------------------------------------- session


def session_values(session: t.Any) -> dict[str, t.Any]:
    """What *session* holds, without being an access of it; {} where none is open."""
    if session is None:
        return {}
    if not getattr(session, "loaded", True):
        len(session)  # the kit's own, which reads its cookie when it is touched
    if isinstance(session, dict):
        return _FrozenDict(_frozen(dict(dict.items(session))))
    accessed = session.accessed
    values = dict(session.items())
    if session.accessed != accessed:
        session.accessed = accessed
    return _FrozenDict(_frozen(values))


def _frozen(value: t.Any) -> t.Any:
    """A copy of *value* whose dicts, lists and sets can't be changed, at any depth.

    Other objects stay as they are.
    """
    if type(value) in _DICTS:
        return _FrozenDict({name: _frozen(inner) for name, inner in value.items()})
    if type(value) is list:
        return _FrozenList([_frozen(inner) for inner in value])
    if type(value) is tuple:
        return tuple(_frozen(inner) for inner in value)
    if type(value) is set:
        return frozenset(value)
    return value


def _refuse(*_: t.Any, **__: t.Any) -> t.NoReturn:
    raise SnapshotError(
        "The session can't be changed here: this work has a read-only copy of it. The session is "
        "saved in a cookie of the response, which the request sends without waiting for this "
        "work. Change it in the view, or keep the result in a database or a cache."
    )


class _FrozenDict(dict[str, t.Any]):
    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce_ex__(self, _: t.SupportsIndex) -> tuple[t.Any, ...]:
        return dict, (dict(self),)  # copy.deepcopy() and pickle make one that can be changed


class _FrozenList(list[t.Any]):
    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = clear = extend = insert = pop = remove = _refuse
    reverse = sort = _refuse

    def __reduce_ex__(self, _: t.SupportsIndex) -> tuple[t.Any, ...]:
        return list, (list(self),)


class SnapshotSession(_FrozenDict, SessionMixin):
    """A read-only copy of a session, with all that is inside it."""

    new = False
    accessed = False

    @property
    def modified(self) -> bool:
        """Always False: there is nothing to save."""
        return False

    @modified.setter
    def modified(self, value: bool) -> None:
        if value:
            _refuse()
