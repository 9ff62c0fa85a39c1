"""``flask ctx session``: one cookie taken apart, and what the running app says."""

from __future__ import annotations

import io
import json
import random
import subprocess
import sys
import threading
import typing as t

import pytest
from flask import Flask, current_app, session
from flask.sessions import SecureCookieSessionInterface, SessionInterface
from werkzeug.serving import make_server

from flask_ctxkit import CtxKit
from flask_ctxkit.cli.cookies import LONGEST, CookieError, session_cookies
from flask_ctxkit.session import codec
from flask_ctxkit.session.interface import CtxSessionInterface

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KEY: t.Final = "9f1c6d2a8b7e4f309f1c6d2a8b7e4f30"
OLD: t.Final = "0ld" * 11


def app_with(kit: bool = True, interface: SessionInterface | None = None, **config: t.Any) -> Flask:
    app = Flask("shop")
    app.config.update(
        {"SECRET_KEY": KEY, "SESSION_COOKIE_SAMESITE": "Lax", "SESSION_COOKIE_SECURE": True}
        | config
    )
    if interface is not None:
        app.session_interface = interface
    if kit:
        CtxKit(app)
    return app


def flasks_own(values: dict[str, t.Any], key: str = KEY) -> str:
    app = Flask("signer")
    app.secret_key = key
    serializer = SecureCookieSessionInterface().get_signing_serializer(app)
    assert serializer is not None
    with app.app_context():
        return str(serializer.dumps(values))


COOKIE: t.Final = flasks_own({"user_id": 7, "name": "ada"})


@pytest.fixture
def piped(run: t.Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., t.Any]:
    """Runs a command with a text on its standard input."""

    def command(text: str | bytes, *args: str, **given: t.Any) -> t.Any:
        raw = text if isinstance(text, bytes) else text.encode()

        class Piped(io.TextIOWrapper):
            def __init__(self) -> None:
                super().__init__(io.BytesIO(raw), encoding="utf-8")

        monkeypatch.setattr(io, "StringIO", Piped)
        return run(*args, **given)

    return command


def json_of(outcome: t.Any) -> t.Any:
    body = json.loads(outcome.out)
    assert body["schema"] == 1
    return body["session"]


# --------------------------------------------------------------------------- what is given

HEADERS: t.Final = {
    "value": COOKIE,
    "value with spaces around": f"  {COOKIE}\n",
    "quoted value": f'"{COOKIE}"',
    "pair": f"session={COOKIE}",
    "Cookie header": f"Cookie: theme=dark; session={COOKIE}; other=1",
    "Cookie header in lower case": f"cookie: session={COOKIE}",
    "value of a Cookie header": f"theme=dark; session={COOKIE}",
    "Set-Cookie header": f"Set-Cookie: session={COOKIE}; Secure; HttpOnly; Path=/; SameSite=Lax",
    "value of a Set-Cookie header": f"session={COOKIE}; HttpOnly; Path=/",
    "what curl -v sent": f"> GET / HTTP/1.1\n> Host: a\n> Cookie: session={COOKIE}\n>\n",
    "what curl -i got": (
        f"HTTP/1.1 200 OK\r\nServer: x\r\nSet-Cookie: theme=dark; Path=/\r\n"
        f"Set-Cookie: session={COOKIE}; HttpOnly; Path=/\r\nVary: Cookie\r\n"
    ),
    "another name": f"Cookie: shop={COOKIE}; theme=dark",
    "another name alone": f"shop={COOKIE}",
}


@pytest.mark.parametrize("text", HEADERS.values(), ids=HEADERS.keys())
def test_a_cookie_is_found_in_what_was_given(run: t.Any, piped: t.Any, text: str) -> None:
    """As an argument and on standard input, with - and as a pipe."""
    wanted = {"user_id": 7, "name": "ada"}
    assert json_of(run("session", "decode", text, "--format", "json"))["value"] == wanted
    assert json_of(piped(text, "session", "decode", "-", "--format", "json"))["value"] == wanted
    assert json_of(piped(text, "session", "decode", "--format", "json"))["value"] == wanted


