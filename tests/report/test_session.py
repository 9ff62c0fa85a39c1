"""The report about sessions: what it counts, what it sees of one request, what it leaves out."""

from __future__ import annotations

import json
import random
import re
import threading
import typing as t

import pytest
from flask import Flask, Response, copy_current_request_context, session, stream_with_context
from flask.json.tag import TaggedJSONSerializer
from flask.sessions import SecureCookieSessionInterface, SessionInterface, SessionMixin
from werkzeug.test import EnvironBuilder

from flask_ctxkit import CtxKit, propagate, report
from flask_ctxkit.internals import ACCESS_IS_TOLD
from flask_ctxkit.report.steps import was_not_saved, was_refused
from flask_ctxkit.session.delivery import BUDGET
from flask_ctxkit.session.interface import CtxSessionInterface
from flask_ctxkit.session.model import REASONS

KEY: t.Final = "9f1c6d2a8b7e4f309f1c6d2a8b7e4f30"
OLD: t.Final = "0ld" * 11
STRANGE: t.Final = "str4nge" * 5

if t.TYPE_CHECKING:
    from pathlib import Path

    from werkzeug.test import TestResponse


def shop(interface: SessionInterface | None = None, debug: bool = True, **config: t.Any) -> Flask:
    app = Flask("shop")
    app.debug = debug
    app.config.update({"SECRET_KEY": KEY, "SECRET_KEY_FALLBACKS": [OLD]} | config)
    if interface is not None:
        app.session_interface = interface
    CtxKit(app)

    @app.get("/login")
    def login() -> str:
        session.update(user_id=7, cart=[1, 2], csrf_token="t0ken" * 10)
        return "in"

    @app.get("/cart")
    def cart() -> str:
        session.setdefault("cart", []).append(3)
        return "cart"

    @app.get("/plain")
    def plain() -> str:
        return "plain"

    return app


def asked(app: Flask, cookie: str | None = None, **environ: t.Any) -> t.Any:
    """The report as who looks at *app* with *cookie* gets it, through JSON."""
    state = app.extensions["ctxkit"]
    if not state._resolved:
        state.resolve(app, EnvironBuilder().get_environ())
    given = {**EnvironBuilder().get_environ(), **environ}
    if cookie is not None:
        given["HTTP_COOKIE"] = cookie if "=" in cookie else f"session={cookie}"
    return json.loads(json.dumps(report.session(state, given)))


def signed(values: dict[str, t.Any], key: str = KEY, **config: t.Any) -> str:
    app = Flask("signer")
    app.config.update({"SECRET_KEY": key} | config)
    serializer = SecureCookieSessionInterface().get_signing_serializer(app)
    assert serializer is not None
    with app.app_context():
        return str(serializer.dumps(values))


def visit(app: Flask, path: str, cookie: str | None = None) -> TestResponse:
    client = app.test_client()
    if cookie is not None:
        client.set_cookie("session", cookie)
    return client.get(path)


def states(found: t.Any) -> list[tuple[str, str]]:
    return [(step["state"], step["text"]) for step in found["request"]["steps"]]


# --------------------------------------------------------------- the steps of one request


def test_a_valid_cookie_passes_all_four_steps() -> None:
    cookie = signed({"user_id": 7, "cart": [1, 2]})
    found = asked(shop(), cookie)
    (_, length), (_, key), decoded, (saved, size) = states(found)
    assert [s["step"] for s in found["request"]["steps"]] == [
        "cookie",
        "verified",
        "decoded",
        "saved",
    ]
    assert length == f"{len(cookie)} bytes"
    assert key == f"key {found['keys'][0]['fingerprint']}"
    assert decoded == ("ok", "2 keys")
    assert saved == "ok"
    assert re.fullmatch(r"would be: \d+ bytes", size)
    assert found["request"]["names"] == {"user_id": 7, "cart": [1, 2]}
    assert found["request"]["unverified"] is None


