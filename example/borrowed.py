"""More mistakes, as in ``planted.py``: with what a context borrows, and with work elsewhere."""

from __future__ import annotations

import sqlite3
import threading
import time
import typing as t
from contextlib import contextmanager

from flask import Blueprint, Flask, copy_current_request_context, g, request, session

from flask_ctxkit import SqlHelper, current_ctxkit, propagate

from .background import start
from .database import Row, db, reader


def connection_kept(app: Flask, broken: Blueprint) -> None:
    begun: list[t.Iterator[Row]] = []

    def teas() -> t.Iterator[Row]:
        with db as cursor:
            yield from cursor.execute("SELECT name FROM tea").fetchall()

    @broken.get("")
    def first_tea() -> str:
        rows = teas()
        begun.append(rows)
        return str(next(rows)["name"])


def slow_call_inside(app: Flask, broken: Blueprint) -> None:
    def ask_bank() -> float:
        time.sleep(1.1)
        return 1.08

    @broken.get("")
    def price() -> str:
        with db as cursor:
            cheapest = cursor.execute("SELECT min(cents) AS cents FROM tea").fetchone()
            return f"{cheapest['cents'] * ask_bank() / 100:.2f}"


def hangs_with_connection(app: Flask, broken: Blueprint) -> None:
    def ask_harbour() -> str:
        time.sleep(2 * current_ctxkit.config.stuck_after)  # no timeout: it may take for ever
        return "the ship is late"

    @broken.get("")
    def ship() -> str:
        teas = reader().execute("SELECT count(*) AS kinds FROM tea").fetchone()
        return f"{ask_harbour()}, with {teas['kinds']} teas"


def close_that_fails(app: Flask, broken: Blueprint) -> None:
    @contextmanager
    def borrow() -> t.Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(app.config["DATABASE"])
        yield connection
        connection.execute("DROP TABLE basket")  # which not every borrower makes
        connection.close()

    scales = SqlHelper(borrow, name="scales")

    @broken.get("")
    def weigh() -> str:
        return f"{scales.fetchone('SELECT sum(tins) FROM tea')[0]} tins"


def pool_too_narrow(app: Flask, broken: Blueprint) -> None:
    options = {"pool_size": 1, "max_overflow": 0, "pool_timeout": 0.2}
    narrow = SqlHelper.from_url(f"sqlite:///{app.config['DATABASE']}", name="narrow", **options)

    def count_orders() -> t.Any:
        with narrow as cursor:
            return cursor.execute("SELECT count(*) FROM tea_order").fetchone()

    @broken.get("")
    def tally() -> str:
        with narrow as cursor:
            teas = cursor.execute("SELECT count(*) FROM tea").fetchone()
            return f"{count_orders()} orders of {teas} teas"


def question_in_a_loop(app: Flask, broken: Blueprint) -> None:
    @broken.get("")
    def price_list() -> str:
        lines = []
        for cents in range(600, 1800, 100):
            reader().execute("SELECT name FROM tea WHERE cents BETWEEN ? AND ?", cents, cents + 99)
            lines += [f"{cents / 100:.2f} or more: {tea['name']}\n" for tea in reader()]
        return "".join(lines)


def one_copy_for_two(app: Flask, broken: Blueprint) -> None:
    @broken.get("")
    def tasting() -> str:
        both = threading.Barrier(2)

        @copy_current_request_context
        def sip() -> None:
            both.wait(5)

        tasters = [threading.Thread(target=sip) for _ in range(2)]
        for taster in tasters:
            taster.start()
        for taster in tasters:
            taster.join()
        return "both tasted"


def proxy_handed_over(app: Flask, broken: Blueprint) -> None:
    def write_down(visitor: t.Mapping[str, t.Any]) -> None:
        app.logger.info("%s was here", visitor.get("guest", "somebody"))

    @broken.get("")
    def guest_book() -> str:
        writer = threading.Thread(target=propagate(write_down), args=(session,))
        writer.start()
        writer.join()
        return "written down"


def table_left_behind(app: Flask, broken: Blueprint) -> None:
    @broken.before_request
    def load_table() -> None:
        g.table = 7

    def serve() -> None:
        app.logger.info("served table %d", g.table)

    @broken.get("")
    def table() -> str:
        waiter = threading.Thread(target=propagate(serve))
        waiter.start()
        waiter.join()
        return "served"


def mail_after_the_answer(app: Flask, broken: Blueprint) -> None:
    @broken.get("")
    def thank() -> str:
        @copy_current_request_context
        def send_mail(app: Flask) -> None:
            time.sleep(0.1)
            app.logger.info("thanked for %s", request.path)

        start("mail", send_mail)
        return "thank you"
