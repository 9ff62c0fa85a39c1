"""What the session costs, as a ratio to Flask's own interface in the same run.

usage: python tests/benchmarks/session_cost.py [--json FILE]

First the codec on small, typical and large sessions, then whole requests. Before anything is
timed it is asserted that both sides give the same cookie, values, headers and body. Both sides
take turns, and processor time is measured, so the ratio holds on a machine that does other work.

The floor of ``loads`` on the typical session (Python 3.11, zlib 1.2.13): of 8.3 us (stock 33)
5.8 are calls into C that Flask makes too, and that no other call replaces: zlib.decompress 2.0,
the JSON scanner 1.7, base64 of payload, time and signature 1.1, the two SHA-1 of HMAC 0.6, and the
search for dots, encoding and comparing 0.4. The hook that turns Flask's tags back takes 0.5, where
a walk afterwards takes 1.2. That leaves 2.0 for Python: nine calls and a verdict. So about 3.9
times. ``dumps`` is held by zlib.compress, 6.3 us of 15, at about 3.0 times.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import sys
import time
import typing as t
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from uuid import UUID

from flask import Flask, session
from flask.sessions import SecureCookieSessionInterface
from werkzeug.test import EnvironBuilder

from flask_ctxkit.session import codec, tags
from flask_ctxkit.session.cookie import values_in
from flask_ctxkit.session.interface import CtxSessionInterface

ROUNDS = 31
KEY = "k" * 32
ENVIRON = EnvironBuilder().get_environ()
MONTH = 31 * 24 * 3600

SMALL = {"user_id": 42, "_fresh": True, "csrf_token": "5f" * 20, "lang": "en"}
TYPICAL = {
    "_user_id": "4211",
    "_fresh": True,
    "_id": "8c" * 32,
    "csrf_token": "IjVmMmE0" * 5,
    "cart": [{"sku": "A-100", "n": 2}, {"sku": "B-7", "n": 1}],
    "_flashes": [("message", "Saved.")],
    "prefs": {"lang": "en", "theme": "dark"},
}
LARGE = {
    **TYPICAL,
    "seen": [
        {"at": datetime(2024, 5, 1 + n % 28, 7, n, tzinfo=timezone.utc), "page": f"/item/{n}"}
        for n in range(24)
    ],
    "ids": [UUID(int=n * 7919) for n in range(8)],
}
SESSIONS = {"small": SMALL, "typical": TYPICAL, "large": LARGE}

Ratios = dict[str, float]


def compared(stock: t.Callable[[], t.Any], own: t.Callable[[], t.Any], calls: int) -> Ratios:
    """Microseconds of both, and the median ratio of the rounds."""
    for function in (stock, own):
        for _ in range(calls):
            function()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for function, taken in zip((stock, own), times, strict=True):
            start = time.process_time()
            for _ in range(calls):
                function()
            taken.append((time.process_time() - start) / calls * 1e6)
    ratio = statistics.median(a / b for a, b in zip(*times, strict=True))
    medians = [statistics.median(taken) for taken in times]
    return {"stock_us": medians[0], "own_us": medians[1], "times_faster": ratio}


# ------------------------------------------------------------------------------- the codec


def codec_costs() -> dict[str, Ratios]:
    app = Flask("codec")
    app.secret_key = KEY
    found: dict[str, Ratios] = {}
    with app.app_context():
        provider: t.Any = app.json
        encode = tags.make_encode(provider.default, ensure_ascii=True, sort_keys=True)
        for name, values in SESSIONS.items():
            found.update(one_codec(name, values, app, encode))
    return found


def one_codec(
    name: str, values: dict[str, t.Any], app: Flask, encode: tags.Encode
) -> dict[str, Ratios]:
    keys = codec.Keyring.derive(KEY)
    interface = SecureCookieSessionInterface()

    def serializer() -> t.Any:  # built for each request, as Flask does
        return interface.get_signing_serializer(app)

    original = interface.serializer.tag

    def dumps() -> str:
        now = int(time.time())
        return codec.seal(codec.pack(encode(tags.tag(values, original))), keys, now=now)

    def verify() -> codec.Verified:
        return codec.verify(cookie.encode(), keys, now=int(time.time()), max_age=MONTH)

    def loads() -> t.Any:
        return values_in(codec.unpack(verify().payload))

    while (cookie := dumps()) != serializer().dumps(values):
        continue  # the second turned between the two
    assert loads() == serializer().loads(cookie, max_age=MONTH)
    return {
        f"dumps {name}": compared(lambda: serializer().dumps(values), dumps, 300),
        f"loads {name}": compared(
            lambda: serializer().loads(cookie, max_age=MONTH), loads, 300
        ),
        f"verify {name}": compared(
            lambda: serializer().loads(cookie, max_age=MONTH), verify, 600
        ),
    }  # fmt: skip


# -------------------------------------------------------------------------- whole requests


def make_app(interface: SecureCookieSessionInterface, *, permanent: bool) -> Flask:
    app = Flask("requests")
    app.secret_key = KEY
    app.session_interface = interface

    @app.get("/untouched")
    def untouched() -> dict[str, int]:
        return {"n": 1}

    @app.get("/read")
    def read_it() -> dict[str, t.Any]:
        return {"user": session.get("user_id")}

    @app.get("/written")
    def written() -> dict[str, t.Any]:
        session["user_id"] = 1 + session.get("user_id", 0)
        return {"user": session["user_id"]}

    @app.get("/start")
    def start() -> dict[str, t.Any]:
        session.update(SMALL)
        if permanent:
            session.permanent = True
        return {}

    return app


def call(app: Flask, path: str, cookie: str | None) -> tuple[bytes, str, t.Any]:
    environ: dict[str, t.Any] = {**ENVIRON, "PATH_INFO": path, "wsgi.input": io.BytesIO()}
    if cookie is not None:
        environ["HTTP_COOKIE"] = cookie
    begun: list[t.Any] = []
    body = app(environ, lambda *answer: begun.extend(answer) or bytes)  # type: ignore[func-returns-value]
    text = b"".join(body)
    body.close()  # type: ignore[attr-defined]  # Werkzeug's iterator has one
    return text, begun[0], begun[1]


def request_costs() -> dict[str, Ratios]:
    found: dict[str, Ratios] = {}
    for permanent in (False, True):
        apps = [
            make_app(interface, permanent=permanent)
            for interface in (SecureCookieSessionInterface(), CtxSessionInterface())
        ]
        cookies = [
            dict(call(app, "/start", None)[2])["Set-Cookie"].partition(";")[0] for app in apps
        ]  # fmt: skip
        cases = [("/untouched", cookies), ("/read", cookies), ("/written", cookies)]
        if not permanent:
            cases.insert(0, ("/untouched", [None, None]))
        for path, brought in cases:
            kind = "no cookie" if brought[0] is None else ("permanent " * permanent) + path[1:]
            while not agree(apps, path, brought):
                continue  # the second turned between the two
            stock, own = (
                partial(call, app, path, cookie) for app, cookie in zip(apps, brought, strict=True)
            )
            found[f"request {kind}"] = compared(stock, own, 200)
    return found


def agree(apps: list[Flask], path: str, cookies: t.Sequence[str | None]) -> bool:
    began = int(time.time())
    stock, own = (call(app, path, cookies[0]) for app in apps)
    if int(time.time()) != began:
        return False
    assert stock[:2] == own[:2]
    assert [*stock[2]] == [*own[2]], (stock[2], own[2])
    return True


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    target: Path | None = parser.parse_args(arguments).json
    result = {**codec_costs(), **request_costs()}
    for name, row in result.items():
        print(
            f"{name:28} stock {row['stock_us']:8.1f} us   own {row['own_us']:8.1f} us"
            f"   {row['times_faster']:5.2f} times faster   ratio {1 / row['times_faster']:4.2f}"
        )
    if target is not None:
        target.write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