def test_the_size_that_would_be_saved_is_the_size_that_is() -> None:
    """Of the whole Set-Cookie header."""
    app = shop()
    cookie = signed({"user_id": 7, "cart": [1, 2], "csrf_token": "t0ken" * 10})
    sent = visit(app, "/login", cookie).headers["Set-Cookie"]
    told = asked(app, cookie)["request"]["steps"][3]["text"]
    assert told == f"would be: {len(sent)} bytes"


def test_bytes_per_key_are_those_of_the_json() -> None:
    """Together with their names; the largest first."""
    values = {"user_id": 7, "cart": [1, 2], "name": "Zoë"}
    found = asked(shop(), signed(values))["request"]
    whole = json.dumps(values, separators=(",", ":"))
    assert list(found["sizes"]) == ["name", "cart", "user_id"]
    assert sum(found["sizes"].values()) + 1 == len(whole) == found["json_bytes"]


def test_a_fallback_key_is_named_by_its_number() -> None:
    found = asked(shop(), signed({"a": 1}, OLD))
    assert states(found)[1] == ("note", f"fallback 1 {found['keys'][1]['fingerprint']}")
    assert states(found)[2] == ("ok", "1 key")


@pytest.mark.parametrize(
    ("cookie", "code"),
    [
        (signed({"a": 1}, STRANGE), "unknown-key"),
        (signed({"a": 1}) + "x" * 30, "unknown-key"),
        (signed({"a": 1})[:-9], "truncated"),
        ("nonsense", "malformed"),
        ("", "absent"),
    ],
    # A cookie holds the second that it was signed in: processes that share the tests differ.
    ids=["other key", "longer", "cut", "nonsense", "empty"],
)
def test_a_refused_cookie_stops_at_the_second_step(cookie: str, code: str) -> None:
    found = asked(shop(), f"session={cookie}")
    steps = {step["step"]: step for step in found["request"]["steps"]}
    if code == "absent":
        assert steps["cookie"]["state"] == "none"
        assert found["request"]["unverified"] is None
    else:
        assert (steps["verified"]["code"], steps["verified"]["state"]) == (code, "bad")
        assert steps["verified"]["fix"]
        assert steps["decoded"]["state"] == "none"
        assert found["request"]["unverified"] is not None
    assert found["request"]["names"] == {}


def test_an_expired_cookie_says_so() -> None:
    app = shop(PERMANENT_SESSION_LIFETIME=60)
    serializer = CtxSessionInterface().keyring(app)
    assert serializer is not None
    from flask_ctxkit.session import codec

    cookie = codec.seal(codec.pack('{"a":1}'), serializer, now=1_000_000_000)
    found = asked(app, cookie)
    assert states(found)[1] == ("bad", "expired")
    assert found["request"]["unverified"]["signed_at"].startswith("2001-09-09")


def test_what_a_refused_cookie_claims_goes_through_the_redactor() -> None:
    """And tags in it stay plain: whose they are is not known."""
    values = {"csrf_token": "t0ken" * 10, "m": {" m": "<b>"}, "n": 1}
    cookie = signed(values, STRANGE)
    told = asked(shop(), cookie)["request"]["unverified"]
    assert told["names"]["n"] == 1
    assert "$hidden" in told["names"]["csrf_token"]
    assert "t0ken" not in json.dumps(told)
    assert told["problem"] is None


def test_hidden_values_have_their_bytes_counted_all_the_same() -> None:
    found = asked(shop(), signed({"csrf_token": "t0ken" * 10}))["request"]
    assert "t0ken" not in json.dumps(found)
    assert found["sizes"] == {"csrf_token": len('"csrf_token":""') + 50 + 1}


def test_two_cookies_of_one_name() -> None:
    good, bad = signed({"a": 1}), "x.y.z"
    found = asked(shop(), f"session={bad}; session={good}")["request"]
    assert found["came"] == 2
    assert (found["steps"][0]["state"], found["steps"][0]["text"]) == ("note", "2 of one name")
    assert found["steps"][1]["code"] == "duplicate"


