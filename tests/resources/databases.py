"""Database servers of the tests' own: each on a free port, with its data in a folder that goes."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import typing as t
from pathlib import Path

import pytest

STARTING: t.Final = 60.0
"""Seconds that a server has to answer."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def program(name: str) -> str:
    """The path of a server's program; the test is skipped where there is none."""
    folders = [*map(str, Path("/usr/lib/postgresql").glob("*/bin")), "/usr/sbin", "/usr/local/sbin"]
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *folders]))
    if found is None:
        pytest.skip(f"there is no {name} here")
    return found


class Database:
    """A server's process and its data."""

    driver: str
    user: str
    user_database: str
    at_once = False

    def __init__(self) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="ctxkit-"))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"{self.driver}://{self.user}@127.0.0.1:{self.port}/test"

    def command(self) -> list[str]:
        raise NotImplementedError

    def make(self) -> None:
        """Write what the server begins with."""
        raise NotImplementedError

    def connect(self, database: str = "test") -> t.Any:
        """A connection that is none of the helper's."""
        raise NotImplementedError

    def kill_all(self) -> None:
        """Close all connections to the database on the server's side."""
        raise NotImplementedError

    def count(self) -> int:
        """How many connections to the database the server has, but for the one that asks."""
        raise NotImplementedError

    def counts(self, wanted: int) -> int:
        """:meth:`count`, once it is *wanted*: a server takes a moment to see that one left."""
        deadline = time.monotonic() + 5
        while (found := self.count()) != wanted and time.monotonic() < deadline:
            time.sleep(0.02)
        return found

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            # Without a terminal's signals: Ctrl-C stops the tests, and they stop the server.
            self._process = subprocess.Popen(
                self.command(),
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
                **self.account(),
            )
        deadline = time.monotonic() + STARTING
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = (self.folder / "log").read_text(errors="replace")[-2000:]
                pytest.fail(f"{self.command()[0]} did not start:\n{said}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        with contextlib.suppress(Exception):
            self.connect(self.user_database).close()
            return True
        return False

    def account(self) -> dict[str, t.Any]:
        """Whose process it is."""
        return {}

    def stop(self) -> None:
        if self._process is not None:
            # PostgreSQL would wait for its clients after a SIGTERM.
            self._process.send_signal(signal.SIGINT if self.at_once else signal.SIGTERM)
            self._process.wait(30)
            self._process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def ask(self, sql: str, database: str = "test") -> t.Any:
        with contextlib.closing(self.connect(database)) as connection:
            cursor = connection.cursor()
            cursor.execute(sql)
            found = cursor.fetchall() if cursor.description else None
            connection.commit()
            return found


@contextlib.contextmanager
def running(kind: type[Database]) -> t.Iterator[Database]:
    """A server of that kind, new, until the block ends."""
    database = kind()
    try:
        database.make()
        database.start()
        yield database
    finally:
        database.stop()
        shutil.rmtree(database.folder, ignore_errors=True)


class PostgreSQL(Database):
    driver = "postgresql+psycopg"
    user = "tester"
    user_database = "postgres"
    at_once = True

    def account(self) -> dict[str, t.Any]:
        # It refuses to run as root.
        if os.geteuid() != 0:
            return {}
        try:
            pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("there is no account postgres here")
        return {"user": "postgres", "group": "postgres", "extra_groups": ()}

    def make(self) -> None:
        if self.account():
            shutil.chown(self.folder, "postgres")
        where = f"--pgdata={self.folder / 'data'}"
        options = ["--auth=trust", f"--username={self.user}", "--no-sync", "--encoding=UTF8"]
        subprocess.run(
            [program("initdb"), where, *options],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd="/",
            **self.account(),
        )

    def command(self) -> list[str]:
        settings = {
            "port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "",
            "fsync": "off", "max_connections": 100,
        }  # fmt: skip
        options = [f"--{name}={value}" for name, value in settings.items()]
        return [program("postgres"), "-D", str(self.folder / "data"), *options]

    def start(self) -> None:
        super().start()
        if not self.ask("select 1 from pg_database where datname = 'test'", "postgres"):
            with contextlib.closing(self.connect("postgres")) as connection:
                connection.autocommit = True
                connection.execute("create database test")

    def connect(self, database: str = "test") -> t.Any:
        psycopg = pytest.importorskip("psycopg")
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user=self.user, dbname=database, connect_timeout=5
        )

    def count(self) -> int:
        sql = "select count(*) from pg_stat_activity where datname = 'test'"
        return int(self.ask(sql, "postgres")[0][0])

    def kill_all(self) -> None:
        self.ask(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'test'",
            "postgres",
        )


class MariaDB(Database):
    driver = "mysql+pymysql"
    user = "root"
    user_database = "mysql"

    def make(self) -> None:
        subprocess.run(
            [
                program("mariadb-install-db"), "--no-defaults", f"--datadir={self.folder / 'data'}",
                "--auth-root-authentication-method=normal", *self._user(),
            ],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def _user(self) -> list[str]:
        return ["--user=root"] if os.geteuid() == 0 else []

    def command(self) -> list[str]:
        settings = {
            "datadir": self.folder / "data", "port": self.port, "bind-address": "127.0.0.1",
            "socket": self.folder / "socket", "pid-file": self.folder / "pid",
            "innodb-flush-log-at-trx-commit": 0, "innodb-buffer-pool-size": "16M",
        }  # fmt: skip
        options = [f"--{name}={value}" for name, value in settings.items()]
        return [program("mariadbd"), "--no-defaults", *self._user(), *options]

    def start(self) -> None:
        super().start()
        self.ask("create database if not exists test", "mysql")

    def connect(self, database: str = "test") -> t.Any:
        pymysql = pytest.importorskip("pymysql")
        return pymysql.connect(
            host="127.0.0.1", port=self.port, user=self.user, database=database, connect_timeout=5
        )

    def _ids(self) -> list[int]:
        sql = "select id from information_schema.processlist where db = 'test'"
        return [row[0] for row in self.ask(sql, "mysql")]

    def count(self) -> int:
        return len(self._ids())

    def kill_all(self) -> None:
        for number in self._ids():
            with contextlib.suppress(Exception):  # it may have left meanwhile
                self.ask(f"kill {number}", "mysql")
