"""Blueprint: errands beside the request: threads, greenlets, tasks, each in its own context."""

from __future__ import annotations

import asyncio
import threading
import typing as t
from dataclasses import dataclass

from flask import Blueprint, g, render_template, request

from flask_ctxkit import propagate

if t.TYPE_CHECKING:
    from flask import Flask

errands = Blueprint("errands", __name__)
GOODS = ("milk", "lemons", "rock sugar")
PATIENCE = 5.0  # seconds


@dataclass(frozen=True)
class Fetched:
    """What one errand saw: the request's path, the guest, and what else was on its ``g``."""

    good: str
    path: str
    guest: str
    others: tuple[str, ...]


def init_app(app: Flask) -> None:
    app.register_blueprint(errands)


def fetch(good: str) -> Fetched:
    """Runs wherever it is sent, on a ``g`` of its own, with a copy of the request."""
    others = tuple(name for name in g if name != "guest")
    g.basket = good  # each has a basket of its own, however many run at once
    return Fetched(g.basket, request.path, g.guest.name if g.guest else "nobody", others)


async def fetch_slowly(good: str) -> Fetched:
    await asyncio.sleep(0.05)
    return fetch(good)


@errands.get("/errands/threads")
def in_threads() -> str:
    found: list[Fetched] = []

    def bring(good: str) -> None:
        found.append(fetch(good))

    work = propagate(bring, g=["guest"])
    threads = [threading.Thread(target=work, args=(good,), name=f"for-{good}") for good in GOODS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    return told("Threads", "Thread(target=propagate(bring, g=['guest']))", found)


@errands.get("/errands/greenlets")
def in_greenlets() -> str | tuple[str, int]:
    try:
        import gevent
    except ImportError:
        missing = "pip install gevent, and they can run."
        return render_template("message.html", title="Greenlets need gevent", text=missing), 501
    greenlets = [gevent.spawn(propagate(fetch, g=["guest"]), good) for good in GOODS]
    try:
        # Not joinall's own timeout, which counts from when the hub last ran: maybe long ago.
        with gevent.Timeout(PATIENCE, False):
            gevent.joinall(greenlets, raise_error=True)
    finally:
        end_hub()
    found = [greenlet.value for greenlet in greenlets if greenlet.successful()]
    return told("Greenlets", "gevent.spawn(propagate(fetch, g=['guest']))", found)


def end_hub() -> None:
    """Each thread that runs greenlets has a hub of its own, which keeps two files open if it isn't
    told that it was the last. The hub of a server of gevent's, which runs each request in a
    greenlet, goes on.
    """
    from gevent import get_hub, getcurrent, monkey

    if getcurrent().parent is None and not monkey.is_module_patched("threading"):
        get_hub().destroy()


@errands.get("/errands/tasks")
async def in_tasks() -> str:
    """Async: as tasks of the loop, and the last one in a thread that the loop waits for."""
    slowly, at_once = propagate(fetch_slowly, g=["guest"]), propagate(fetch, g=["guest"])
    found = await asyncio.gather(
        *(asyncio.create_task(slowly(good)) for good in GOODS[:-1]),
        asyncio.to_thread(at_once, GOODS[-1]),
    )
    return told("Tasks", "create_task(propagate(fetch_slowly, g=['guest'])())", found)


def told(title: str, code: str, found: t.Sequence[Fetched]) -> str:
    # The errands' g is theirs: no basket is on this one.
    return render_template(
        "errands.html", title=title, code=code, found=found, basket=g.get("basket", "no basket")
    )
