"""Work beside the requests: threads, and a kitchen whose every job has a context of its own."""

from __future__ import annotations

import threading
import time
import typing as t
from contextlib import contextmanager

from flask import current_app, g

from flask_ctxkit import ContextExecutor, explain_threads, unwrap

from .database import db, menu
from .extensions import kit

if t.TYPE_CHECKING:
    from flask import Flask


def init_app(app: Flask) -> None:
    app.extensions["threads"] = set()
    # From now on a thread that fails for want of a context says which request started it.
    explain_threads()
    app.extensions["kitchen"] = ContextExecutor(4, g=["guest"], thread_name_prefix="kitchen")


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


@contextmanager
def heat_kettle() -> t.Iterator[str]:
    """Hot as long as the context that asked for it, and off in any case."""
    current_app.logger.info("the kettle is on")
    try:
        yield "hot"
    finally:
        current_app.logger.info("the kettle is off")


kettle = kit.resource("kettle", heat_kettle)


def start_brewing(number: int, tea_id: int) -> None:
    """Have the kitchen make order *number*. The job takes ``g.guest`` along, and nothing else."""
    current_app.extensions["kitchen"].submit(brew, number, tea_id)


def brew(number: int, tea_id: int) -> None:
    kettle()
    time.sleep(current_app.config["BREW_SECONDS"])
    db.execute("UPDATE tea_order SET state = 'served' WHERE id = ?", number)
    who = g.guest.name if g.guest else "a guest"
    current_app.logger.info("%s for %s", menu()[tea_id]["name"], who)
