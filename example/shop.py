"""Blueprint: teas, the cart and orders; a slow, a streamed, an async and a failing view."""

from __future__ import annotations

import asyncio
import time
import typing as t

from blinker import Namespace
from flask import (
    Blueprint,
    abort,
    after_this_request,
    current_app,
    flash,
    g,
    redirect,
    render_template,
    request,
    session,
    stream_with_context,
    url_for,
)

from flask_ctxkit import unwrap

from .background import start_brewing
from .database import Row, SoldOutError, db, menu, place_order, reader

if t.TYPE_CHECKING:
    from flask import Flask
    from werkzeug import Response

shop = Blueprint("shop", __name__)
order_placed = Namespace().signal("order-placed")
LONGEST_NAP = 30.0


def init_app(app: Flask) -> None:
    app.register_blueprint(shop)
    # Weak by default: a receiver that lives only in this function would be gone at its end.
    order_placed.connect(log_order, app)


def log_order(app: Flask, number: int) -> None:
    app.logger.info("order %d was placed", number)


@shop.url_value_preprocessor
def find_tea(endpoint: str | None, values: dict[str, t.Any] | None) -> None:
    """Every URL with a tea's number finds its tea here, once."""
    if values and "tea_id" in values:
        g.tea = menu().get(values["tea_id"]) or abort(404, "We have no such tea.")


@shop.before_request
def start_clock() -> None:
    g.started = time.monotonic()


@shop.after_request
def tell_kitchen_time(response: Response) -> Response:
    response.headers["X-Kitchen-Time"] = f"{(time.monotonic() - g.started) * 1000:.1f} ms"
    return response


@shop.teardown_request
def log_failure(error: BaseException | None) -> None:
    if error is not None:
        current_app.logger.warning("%s failed: %s", request.endpoint, error)


@shop.app_context_processor
def count_cart() -> dict[str, t.Any]:
    return {"cart_size": len(session.get("cart", []))}


@shop.get("/teas")
def teas() -> str:
    return render_template("teas.html", teas=menu().values())


@shop.get("/teas/<int:tea_id>")
def tea(tea_id: int) -> str:
    beside = [other for other in menu().values() if abs(other["id"] - tea_id) == 1]
    return render_template("tea.html", tea=g.tea, beside=beside)


@shop.post("/cart/<int:tea_id>")
def add(tea_id: int) -> Response:
    session["cart"] = [*session.get("cart", []), tea_id]

    @after_this_request
    def remember_tea(response: Response) -> Response:
        response.set_cookie("last_tea", str(tea_id), samesite="Lax")
        return response

    flash(f"{g.tea['name']} is in your cart.")
    return redirect(url_for("shop.cart"))


@shop.get("/cart")
def cart() -> str:
    chosen = [menu()[number] for number in session.get("cart", []) if number in menu()]
    return render_template("cart.html", chosen=chosen)


@shop.post("/orders")
def order() -> Response:
    guest = g.guest.name if g.guest else "a guest"
    placed: dict[int, int] = {}
    with db:  # one transaction for the cart, in which each tea is one of its own
        for tea_id in session.pop("cart", []):
            try:
                placed[place_order(guest, tea_id)] = tea_id
            except SoldOutError:
                flash(f"{menu()[tea_id]['name']} is sold out.")
    for number, tea_id in placed.items():
        order_placed.send(unwrap(current_app), number=number)
        start_brewing(number, tea_id)
    return redirect(url_for("shop.orders"))


@shop.get("/orders")
def orders() -> str:
    return render_template("orders.html", orders=latest_orders(20))


def latest_orders(limit: int) -> list[Row]:
    with db as cursor:
        cursor.execute(
            "SELECT tea_order.*, tea.name FROM tea_order JOIN tea ON tea.id = tea_id"
            " ORDER BY tea_order.id DESC LIMIT ?",
            limit,
        )
        return cursor.fetchall()


@shop.get("/orders.txt")
def feed() -> Response:
    """Streamed one line at a time, while the connection serves others long since."""

    def lines() -> t.Iterator[str]:
        for found in latest_orders(10):
            time.sleep(0.1)
            yield f"{found['id']:>4}  {found['name']:<14}  {found['state']}\n"
        yield "that is all\n"

    return current_app.response_class(stream_with_context(lines()), mimetype="text/plain")


@shop.get("/report")
def report() -> str:
    """Slow on purpose: it counts every tin by hand."""
    time.sleep(min(request.args.get("seconds", 1.2, type=float), LONGEST_NAP))
    counted = reader().execute("SELECT count(*) AS kinds, sum(tins) AS tins FROM tea").fetchone()
    text = "{tins} tins of {kinds} teas.".format_map(counted)
    return render_template("message.html", title="Counted by hand", text=text)


@shop.get("/suppliers")
async def suppliers() -> str:
    """Async: asks three suppliers at the same time."""
    answers = await asyncio.gather(*(ask(origin) for origin in ("Fuding", "Anxi", "Wuyi")))
    return render_template("message.html", title="Our suppliers say", text=" ".join(answers))


async def ask(origin: str) -> str:
    await asyncio.sleep(0.05)
    known = sum(tea["origin"] == origin for tea in menu().values())
    return f"{origin}: {known} on the boat."


@shop.get("/refunds")
def refunds() -> str:
    """Fails: nobody ever asked for a refund, and the average of none is not a number."""
    refunded = db.fetchall(
        "SELECT cents FROM tea_order JOIN tea ON tea.id = tea_id WHERE state = 'refunded'"
    )
    return f"On average {sum(row['cents'] for row in refunded) / len(refunded):.2f}"
