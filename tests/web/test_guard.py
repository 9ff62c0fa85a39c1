"""Who may look, and who may see values."""

from __future__ import annotations

import logging
import typing as t

import pytest
from itsdangerous import TimestampSigner
from werkzeug.middleware.proxy_fix import ProxyFix

from flask_ctxkit.config import Config
from flask_ctxkit.web.guard import COOKIE, FORWARDING, LOGIN_SECONDS, Guard

TOKEN: t.Final = "look-" + "a" * 32
VALUES_TOKEN: t.Final = "values-" + "b" * 32


def guard(debug: bool = True, **keys: t.Any) -> Guard:
    return Guard(
        Config.from_mapping({f"CTXKIT_{name}": value for name, value in keys.items()}),
        lambda: debug,
    )


def environ(peer: t.Any = "127.0.0.1", host: t.Any = "localhost:5000", **more: t.Any) -> t.Any:
    made = {"REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": "/_ctx/"}
    if peer is not None:
        made["REMOTE_ADDR"] = peer
    if host is not None:
        made["HTTP_HOST"] = host
    return made | more


def bearer(token: str) -> dict[str, str]:
    return {"HTTP_AUTHORIZATION": f"Bearer {token}"}


# ------------------------------------------------------------------- on this machine


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "127.8.9.10", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("host", ["localhost", "localhost:80", "127.0.0.1:5000", "[::1]:5000"])
def test_a_loopback_peer_may_look_and_see_values_in_debug(peer: str, host: str) -> None:
    access = guard().access(environ(peer, host))
    assert (access.look, access.values, access.local) == (True, True, True)


@pytest.mark.parametrize(
    "peer",
    ["", None, "172.17.0.1", "10.0.0.1", "unix:", "localhost", "127.0.0.1.evil", "0.0.0.0", "::",
     "::ffff:10.0.0.1", b"127.0.0.1", 2130706433, "127.1", "0x7f.1", " 127.0.0.1", "127.0.0.1\n"],
)  # fmt: skip
def test_a_missing_or_odd_peer_is_not_loopback(peer: t.Any) -> None:
    access = guard().access(environ(peer))
    assert (access.look, access.values, access.reason) == (False, False, "peer")


@pytest.mark.parametrize(
    "name",
    ["Fly-Client-IP", "DO-Connecting-IP", "X-Vercel-Forwarded-For", "X-Amzn-Trace-Id",
     "X-Forwarded-Client-Cert", "CDN-Loop", "Tailscale-User-Login", "CF-Connecting-IP"],
)  # fmt: skip
def test_what_hosts_and_tunnels_add_tells_of_a_proxy(name: str) -> None:
    header = f"HTTP_{name.upper().replace('-', '_')}"
    assert guard().access(environ(**{header: "203.0.113.9"})).reason == "proxy"


@pytest.mark.parametrize("header", sorted(FORWARDING))
def test_a_forwarded_request_is_not_local(header: str) -> None:
    """Also where the proxy sends an empty header, or names this machine."""
    for value in ("203.0.113.9", "127.0.0.1", ""):
        access = guard().access(environ(**{header: value}))
        assert (access.look, access.reason) == (False, "proxy")


@pytest.mark.parametrize(
    "host",
    [None, "", "evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "evil-localhost",
     "localhost@evil.example", "evil.example#localhost", "[::1].evil.example", "localhost:5000:6",
     "localhost:abc", "localhost/", "localhost, evil.example", "localhost\n", ".localhost",
     "2130706433", "127.1", "[::1", "::1", "localhost.", "a" * 5000, b"localhost"],
)  # fmt: skip
def test_an_untrusted_host_may_not_look(host: t.Any) -> None:
    """A foreign page can't reach the app through a name of its own (DNS rebinding)."""
    access = guard(TOKEN=TOKEN).access(environ(host=host, **bearer(TOKEN)))
    assert (access.look, access.values, access.reason) == (False, False, "host")


@pytest.mark.parametrize(
    "host", ["shop.localhost:5000", "LOCALHOST", "dev.local:8080", "DEV.local"]
)
def test_subdomains_of_localhost_and_configured_hosts_are_trusted(host: str) -> None:
    assert guard(PAGE_HOSTS=["dev.local"]).access(environ(host=host)).look


def test_a_configured_host_does_not_trust_its_subdomains() -> None:
    assert not guard(PAGE_HOSTS=["dev.local"]).access(environ(host="evil.dev.local")).look


def test_outside_debug_this_machine_needs_the_token_too() -> None:
    """A proxy on this machine that adds no header makes everybody look local."""
    outside = guard(debug=False, PAGES=True, TOKEN=TOKEN)
    refused = outside.access(environ())
    assert (refused.look, refused.reason) == (False, "debug")
    access = outside.access(environ(**bearer(TOKEN)))
    assert (access.look, access.values) == (True, False)


def test_the_peer_is_the_one_before_proxy_fix() -> None:
    """ProxyFix writes what a header says into REMOTE_ADDR."""
    seen: list[t.Any] = []

    def app(env: t.Any, start_response: t.Any) -> list[bytes]:
        seen.append(guard().access(env))
        return []

    fixed: t.Any = ProxyFix(app)
    fixed(environ("203.0.113.9", HTTP_X_FORWARDED_FOR="127.0.0.1"), None)
    fixed(environ("203.0.113.9"), None)
    fixed(environ("127.0.0.1"), None)
    assert [(access.look, access.reason) for access in seen] == [
        (False, "peer"),
        (False, "peer"),
        (True, None),
    ]


# ---------------------------------------------------------------------------- tokens


