"""The app that each server serves: hooks that log themselves, and places to fall asleep in.

Every request names itself with ``?n=``. What the app logs is the truth that the kit's traces
are held against, so nothing here asks the kit.
"""

from __future__ import annotations

import collections
import os
import sys
import threading
import typing as t

from flask import Blueprint, Flask, Response, g, jsonify, request, session, stream_with_context

from flask_ctxkit import CtxKit

STEPS = ["count_in", "name_it", "work", "sign", "close"]
"""What runs for ``/work/``, in this order."""
LONGEST_SLEEP = 60.0


class Log:
    """What ran for each request, and what it saw that was not its own."""

    def __init__(self) -> None:
        self.steps: dict[int, list[str]] = collections.defaultdict(list)
        self.units: dict[int, dict[str, t.Any]] = {}
        self.mixed: list[str] = []
        self.awake = threading.Event()

    def step(self, name: str) -> None:
        number = request.args.get("n", type=int)
        if number is None:
            return
        self.steps[number].append(name)
        if g.get("number", number) != number or session.get("number", number) != number:
            self.mixed.append(f"{name} of {number} saw g {g.number}")


def who_runs() -> dict[str, t.Any]:
    """The process, and the greenlet or else the thread, told without the kit."""
    greenlet = sys.modules.get("greenlet")
    current = greenlet.getcurrent() if greenlet is not None else None
    if current is not None and current.parent is not None:
        return {"pid": os.getpid(), "kind": "greenlet", "ident": id(current)}
    return {"pid": os.getpid(), "kind": "thread", "ident": threading.get_ident()}


def create_app() -> Flask:
    app = Flask("served")
    app.config.from_prefixed_env("SERVED")
    app.secret_key = "a key of the tests that is long enough to be no finding"
    CtxKit(app)
    log = Log()
    app.extensions["log"] = log

    @app.before_request
    def count_in() -> None:
        log.step("count_in")

    app.register_blueprint(work_of(log))
    app.register_blueprint(sleep_of(log))
    return app


def work_of(log: Log) -> Blueprint:
    """``/work/``: reads and writes ``g`` and the session, slowly enough to be interrupted."""
    shop = Blueprint("shop", __name__)

    @shop.before_request
    def name_it() -> None:
        g.number = request.args.get("n", type=int)
        log.step("name_it")

    @shop.get("/work/")
    def work() -> Response:
        session["number"] = g.number
        threading.Event().wait(0.02)
        log.step("work")
        log.units[g.number] = who_runs()
        return jsonify(number=g.number)

    @shop.get("/stream/")
    def stream() -> Response:
        def chunks() -> t.Iterator[str]:
            for _ in range(5):
                threading.Event().wait(0.005)
                yield f"{g.number} {request.args['n']}\n"

        return Response(stream_with_context(chunks()), mimetype="text/plain")

    @shop.get("/fail/")
    def fail() -> Response:
        raise ZeroDivisionError(g.number)

    @shop.after_request
    def sign(response: Response) -> Response:
        log.step("sign")
        response.headers["X-Number"] = str(g.number)
        return response

    @shop.teardown_request
    def close(error: BaseException | None) -> None:
        log.step("close")

    @shop.get("/log/")
    def tell() -> Response:
        return jsonify(steps=log.steps, units=log.units, mixed=log.mixed, pid=os.getpid())

    return shop


def sleep_of(log: Log) -> Blueprint:
    """``/sleep/PLACE``: asleep in a hook, in the view, or in a streamed body, until woken."""
    bed = Blueprint("bed", __name__)

    def sleep_in(place: str) -> None:
        if request.view_args == {"place": place}:
            log.awake.wait(LONGEST_SLEEP)

    @bed.before_request
    def sleepy_hook() -> None:
        sleep_in("hook")

    @bed.get("/sleep/<place>")
    def sleepy_view(place: str) -> Response:
        sleep_in("view")
        return Response(stream_with_context(sleepy_stream()), mimetype="text/plain")

    def sleepy_stream() -> t.Iterator[str]:
        yield "good night"
        sleep_in("stream")
        yield " and good morning"

    @bed.get("/wake/")
    def wake() -> str:
        log.awake.set()
        return "awake"

    return bed
