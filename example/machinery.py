"""Blueprint: the machinery itself: stacks, thread-locals that can be listed, proxies, cursors."""

from __future__ import annotations

import threading
import typing as t

from flask import Blueprint, Flask, current_app, g, render_template, request

from flask_ctxkit import Local, LocalProxy, LocalStack, unwrap

from .background import start
from .database import db
from .tour import see

if t.TYPE_CHECKING:
    from werkzeug import Response

machinery = Blueprint("machinery", __name__)
# Like the context variables of Flask: one name here, another value in each thread.
tray = Local()
pots = LocalStack[str]()
guest_name = LocalProxy(lambda: g.guest.name if g.guest else "nobody")


def init_app(app: Flask) -> None:
    app.register_blueprint(machinery)


@machinery.post("/tour/stacks")
def pile_contexts() -> Response:
    """A thread that piles contexts of two apps up, bottom to top, and sleeps on the pile."""
    ready = threading.Event()
    start("pile", hold_pile, ready)
    ready.wait()
    return see("/stacks")


def hold_pile(app: Flask, ready: threading.Event) -> None:
    cellar = Flask("cellar")
    with app.app_context(), cellar.app_context(), app.test_request_context("/teas"):
        ready.set()
        threading.Event().wait(app.config["NAP_SECONDS"])


@machinery.get("/locals")
def locals_of_all() -> str:
    """Three threads fill the same two names; each finds only what is its own."""
    names = ("Mei", "Hiro", "Ada")
    everyone = threading.Barrier(len(names) + 1)
    for name in names:
        start(f"waiter-{name}", wait_on_tables, name, everyone)
    everyone.wait()
    tray.guest = "the one who reads this page"
    return render_template("locals.html", trays=tray.all(), pots=pots.all())


def wait_on_tables(app: Flask, name: str, everyone: threading.Barrier) -> None:
    tray.guest, tray.cups = name, len(name)
    for pot in ("green", "oolong", "black")[: len(name) - 1]:
        pots.push(pot)
    everyone.wait()
    threading.Event().wait(app.config["NAP_SECONDS"])


@machinery.get("/cursors")
def cursors() -> str:
    """Blocks inside one another, and a pair apart; after each step, what this thread has out."""
    steps = [("before", db.status())]
    with db as outer:
        teas = outer.execute("SELECT count(*) AS n FROM tea").fetchone()
        steps.append(("with db as outer", db.status()))
        with db as inner:
            orders = inner.execute("SELECT count(*) AS n FROM tea_order").fetchone()
            steps.append(("with db as inner", db.status()))
            with db.cursor() as apart:
                apart.execute("SELECT 1")
                steps.append(("with db.cursor() as apart", db.status()))
                holders = db.holders()
    steps.append(("after", db.status()))
    return render_template(
        "cursors.html", steps=steps, holders=holders, teas=teas["n"], orders=orders["n"]
    )


@machinery.get("/proxies")
def proxies() -> str:
    """What each proxy points at here, and in a thread that has no context."""
    names = {
        "current_app": current_app, "g": g, "request": request, "guest_name": guest_name,
    }  # fmt: skip
    inside = {name: describe(proxy) for name, proxy in names.items()}
    outside: dict[str, str] = {}
    thread = threading.Thread(
        target=lambda: outside.update({name: describe(proxy) for name, proxy in names.items()})
    )
    thread.start()
    thread.join()
    return render_template("proxies.html", inside=inside, outside=outside)


def describe(proxy: object) -> str:
    try:
        return repr(unwrap(proxy))
    except RuntimeError as error:
        return f"RuntimeError: {str(error).splitlines()[0]}"