@pytest.mark.parametrize("text", ["", "  \n", '""'])
def test_nothing_given_is_wrong_use(run: t.Any, piped: t.Any, text: str) -> None:
    for outcome in (run("session", "decode", text), piped(text, "session", "decode")):
        assert outcome.code == 2
        assert "empty" in outcome.err
        assert outcome.out == ""


def test_a_terminal_is_not_waited_for(run: t.Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(io, "StringIO", Terminal)
    outcome = run("session", "decode")
    assert outcome.code == 2
    assert "standard input" in outcome.err


def test_more_than_a_cookie_can_be_is_not_read(piped: t.Any) -> None:
    outcome = piped("x" * (LONGEST + 1), "session", "decode")
    assert outcome.code == 2
    assert f"{LONGEST:,}" in outcome.err


def test_bytes_that_are_no_text_raise_nothing(piped: t.Any) -> None:
    outcome = piped(b"\xff\xfe\x00session=\x80", "session", "decode")
    assert outcome.code in {1, 2}
    assert "Traceback" not in outcome.err


def test_cookies_among_which_none_is_meant_are_listed(run: t.Any) -> None:
    outcome = run("session", "decode", "Cookie: theme=dark; lang=en")
    assert outcome.code == 2
    assert "'theme', 'lang'" in outcome.err
    assert "dark" not in outcome.err
    assert "--name" in outcome.err


def test_the_name_decides_between_several(run: t.Any) -> None:
    other = flasks_own({"other": 1})
    header = f"Cookie: session={COOKIE}; admin={other}"
    given = run("session", "decode", header, "--name", "admin", "--format", "json")
    assert json_of(given)["value"] == {"other": 1}
    assert json_of(run("session", "decode", header, "--format", "json"))["value"]["user_id"] == 7
    assert run("session", "decode", header, "--name", "none").code == 2


def test_of_two_cookies_of_one_name_the_first_counts() -> None:
    assert session_cookies("Cookie: session=a.b.c; session=d.e.f", "session") == (
        "session",
        ["a.b.c", "d.e.f"],
    )
    with pytest.raises(CookieError):
        session_cookies("Cookie: a=1.2.3; b=4.5.6", None)


# ---------------------------------------------------------------------------- decode


@pytest.mark.parametrize("wanted", ["md", "table"])
def test_decode_says_loudly_that_nothing_is_verified(run: t.Any, wanted: str) -> None:
    outcome = run("session", "decode", COOKIE, "--format", wanted)
    assert outcome.code == 0
    assert "UNVERIFIED: anybody may have written this." in outcome.lines[0]
    assert any("CONTENT, UNVERIFIED" in text for text in outcome.lines)
    assert any('"user_id": 7' in text for text in outcome.lines)
    assert "claims" in outcome.out


def test_decode_needs_no_app_and_imports_none(tmp_path: Path) -> None:
    """In a folder whose app fails to import."""
    (tmp_path / "app.py").write_text("raise RuntimeError('imported')")
    done = subprocess.run(
        [sys.executable, "-m", "flask_ctxkit", "session", "decode", "-"],
        cwd=tmp_path,
        input=f"Cookie: session={COOKIE}",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert '"name": "ada"' in done.stdout


def test_tags_are_shown_and_never_read(run: t.Any) -> None:
    forged = flasks_own({"x": 1}, "z" * 40)
    payload = codec.pack('{"m":{" m":"<b>"},"t":{" t":[1]}}').decode()
    text = payload + "." + forged.partition(".")[2]
    found = json_of(run("session", "decode", text, "--format", "json"))
    assert found["value"] == {"m": {" m": "<b>"}, "t": {" t": [1]}}
    assert found["tags"] == ["m", "t"]
    assert "Flask's types" in run("session", "decode", text).out


@pytest.mark.parametrize("text", ["abc", "a", "x.y.z", "." + "a" * 50, "{}", "\x1b[2J"])
def test_what_can_not_be_read_is_exit_1(run: t.Any, text: str) -> None:
    outcome = run("session", "decode", text)
    assert outcome.code == 1
    assert "can't be read" in outcome.out
    assert "\x1b[2J" not in outcome.out


def test_a_long_content_is_cut_and_json_has_it_all(run: t.Any) -> None:
    values = {f"key{number}": number for number in range(500)}
    text = flasks_own(values)
    shown = run("session", "decode", text)
    assert len(shown.lines) < 140
    assert "more lines; --format json has all" in shown.out
    assert json_of(run("session", "decode", text, "--format", "json"))["value"] == values


@pytest.mark.parametrize("columns", [60, 80, 100])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_control_characters_and_long_texts_are_tamed(
    run: t.Any, columns: int, encoding: str
) -> None:
    values = {"evil": "\x1b]0;pwned\x07\x1b[2J\u202e", "k" * 150: ["ü" * 300]}
    outcome = run(
        "session", "decode", flasks_own(values), "--format", "table", columns=columns,
        encoding=encoding,
    )  # fmt: skip
    assert outcome.code == 0
    assert max(map(len, outcome.lines)) <= columns
    assert not {"\x1b", "\x07", "\u202e"} & set(outcome.out)


# ---------------------------------------------------------------------------- verify


def test_verify_says_which_key_it_was(run: t.Any) -> None:
    app = app_with(SECRET_KEY_FALLBACKS=["z" * 40, OLD])
    keyring = CtxSessionInterface().keyring(app)
    assert keyring is not None
    for key, number in ((KEY, 0), (OLD, 2)):
        outcome = run("session", "verify", flasks_own({"a": 1}, key), serving=app)
        assert outcome.code == 0
        assert keyring.keys[number].fingerprint in outcome.lines[0]
        assert ("fallback key 2" in outcome.lines[0]) == (number == 2)
        assert any(text == "## CONTENT" for text in outcome.lines)
        assert "UNVERIFIED" not in outcome.out


def test_verify_tries_all_keys_and_exits_1(run: t.Any) -> None:
    app = app_with(SECRET_KEY_FALLBACKS=[OLD])
    outcome = run("session", "verify", flasks_own({"a": 1}, "z" * 40), serving=app)
    assert outcome.code == 1
    assert "REFUSED. The session cookie was signed with a key" in outcome.out
    assert "CONTENT, UNVERIFIED" in outcome.out
    for number, setting in ((0, "SECRET_KEY"), (1, "SECRET_KEY_FALLBACKS[0]")):
        keyring = CtxSessionInterface().keyring(app)
        assert keyring is not None
        assert f"{keyring.keys[number].fingerprint} ({setting})" in outcome.out
    for secret in (KEY, OLD):
        assert secret not in outcome.out + outcome.err


def test_an_old_cookie_is_authentic_and_refused(run: t.Any) -> None:
    app = app_with(PERMANENT_SESSION_LIFETIME=60)
    keyring = CtxSessionInterface().keyring(app)
    assert keyring is not None
    text = codec.seal(codec.pack('{"a":1}'), keyring, now=1_000_000_000)
    outcome = run("session", "verify", text, "--format", "json", serving=app)
    assert outcome.code == 1
    found = json_of(outcome)
    assert (found["code"], found["verified"], found["authentic"]) == ("expired", False, True)
    assert found["evidence"]["limit"] == 60
    assert "UNVERIFIED" not in run("session", "verify", text, serving=app).out


def test_verify_names_the_cookie_that_would_be_valid(run: t.Any) -> None:
    header = f"Cookie: session=x.y.z; session={COOKIE}"
    found = json_of(run("session", "verify", header, "--format", "json", serving=app_with()))
    assert (found["code"], found["came"]) == ("duplicate", 2)
    assert "number 2 is valid" in found["message"]


@pytest.mark.parametrize("kit", [True, False])
def test_verify_works_with_and_without_the_kit(run: t.Any, kit: bool) -> None:
    outcome = run("session", "verify", COOKIE, serving=app_with(kit))
    assert outcome.code == 0
    assert '"name": "ada"' in outcome.out


def test_verify_reads_the_app_s_own_cookie_name(run: t.Any) -> None:
    app = app_with(SESSION_COOKIE_NAME="shop")
    header = f"Cookie: session=x.y.z; shop={COOKIE}"
    assert json_of(run("session", "verify", header, "--format", "json", serving=app))["verified"]


def test_verify_of_a_foreign_interface_says_what_was_tried(run: t.Any) -> None:
    app = app_with(interface=SessionInterface())
    outcome = run("session", "verify", COOKIE, serving=app)
    assert "flask.sessions.SessionInterface" in outcome.out
    assert "what Flask's would say" in outcome.out
    assert outcome.code == 0


@pytest.mark.parametrize("text", ["a\x00b", "a;b.c.d", "ü.ü.ü", "a\nb", "x" * 20_000])
def test_odd_cookies_are_refused_without_a_traceback(run: t.Any, text: str) -> None:
    outcome = run("session", "verify", text, serving=app_with())
    assert outcome.code in {1, 2}
    assert "Traceback" not in outcome.err


def test_an_app_without_a_key_verifies_nothing(run: t.Any) -> None:
    outcome = run("session", "verify", COOKIE, serving=app_with(SECRET_KEY=None))
    assert outcome.code == 1
    assert "no secret key" in outcome.out


def test_verify_runs_no_hook_and_counts_nothing(run: t.Any) -> None:
    app = app_with()
    app.before_request(lambda: pytest.fail("a hook ran"))
    app.teardown_appcontext(lambda error: pytest.fail("a teardown function ran"))
    assert run("session", "verify", COOKIE, serving=app).code == 0
    assert t.cast("t.Any", app.session_interface).tally.totals() == {}


# --------------------------------------------------------------- split and encrypted


def kept_by(app: Flask, values: dict[str, t.Any]) -> dict[str, str]:
    """The cookies that a browser has of *app* once *values* were saved."""
    app.add_url_rule("/set", "set", lambda: session.update(values) or "")
    client = app.test_client()
    assert client.get("/set", base_url="https://localhost").status_code == 200
    return {cookie.key: cookie.value for cookie in (client._cookies or {}).values()}


LONG: t.Final = {"user_id": 7, "noise": random.Random(1).randbytes(4000).hex()}


def header_of(cookies: dict[str, str], kind: str = "Cookie: ") -> str:
    if kind == "Set-Cookie: ":
        return "\r\n".join(f"{kind}{name}={value}; Path=/" for name, value in cookies.items())
    return kind + "; ".join(f"{name}={value}" for name, value in cookies.items())


@pytest.mark.parametrize("kind", ["Cookie: ", "", "Set-Cookie: "])
@pytest.mark.parametrize("name", ["session", "shop"])
@pytest.mark.parametrize("encrypt", [False, True])
def test_a_session_in_several_cookies_is_put_together(
    run: t.Any, kind: str, name: str, encrypt: bool
) -> None:
    """From a header in any order, whatever the cookie is called."""
    how: dict[str, t.Any] = {
        "CTXKIT_SESSION_SIZE": "split",
        "SESSION_COOKIE_NAME": name,
        "SESSION_COOKIE_PATH": "/",
    }
    if encrypt:
        pytest.importorskip("cryptography")
    app = app_with(**how, CTXKIT_SESSION_PARTS=4, CTXKIT_SESSION_ENCRYPT=encrypt)
    cookies = kept_by(app, LONG)
    assert len(cookies) > 1
    given = header_of({"theme": "dark", **dict(reversed(cookies.items()))}, kind)
    outcome = run("session", "verify", given, "--format", "json", serving=app)
    assert outcome.code == 0
    found = json_of(outcome)
    assert (found["cookie"], found["split"], found["verified"]) == (name, len(cookies), True)
    assert found["value"] == LONG
    assert found["evidence"]["cookies"] == len(cookies)
    shown = run("session", "verify", given, serving=app).out
    assert f"{found['length']:,} characters in {len(cookies)} cookies" in shown
    assert f"{found['json_bytes']:,} bytes of JSON" in shown
    unverified = run("session", "decode", given, "--format", "json")
    assert unverified.code == (1 if encrypt else 0)
    assert json_of(unverified)["value"] == (None if encrypt else LONG)
    assert json_of(unverified)["encrypted"] is encrypt


def test_a_part_that_is_not_there_is_named(run: t.Any) -> None:
    app = app_with(CTXKIT_SESSION_SIZE="split", CTXKIT_SESSION_PARTS=4)
    cookies = kept_by(app, LONG)
    del cookies["session.1"]
    outcome = run("session", "decode", header_of(cookies))
    assert outcome.code == 1
    assert "session.1, a part of it, is not here" in outcome.out
    bare = run("session", "decode", cookies["session"])
    assert bare.code == 1
    assert "give the whole header" in bare.out
    found = json_of(run("session", "verify", header_of(cookies), "--format", "json", serving=app))
    assert (found["code"], found["authentic"]) == ("incomplete", False)


def test_an_app_that_puts_nothing_together_says_so(run: t.Any) -> None:
    """A worker with another setting; what the cookie claims is shown as unverified."""
    cookies = kept_by(app_with(CTXKIT_SESSION_SIZE="split", CTXKIT_SESSION_PARTS=4), LONG)
    for app in (app_with(), app_with(kit=False)):
        outcome = run("session", "verify", header_of(cookies), serving=app)
        assert outcome.code == 1
        assert "doesn't put them together" in outcome.out
        assert "CONTENT, UNVERIFIED" in outcome.out


def encrypted(app: Flask, **values: t.Any) -> str:
    pytest.importorskip("cryptography")
    return kept_by(app, values)["session"]


def test_decode_says_of_an_encrypted_cookie_what_opens_it(run: t.Any) -> None:
    text = encrypted(app_with(CTXKIT_SESSION_ENCRYPT=True), user_id=7)
    outcome = run("session", "decode", text)
    assert outcome.code == 1
    assert "it is encrypted: only the app's key shows what is in it" in outcome.out
    assert "flask ctx session verify tries the app's" in outcome.out
    assert "characters, encrypted" in outcome.out


@pytest.mark.parametrize(("key", "number"), [(KEY, 0), (OLD, 1)])
def test_verify_shows_an_encrypted_cookie_that_a_key_opens(
    run: t.Any, key: str, number: int
) -> None:
    """Tags stay tags, as in one that is only signed."""
    text = encrypted(app_with(CTXKIT_SESSION_ENCRYPT=True, SECRET_KEY=key), user_id=7, t=(1,))
    app = app_with(CTXKIT_SESSION_ENCRYPT=True, SECRET_KEY_FALLBACKS=[OLD])
    outcome = run("session", "verify", text, "--format", "json", serving=app)
    assert outcome.code == 0
    found = json_of(outcome)
    assert (found["value"], found["tags"]) == ({"user_id": 7, "t": {" t": [1]}}, ["t"])
    assert (found["number"], found["authentic"], found["encrypted"]) == (number, True, True)
    assert found["signed_at"] is not None
    assert "UNVERIFIED" not in run("session", "verify", text, serving=app).out


def test_verify_shows_nothing_of_what_no_key_opens(run: t.Any) -> None:
    text = encrypted(app_with(CTXKIT_SESSION_ENCRYPT=True, SECRET_KEY="z" * 40), user_id=7)
    for how in (True, False):
        outcome = run("session", "verify", text, serving=app_with(CTXKIT_SESSION_ENCRYPT=how))
        assert outcome.code == 1
        assert "no key of this worker opens it" in outcome.out
        assert "only the app's key shows" in outcome.out


@pytest.mark.parametrize("kit", [True, False])
def test_verify_opens_what_the_app_itself_would_not(run: t.Any, kit: bool) -> None:
    """Encryption was switched off, or the kit is gone: the key is there all the same."""
    text = encrypted(app_with(CTXKIT_SESSION_ENCRYPT=True), user_id=7)
    outcome = run("session", "verify", text, serving=app_with(kit))
    assert outcome.code == 1
    assert '"user_id": 7' in outcome.out
    assert "the app does not encrypt its sessions" in outcome.out


def test_an_expired_encrypted_cookie_is_shown_and_refused(run: t.Any) -> None:
    text = encrypted(app_with(CTXKIT_SESSION_ENCRYPT=True), user_id=7)
    app = app_with(CTXKIT_SESSION_ENCRYPT=True, PERMANENT_SESSION_LIFETIME=-1)
    found = json_of(run("session", "verify", text, "--format", "json", serving=app))
    assert (found["code"], found["verified"], found["authentic"]) == ("expired", False, True)
    assert found["value"] == {"user_id": 7}


# ------------------------------------------------------------------------------ sign


@pytest.mark.parametrize(
    "values",
    [
        {}, {"user_id": 7}, {"z": 1, "a": {"y": [1, 2], "b": None}}, {"name": "Zoë \u202e"},
        {"long": "x" * 500}, {"t": {" t": [1, 2]}, "d": {" d": "Fri, 02 Jan 2026 03:04:05 GMT"}},
        {"_flashes": {" t": ["message", "hi"]}, "b": {" b": "YWJj"}},
    ],
)  # fmt: skip
@pytest.mark.parametrize("kit", [True, False])
def test_a_signed_session_is_flasks_byte_for_byte(
    run: t.Any, values: dict[str, t.Any], kit: bool
) -> None:
    """Signed in the same second by an app that knows nothing of the kit."""
    for _ in range(3):
        before = flasks_own_of(values)
        outcome = run("session", "sign", json.dumps(values), serving=app_with(kit))
        if before == flasks_own_of(values):
            break
    assert outcome.code == 0
    assert outcome.out.strip() == before


def flasks_own_of(tagged: dict[str, t.Any]) -> str:
    loads = SecureCookieSessionInterface().serializer.loads
    return flasks_own(loads(json.dumps(tagged)))


def test_what_decode_prints_can_be_signed_again(run: t.Any) -> None:
    app = app_with()
    found = json_of(run("session", "decode", COOKIE, "--format", "json"))
    outcome = run("session", "sign", json.dumps(found["value"]), serving=app)
    assert outcome.out.partition(".")[0] == COOKIE.partition(".")[0]
    assert run("session", "verify", outcome.out, serving=app).code == 0


def test_the_cookie_stands_alone_on_standard_output(run: t.Any, piped: t.Any) -> None:
    app = app_with()
    outcome = piped('{"a": 1}', "session", "sign", "-", serving=app)
    assert len(outcome.lines) == 1
    assert "signed with key" in outcome.err
    header = run("session", "sign", '{"a": 1}', "--header", serving=app)
    assert header.out.startswith("Cookie: session=eyJ")
    found = json_of(run("session", "sign", '{"a": 1}', "--format", "json", serving=app))
    assert found["value"].startswith("eyJ")


def test_an_app_takes_what_was_signed(run: t.Any) -> None:
    """Also with another salt, name and JSON order, as that app has them."""

    class Own(CtxSessionInterface):
        salt = "own"

        def get_cookie_name(self, app: Flask) -> str:
            return "own"

    app = app_with(interface=Own(), SESSION_COOKIE_SECURE=False)
    t.cast("t.Any", app.json).sort_keys = False
    app.add_url_rule("/", "home", lambda: dict(session))
    found = run("session", "sign", '{"z": 1, "a": 2}', "--header", serving=app)
    name, _, value = found.out.strip().partition(": ")[2].partition("=")
    client = app.test_client()
    client.set_cookie(name, value)
    assert client.get("/").json == {"a": 2, "z": 1}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1]", "JSON object"), ("7", "JSON object"), ("null", "JSON object"), ("{", "not JSON"),
        ("[" * 100_000, "too deep"), ('{"d": {" u": "no uuid"}}', "not JSON"),
    ],
)  # fmt: skip
def test_what_is_no_session_is_not_signed(run: t.Any, text: str, said: str) -> None:
    outcome = run("session", "sign", text, serving=app_with())
    assert outcome.code == 2
    assert said in outcome.err
    assert outcome.out == ""


