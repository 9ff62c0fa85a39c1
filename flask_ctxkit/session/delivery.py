"""Whether a session cookie that was sent will be kept, and come back: what browsers drop."""

from __future__ import annotations

import ipaddress
import re
import typing as t
from urllib.parse import urlsplit

Evidence = dict[str, t.Any]
Environ = t.Mapping[str, t.Any]

BUDGET: t.Final = 4093
"""The most bytes of a whole ``Set-Cookie`` header, as Werkzeug counts; browsers drop a name
and value of more than 4096."""
_FORWARDED_PROTO: t.Final = re.compile(r'proto="?(https?)', re.IGNORECASE)


def obstacle(
    name: str, attributes: t.Mapping[str, t.Any], environ: Environ | None
) -> tuple[str, Evidence] | None:
    """The code and evidence of what keeps the cookie *name* from coming back, or None.

    :param environ: that of the request it answers, where that is known.
    """
    secure = attributes["secure"] or attributes.get("partitioned")
    broken = _broken_rule(name, attributes, secure=bool(secure))
    if broken is not None or environ is None:
        return broken
    domain, path = attributes["domain"], attributes["path"]
    if domain:
        host = host_of(environ)
        if not domain_matches(domain, host):
            return "domain-mismatch", {"domain": domain, "host": host}
    if secure and environ.get("wsgi.url_scheme") != "https":
        return _over_http(environ)
    if path and path != "/":
        url_path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "") or "/"
        if not path_matches(path, url_path):
            return "path-mismatch", {"path": path, "url_path": url_path}
    return None


def _broken_rule(
    name: str, attributes: t.Mapping[str, t.Any], *, secure: bool
) -> tuple[str, Evidence] | None:
    lowered = name.lower()
    if lowered.startswith(("__host-", "__secure-")):
        needs = [] if secure else ["Secure"]
        if lowered.startswith("__host-"):
            needs += ["no Domain"] if attributes["domain"] else []
            needs += ["Path=/"] if attributes["path"] not in {"/", None} else []
        if needs:
            prefix = "__Host-" if lowered.startswith("__host-") else "__Secure-"
            return "prefix-rules", {"prefix": prefix, "needs": " and ".join(needs)}
    samesite = attributes["samesite"]
    if not secure and samesite is not None and str(samesite).lower() == "none":
        return "samesite-none", {}
    return None


def _over_http(environ: Environ) -> tuple[str, Evidence]:
    scheme, shown_by = scheme_of_visitor(environ)
    if scheme == "https":
        return "proxy-not-trusted", {"shown_by": shown_by}
    if scheme == "http":
        return "secure-over-http", {"shown_by": shown_by}
    return "secure-unknown", {"host": host_of(environ)}


def scheme_of_visitor(environ: Environ) -> tuple[t.Literal["http", "https"] | None, str]:
    """By what scheme the visitor's browser came, and what shows it; None where nothing does.

    For a request that reached the app by http. Headers that a proxy sets are believed here,
    since nothing but a sentence depends on it.
    """
    for key, shown_by in (
        ("HTTP_X_FORWARDED_PROTO", "X-Forwarded-Proto"),
        ("HTTP_X_FORWARDED_SCHEME", "X-Forwarded-Scheme"),
        ("HTTP_X_URL_SCHEME", "X-Url-Scheme"),
    ):
        value = str(environ.get(key, "")).partition(",")[0].strip().lower()
        if value in {"http", "https"}:
            return ("https" if value == "https" else "http"), f"{shown_by}: {value}"
    found = _FORWARDED_PROTO.search(str(environ.get("HTTP_FORWARDED", "")))
    if found is not None:
        value = found.group(1).lower()
        return ("https" if value == "https" else "http"), f"Forwarded: proto={value}"
    if str(environ.get("HTTP_X_FORWARDED_SSL", environ.get("HTTP_FRONT_END_HTTPS", ""))) == "on":
        return "https", "X-Forwarded-Ssl: on"
    return _scheme_of_origin(environ)


def _scheme_of_origin(environ: Environ) -> tuple[t.Literal["http", "https"] | None, str]:
    host = host_of(environ)
    if is_loopback(host):
        return None, ""  # browsers differ in what they do with Secure there
    for key, name in (("HTTP_ORIGIN", "Origin"), ("HTTP_REFERER", "Referer")):
        try:
            parts = urlsplit(str(environ.get(key, "")))
            same = parts.hostname == host
        except ValueError:
            continue
        if same and parts.scheme in {"http", "https"}:
            return ("https" if parts.scheme == "https" else "http"), f"{name}: {parts.scheme}://"
    if "HTTP_SEC_FETCH_SITE" in environ:  # sent to trustworthy origins alone
        return "https", "Sec-Fetch-Site"
    return None, ""


def host_of(environ: Environ) -> str:
    """The host name of the request in lower case, without port and brackets."""
    host = str(environ.get("HTTP_HOST") or environ.get("SERVER_NAME", "")).lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def is_loopback(host: str) -> bool:
    """Whether *host* names this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def domain_matches(domain: str, host: str) -> bool:
    """Whether a cookie for *domain* is kept from *host* (RFC 6265, 5.1.3)."""
    wanted = domain.partition(":")[0].lstrip(".").lower()
    if host == wanted:
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host.endswith("." + wanted)
    return False


def path_matches(path: str, url_path: str) -> bool:
    """Whether a cookie for *path* is sent to *url_path* (RFC 6265, 5.1.4)."""
    if url_path == path:
        return True
    return url_path.startswith(path if path.endswith("/") else path + "/")
