"""The commands against a real ``flask run`` with the kit: what is asked is what is answered."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
import typing as t
import urllib.error
import urllib.request
from pathlib import Path

import pytest

pytestmark = pytest.mark.server

ROOT = Path(__file__).parents[2]
TOKEN = "t" * 40
SHOP = """
import threading
import time
from flask import Flask, g, session
from flask_ctxkit import CtxKit

app = Flask("shop")
app.config.from_mapping(SECRET_KEY="0123456789abcdef" * 4)
app.config.from_prefixed_env()
CtxKit(app)
go_on = threading.Event()

@app.before_request
def load_user():
    g.user = "ann"

@app.after_request
def frame_options(response):
    response.headers["X-Frame-Options"] = "DENY"
    return response

@app.get("/cart")
def cart():
    session["cart"] = [1]
    return "cart"

@app.get("/wait")
def wait():
    go_on.wait(60)
    return "waited"

@app.get("/go-on")
def let_go():
    go_on.set()
    return "gone on"
"""
Serve = t.Callable[..., str]


@pytest.fixture
def serve(tmp_path: Path) -> t.Iterator[Serve]:
    """Start ``flask run`` and return its URL."""
    (tmp_path / "shop.py").write_text(SHOP)
    started: list[subprocess.Popen[bytes]] = []

    def begin(*options: str, debug: bool = True, **config: str) -> str:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        env = {k: v for k, v in os.environ.items() if not k.startswith(("CTXKIT_", "FLASK_"))}
        env |= {"PYTHONPATH": str(ROOT)} | {f"FLASK_{k}": v for k, v in config.items()}
        words = ["--debug"] if debug else []
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "flask", "--app", "shop", *words, "run", "--no-reload",
                 "-p", str(port), *options],
                cwd=tmp_path, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
        )  # fmt: skip
        _until(lambda: _listens(port))
        return f"http://127.0.0.1:{port}"

    yield begin
    for process in started:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _until(condition: t.Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def get(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=60) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_a_whole_look_at_a_running_app(serve: Serve, run: t.Any) -> None:
    """Requests that ended, one that waits, and every command in every format."""
    url = serve()
    assert [get(url + "/cart"), get(url + "/nowhere")] == [200, 404]
    waiting = threading.Thread(target=get, args=(url + "/wait",))
    waiting.start()
    _until(lambda: "/wait" in run("--url", url, "ps").out)
    told = {
        name: run("--url", url, *name.split()).out
        for name in ("ps", "stacks", "requests", "show /cart", "show --status 4xx", "tail", "link")
    }
    overview = run("--url", url).out
    for wanted in ("table", "json"):
        for name in told:
            assert run("--url", url, *name.split(), "--format", wanted).code == 0, name
    assert get(url + "/go-on") == 200
    waiting.join(30)
    assert "view wait" in told["ps"]
    assert "shop.py:" in told["ps"]
    assert "| 0 top | GET /wait" in told["stacks"]
    for part in (told["requests"], told["tail"], overview):
        assert "/cart" in part
        assert "/nowhere" in part
    assert "GET /cart → 200 in" in told["show /cart"]
    assert "g +user" in told["show /cart"]
    assert "+X-Frame-Options" in told["show /cart"]
    assert "session +cart" in told["show /cart"]
    assert "GET /nowhere → 404" in told["show --status 4xx"]
    assert told["link"] == f"{url}/_ctx/\n"
    assert "NOW 1" in overview
    _until(lambda: "GET  /wait" in run("--url", url, "requests").out)
    assert "Nothing is running." in run("--url", url, "ps").out


def test_filters_and_refusals_are_the_servers(serve: Serve, run: t.Any) -> None:
    url = serve()
    get(url + "/cart")
    assert run("--url", url, "requests", "path:/cart", "--status", "2xx").code == 0
    none = run("--url", url, "requests", "path:/cart", "--status", "500")
    assert none.code == 1
    assert "Without status there is 1." in none.out
    wrong = run("--url", url, "requests", "--status", "abc")
    assert wrong.code == 2
    assert "status" in wrong.err
    gone = run("--url", url, "show", "00000000")
    assert gone.code == 1
    assert "00000000" in gone.err


def test_a_token_opens_an_app_that_is_not_in_debug(serve: Serve, run: t.Any) -> None:
    """Without it the app's own 404 answers, and all that it can mean is told."""
    url = serve(debug=False, CTXKIT_PAGES="true", CTXKIT_TOKEN=TOKEN)
    refused = run("--url", url, "ps")
    assert refused.code == 2
    assert "CTXKIT_TOKEN" in refused.err
    assert run("--url", url, "--token", TOKEN, "ps").code == 0
    assert run("--url", url, "--token", "x" * 40, "ps").code == 2
    login = run("--url", url, "--token", TOKEN, "link", "--format", "json").json()["link"]["login"]
    assert get(login) in {200, 303}


def test_production_answers_nothing(serve: Serve, run: t.Any) -> None:
    refused = run("--url", serve(debug=False), "ps")
    assert refused.code == 2
    assert "HTTP 404" in refused.err


def test_another_prefix_stands_in_the_url(serve: Serve, run: t.Any) -> None:
    url = serve(CTXKIT_URL_PREFIX='"/inside"')
    assert run("--url", url, "ps").code == 2
    assert run("--url", f"{url}/inside/", "ps").code == 0


def test_an_app_of_one_thread_that_hangs_is_told_of(serve: Serve, run: t.Any) -> None:
    url = serve("--without-threads")
    assert get(url + "/cart") == 200
    hanging = socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])))
    hanging.sendall(b"GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n")
    time.sleep(0.3)
    started = time.monotonic()
    outcome = run("--url", url, "--timeout", "0.5", "ps")
    hanging.close()
    assert time.monotonic() - started < 5
    assert outcome.code == 2
    assert "no answer within 0.5 s" in outcome.err
    assert "one thread that hangs" in outcome.err.replace("\n  ", " ")
