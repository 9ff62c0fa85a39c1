"""Blueprint: the start page, a guided tour; each stop does something and shows where to see it."""

from __future__ import annotations

import time
import typing as t

from flask import (
    Blueprint,
    Response,
    current_app,
    flash,
    g,
    redirect,
    render_template,
    request,
    request_started,
    stream_with_context,
    url_for,
)
from flask.cli import ScriptInfo

from flask_ctxkit import current_ctxkit

from .background import start, start_brewing
from .commands import restock
from .database import SoldOutError, menu, place_order
from .extensions import kit
from .stops import STOPS

if t.TYPE_CHECKING:
    from flask import Flask
    from werkzeug import Response as AnyResponse

tour = Blueprint("tour", __name__)


def init_app(app: Flask) -> None:
    app.register_blueprint(tour)
    request_started.connect(note_start, app)
    app.jinja_env.globals["ctx_url"] = ctx_url


@kit.before_first_request
def light_the_stove() -> None:
    """Runs once per process, before the first request's own hooks."""
    g.stove = "lit"
    current_app.logger.info("the stove is lit")


def note_start(app: Flask) -> None:
    """A receiver of Flask's own signal: it stands on every trace."""
    g.seen_by_signal = True


def ctx_url(path: str = "/") -> str | None:
    """The address of a page of the kit, or None where its pages are off."""
    if not current_ctxkit.pages:
        return None
    return request.script_root + current_ctxkit.config.url_prefix + path


@tour.get("/")
def guide() -> str:
    return render_template("tour.html", stops=STOPS)


@tour.before_request
def nap_in_hook() -> None:
    """Sleeps before the view where the guest asks for it."""
    if request.endpoint == "tour.nap" and request.args.get("place") == "hook":
        time.sleep(current_app.config["NAP_SECONDS"])


@tour.get("/nap")
def nap() -> AnyResponse | str:
    """Sleeps in this view, in the hook before it, or in the body after it."""
    place = request.args.get("place", "view")
    if place == "stream":
        return Response(stream_with_context(nap_in_stream()), mimetype="text/plain")
    if place == "view":
        time.sleep(current_app.config["NAP_SECONDS"])
    return "Good morning.\n"


def nap_in_stream() -> t.Iterator[str]:
    yield "Good night"
    time.sleep(current_app.config["NAP_SECONDS"])
    yield f" and good morning, {request.method} {request.path}.\n"


@tour.post("/tour/nap")
def start_naps() -> AnyResponse:
    """Three requests at once, asleep in a hook, in a view and in a stream."""
    for place in ("hook", "view", "stream"):
        start(f"nap-{place}", visit, f"/nap?place={place}")
    return see("/live")


def visit(app: Flask, path: str) -> None:
    app.test_client().get(path, buffered=True)  # else the stream would wait to be read


@tour.post("/tour/pot")
def order_pot() -> AnyResponse:
    """A pot of Iron Goddess for the house: this request is answered long before it is brewed."""
    try:
        start_brewing(place_order("the house", 3), 3)
    except SoldOutError:
        flash(f"{menu()[3]['name']} is sold out. Restock first.")
        return redirect(url_for("tour.guide"))
    return see("/live")


@tour.post("/tour/restock")
def run_command() -> AnyResponse:
    """The same command as in a terminal, in a thread: no request is anywhere near."""
    start("restock", invoke_restock).join()
    return see("/requests?kind=cli")


def invoke_restock(app: Flask) -> None:
    # Else it would decide anew whether the app is in debug, as a terminal does.
    script = ScriptInfo(create_app=lambda: app, set_debug_flag=False)
    app.test_cli_runner().invoke(restock, obj=script)


def see(path: str) -> AnyResponse:
    """Send the guest to a page of the kit, or back to the tour where there are none."""
    address = ctx_url(path)
    if address is None:
        flash("Started. The kit's pages are off here: run the example with --debug to see it.")
    return redirect(address or url_for("tour.guide"))
