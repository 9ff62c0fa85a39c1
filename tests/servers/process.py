"""A server as a process of its own on a free port."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
TOKEN = "only-for-the-tests-of-the-servers-0123456789"
READY_AFTER = 60.0
FACTORY = "tests.servers.app:create_app()"


@dataclass(frozen=True)
class Server:
    """How one server is started; ``parallel`` tells whether it answers while another sleeps."""

    name: str
    program: str
    arguments: tuple[str, ...]
    parallel: bool = True
    unit: str = "thread"

    def command(self, port: int) -> list[str] | None:
        """The command line, or None where the server is not installed."""
        path: str | None = sys.executable
        if self.program != "python":
            path = shutil.which(self.program, path=sysconfig.get_path("scripts"))
        if path is None:
            return None
        return [path, *(part.format(port=port) for part in self.arguments)]


def gunicorn(name: str, *arguments: str, **how: t.Any) -> Server:
    fixed = ("--bind", "127.0.0.1:{port}", "--workers", "1")
    return Server(f"gunicorn {name}", "gunicorn", (*fixed, *arguments, FACTORY), **how)


SERVERS = (
    Server("wsgiref", "python", ("-m", "tests.servers.wsgiref_server", "{port}"), parallel=False),
    Server("flask run", "flask", ("--app", FACTORY, "run", "--port", "{port}", "--no-reload")),
    gunicorn("sync", parallel=False),
    gunicorn("gthread", "--worker-class", "gthread", "--threads", "20"),
    gunicorn("gevent", "--worker-class", "gevent", unit="greenlet"),
    Server(
        "waitress",
        "waitress-serve",
        ("--host", "127.0.0.1", "--port", "{port}", "--threads", "20", "--call",
         "tests.servers.app:create_app"),
    ),
    Server(
        "uWSGI",
        "uwsgi",
        ("--http-socket", "127.0.0.1:{port}", "--module", FACTORY, "--master", "--need-app",
         "--enable-threads", "--threads", "20", "--py-call-osafterfork", "--die-on-term",
         "--disable-logging", "--pythonpath", str(ROOT), "--virtualenv", sys.prefix),
    ),
)  # fmt: skip


@dataclass
class Running:
    """A server that answers on ``port``."""

    server: Server
    port: int
    output: Path

    def get(self, path: str, **headers: str) -> tuple[int, str, dict[str, str]]:
        """Status, body and headers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=90)
        with contextlib.closing(connection):
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), dict(answer.headers)

    def ask(self, page: str, token: str = TOKEN) -> t.Any:
        """The JSON of one of the kit's pages."""
        status, body, _ = self.get(f"/_ctx/{page}", Authorization=f"Bearer {token}")
        assert status == 200, f"{page}: {status} {body[:300]}"
        report = json.loads(body)
        assert report["schema"] == 1
        return report


@contextlib.contextmanager
def serve(server: Server, folder: Path, **config: object) -> t.Iterator[Running]:
    """Run *server* until the block ends; *config* are keys of the app, in JSON."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = server.command(port)
    assert command is not None
    output = folder / f"{server.name.replace(' ', '-')}.log"
    settings = {"CTXKIT_PAGES": True, "CTXKIT_TRACE": True, "CTXKIT_TOKEN": TOKEN}
    settings |= {"CTXKIT_VALUES": True, **config}
    environment = {f"SERVED_{key}": json.dumps(value) for key, value in settings.items()}
    with output.open("w") as log:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={
                **os.environ,
                **environment,
                "PYTHONPATH": str(ROOT),
                "XDG_RUNTIME_DIR": str(folder),  # where gunicorn keeps a socket
            },
        )
    running = Running(server, port, output)
    try:
        wait_until_ready(running, process)
        yield running
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until_ready(running: Running, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_AFTER
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AssertionError(f"{running.server.name} ended:\n{running.output.read_text()}")
        with contextlib.suppress(OSError):
            running.get("/log/")
            return
        time.sleep(0.05)
    raise AssertionError(f"{running.server.name} did not answer:\n{running.output.read_text()}")