def test_what_would_become_of_a_change() -> None:
    """By the rules of browsers, for the request that is looked at."""
    cookie = signed({"a": 1})
    app = shop(SESSION_COOKIE_SECURE=True)
    told = asked(app, cookie, HTTP_X_FORWARDED_PROTO="https")["request"]["steps"][3]
    assert (told["code"], told["state"]) == ("proxy-not-trusted", "note")
    told = asked(shop(SESSION_COOKIE_DOMAIN="other.test"), cookie)["request"]["steps"][3]
    assert (told["code"], told["state"]) == ("domain-mismatch", "bad")


def test_a_large_session_is_told_without_werkzeugs_warning() -> None:
    cookie = signed({"big": [n * 7919 % 10_007 for n in range(2000)]})
    found = asked(shop(), cookie)["request"]
    assert found["steps"][3]["code"] == "over-budget"
    assert "big" in found["steps"][3]["message"]
    assert found["budget"] == BUDGET


@pytest.mark.parametrize("encrypt", [False, True])
def test_a_split_session_is_looked_at_as_a_whole(encrypt: bool) -> None:
    """And an encrypted one by the app's key: its keys, bytes, and how it came."""
    if encrypt:
        pytest.importorskip("cryptography")
    how: dict[str, t.Any] = {"CTXKIT_SESSION_SIZE": "split", "CTXKIT_SESSION_PARTS": 4}
    app = shop(**how, CTXKIT_SESSION_ENCRYPT=encrypt)
    values = {"noise": random.Random(1).randbytes(4000).hex(), "user_id": 7}
    app.add_url_rule("/long", "long", lambda: session.update(values) or "")
    client = app.test_client()
    client.get("/long")
    cookies = [f"{cookie.key}={cookie.value}" for cookie in (client._cookies or {}).values()]
    found = asked(app, "; ".join(cookies))["request"]
    length = sum(map(len, cookies)) - len("session=~2~") - len("session.1=") * (len(cookies) - 1)
    assert (found["split"], found["encrypted"]) == (len(cookies), encrypt)
    assert found["length"] == length
    assert found["steps"][0]["text"] == f"{length:,} bytes in {len(cookies)} cookies"
    assert found["steps"][2]["text"] == "2 keys"
    assert re.fullmatch(
        rf"would be: [0-9,]+ bytes in {len(cookies)} cookies", found["steps"][3]["text"]
    )
    assert report.session(app.extensions["ctxkit"])["unsaved"] == []
    assert found["json_bytes"] == len(json.dumps(values, separators=(",", ":")))
    assert found["names"]["user_id"] == 7
    assert found["unverified"] is None


def test_a_part_that_did_not_come_is_told_of_the_request() -> None:
    app = shop(CTXKIT_SESSION_SIZE="split")
    found = asked(app, "session=~2~abc; other=1")["request"]
    assert (found["steps"][1]["code"], found["split"]) == ("incomplete", 2)
    assert "not all of the others are here" in found["unverified"]["problem"]
    told = asked(shop(), "session=~2~abc; session.1=x.y.z")["request"]
    assert told["steps"][1]["code"] == "split-unread"


def test_the_length_of_a_valid_cookie_stands_on_the_trace() -> None:
    app = shop()
    cookie = signed({"user_id": 7})
    visit(app, "/cart", cookie)
    (trace,) = app.extensions["ctxkit"].store.newest()
    told = report.trace(app.extensions["ctxkit"], trace.id)["session_report"]
    assert told["steps"][0]["text"] == f"{len(cookie)} bytes"
    assert told["verdicts"][0]["evidence"]["length"] == len(cookie)


def test_no_secret_key_leaves_nothing_to_read() -> None:
    found = asked(shop(SECRET_KEY=None), "x.y.z")
    assert [s["state"] for s in found["request"]["steps"]] == ["none", "note", "none", "unknown"]
    assert found["keys"] == []
    assert found["check"][0]["code"] == "key-missing"


def test_an_interface_that_fails_is_told_and_nothing_raises() -> None:
    class Broken(SessionInterface):
        def open_session(self, app: Flask, request: t.Any) -> t.NoReturn:
            raise OSError("the store is down")

    found = asked(shop(Broken()), "x")
    assert {s["state"] for s in found["request"]["steps"]} == {"unknown"}
    assert "OSError" in found["request"]["steps"][0]["message"]
    assert "the store is down" not in json.dumps(found)