def test_a_token_lets_look_from_anywhere_but_shows_no_values() -> None:
    access = guard(TOKEN=TOKEN).access(environ("203.0.113.9", **bearer(TOKEN)))
    assert (access.look, access.values, access.local) == (True, False, False)


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}",
     f"Bearer {TOKEN.upper()}", "Bearer ü\ud800", "Bearer " + "x" * 100_000],
)  # fmt: skip
def test_a_wrong_token_opens_nothing(header: str) -> None:
    access = guard(TOKEN=TOKEN).access(environ("203.0.113.9", HTTP_AUTHORIZATION=header))
    assert (access.look, access.values) == (False, False)


def test_no_token_opens_where_none_is_configured() -> None:
    for token in ("", "None", "auto", "True"):
        assert not guard().access(environ("203.0.113.9", **bearer(token))).look


def test_a_second_token_shows_values_and_then_loopback_alone_does_not() -> None:
    watched = guard(TOKEN=TOKEN, VALUES=VALUES_TOKEN)
    assert watched.access(environ("203.0.113.9", **bearer(VALUES_TOKEN))).values
    assert not watched.access(environ("203.0.113.9", **bearer(TOKEN))).values
    local = watched.access(environ())
    assert (local.look, local.values) == (True, False)
    assert watched.access(environ(**bearer(VALUES_TOKEN))).values


def test_values_can_be_shown_to_all_viewers_or_to_none() -> None:
    assert guard(TOKEN=TOKEN, VALUES=True).access(environ("10.1.1.1", **bearer(TOKEN))).values
    hidden = guard(TOKEN=TOKEN, VALUES=False)
    assert not hidden.access(environ()).values
    assert hidden.access(environ()).look


# ----------------------------------------------------------------------------- login


def cookie(value: str) -> dict[str, str]:
    return {"HTTP_COOKIE": f"theme=dark; {COOKIE}={value}; broken=;=;"}


def test_a_login_lets_look_without_the_token() -> None:
    watched = guard(TOKEN=TOKEN, VALUES=VALUES_TOKEN)
    value = watched.login(environ("203.0.113.9"), TOKEN)
    assert value is not None
    access = watched.access(environ("203.0.113.9", **cookie(value)))
    assert (access.look, access.values) == (True, False)
    shown = watched.login(environ("203.0.113.9"), VALUES_TOKEN)
    assert shown is not None
    assert watched.access(environ("203.0.113.9", **cookie(shown))).values


def test_the_cookie_of_one_level_is_not_one_of_the_other() -> None:
    """It is signed with the token that was presented, and holds no level to be changed."""
    watched = guard(TOKEN=TOKEN, VALUES=VALUES_TOKEN)
    value = watched.login(environ(), TOKEN)
    assert value is not None
    assert not guard(VALUES=VALUES_TOKEN).access(environ("10.0.0.1", **cookie(value))).look


@pytest.mark.parametrize("value", ["", "viewer", "viewer.x.y", "a" * 10_000, "viewer.🍪"])
def test_a_cookie_that_is_not_ours_opens_nothing(value: str) -> None:
    access = guard(TOKEN=TOKEN).access(environ("203.0.113.9", **cookie(value)))
    assert not access.look


def test_a_login_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = guard(TOKEN=TOKEN)
    value = watched.login(environ(), TOKEN)
    assert value is not None
    now = TimestampSigner("x").get_timestamp()
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda _: now + LOGIN_SECONDS + 5)
    access = watched.access(environ("203.0.113.9", **cookie(value)))
    assert (access.look, access.reason) == (False, "login")


def test_nobody_logs_in_with_a_wrong_token_or_at_an_untrusted_host() -> None:
    watched = guard(TOKEN=TOKEN)
    assert watched.login(environ(), "wrong") is None
    assert watched.login(environ(host="evil.example"), TOKEN) is None
    assert not guard().has_login


# --------------------------------------------------------------------------- failing


class Hostile(dict[str, t.Any]):
    def get(self, *args: t.Any) -> t.Any:
        raise RuntimeError("broken environ")


def test_a_failure_in_the_guard_lets_nobody_look(caplog: pytest.LogCaptureFixture) -> None:
    watched = guard()
    access = watched.access(Hostile(environ()))
    assert (access.look, access.values, access.reason) == (False, False, "failed")
    assert "guard failed" in caplog.text


def test_an_app_that_can_t_tell_its_debug_lets_nobody_look() -> None:
    def gone() -> bool:
        raise RuntimeError("gone")

    assert not Guard(Config.from_mapping({}), gone).access(environ()).look


def test_each_reason_is_logged_once_with_what_to_set(caplog: pytest.LogCaptureFixture) -> None:
    watched = guard()
    caplog.set_level(logging.WARNING, "flask_ctxkit")
    for _ in range(3):
        watched.refused(environ("172.17.0.1"), "peer")
    watched.refused(environ(host="dev.local"), "host")
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2
    assert "GET /_ctx/ from 172.17.0.1" in lines[0]
    assert "CTXKIT_TOKEN" in lines[0]
    assert "CTXKIT_PAGE_HOSTS" in lines[1]
    assert watched.refusals == {"peer": 3, "host": 1}


def test_a_refused_request_can_t_write_its_own_lines_into_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    hostile = environ("1.2.3.4\nroot logged in", "h\x1b[2J", PATH_INFO="/_ctx/\r\nfake" * 100)
    guard().refused(hostile, "host")
    message = caplog.records[0].getMessage()
    assert message.isprintable()
    assert len(message) < 900


def test_hosts_that_clients_make_up_do_not_fill_memory() -> None:
    watched = guard()
    for number in range(1000):
        watched.access(environ(host=f"h{number}.example"))
    assert len(watched._known_hosts) < 100
