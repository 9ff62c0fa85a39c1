"""Revocation: what was signed for a user until some time is refused, whatever the store does."""

from __future__ import annotations

import multiprocessing
import sqlite3
import stat
import threading
import time
import typing as t
import uuid
from pathlib import Path
from unittest import mock

import pytest
from flask import Flask, session
from flask.json.tag import TaggedJSONSerializer
from flask.sessions import SecureCookieSession
from itsdangerous import URLSafeSerializer
from werkzeug.sansio.http import parse_cookie

from flask_ctxkit import ConfigError, CtxKit, revoke_sessions
from flask_ctxkit.cli import ctx
from flask_ctxkit.session import revocation
from flask_ctxkit.session.interface import CtxSessionInterface
from flask_ctxkit.session.revocation import Revoker
from flask_ctxkit.session.revocations import base
from flask_ctxkit.session.revocations.base import Revocations, RevocationsError, open_revocations
from flask_ctxkit.session.revocations.memory import MemoryRevocations
from flask_ctxkit.session.revocations.sqlite import SqliteRevocations

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from flask_ctxkit.session.model import Verdict

NOW = 1_700_000_000
REDIS = "redis://127.0.0.1:6379/9"


# ---------------------------------------------------------------- one contract, three stores


@pytest.fixture(params=["memory", "sqlite", pytest.param("redis", marks=pytest.mark.service)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Revocations]:
    if request.param == "memory":
        yield MemoryRevocations()
    elif request.param == "sqlite":
        yield SqliteRevocations(tmp_path / "deep" / "revoked.db")
    else:
        redis = pytest.importorskip("redis")
        from flask_ctxkit.session.revocations import redis as backend

        name = f"ctxkit:test:{uuid.uuid4().hex}"
        found = backend.RedisRevocations(REDIS)
        try:
            found._client.ping()
        except redis.RedisError:
            pytest.skip("there is no Redis here")
        with mock.patch.object(backend, "NAME", name):
            yield found
            found._client.delete(name)
        found.close()


def test_nobody_is_revoked_at_first(store: Revocations) -> None:
    """Reading a store that nothing was written to is no error."""
    assert store.revoked_before("7") is None


def test_a_revocation_is_of_one_user(store: Revocations) -> None:
    """Also one whose name is odd."""
    users = [
        "7",
        "",
        "ann",
        "Ann",
        "a b\n'\";--",
        "\0",
        "é",
        "e\u0301",
        "x" * 5000,
        "*",
        "\U0001f375",
        "\ud800",
        "\ud801",
    ]
    for number, user in enumerate(users):
        store.revoke(user, NOW + number)
    assert [store.revoked_before(u) for u in users] == [NOW + n for n in range(len(users))]
    assert store.revoked_before("8") is None


def test_an_earlier_time_changes_nothing(store: Revocations) -> None:
    """Two workers may revoke at once, in either order."""
    store.revoke("7", NOW)
    store.revoke("7", NOW - 100)
    assert store.revoked_before("7") == NOW
    store.revoke("7", NOW + 1)
    assert store.revoked_before("7") == NOW + 1


def test_what_no_cookie_can_outlive_is_forgotten(store: Revocations) -> None:
    """A store does not grow for ever."""
    store.revoke("old", NOW)
    store.revoke("edge", NOW + 1)
    store.revoke("new", NOW + 101, keep=100)
    assert store.revoked_before("old") is None
    assert store.revoked_before("edge") == NOW + 1


def test_many_threads_revoke_at_once(store: Revocations) -> None:
    """None fails, and the latest time stands."""
    times = [NOW + n for n in range(24)]
    threads = [threading.Thread(target=store.revoke, args=("7", time)) for time in times]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.revoked_before("7") == times[-1]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # threads of other tests
def test_a_child_process_sees_and_is_seen(store: Revocations) -> None:
    """A store that says it is shared, is; also where the worker was forked from a parent that
    used it before.
    """
    store.revoke("before", NOW)
    child = multiprocessing.get_context("fork").Process(target=store.revoke, args=("7", NOW))
    child.start()
    child.join(20)
    assert child.exitcode == 0
    assert (store.revoked_before("7") == NOW) is store.shared
    assert store.revoked_before("before") == NOW


# ------------------------------------------------------------------------- the stores' files


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Who is logged in is nobody else's business."""
    store = SqliteRevocations(tmp_path / "a" / "revoked.db")
    store.revoke("7", NOW)
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.path.parent.stat().st_mode) == 0o700


