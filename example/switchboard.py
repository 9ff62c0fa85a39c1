"""Switches that plant mistakes: each builds the app anew, as a restart would."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment
    from flask import Flask

Build = t.Callable[[t.Collection[str]], "Flask"]


class Switchboard:
    """Stands where the app's ``wsgi_app`` stood and hands requests to the app built last.

    Hooks can't be registered or removed once an app has answered, so a planted mistake needs
    a new app, and so does taking it out.
    """

    def __init__(self, app: Flask, build: Build) -> None:
        self.planted: frozenset[str] = frozenset()
        self.current = self._first = app
        self._build = build
        self._answer = app.wsgi_app
        app.extensions["switchboard"] = self
        app.wsgi_app = self  # type: ignore[method-assign]

    def __call__(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> t.Iterable[bytes]:
        return self._answer(environ, start_response)

    def plant(self, names: t.Collection[str]) -> None:
        """From the next request on, exactly the mistakes *names* are planted."""
        app = self._build(names)
        app.debug = self._first.debug
        app.extensions["switchboard"] = self
        self.planted = frozenset(names)
        self.current = app
        self._answer = app.wsgi_app
