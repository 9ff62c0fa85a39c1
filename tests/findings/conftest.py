"""A watched app: what the kit names when a small app is used."""

from __future__ import annotations

import typing as t

import pytest

from flask_ctxkit import CtxKit

if t.TYPE_CHECKING:
    from flask import Flask
    from flask.testing import FlaskClient

    from flask_ctxkit.findings import Finding, Rules
    from flask_ctxkit.state import State
    from flask_ctxkit.trace.model import Trace

KEY: t.Final = "9f1c6d2a8b7e4f309f1c6d2a8b7e4f309f1c6d2a8b7e4f30"


class Watched:
    """An app with a kit that records everything."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.client: FlaskClient = app.test_client()

    @property
    def state(self) -> State:
        return t.cast("State", self.app.extensions["ctxkit"])

    @property
    def rules(self) -> Rules:
        return self.state.rules

    @property
    def traces(self) -> list[Trace]:
        return list(self.state.store.newest())

    @property
    def found(self) -> tuple[Finding, ...]:
        """All that was found: at the start, in traces, and among the leaks."""
        assert self.rules.failures == ()
        registry = self.state.registry
        live = self.rules.for_live(registry.contexts(), registry.leaks)
        return (*(row.finding for row in self.rules.tally.rows()), *live)

    @property
    def codes(self) -> set[str]:
        return {finding.code for finding in self.found}

    def one(self, code: str) -> Finding:
        """The only finding, which must have that code."""
        assert [finding.code for finding in self.found] == [code]
        return self.found[0]


@pytest.fixture
def watch() -> t.Callable[..., Watched]:
    """Register a kit on an app whose set-up is sound."""

    def watch(app: Flask, **config: t.Any) -> Watched:
        app.config.setdefault("SECRET_KEY", None)
        app.config["SECRET_KEY"] = app.config["SECRET_KEY"] or KEY
        app.config.update({"CTXKIT_TRACE": True, **config})
        CtxKit(app)
        return Watched(app)

    return watch
