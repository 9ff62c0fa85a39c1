"""Looking at a session calls nothing of it that could count as the app's own access."""

from __future__ import annotations

import typing as t

import pytest
from flask import Flask, session
from flask.sessions import SessionInterface, SessionMixin

from flask_ctxkit import CtxKit

READS = ("__iter__", "__len__", "__contains__", "__getitem__", "keys", "values", "items", "get")


class Touchy(dict[str, t.Any], SessionMixin):
    """A session that logs each way in which it is read."""

    accessed = False

    def __init__(self, values: t.Mapping[str, t.Any]) -> None:
        super().__init__(values)
        self.reads: list[str] = []


def _logging(name: str) -> t.Any:
    def read(self: Touchy, *args: t.Any) -> t.Any:
        self.reads.append(name)
        self.accessed = True
        return getattr(dict, name)(self, *args)

    return read


for read in READS:
    setattr(Touchy, read, _logging(read))


class Touchies(SessionInterface):
    """Keeps the sessions that it opened."""

    def __init__(self, values: t.Mapping[str, t.Any]) -> None:
        self.values = values
        self.opened: list[Touchy] = []

    def open_session(self, app: Flask, request: t.Any) -> Touchy:
        self.opened.append(Touchy(self.values))
        return self.opened[-1]

    def save_session(self, app: Flask, session: t.Any, response: t.Any) -> None:
        pass


def shop(values: t.Mapping[str, t.Any], *, kit: bool) -> tuple[Flask, Touchies]:
    app = Flask("shop")
    app.session_interface = interface = Touchies(values)
    app.config["CTXKIT_TRACE"] = True
    if kit:
        CtxKit(app)

    @app.get("/none")
    def none() -> str:
        return ""

    @app.get("/read")
    def read() -> str:
        return str(session["a"])

    @app.get("/write")
    def write() -> str:
        session["b"] = session.pop("a", 0)
        session["a"] = 2
        return ""

    return app, interface


@pytest.mark.parametrize("values", [{}, {"a": 1}], ids=["empty", "filled"])
def test_a_session_that_nobody_reads_is_not_read(values: dict[str, int]) -> None:
    """Or the response would vary by its cookie."""
    app, interface = shop(values, kit=True)
    app.test_client().get("/none")
    (opened,) = interface.opened
    assert opened.reads == []
    assert opened.accessed is False


@pytest.mark.parametrize("path", ["/read", "/write"])
def test_a_session_is_read_as_often_as_without_the_kit(path: str) -> None:
    """Once it was read, the steps after that look at it again."""
    reads = []
    for kit in (False, True):
        app, interface = shop({"a": 1}, kit=kit)
        app.test_client().get(path)
        reads.append(interface.opened[0].reads)
    assert reads[0] == reads[1]