# ------------------------------------------------------------------------- looking


def test_looking_counts_as_no_visit_and_saves_nothing() -> None:
    app = shop()
    cookie = signed({"a": 1})
    visit(app, "/cart", cookie)
    before = asked(app, cookie)["counts"]["rows"]
    for _ in range(5):
        found = asked(app, cookie)
    assert found["counts"]["rows"] == before
    assert len(list(app.extensions["ctxkit"].store.newest())) == 1


def test_a_server_side_save_is_never_tried() -> None:
    """A class of the app's own could write to a database."""
    saved = []

    class Stored(CtxSessionInterface):
        def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
            saved.append(dict(session))

    found = asked(shop(Stored()), signed({"a": 1}))
    assert saved == []
    assert [s["state"] for s in found["request"]["steps"]] == ["ok", "ok", "ok", "unknown"]


# ------------------------------------------------------------------------- counts


def test_counts_by_reason_and_key() -> None:
    app = shop()
    for _ in range(3):
        visit(app, "/cart", signed({"a": 1}, STRANGE))
    visit(app, "/cart", signed({"a": 1}))
    visit(app, "/cart", signed({"a": 1}, OLD))
    found = asked(app)
    rows = {(r["step"], r["code"]): r for r in found["counts"]["rows"]}
    assert (rows["open", "unknown-key"]["recent"], rows["open", "unknown-key"]["total"]) == (3, 3)
    assert rows["open", "valid"]["key"] == found["keys"][0]["fingerprint"]
    assert rows["open", "valid-fallback"]["key"] == found["keys"][1]["fingerprint"]
    assert found["counts"]["unknown_keys"] == {"recent": [3, 5], "total": [3, 5]}
    assert found["story"][0]["text"].startswith("3 of 5 cookies in five minutes were signed with")
    assert found["story"][0]["severity"] == "warning"
    assert [(k["recent"], k["total"]) for k in found["keys"]] == [(1, 1), (1, 1)]
    assert all(k["last_used"] for k in found["keys"])


def test_keys_are_counted_where_the_app_has_tags_of_its_own() -> None:
    """An old key that is in use must not be said to be unused."""
    app = shop()
    app.session_interface.serializer = type("Own", (TaggedJSONSerializer,), {})()  # type: ignore[attr-defined]
    visit(app, "/cart", signed({"a": 1}, OLD))
    assert [(key["total"], bool(key["last_used"])) for key in asked(app)["keys"]] == [
        (0, False),
        (1, True),
    ]


def test_counts_go_on_while_recording_is_off() -> None:
    app = shop(debug=False, CTXKIT_TRACE=False)
    visit(app, "/cart", signed({"a": 1}, STRANGE))
    found = asked(app)
    assert found["story"][0]["text"].startswith("1 of 1 cookie in five minutes was signed")
    assert (found["refused"], found["unsaved"], found["touched"]) == ([], [], [])
    assert any("CTXKIT_TRACE" in sentence for sentence in found["missing"])


@pytest.mark.parametrize(
    ("visits", "said"),
    [(1, "1 session in five minutes was not"), (2, "2 sessions in five minutes were not")],
)
def test_losses_are_counted_in_words(visits: int, said: str) -> None:
    app = shop()
    for _ in range(visits):
        visit(app, "/cart", signed({"cart": []}))
    assert asked(app)["story"][0]["text"].startswith(said)


@pytest.mark.parametrize("visits", [0, 1])
def test_sound_traffic_is_said_to_be_sound(visits: int) -> None:
    app = shop()
    for _ in range(visits):
        visit(app, "/login", signed({"a": 1}))
    (said,) = asked(app)["story"]
    assert said["severity"] == "ok"
    assert said["text"].startswith("1 cookie was read" if visits else "No session was opened")