def test_sign_needs_a_key_and_an_interface_that_signs(run: t.Any) -> None:
    for app in (app_with(SECRET_KEY=None), app_with(interface=SessionInterface())):
        outcome = run("session", "sign", '{"a": 1}', serving=app)
        assert outcome.code == 2
        assert "Traceback" not in outcome.err
        assert outcome.out == ""


def test_a_session_that_browsers_drop_is_said_to_be_large(run: t.Any) -> None:
    values = {"big": [number * 7919 % 10_007 for number in range(2000)]}
    outcome = run("session", "sign", json.dumps(values), serving=app_with())
    assert outcome.code == 0
    assert "4,093" in outcome.err


# ----------------------------------------------------------------------------- check


def test_check_is_0_for_a_sound_app_and_1_for_problems(run: t.Any) -> None:
    sound = run("session", "check", serving=app_with())
    assert sound.code == 0
    assert "soundly" in sound.out
    notes = run("session", "check", serving=app_with(SESSION_COOKIE_SECURE=False))
    assert notes.code == 0
    assert "NOTES 1" in notes.out
    weak = run("session", "check", serving=app_with(SECRET_KEY="dev"))
    assert weak.code == 1
    assert "PROBLEMS 1" in weak.out
    assert "secrets.token_hex()" in weak.out
    assert json_of(run("session", "check", "--format", "json", serving=app_with()))["check"] == []


