"""A session that begins anew, as it should when a visitor logs in."""

from __future__ import annotations

import time
import typing as t

from flask import current_app, session

from .timeouts import BEGAN

if t.TYPE_CHECKING:
    from .timeouts import Timeouts


def regenerate_session(*keep: str) -> None:
    """Empty the current session but for the keys *keep*, and let its absolute timeout begin.

    Call it at login, before the user's id is set, and whenever rights change: what someone
    else planted in the visitor's browser before (session fixation: a shopping cart, a CSRF
    token, a step of a form) is gone then. ::

        regenerate_session("language")
        session["user_id"] = user.id

    Everything that is not named goes, also flashed messages, and ``permanent`` unless
    ``"_permanent"`` is named. A name that the session doesn't have is left out. The cookie
    from before stays valid until it expires, as every signed cookie does.

    :raises RuntimeError: outside of a request, or without a secret key, as each write does.
    :raises TypeError: for a name that is no str, like a list of names.
    """
    for name in keep:
        if not isinstance(name, str):
            raise TypeError(
                f"A key to keep is a {type(name).__name__}. Write regenerate_session(*names)."
            )
    kept = {name: session[name] for name in keep if name in session and name != BEGAN}
    session.clear()
    session.update(kept)
    timeouts: Timeouts | None = getattr(current_app.session_interface, "timeouts", None)
    if timeouts is not None and timeouts.absolute is not None:
        session[BEGAN] = int(time.time())
