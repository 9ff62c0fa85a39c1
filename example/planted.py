"""The mistakes: each function plants one, the way real apps have made it.

This file and ``borrowed.py`` are the ones here that are not an example to follow.
"""

from __future__ import annotations

import threading
import time
import typing as t

from flask import (
    Blueprint,
    Flask,
    Response,
    abort,
    current_app,
    g,
    make_response,
    request,
    session,
    stream_with_context,
)


def hook_order(app: Flask, broken: Blueprint) -> None:
    @broken.before_request
    def greet() -> None:
        g.greeting = f"Hello, {g.visitor}!"

    @broken.before_request
    def load_visitor() -> None:
        g.visitor = request.args.get("name", "whoever you are")

    @broken.get("")
    def hello() -> str:
        return str(g.greeting)


def registered_twice(app: Flask, broken: Blueprint) -> None:
    @broken.before_request
    def count_visit() -> None:
        g.visits = g.get("visits", 0) + 1

    broken.before_request(count_visit)

    @broken.get("")
    def visits() -> str:
        return f"{g.visits} visits, by one visitor"


def guard_skipped(app: Flask, broken: Blueprint) -> None:
    pages: dict[str, str] = {}

    @broken.before_request
    def answer_from_cache() -> str | None:
        return pages.get(request.path)

    @broken.before_request
    def check_door() -> None:
        if "guest" not in session:
            pages[request.path] = "what only guests may see"
            abort(403)

    @broken.get("")
    def back_room() -> str:
        return "what only guests may see"


def slow_hook(app: Flask, broken: Blueprint) -> None:
    @broken.before_request
    def ask_weather_service() -> None:
        time.sleep(0.4)
        g.weather = "steady rain"

    @broken.get("")
    def weather() -> str:
        return str(g.weather)


def forgotten_pop(app: Flask, broken: Blueprint) -> None:
    @broken.get("")
    def tidy_up() -> str:
        current_app.app_context().push()
        return "tidied up"


def never_popped(app: Flask, broken: Blueprint) -> None:
    def count_tins() -> None:
        app.app_context().push()
        g.tins = 92

    @broken.get("")
    def stocktaking() -> str:
        stocktaker = threading.Thread(target=count_tins)
        stocktaker.start()
        stocktaker.join()
        return "all counted"


def abandoned_stream(app: Flask, broken: Blueprint) -> None:
    begun: list[t.Iterator[str]] = []

    def lines() -> t.Iterator[str]:
        yield f"a long report for {request.remote_addr}\n"
        yield "its end\n"

    @broken.get("")
    def report() -> str:
        body = stream_with_context(lines())
        begun.append(body)
        return next(body)


def late_stream(app: Flask, broken: Blueprint) -> None:
    def lines() -> t.Iterator[str]:
        yield f"you asked for {request.path}\n"

    @broken.get("")
    def echo() -> Response:
        return Response(lines(), mimetype="text/plain")


def thread_without_guest(app: Flask, broken: Blueprint) -> None:
    @broken.before_request
    def load_table() -> None:
        g.table = 7

    def serve() -> None:
        with app.app_context():
            app.logger.info("served table %d", g.table)

    @broken.get("")
    def table() -> str:
        waiter = threading.Thread(target=serve)
        waiter.start()
        waiter.join()
        return "served"


def thread_without_context(app: Flask, broken: Blueprint) -> None:
    def count_money() -> None:
        current_app.logger.info("nothing in the till of %s", current_app.name)

    @broken.get("")
    def closing_time() -> str:
        cashier = threading.Thread(target=count_money, name="cashier")
        cashier.start()
        cashier.join()
        return "we are closed"


def header_overwritten(app: Flask, broken: Blueprint) -> None:
    @broken.after_request
    def let_the_site_frame_it(response: Response) -> Response:
        response.headers["X-Frame-Options"] = "SAMEORIGIN"
        return response

    @broken.after_request
    def let_nobody_frame_it(response: Response) -> Response:
        response.headers["X-Frame-Options"] = "DENY"
        return response

    @broken.get("")
    def picture() -> str:
        return "a picture of a teapot"


def cookie_for_everyone(app: Flask, broken: Blueprint) -> None:
    @broken.get("")
    def offer() -> Response:
        session["seen_offer"] = True
        response = make_response("first flush, half price")
        response.headers["Cache-Control"] = "public, max-age=3600"
        return response


def masked_error(app: Flask, broken: Blueprint) -> None:
    @broken.teardown_request
    def put_away(error: BaseException | None) -> None:
        g.pot.empty()

    @broken.get("")
    def pour() -> str:
        raise ValueError("the pot is still cold")


def after_request_fails(app: Flask, broken: Blueprint) -> None:
    @broken.after_request
    def add_price(response: Response) -> Response:
        response.headers["X-Price"] = str(g.price)
        return response

    @broken.get("")
    def remember() -> str:
        session["seen"] = "Silver Needle"
        return "remembered"


def session_too_late(app: Flask, broken: Blueprint) -> None:
    @broken.teardown_request
    def count_visit(error: BaseException | None) -> None:
        session["visits"] = session.get("visits", 0) + 1

    @broken.get("")
    def welcome() -> str:
        session["welcomed"] = True
        return "welcome"


def reopened(app: Flask, broken: Blueprint) -> None:
    def ledger() -> list[str]:
        if "ledger" not in g:
            g.ledger = ["opened"]
        return t.cast("list[str]", g.ledger)

    @broken.teardown_request
    def note_end(error: BaseException | None) -> None:
        ledger().append("done")

    @broken.teardown_request
    def close_ledger(error: BaseException | None) -> None:
        g.pop("ledger", None)

    @broken.get("")
    def sell() -> str:
        return ", ".join(ledger())


def weak_secret(app: Flask, broken: Blueprint) -> None:
    app.secret_key = "secret"

    @broken.get("")
    def door() -> str:
        return "the key is under the mat"