def test_check_needs_no_kit(run: t.Any) -> None:
    app = app_with(kit=False, SECRET_KEY_FALLBACKS="old")
    assert run("session", "check", serving=app).code == 1


# --------------------------------------------------------------------- the running app


@pytest.fixture
def serving() -> Iterator[str]:
    app = app_with(
        SECRET_KEY_FALLBACKS=[OLD],
        SESSION_COOKIE_SECURE=False,
        CTXKIT_SESSION_REVOCATIONS="memory://",
    )
    app.debug = True

    @app.get("/")
    def home() -> str:
        session.setdefault("cart", []).append(1)
        return current_app.name

    client = app.test_client()
    client.set_cookie("session", flasks_own({"cart": [1]}))
    client.get("/")
    client.set_cookie("session", flasks_own({"a": 1}, "z" * 40))
    client.get("/")
    t.cast("t.Any", app.session_interface).tally.since -= 14 * 86_400
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_running_app_tells_its_verdicts(run: t.Any, serving: str) -> None:
    outcome = run("session", "--url", serving)
    assert outcome.code == 0
    assert "1 of 2 cookies in five minutes was signed with a key" in outcome.lines[0]
    for said in ("unknown key", "nested change", "SECRET_KEY_FALLBACKS[0]", "flask ctx show"):
        assert said in outcome.out
    assert "first by" in outcome.out
    assert "Fallback 1 unused for 14 days." in outcome.out
    assert "The store of revocations (in memory) answers." in outcome.out
    for secret in (KEY, OLD):
        assert secret not in outcome.out
    assert json_of(run("session", "--url", serving, "--format", "json"))["counts"]["rows"]


