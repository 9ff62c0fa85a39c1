"""The session interface: opens and saves as Flask's does, and tells what is lost between."""

from __future__ import annotations

import typing as t

from . import diagnosis
from .mapping import is_ours
from .saving import SavingInterface, ignore

if t.TYPE_CHECKING:
    from flask import Flask
    from flask.sessions import SessionMixin


class CtxSessionInterface(SavingInterface):
    """Flask's signed cookie session: the same cookies in and out, read only when touched.

    A subclass may override what a subclass of Flask's may; where it changes how a cookie is
    made or read, the slower way of Flask is taken.
    """

    def finish(self, app: Flask, session: SessionMixin, error: BaseException | None) -> None:
        """Say what became of *session* where the request never came to ``save_session``.

        Called when the context goes, with the error that ended it.
        """
        if is_ours(session):
            if session.modified and session.after_save is None:
                session.after_save = ignore
                code, evidence = diagnosis.lost(error)
                self._judge.give(app, "save", code, proof=lambda: evidence)
        elif self.is_null_session(session) and diagnosis.is_refused_write(error):
            self._judge.give(app, "save", "null-session")