def test_refused_and_unsaved_sessions_lead_to_their_requests() -> None:
    app = shop()
    cookie = signed({"cart": [1]})
    visit(app, "/cart", cookie)
    visit(app, "/login", signed({"a": 1}, STRANGE))
    found = asked(app)
    (refused,), (unsaved,) = found["refused"], found["unsaved"]
    assert (refused["code"], refused["path"]) == ("unknown-key", "/login")
    assert (unsaved["code"], unsaved["path"]) == ("nested-change", "/cart")
    assert 'session["cart"]' in unsaved["message"]
    assert {t.id for t in app.extensions["ctxkit"].store.newest()} == {
        refused["trace"],
        unsaved["trace"],
    }


def test_who_touches_the_session_first_is_counted() -> None:
    app = shop()

    @app.before_request
    def load_user() -> None:
        session.get("user_id")

    for _ in range(3):
        visit(app, "/plain", signed({"user_id": 1}))
    (row,) = asked(app)["touched"]
    assert row["name"].endswith("load_user")
    assert row["count"] == 3


def test_no_key_is_ever_shown() -> None:
    app = shop()
    cookie = signed({"a": 1}, STRANGE)
    visit(app, "/login", cookie)
    told = json.dumps(asked(app, cookie))
    for secret in (KEY, OLD, STRANGE, cookie, cookie.rpartition(".")[2]):
        assert secret not in told


# ---------------------------------------------------------------- other interfaces


def test_flasks_own_interface_shows_steps_and_says_what_it_can_not() -> None:
    app = shop(CTXKIT_SESSION_INTERFACE=False)
    visit(app, "/cart", signed({"a": 1}))
    found = asked(app, signed({"a": 1}))
    assert found["interface"]["reader"] == "flask"
    assert [s["state"] for s in found["request"]["steps"]] == ["ok"] * 4
    assert found["counts"] is None
    assert [k["total"] for k in found["keys"]] == [0, 0]
    assert "CTXKIT_SESSION_INTERFACE" in found["missing"][0]


class InMemory(SessionInterface):
    """A session kept on the server, as Flask-Session does."""

    class Held(dict[str, t.Any], SessionMixin):
        pass

    def __init__(self) -> None:
        self.stored: dict[str, InMemory.Held] = {}

    def open_session(self, app: Flask, request: t.Any) -> SessionMixin:
        sid = request.cookies.get(self.get_cookie_name(app), "")
        return self.stored.get(sid) or self.Held()

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        self.stored["id"] = t.cast("InMemory.Held", session)
        response.set_cookie(self.get_cookie_name(app), "id")


def test_an_interface_of_another_kind_is_unknown_not_wrong() -> None:
    interface = InMemory()
    app = shop(interface)
    visit(app, "/login")
    found = asked(app, "id")
    assert found["interface"]["class"] == "InMemory"
    assert found["interface"]["reader"] == "other"
    assert [s["state"] for s in found["request"]["steps"]] == ["ok", "unknown", "ok", "unknown"]
    assert set(found["request"]["names"]) == {"user_id", "cart", "csrf_token"}
    assert found["request"]["sizes"] == {}
    assert (found["counts"], found["keys"]) == (None, None)
    assert "InMemory" in found["missing"][0]


def test_what_the_interface_does_is_said() -> None:
    interface = CtxSessionInterface()
    interface.nested, interface.strict, interface.leeway = "save", True, 5
    does = " ".join(asked(shop(interface))["interface"]["does"])
    assert "Saves changes inside" in does
    assert "500" in does
    assert "5 s" in does


def test_when_the_cookie_is_read_is_said_as_it_is() -> None:
    """Late only where Flask tells of the first touch, and an error can come late."""
    interface = CtxSessionInterface()
    for strict in (False, True):
        interface.strict = strict
        does = asked(shop(interface))["interface"]["does"][0]
        late = ACCESS_IS_TOLD and not strict
        assert does.endswith("first touches the session." if late else "of each request.")


# ---------------------------------------------------------------------------- traces


def told(app: Flask) -> t.Any:
    state = app.extensions["ctxkit"]
    return json.loads(json.dumps(report.trace(state, "latest")["session_report"], default=dict))