def test_reading_makes_no_file(tmp_path: Path) -> None:
    """A worker that only reads needs no right to write."""
    assert SqliteRevocations(tmp_path / "revoked.db").revoked_before("7") is None
    assert list(tmp_path.iterdir()) == []


def test_a_file_without_its_table_has_no_revocations(tmp_path: Path) -> None:
    """It is made and filled in two steps."""
    (tmp_path / "revoked.db").touch()
    assert SqliteRevocations(tmp_path / "revoked.db").revoked_before("7") is None


def test_a_broken_file_is_an_error(tmp_path: Path) -> None:
    """Not "nobody is revoked"."""
    (tmp_path / "revoked.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(sqlite3.DatabaseError):
        SqliteRevocations(tmp_path / "revoked.db").revoked_before("7")


def test_a_relative_file_is_in_the_instance_folder(tmp_path: Path) -> None:
    """Not where the server happens to be started."""
    found = open_revocations("sqlite:///a/revoked.db", str(tmp_path))
    assert isinstance(found, SqliteRevocations)
    assert found.path == tmp_path / "a" / "revoked.db"
    absolute = open_revocations("sqlite:////x/revoked.db", str(tmp_path))
    assert isinstance(absolute, SqliteRevocations)
    assert absolute.path == Path("/x/revoked.db")


def test_redis_without_its_driver_says_what_to_install() -> None:
    """At init_app, and not in a request."""
    name = "flask_ctxkit.session.revocations.redis"
    with mock.patch.dict("sys.modules", {name: None}), pytest.raises(ConfigError) as raised:
        open_revocations(REDIS, "")
    assert "flask-ctxkit[redis]" in raised.value.message


# -------------------------------------------------------------------------------- the config


@pytest.mark.parametrize(
    "config",
    [
        {"CTXKIT_SESSION_REVOCATIONS": "postgres://x"},
        {"CTXKIT_SESSION_REVOCATIONS": "sqlite:///"},
        {"CTXKIT_SESSION_REVOCATIONS": "sqlite://x"},
        {"CTXKIT_SESSION_REVOCATIONS": True},
        {"CTXKIT_SESSION_REVOCATIONS_DOWN": "shut"},
        {"CTXKIT_SESSION_REVOCATIONS_DOWN": "closed"},
        {"CTXKIT_SESSION_USER_KEY": ()},
        {"CTXKIT_SESSION_USER_KEY": ""},
        {"CTXKIT_SESSION_USER_KEY": [7]},
        {"CTXKIT_SESSION_REVOCATIONS": "memory://", "CTXKIT_SESSION_INTERFACE": False},
    ],
)
def test_a_wrong_config_is_refused_at_start(config: dict[str, t.Any]) -> None:
    """Each with the key that is wrong."""
    app = Flask("app")
    app.config.update(config)
    with pytest.raises(ConfigError, match="CTXKIT_SESSION_"):
        CtxKit(app)


def test_a_url_with_a_password_is_not_told() -> None:
    """An error message reaches logs."""
    app = Flask("app")
    app.config["CTXKIT_SESSION_REVOCATIONS"] = "mysql://u:pw@h"
    with pytest.raises(ConfigError) as raised:
        CtxKit(app)
    assert "pw" not in raised.value.message


# ------------------------------------------------------------------------------ the requests


class Site:
    """An app whose sessions can be revoked, a clock, and visitors."""

    def __init__(self, store: Revocations | None = None, **config: t.Any) -> None:
        self.app = app = Flask("app")
        app.secret_key = "k"
        app.config.update({"CTXKIT_SESSION_REVOCATIONS": "memory://", **config})
        CtxKit(app)
        interface = app.session_interface
        assert isinstance(interface, CtxSessionInterface)
        assert interface.revoker is not None
        self.interface, self.revoker = interface, interface.revoker
        if store is not None:
            self.revoker.store = store
        self.verdicts: list[Verdict] = []
        interface.on_verdict = self.verdicts.append
        self.during: t.Callable[[], object] = lambda: None

        @app.get("/login/<user>")
        def login(user: str) -> str:
            session["user_id"] = int(user) if user.isdigit() else user
            session.permanent = True
            return "in"

        @app.get("/who")
        def who() -> str:
            user = str(session.get("user_id"))
            self.during()
            return user

        @app.get("/write")
        def write() -> str:
            session["n"] = 1
            self.during()
            return "written"

        @app.get("/plain")
        def plain() -> str:
            return "plain"

    def get(self, path: str, cookie: str = "", at: int = NOW) -> tuple[str, str | None]:
        """The body, and the cookie that was set: None for none, "" where it was deleted."""
        with mock.patch("time.time", return_value=at):
            client = self.app.test_client(use_cookies=False)
            headers = {"Cookie": f"session={cookie}"} if cookie else {}
            answer = client.get(path, headers=headers)
        sent = answer.headers.getlist("Set-Cookie")
        return answer.text, parse_cookie(sent[-1]).get("session", "") if sent else None

    def login(self, user: str = "7", at: int = NOW) -> str:
        cookie = self.get(f"/login/{user}", at=at)[1]
        assert cookie
        return cookie

    def revoke(self, user: object, at: int = NOW) -> None:
        with mock.patch("time.time", return_value=at), self.app.app_context():
            revoke_sessions(user)

    def code(self, step: str) -> str:
        return [v for v in self.verdicts if v.step == step][-1].code


def test_what_was_signed_before_is_refused() -> None:
    """And what is signed after it is taken."""
    site = Site()
    cookie = site.login()
    assert site.get("/who", cookie)[0] == "7"
    site.revoke(7, NOW + 5)
    assert site.get("/who", cookie, NOW + 6)[0] == "None"
    assert site.code("open") == "revoked"
    fresh = site.login(at=NOW + 6)
    assert site.get("/who", fresh, NOW + 6)[0] == "7"
    assert site.code("open") == "valid"


def test_the_second_of_the_revocation_is_refused_too() -> None:
    """A thief who refreshes a stolen cookie all the time must not get away with it."""
    site = Site()
    cookie = site.login()
    site.revoke(7, NOW)
    assert site.get("/who", cookie, NOW + 1)[0] == "None"


def test_a_revoked_cookie_does_not_refresh_itself() -> None:
    """A permanent session is signed anew by each request, also one that never looks at it."""
    site = Site()
    cookie = site.login()
    assert site.get("/plain", cookie, NOW + 1)[1]
    site.revoke(7, NOW + 5)
    for path in ("/plain", "/who"):
        assert site.get(path, cookie, NOW + 9)[1] is None
    assert site.get("/write", cookie, NOW + 9)[1]  # a session of nobody's
    assert site.get("/who", str(site.get("/write", cookie, NOW + 9)[1]), NOW + 9)[0] == "None"


@pytest.mark.parametrize("path", ["/who", "/write"])
def test_a_session_that_is_revoked_while_its_request_runs_is_not_saved(path: str) -> None:
    """Else it would be signed after its own revocation, and live on."""
    site = Site()
    cookie = site.login()
    site.during = lambda: site.revoke(7, NOW + 5)
    assert site.get(path, cookie, NOW + 6)[1] == ""
    assert site.code("save") == "revoked-meanwhile"


def test_other_users_stay() -> None:
    """And visitors who are nobody."""
    site = Site()
    other, nobody = site.login("8"), str(site.get("/write")[1])
    site.revoke("7", NOW + 5)
    assert site.get("/who", other, NOW + 6)[0] == "8"
    site.get("/who", nobody, NOW + 6)
    assert site.code("open") == "valid"


@pytest.mark.parametrize("user", ["7", 7])
def test_a_number_and_its_text_are_one_user(user: object) -> None:
    """The command line knows text alone."""
    site = Site()
    cookie = site.login("7")
    site.revoke(user)
    assert site.get("/who", cookie)[0] == "None"


@pytest.mark.parametrize("name", ["user_id", "_user_id"])
def test_each_name_that_says_whose_it_is_counts(name: str) -> None:
    """Flask-Login's as well as the tutorial's."""
    revoker = Revoker(MemoryRevocations(), ("user_id", "_user_id"))
    revoker.store.revoke("7", NOW)
    other = "_user_id" if name == "user_id" else "user_id"
    users = revoker.users({name: 7, other: 8})
    ruling = revoker.admit(NOW, users)
    assert ruling is not None
    assert ruling.code == "revoked"


def test_a_name_of_ones_own() -> None:
    """Instead of the built-in ones."""
    site = Site(CTXKIT_SESSION_USER_KEY="account")
    assert site.revoker.users({"account": 7, "user_id": 8}) == ("7",)
    assert site.revoker.users({"account": None}) == ()


def test_nobody_can_not_be_revoked() -> None:
    """revoke_sessions(session.get("user_id")) of a visitor who is not logged in."""
    site = Site()
    with pytest.raises(RevocationsError):
        site.revoke(None)


def test_without_a_store_revoking_is_an_error() -> None:
    """It must not look as if it had worked."""
    app = Flask("app")
    CtxKit(app)
    with app.app_context(), pytest.raises(RevocationsError, match="CTXKIT_SESSION_REVOCATIONS"):
        revoke_sessions(7)


def test_a_lifetime_of_years_keeps_its_revocations() -> None:
    """Else a revoked cookie would come to life again."""
    site = Site(PERMANENT_SESSION_LIFETIME=4 * base.KEPT)
    site.revoke(7, NOW)
    site.revoke(8, NOW + 3 * base.KEPT)
    assert site.revoker.store.revoked_before("7") == NOW


def test_a_serializer_of_the_apps_own_is_held_to_it() -> None:
    """The slower way of reading refuses as well, and saves nothing that was revoked."""

    class Serializer(TaggedJSONSerializer):
        pass

    site = Site()
    site.interface.serializer = Serializer()
    cookie = site.login()
    assert site.get("/who", cookie, NOW + 1)[0] == "7"
    site.during = lambda: site.revoke(7, NOW + 5)
    assert site.get("/write", cookie, NOW + 6)[1] == ""
    assert site.get("/who", cookie, NOW + 6)[0] == "None"
    assert site.code("open") == "revoked"


@pytest.mark.parametrize("cls", [None, SecureCookieSession])
@pytest.mark.parametrize("own", [False, True])
def test_a_session_class_of_the_apps_own_is_held_to_it(own: bool, cls: t.Any) -> None:
    """Whoever reads the cookie."""
    site = Site()
    if own:
        site.interface.serializer = type("Own", (TaggedJSONSerializer,), {})()
    if cls is not None:
        site.interface.session_class = cls
    cookie = site.login()
    assert site.get("/who", cookie, NOW + 1)[0] == "7"
    assert site.code("open") == "valid"
    site.revoke(7, NOW + 1)
    assert site.get("/who", cookie, NOW + 2)[0] == "None"
    assert site.code("open") == "revoked"


def test_what_has_no_time_of_signing_is_refused_once_its_user_was_revoked() -> None:
    """It may be from before, for all that anybody knows."""

    class Untimed(URLSafeSerializer):
        def loads(self, s: t.Any, *_: t.Any, **__: t.Any) -> t.Any:
            return super().loads(s)

    site = Site()
    site.interface.get_signing_serializer = lambda app: Untimed("k")  # type: ignore[method-assign, assignment, return-value]
    cookie = site.login()
    assert site.get("/who", cookie)[0] == "7"
    site.revoke(7, NOW)
    assert site.get("/who", cookie, NOW + 1)[0] == "None"
    assert site.code("open") == "revoked"


# ------------------------------------------------------------------------- the store is down


class DownRevocations(MemoryRevocations):
    """A store that fails until it is up."""

    up = False
    asked = 0

    def revoked_before(self, user: str) -> int | None:
        self.asked += 1
        if not self.up:
            raise ConnectionError("no route to redis://:secret@host")
        return super().revoked_before(user)


def test_open_takes_the_session_and_says_so() -> None:
    """The default: visitors stay logged in."""
    site = Site(DownRevocations())
    assert site.get("/who", site.login())[0] == "7"
    told = next(v for v in site.verdicts if v.code == "revocation-unchecked")
    assert "ConnectionError" in told.message
    assert "secret" not in repr(told)


def test_closed_refuses_it_and_says_so() -> None:
    """Nobody gets in unchecked, and the cookie stays for when the store is back."""
    site = Site(DownRevocations(), CTXKIT_SESSION_REVOCATIONS_DOWN="closed")
    cookie = site.login()
    assert site.get("/who", cookie) == ("None", None)
    assert site.code("open") == "revocation-refused"


def test_closed_saves_nothing_that_it_can_not_check() -> None:
    """The store fails between open and save."""
    store = DownRevocations()
    store.up = True
    site = Site(store, CTXKIT_SESSION_REVOCATIONS_DOWN="closed")
    cookie = site.login()
    site.during = lambda: setattr(store, "up", False)
    assert site.get("/write", cookie)[1] is None
    assert site.code("save") == "revocation-unread"


def test_a_dead_store_is_not_asked_by_each_request() -> None:
    """Each would wait for its timeout. Soon after, it is asked again."""
    store = DownRevocations()
    site = Site(store)
    cookie = site.login()
    for _ in range(5):
        site.get("/who", cookie)
    assert store.asked == 1
    store.up = True
    store.revoke("7", NOW)
    later = time.monotonic() + revocation.PAUSE + 1
    with mock.patch("time.monotonic", return_value=later):
        assert site.get("/who", cookie)[0] == "None"


def test_nobodys_sessions_need_no_store() -> None:
    """A visitor who is not logged in is served while it is down, also when that is closed."""
    store = DownRevocations()
    site = Site(store, CTXKIT_SESSION_REVOCATIONS_DOWN="closed")
    cookie = str(site.get("/write")[1])
    site.get("/who", cookie)
    assert site.code("open") == "valid"
    assert store.asked == 0


@pytest.mark.service
def test_a_redis_that_is_not_there_is_down_and_not_slow() -> None:
    """A real refused connection."""
    pytest.importorskip("redis")
    found = open_revocations("redis://127.0.0.1:1/0", "")
    site = Site(found)
    started = time.monotonic()
    assert site.get("/who", site.login())[0] == "7"
    assert time.monotonic() - started < 5
    assert site.code("open") == "revocation-unchecked"


# --------------------------------------------------------------------------- the command line


def command(app: Flask, *arguments: str) -> t.Any:
    from flask.cli import ScriptInfo

    runner = app.test_cli_runner()
    return runner.invoke(ctx, ["session", *arguments], obj=ScriptInfo(create_app=lambda: app))


def test_the_command_revokes(tmp_path: Path) -> None:
    """What the server then refuses."""
    site = Site(CTXKIT_SESSION_REVOCATIONS=f"sqlite:///{tmp_path}/revoked.db")
    cookie = site.login(at=int(time.time()))
    result = command(site.app, "revoke", "7")
    assert result.exit_code == 0, result.output
    assert "7" in result.output
    assert site.get("/who", cookie, int(time.time()))[0] == "None"


def test_the_command_refuses_a_store_that_it_can_not_reach() -> None:
    """In a worker's memory, not set up, or broken: nothing is revoked, and that is said."""
    assert command(Site().app, "revoke", "7").exit_code == 2
    plain = Flask("app")
    CtxKit(plain)
    assert command(plain, "revoke", "7").exit_code == 2
    broken = Site(CTXKIT_SESSION_REVOCATIONS="sqlite:////dev/null/revoked.db")
    result = command(broken.app, "revoke", "7")
    assert result.exit_code == 2
    assert "Nothing is revoked" in result.output + result.stderr
