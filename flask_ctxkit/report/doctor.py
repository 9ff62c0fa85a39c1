"""Is anything wrong with the code, the sessions, the guard or the resources of this app?"""

from __future__ import annotations

import platform
import typing as t
from importlib import metadata

from .. import __version__
from ..config import PREFIX
from ..internals import FLASK_VERSION
from ..session.check import check
from ..session.settings import settings_of
from .old_code import Progress, old_code

if t.TYPE_CHECKING:
    from pathlib import Path

    from flask import Flask

    from ..config import Config

Row = dict[str, t.Any]
_ORDER: t.Final = ("error", "warning", "note")
_DEBUG_PAGES: t.Final = "they answer this machine while the app is in debug mode"


def _unheard(_done: int, _total: int) -> None:
    """Nobody waits for it."""


def doctor(
    app: Flask | None,
    paths: t.Sequence[Path],
    *,
    installed: bool = True,
    timeout: float = 3.0,
    unloaded: str | None = None,
    progress: Progress = _unheard,
) -> Row:
    """What is wrong, the most severe first, and what was looked at for it.

    Source files are read and never imported; resources are opened, asked and closed.

    :param app: None looks at files only.
    :param paths: the app's own files and folders.
    :param installed: read the installed extensions too.
    :param timeout: seconds that the resources have for an answer.
    :param unloaded: why the app that was asked for is not there.
    :param progress: told of each file.
    """
    code = old_code(paths, installed=installed, progress=progress)
    guard = None if app is None else _guard(app)
    pings = [] if app is None else _pings(app, timeout)
    problems = [
        *([] if unloaded is None else [_not_imported(unloaded)]),
        *code.pop("problems"),
        *([] if app is None else _sessions(app)),
        *([] if app is None else _guarded(app)),
        *map(_silent, (ping for ping in pings if not ping["ok"])),
    ]
    return {
        "app": None if app is None else app.name,
        "problems": sorted(problems, key=lambda row: _ORDER.index(row["severity"])),
        "versions": _versions(),
        "code": code,
        "guard": guard,
        "resources": pings,
        "missing": list(_missing(app, code)),
    }


def _versions() -> Row:
    return {
        "Python": platform.python_version(),
        "Flask": FLASK_VERSION,
        "Werkzeug": metadata.version("werkzeug"),
        "flask_ctxkit": __version__,
    }


def _sessions(app: Flask) -> t.Iterator[Row]:
    for problem in check(settings_of(app)):
        yield _row("session", **problem.as_dict())


def _row(part: str, code: str, severity: str, message: str, fix: str, **more: t.Any) -> Row:
    row = {"part": part, "code": code, "severity": severity, "message": message, "fix": fix}
    return row | {"places": []} | more


def _not_imported(why: str) -> Row:
    fix = "Correct that first. Names that are gone, listed here too, are a usual cause."
    return _row("app", "not-imported", "error", why, fix)


# ------------------------------------------------------------------------------- guard


def _guard(app: Flask) -> Row:
    """Who may look at the pages, as it is configured: not a token, but whether there is one."""
    config: Config | None = _config(app)
    if config is None:
        return {"kit": False, "pages": "off", "says": "The app has no kit, so no pages."}
    pages = (app.debug if config.pages == "auto" else config.pages) is True
    says = f"The pages are on at {config.url_prefix}: " if pages else "The pages are off."
    ways = [_DEBUG_PAGES] if app.debug else []
    ways += ["who has CTXKIT_TOKEN may look from anywhere"] if config.token else []
    return {
        "kit": True,
        "pages": "on" if pages else "off",
        "debug": bool(app.debug),
        "token": config.token is not None,
        "values": config.values if isinstance(config.values, bool) else
        "auto" if config.values == "auto" else "token",
        "hosts": list(config.page_hosts),
        "says": f"{says}{', and '.join(ways) or 'nobody may look'}." if pages else says,
    }  # fmt: skip


def _config(app: Flask) -> Config | None:
    state: t.Any = app.extensions.get("ctxkit")
    return None if state is None else t.cast("Config", state.config)


def _guarded(app: Flask) -> t.Iterator[Row]:
    config = _config(app)
    if config is None:
        return
    # Each opens more than its name says, as soon as the other one is known to somebody.
    for name, value in (("TOKEN", config.token), ("VALUES", config.values)):
        if isinstance(value, str) and value == app.secret_key:
            yield _row(
                "guard", "token-is-secret-key", "error",
                f"{PREFIX}{name} is SECRET_KEY: who may look can sign any session.",
                'Make another token with  python -c "import secrets; '
                'print(secrets.token_urlsafe(32))"  .',
            )  # fmt: skip
    if config.token is not None and config.values == config.token:
        yield _row(
            "guard", "tokens-same", "note",
            f"{PREFIX}VALUES is {PREFIX}TOKEN, so everybody who may look sees values.",
            f"Set {PREFIX}VALUES = True if that is meant, else another token.",
        )  # fmt: skip


# --------------------------------------------------------------------------- resources


def _pings(app: Flask, timeout: float) -> list[Row]:
    state: t.Any = app.extensions.get("ctxkit")
    if state is None:
        return []
    return [
        {"name": ping.name, "ok": ping.ok, "ms": round(ping.ms, 3), "error": ping.error}
        for ping in state.resources.ping(timeout)
    ]


def _silent(ping: Row) -> Row:
    return _row(
        "resources", "resource-silent", "error",
        f"The resource {ping['name']} does not answer: {ping['error']}",
        "Start what it connects to, or correct where it connects to.",
        resource=ping["name"],
    )  # fmt: skip


def _missing(app: Flask | None, code: Row) -> t.Iterator[str]:
    if app is None:
        yield "sessions, guard and resources, since there is no app. Name one: --app MODULE"
    elif "ctxkit" not in app.extensions:
        yield "resources, since the app has no kit."
    if not code["files"]:
        yield "your code, since there is no Python file. Name files or folders."
    yield "in code, what is tried first or asks for a version, and what only a run can tell."