def test_a_trace_tells_its_four_steps() -> None:
    app = shop()
    visit(app, "/login", signed({"user_id": 1, "name": "ada"}))
    found = told(app)
    assert [s["state"] for s in found["steps"]] == ["ok", "ok", "ok", "ok"]
    assert found["steps"][2]["text"] == "2 keys"
    assert found["first"]["name"].endswith("login")
    assert found["varies"] is True
    by_key = {row["key"]: (row["how"], row["event"]) for row in found["changes"]}
    event = found["first"]["event"]
    assert by_key == {
        "user_id": ("changed", event), "cart": ("added", event), "csrf_token": ("added", event),
    }  # fmt: skip
    assert found["sizes"] == {"user_id": 12, "name": 13, "cart": 13, "csrf_token": None}


def test_a_trace_tells_why_its_session_was_not_saved() -> None:
    app = shop()
    visit(app, "/cart", signed({"cart": [1]}))
    saved = told(app)["steps"][3]
    assert (saved["state"], saved["code"]) == ("bad", "nested-change")
    assert "session.modified" in saved["fix"]


def test_the_worst_of_several_verdicts_is_the_step() -> None:
    """Saved, and changed after that."""
    app = shop()

    @app.get("/late")
    def late() -> Response:
        session["early"] = 1

        def body() -> t.Iterator[str]:
            yield "a"
            session["late"] = 1
            yield "b"

        return Response(stream_with_context(body()))

    assert app.test_client().get("/late", buffered=True).data == b"ab"
    found = told(app)
    assert found["steps"][3]["code"] == "changed-in-stream"
    assert [v["code"] for v in found["verdicts"] if v["step"] == "save"] == [
        "saved",
        "changed-in-stream",
    ]


@pytest.mark.parametrize(
    ("path", "cookie", "wanted"),
    [
        ("/plain", None, ["none", "none", "none", "none"]),
        ("/plain", signed({"a": 1}), ["ok", "none", "none", "none"]),
        ("/plain", "garbage", ["ok", "none", "none", "none"]),
        ("/login", "garbage", ["ok", "bad", "none", "ok"]),
        ("/login", None, ["none", "none", "none", "ok"]),
    ],
    ids=["no cookie", "a cookie, untouched", "garbage, untouched", "garbage", "written"],
)
def test_steps_that_were_not_taken_are_none(
    path: str, cookie: str | None, wanted: list[str]
) -> None:
    app = shop()
    visit(app, path, cookie)
    if not ACCESS_IS_TOLD and path == "/plain" and cookie is not None:
        pytest.skip("Flask before 3.1.3 doesn't tell who touches the session, so all are read")
    assert [s["state"] for s in told(app)["steps"]] == wanted


def test_a_trace_without_verdicts_says_unknown() -> None:
    """Under Flask's own interface, which tells none."""
    app = shop(CTXKIT_SESSION_INTERFACE=False)
    visit(app, "/login", signed({"a": 1}))
    found = told(app)
    assert [s["state"] for s in found["steps"]] == ["unknown", "unknown", "ok", "unknown"]
    assert "tells no verdicts" in found["steps"][0]["message"]


@pytest.mark.parametrize(
    ("carry", "whose", "fate"),
    [
        (propagate, "It is a copy of the session of GET /work.", "It is read-only."),
        (
            copy_current_request_context,
            "It is the session of GET /work itself.",
            "GET /work saves it, until it has answered.",
        ),
    ],
)
def test_work_elsewhere_says_whose_session_it_has(carry: t.Any, whose: str, fate: str) -> None:
    """No cookie was read for it, and that is no fault of the interface."""
    app = shop()

    @app.get("/work")
    def work() -> str:
        worker = threading.Thread(target=carry(lambda: session.get("user_id")))
        worker.start()
        worker.join(20)
        return ""

    visit(app, "/work", signed({"user_id": 1}))
    state = app.extensions["ctxkit"]
    (task,) = [trace for trace in state.store.newest() if trace.kind == "task"]
    steps = report.trace(state, task.id)["session_report"]["steps"]
    assert [step["text"] for step in steps] == ["not read", "not needed", "not needed", "not here"]
    assert (steps[0]["message"], steps[3]["message"]) == (whose, fate)


