"""Asking over HTTP: what is sent, and what each way of not answering is called."""

from __future__ import annotations

import json
import socket
import threading
import time
import typing as t

import pytest

from flask_ctxkit.cli import client as client_module
from flask_ctxkit.cli.client import AskError, Client, NobodyError, NotFoundError


def asked(url: str, **options: t.Any) -> t.Any:
    return Client.at(url, timeout=options.pop("timeout", 2.0), **options).ask("index")


def failing(url: str, **options: t.Any) -> AskError:
    with pytest.raises(AskError) as caught:
        asked(url, **options)
    return caught.value


@pytest.mark.parametrize(
    ("given", "pages"),
    [
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000/_ctx"),
        ("http://127.0.0.1:5000/", "http://127.0.0.1:5000/_ctx"),
        ("http://host/inside/_own/", "http://host/inside/_own"),
        ("https://[::1]:8443?x=1#y", "https://[::1]:8443/_ctx"),
    ],
)
def test_a_url_without_a_path_means_the_usual_prefix(given: str, pages: str) -> None:
    """And one with a path is where the pages are, for another prefix or a mounted app."""
    assert Client.at(given).url == pages


@pytest.mark.parametrize(
    "url",
    [
        "", "127.0.0.1:5000", "ftp://host", "file:///etc/passwd", "http://", "http://host:port",
        "http://host:99999", "http://[::1", "http://ho st", "http://host/\r\nX: y", "http://ü",
        "http://user:secret@host",
    ],
)  # fmt: skip
def test_what_is_no_url_is_refused_before_anything_is_sent(url: str) -> None:
    with pytest.raises(AskError) as caught:
        Client.at(url)
    assert caught.value.code == "bad-url"
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("token", ["a b", "a\nX-Evil: 1", "tökén", "a\x7f"])
def test_a_token_that_no_header_can_carry_is_refused(token: str) -> None:
    with pytest.raises(AskError) as caught:
        Client.at("http://127.0.0.1", token)
    assert caught.value.code == "bad-token"
    assert token not in str(caught.value)


def test_the_question_goes_out_with_token_and_query(shop: t.Any) -> None:
    """As ``Authorization: Bearer``; what is None is left out; JSON is asked for."""
    Client.at(shop.url, "t" * 32).ask("requests", q="path:/a b&c", status=None, limit=5)
    (got,) = shop.asked
    assert (got.path, got.query) == (
        "/_ctx/requests.json", {"q": ["path:/a b&c"], "limit": ["5"]}
    )  # fmt: skip
    assert got.headers["authorization"] == "Bearer " + "t" * 32
    assert got.headers["accept"] == "application/json"


def test_no_token_sends_no_header(shop: t.Any) -> None:
    asked(shop.url)
    assert "authorization" not in shop.asked[0].headers


def test_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        error = failing(f"http://127.0.0.1:{free.getsockname()[1]}")
    assert (type(error), error.code) == (NobodyError, "refused")


def test_a_host_that_is_none() -> None:
    assert failing("http://host.invalid").code == "unreachable"


@pytest.fixture
def raw() -> t.Iterator[t.Callable[[t.Callable[[socket.socket], None]], str]]:
    """A server that does with each connection what the test says."""
    listening = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def serve(handle: t.Callable[[socket.socket], None]) -> str:
        def run() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                try:
                    handle(connection)
                except OSError:
                    return  # the client went away, as it should
                ended.wait(10)

        threading.Thread(target=run, daemon=True).start()
        return f"http://127.0.0.1:{listening.getsockname()[1]}"

    yield serve
    ended.set()
    listening.close()


def test_a_server_that_hangs_is_left_after_the_timeout(raw: t.Any) -> None:
    url = raw(lambda connection: None)
    started = time.monotonic()
    assert failing(url, timeout=0.3).code == "timeout"
    assert time.monotonic() - started < 3


def test_a_server_that_drips_is_left_after_the_timeout(raw: t.Any) -> None:
    """A byte now and then restarts the socket's timeout, but not the answer's."""

    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n")
        for _ in range(200):
            connection.sendall(b" ")
            time.sleep(0.05)

    started = time.monotonic()
    assert failing(raw(drip), timeout=0.3).code == "timeout"
    assert time.monotonic() - started < 3


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "not-http"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}", "not-http"),
        (b"", "reset"),
    ],
)
def test_what_is_not_http_is_told_so(raw: t.Any, sent: bytes, code: str) -> None:
    """Another protocol, an answer that breaks off, a connection closed at once."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_RDWR)

    assert failing(raw(answer)).code == code


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ((404, b"Not Found"), "http-404"),
        ((403, b"no"), "http-403"),
        ((401, b"login"), "http-401"),
        ((500, b"<h1>oops"), "http-500"),
        ((200, b"<html>"), "http-200"),
        ((200, b'"schema"'), "http-200"),
        ((200, b'{"contexts": []}'), "http-200"),
        ((200, b'{"schema": true}'), "http-200"),
        ((200, b'{"schema": "1"}'), "http-200"),
        ((200, b"[" * 200_000), "http-200"),
        ((200, b"\xff\xfe"), "http-200"),
        ((200, b'{"schema": ' + b"9" * 5000 + b"}"), "http-200"),
    ],
)
def test_what_answers_but_is_not_the_kit_is_told_apart(
    canned: t.Any, answer: t.Any, code: str
) -> None:
    canned.bodies["/_ctx/index.json"] = answer
    error = failing(canned.url)
    assert (type(error), error.code, error.exit_code) == (NobodyError, code, 2)


def test_a_redirect_is_not_followed_with_the_token(canned: t.Any) -> None:
    """A login wall's or another server's: the token would go with it."""
    canned.bodies["/_ctx/index.json"] = (302, b"", {"Location": f"{canned.url}/stolen"})
    error = failing(canned.url, token="t" * 32)
    assert error.code == "http-302"
    assert [got.path for got in canned.asked] == ["/_ctx/index.json"]


def test_a_newer_schema_asks_for_an_upgrade(canned: t.Any) -> None:
    canned.bodies["/_ctx/index.json"] = {"schema": 2, "app": {}}
    error = failing(canned.url)
    assert (error.code, error.exit_code) == ("newer-schema", 2)
    assert "pip install -U" in str(error)


def test_the_kits_own_refusals_keep_their_words(canned: t.Any) -> None:
    """404 of the kit means "no such thing" (1), 400 a wrong question (2)."""
    refusal = {"schema": 1, "error": {"code": "unknown-trace", "message": "It is gone."}}
    canned.bodies["/_ctx/index.json"] = (404, refusal)
    error = failing(canned.url)
    assert (type(error), error.code, str(error), error.exit_code) == (
        NotFoundError, "unknown-trace", "It is gone.", 1
    )  # fmt: skip
    canned.bodies["/_ctx/index.json"] = (400, {"schema": 1, "error": "?"})
    error = failing(canned.url)
    assert (error.code, error.exit_code) == ("http-400", 2)


def test_an_endless_answer_is_not_read_to_its_end(
    canned: t.Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "MOST", 1024)
    canned.bodies["/_ctx/index.json"] = (
        200,
        json.dumps({"schema": 1, "x": "y" * 200_000}).encode(),
    )
    assert "larger than" in str(failing(canned.url))


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    shop: t.Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy's loopback is another one."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    assert asked(shop.url)["app"]["name"] == "shop"
    assert asked(shop.url.replace("127.0.0.1", "localhost"))["app"]["name"] == "shop"
