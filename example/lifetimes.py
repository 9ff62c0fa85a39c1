"""Blueprint: how long a name lives, on ``g``, in the session, and in a module."""

from __future__ import annotations

import itertools
import typing as t

from flask import Blueprint, g, render_template, session

if t.TYPE_CHECKING:
    from flask import Flask

lifetimes = Blueprint("lifetimes", __name__)
# Shared by every guest and thread of this worker, gone at its end. A count is safe to share.
cups = itertools.count(1)


def init_app(app: Flask) -> None:
    app.register_blueprint(lifetimes)


@lifetimes.get("/lifetimes")
def count_cups() -> str:
    g.cups = g.get("cups", 0) + 1
    session["cups"] = session.get("cups", 0) + 1
    return render_template(
        "lifetimes.html", on_g=g.cups, in_session=session["cups"], everywhere=next(cups)
    )