def test_a_context_without_a_request_has_no_session_report() -> None:
    app = shop()
    visit(app, "/plain")
    with app.app_context():
        pass
    state = app.extensions["ctxkit"]
    newest = next(iter(state.store.newest()))
    assert newest.kind != "request"
    assert report.trace(state, newest.id)["session_report"] is None


# -------------------------------------------------------------------------- revocation


def revocation_of(app: Flask) -> t.Any:
    found = asked(app)
    return found["revocation"], found["story"][0]


def test_without_a_store_there_is_no_revocation() -> None:
    assert asked(shop())["revocation"] is None


@pytest.mark.parametrize(("mode", "told"), [("open", "fails open"), ("closed", "fails closed")])
def test_a_store_that_answers_is_told_with_what_else_would_happen(
    tmp_path: Path, mode: str, told: str
) -> None:
    how: dict[str, t.Any] = {"CTXKIT_SESSION_REVOCATIONS": f"sqlite:///{tmp_path}/secret-name.db"}
    found, first = revocation_of(shop(**how, CTXKIT_SESSION_REVOCATIONS_DOWN=mode))
    assert (found["state"], found["store"], found["shared"]) == ("up", "SQLite", True)
    assert (found["severity"], found["when_down"]) == ("ok", mode)
    assert told in found["text"]
    assert found["names"] == ["user_id", "_user_id"]
    assert "secret-name" not in json.dumps(found)
    assert first["severity"] == "ok"


@pytest.mark.parametrize(("mode", "told"), [("open", "taken unchecked"), ("closed", "are refused")])
def test_a_store_that_is_down_comes_first(tmp_path: Path, mode: str, told: str) -> None:
    how: dict[str, t.Any] = {"CTXKIT_SESSION_REVOCATIONS": f"sqlite:///{tmp_path}"}
    found, first = revocation_of(shop(**how, CTXKIT_SESSION_REVOCATIONS_DOWN=mode))
    assert (found["state"], found["problem"]) == ("down", "OperationalError")
    assert told in found["text"]
    assert first == {"severity": "error", "text": found["text"]}


def test_revocations_in_memory_are_said_to_be_of_this_process() -> None:
    found, _ = revocation_of(shop(CTXKIT_SESSION_REVOCATIONS="memory://"))
    assert (found["store"], found["shared"]) == ("in memory", False)
    assert "of this process alone" in found["text"]


def test_no_verdict_of_a_session_that_was_saved_counts_as_lost() -> None:
    """What is all right is in no list of what was lost, or refused."""
    for reason in REASONS:
        verdict = {"step": reason.step, "code": reason.code}
        if reason.severity == "ok" or reason.code in {"split", "valid-fallback", "valid-signed"}:
            assert not was_not_saved(verdict), reason.code
            assert not was_refused(verdict), reason.code
        elif reason.severity == "error":
            assert was_not_saved(verdict) or was_refused(verdict), reason.code


def test_what_the_interface_does_is_said_of_each_ability() -> None:
    """Each that is on says one sentence more."""
    plain = asked(shop())["interface"]["does"]
    for how in (
        {"CTXKIT_SESSION_SIZE": "split"}, {"CTXKIT_SESSION_SIZE": "error"},
        {"CTXKIT_SESSION_ABSOLUTE": 600}, {"CTXKIT_SESSION_REISSUE": 60},
        {"CTXKIT_SESSION_RESIGN": 60}, {"CTXKIT_SESSION_LEEWAY": 5},
        {"CTXKIT_SESSION_REVOCATIONS": "memory://"},
    ):  # fmt: skip
        own: dict[str, t.Any] = how
        assert len(asked(shop(**own))["interface"]["does"]) == len(plain) + 1, how
    assert len(asked(shop(CTXKIT_SESSION_IDLE=600))["interface"]["does"]) == len(plain) + 2
