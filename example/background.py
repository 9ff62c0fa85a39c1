"""Work beside the requests: threads, each with an application context of its own."""

from __future__ import annotations

import threading
import time
import typing as t

from flask import current_app

from flask_ctxkit import unwrap

from .database import change

if t.TYPE_CHECKING:
    from flask import Flask


def init_app(app: Flask) -> None:
    app.extensions["threads"] = set()


def start(name: str, work: t.Callable[..., object], *values: t.Any) -> threading.Thread:
    """Call ``work(app, *values)`` in a thread that is remembered until it ends."""
    app: Flask = unwrap(current_app)  # the proxy would find nothing in the thread
    threads: set[threading.Thread] = app.extensions["threads"]

    def run() -> None:
        try:
            work(app, *values)
        finally:
            threads.discard(threading.current_thread())

    thread = threading.Thread(target=run, name=name, daemon=True)
    threads.add(thread)
    thread.start()
    return thread


def brew(app: Flask, number: int) -> None:
    """Make the tea of order *number*."""
    # The request's context ends with the request, so this work pushes one of its own.
    with app.app_context():
        time.sleep(app.config["BREW_SECONDS"])
        change("UPDATE tea_order SET state = 'served' WHERE id = ?", number)