@pytest.mark.parametrize("columns", [60, 80, 100])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_the_answer_fits(run: t.Any, serving: str, columns: int, encoding: str) -> None:
    outcome = run(
        "session", "--url", serving, "--format", "table", columns=columns, encoding=encoding
    )
    assert outcome.code == 0
    assert max(map(len, outcome.lines)) <= columns


def test_a_trace_shows_its_steps_on_one_line(run: t.Any, serving: str) -> None:
    outcome = run("show", "latest", "--url", serving)
    (line,) = [text for text in outcome.lines if text.startswith("session")]
    for part in ("cookie", "verified", "decoded", "saved", "unknown key"):
        assert part in line


@pytest.mark.parametrize(
    "session_report",
    [{}, {"story": 1, "counts": [], "check": {}, "keys": "x", "refused": [1], "interface": None},
     {"story": [{"text": "\x1b[2J"}], "counts": {"rows": [{"step": "open"}]}},
     {"keys": [{"fingerprint": 5, "told": 7}], "revocation": {"text": ["x"]},
      "unsaved": [{"code": None}], "touched": [{}]}],
)  # fmt: skip
def test_an_odd_answer_raises_nothing(run: t.Any, canned: t.Any, session_report: t.Any) -> None:
    canned.bodies["/_ctx/session.json"] = {"schema": 1, "session": session_report}
    outcome = run("session", "--url", canned.url)
    assert outcome.code == 0
    assert "\x1b[2J" not in outcome.out


def test_nobody_to_ask_is_exit_2(run: t.Any) -> None:
    outcome = run("session", "--url", "http://127.0.0.1:9")
    assert outcome.code == 2
    assert "I looked here" in outcome.err
