"""Who may look, and who may see values. Fails closed and needs nothing optional.

There are two ways in: from this machine while the app is in debug mode, or with a token.
Both need a trusted host name, so that a foreign page can't reach the app through a name of
its own that points here (DNS rebinding, CVE-2024-34069).
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import logging
import re
import threading
import typing as t
from dataclasses import dataclass

from itsdangerous import BadSignature, TimestampSigner
from werkzeug.http import parse_cookie

if t.TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

    from ..config import Config

COOKIE: t.Final = "ctxkit_viewer"
LOGIN_SECONDS: t.Final = 12 * 60 * 60
"""How long a login lasts, in seconds."""
HOSTS: t.Final = frozenset({"localhost", "127.0.0.1", "::1"})
KNOWN_HOSTS: t.Final = 64
"""How many Host headers are remembered; the client chooses them, so there is an end."""

FORWARDING: t.Final = frozenset(
    f"HTTP_{name}"
    for name in (
        "FORWARDED", "VIA", "X_FORWARDED", "X_FORWARDED_FOR", "X_FORWARDED_BY",
        "X_FORWARDED_HOST", "X_FORWARDED_PORT", "X_FORWARDED_PREFIX", "X_FORWARDED_PROTO",
        "X_FORWARDED_SCHEME", "X_FORWARDED_SERVER", "X_FORWARDED_SSL", "X_FORWARDED_CLIENT_CERT",
        "X_ORIGINAL_FORWARDED_FOR", "X_VERCEL_FORWARDED_FOR", "X_AMZN_TRACE_ID", "CDN_LOOP",
        "X_ORIGINAL_HOST", "X_ORIGINAL_URL", "X_REWRITE_URL", "X_PROXYUSER_IP", "X_REAL_IP",
        "X_CLIENT_IP", "X_CLUSTER_CLIENT_IP", "CLIENT_IP", "TRUE_CLIENT_IP",
        "CF_CONNECTING_IP", "FASTLY_CLIENT_IP", "X_AZURE_CLIENTIP", "X_APPENGINE_USER_IP",
        "X_ENVOY_EXTERNAL_ADDRESS", "FLY_CLIENT_IP", "DO_CONNECTING_IP", "TAILSCALE_USER_LOGIN",
    )
)  # fmt: skip
"""A request with one of these came through a proxy, so its peer is not its sender."""

_HOST: t.Final = re.compile(r"(?:\[([0-9a-f:.]{2,45})\]|([a-z0-9][a-z0-9._-]{0,252}))(?::\d{1,5})?")
_CONTROL: t.Final = re.compile(r"[^\x20-\x7e]")
_log: t.Final = logging.getLogger("flask_ctxkit")

Reason = t.Literal["debug", "peer", "proxy", "host", "token", "login", "failed"]

_ADVICE: t.Final[dict[str, str]] = {
    "debug": "the app is not in debug mode, where only a token opens the pages. Log in with "
    "CTXKIT_TOKEN: flask ctx link",
    "peer": "not this machine (a container or a remote editor?). Set CTXKIT_TOKEN and use the "
    "link that it gives: flask ctx link",
    "proxy": "it came through a proxy, so who sent it is not known. Set CTXKIT_TOKEN and use "
    "the link that it gives: flask ctx link",
    "host": "its Host is not trusted. Add the name to CTXKIT_PAGE_HOSTS",
    "token": "its token is not the one in CTXKIT_TOKEN or CTXKIT_VALUES. Use the link that "
    "the current one gives: flask ctx link",
    "login": "its login is over or is not one of ours. Log in again: flask ctx link",
    "failed": "deciding failed, and then nobody may look. Please report the traceback below",
}


@dataclass(frozen=True, slots=True)
class Access:
    """What a viewer may do; ``reason`` names why not, where they may not even look.

    ``local`` is true for a viewer on this machine, who needs no token.
    """

    look: bool
    values: bool = False
    local: bool = False
    reason: Reason | None = None


class Guard:
    """Decides, for one app.

    :param debug: answers whether the app is in debug mode now; asked at each request, since
        ``app.run(debug=True)`` sets it late.
    """

    def __init__(self, config: Config, debug: t.Callable[[], bool]) -> None:
        self._values = config.values
        self._debug = debug
        self._hosts = HOSTS.union(host.strip("[]") for host in config.page_hosts)
        self._token = None if config.token is None else _Token(config.token)
        self._values_token = (
            _Token(config.values)
            if isinstance(config.values, str) and (config.values != "auto")
            else None
        )
        # Made once: with id headers on, each request of a local viewer asks.
        self._here = Access(look=True, values=self._values is not False, local=True)
        self._known_hosts: dict[str, bool] = {}
        self._lock = threading.Lock()
        self.refusals: dict[Reason, int] = {}
        """How many requests for the pages were refused, by reason."""

    @property
    def has_login(self) -> bool:
        """Whether there is a token to log in with."""
        return self._token is not None or self._values_token is not None

    def access(self, environ: WSGIEnvironment) -> Access:
        """What the sender of the request may do. Any failure in here is "nothing"."""
        try:
            return self._access(environ)
        except Exception:
            _log.exception("ctxkit's guard failed, so nobody may look.")
            return Access(look=False, reason="failed")

    def _access(self, environ: WSGIEnvironment) -> Access:
        if not self.trusts(environ.get("HTTP_HOST")):
            return Access(look=False, reason="host")
        refused = self._local_refusal(environ)
        if refused is None and self._values_token is None:
            return self._here
        look, values, reason = self._presented(environ)
        local = refused is None
        if look or local:
            return Access(
                look=True,
                values=values or self._values is True or (local and self._values == "auto"),
                local=local,
            )
        return Access(look=False, reason=reason or refused)

    def _local_refusal(self, environ: WSGIEnvironment) -> Reason | None:
        """Why the sender is not somebody on this machine; None if it is."""
        # A proxy on this machine that adds no header makes everybody look local. In debug
        # mode that is somebody's desk; outside of it, it is the usual way to serve.
        if not self._debug():
            return "debug"
        if not _is_loopback(_peer(environ)):
            return "peer"
        return None if FORWARDING.isdisjoint(environ) else "proxy"

    def trusts(self, host: t.Any) -> bool:
        """Whether who asks for *host*, a Host header, may be let in."""
        known = self._known_hosts.get(host)
        if known is None:
            known = self._is_trusted(host)
            if len(self._known_hosts) >= KNOWN_HOSTS:
                self._known_hosts.clear()
            self._known_hosts[host] = known
        return known

    def _is_trusted(self, host: t.Any) -> bool:
        found = _HOST.fullmatch(host.lower()) if isinstance(host, str) else None
        if found is None:
            return False
        name = found[1] or found[2]
        return name in self._hosts or (found[1] is None and name.endswith(".localhost"))

    # ------------------------------------------------------------------ tokens

    def _presented(self, environ: WSGIEnvironment) -> tuple[bool, bool, Reason | None]:
        """May look, may see values, and what is wrong with what was presented."""
        header = environ.get("HTTP_AUTHORIZATION", "")
        scheme, _, token = header.partition(" ")
        if scheme.lower() == "bearer":
            look, values = self.opens(token.strip())
            return look, values, None if look else "token"
        cookie = _cookie(environ.get("HTTP_COOKIE", ""))
        if cookie is not None:
            values = self._values_token is not None and self._values_token.signed(cookie)
            look = values or (self._token is not None and self._token.signed(cookie))
            return look, values, None if look else "login"
        return False, False, None

    def opens(self, token: str) -> tuple[bool, bool]:
        """Whether *token* lets its holder look, and whether it shows them values."""
        # Both are compared in any case: the time taken tells nothing.
        values = self._values_token is not None and self._values_token.equals(token)
        look = self._token is not None and self._token.equals(token)
        return look or values, values or (look and self._values is True)

    def login(self, environ: WSGIEnvironment, token: str) -> str | None:
        """The value of a login cookie for *token*; None for a wrong one."""
        if not self.trusts(environ.get("HTTP_HOST")):
            return None
        for known in (self._values_token, self._token):
            if known is not None and known.equals(token):
                return known.sign()
        return None

    # ---------------------------------------------------------------- refusals

    def refused(self, environ: WSGIEnvironment, reason: Reason) -> None:
        """Count a refusal, and log the first one for each reason with what to set."""
        with self._lock:
            count = self.refusals[reason] = self.refusals.get(reason, 0) + 1
        if count == 1:
            _log.warning(
                "ctxkit refused %s %s%s from %s for host %s: %s. (Told once.)",
                *(
                    _printable(environ.get(key))
                    for key in ("REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO")
                ),
                _printable(_peer(environ)) or "an unknown address",
                _printable(environ.get("HTTP_HOST")) or "without name",
                _ADVICE[reason],
            )


class _Token:
    """A token, compared in constant time, and the signature that it gives."""

    def __init__(self, token: str) -> None:
        self._bytes = token.encode("utf-8", "surrogateescape")
        self._signer = TimestampSigner(
            self._bytes, salt="flask_ctxkit.login", digest_method=hashlib.sha256
        )

    def equals(self, token: str) -> bool:
        return hmac.compare_digest(self._bytes, token.encode("utf-8", "surrogatepass"))

    def sign(self) -> str:
        return self._signer.sign(b"viewer").decode("ascii")

    def signed(self, value: str) -> bool:
        try:
            return self._signer.unsign(value, max_age=LOGIN_SECONDS) == b"viewer"
        except BadSignature:
            return False


def _peer(environ: WSGIEnvironment) -> t.Any:
    """The address of the socket's other end, also where ProxyFix has replaced it."""
    before = environ.get("werkzeug.proxy_fix.orig")
    return environ.get("REMOTE_ADDR") if before is None else before.get("REMOTE_ADDR")


def _is_loopback(peer: t.Any) -> bool:
    # A Unix socket has no address ("" or None): whoever fronts it is a proxy.
    if peer in {"127.0.0.1", "::1"}:
        return True
    if not isinstance(peer, str):
        return False
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((address if mapped is None else mapped).is_loopback)


def _cookie(header: str) -> str | None:
    return parse_cookie(header).get(COOKIE) if COOKIE in header else None


def _printable(value: t.Any) -> str:
    # What a client sends must not be able to write lines of its own into the log.
    return _CONTROL.sub("?", value[:200]) if isinstance(value, str) else ""
