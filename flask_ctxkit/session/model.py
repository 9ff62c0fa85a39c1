"""What can be said of a session: verdicts, and the catalogue that they are taken from."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

Step = t.Literal["open", "save"]
Severity = t.Literal["ok", "note", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Reason:
    """One line of the catalogue: what a ``code`` means, and what to do about it.

    ``message`` may name pieces of the verdict's evidence in braces.
    """

    step: Step
    code: str
    severity: Severity
    message: str
    fix: str = ""

    @property
    def is_worth_telling(self) -> bool:
        """Whether a developer should act on it."""
        return self.severity in {"warning", "error"}


class Verdict(t.NamedTuple):
    """What became of one session at one step.

    ``code`` is a :class:`Reason`'s. ``evidence`` is plain data and never holds a key, a
    cookie or a value of the session; keys are named by their fingerprints. What is to be read
    is made when somebody reads it: a traced request only notes the three.
    """

    step: Step
    code: str
    evidence: t.Mapping[str, t.Any]

    @property
    def message(self) -> str:
        """What happened. Evidence that is missing is shown as "unknown"."""
        return reason(self.step, self.code).message.format_map(_Shown(self.evidence))

    @property
    def fix(self) -> str:
        """What to do about it, or ""."""
        return reason(self.step, self.code).fix

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return reason(self.step, self.code).severity

    def as_dict(self) -> dict[str, t.Any]:
        """All of it, for pages and JSON."""
        return {
            "step": self.step, "code": self.code, "message": self.message,
            "evidence": self.evidence, "fix": self.fix, "severity": self.severity,
        }  # fmt: skip


class Ruling(t.NamedTuple):
    """What an ability says of a session that is valid otherwise: the ``code`` of a verdict,
    its evidence, and whether the session is refused, so that it begins empty.
    """

    code: str
    evidence: t.Mapping[str, t.Any]
    refused: bool = True


ROTATED: t.Final = (
    "Put the key that it was signed with into SECRET_KEY_FALLBACKS, and give all workers the "
    "same SECRET_KEY from a file or the environment."
)
LATE: t.Final = (
    "Change the session before the response goes out: in the view, or in a before_request or "
    "after_request function."
)

REASONS: t.Final[tuple[Reason, ...]] = (
    # ------------------------------------------------------------------------- opening
    Reason("open", "absent", "ok", "The request brought no session cookie."),
    Reason("open", "untouched", "ok",
           "The request brought a session cookie, and nothing looked at the session."),
    Reason("open", "valid", "ok", "The session cookie is valid: signed {age} s ago, key {key}."),
    Reason("open", "valid-fallback", "note",
           "The session cookie is valid under fallback key {number} ({key}), signed {age} s ago.",
           "Nothing: it is signed with the current key when the session is next written."),
    Reason("open", "no-key", "note",
           "The app has no secret key, so there is a read-only empty session.",
           'Set SECRET_KEY. Make one with: python -c "import secrets; print(secrets.token_hex())"'),
    Reason("open", "expired", "note",
           "The session cookie was signed {age} s ago; PERMANENT_SESSION_LIFETIME allows {limit} "
           "s, also for sessions that are not permanent.",
           "Raise PERMANENT_SESSION_LIFETIME if visitors should stay longer. The time counts "
           "from the last write."),
    Reason("open", "idle", "note",
           "The session cookie was signed {age} s ago; CTXKIT_SESSION_IDLE allows {limit} s "
           "without a request of the visitor.",
           "Nothing: the visitor logs in anew. Raise CTXKIT_SESSION_IDLE if that is too early."),
    Reason("open", "over", "note",
           "The session began {age} s ago; CTXKIT_SESSION_ABSOLUTE allows {limit} s, whatever the "
           "visitor does.",
           "Nothing: the visitor logs in anew. Call regenerate_session() at login, so that the "
           "time counts from there."),
    Reason("open", "incomplete", "warning",
           "The session came in several cookies, and {missing} is not among them.",
           "Look for what drops cookies: a proxy, the browser's limit of cookies for one domain, "
           "or code that deletes them. Store less in the session."),
    Reason("open", "split-unread", "warning",
           "The session came in {cookies} cookies, and this worker doesn't put them together.",
           'Give all workers the same CTXKIT_SESSION_SIZE = "split".'),
    Reason("open", "future", "warning",
           "The session cookie was signed {ahead} s in the future: the clocks of the hosts that "
           "serve this app differ.",
           "Set the hosts' clocks by NTP; CTXKIT_SESSION_LEEWAY forgives a few seconds."),
    Reason("open", "unknown-key", "warning",
           "The session cookie was signed with a key that this worker doesn't have, or was "
           "changed on its way.", ROTATED),
    Reason("open", "other-settings", "warning",
           "The session cookie was signed with a known key ({key}) but with other settings: "
           "salt {salt}, digest {digest}, derivation {derivation}.",
           "Give all apps that share the cookie the same salt, digest_method and key_derivation, "
           "or each app a SESSION_COOKIE_NAME of its own."),
    Reason("open", "foreign", "warning",
           "The session cookie looks like {looks_like}, not like one of Flask's.",
           "Another app on this domain, or an earlier version of this one, uses the same cookie "
           "name. Set SESSION_COOKIE_NAME."),
    Reason("open", "truncated", "warning",
           "The session cookie was cut off: it has {length} characters, and its signature {got} "
           "of {wanted} bytes.",
           "Store less in the session: a proxy or the browser cut the cookie."),
    Reason("open", "malformed", "warning",
           "The session cookie has {length} characters and not the three parts of a signed one.",
           "Look for who else sets this cookie: JavaScript, a proxy, or another app on the "
           "domain."),
    Reason("open", "undecodable", "error",
           "The session cookie is correctly signed ({key}), but can't be decoded: {problem}.",
           "Something else signs with the same key and salt. Give it a salt of its own; until "
           "then these visitors have an empty session."),
    Reason("open", "duplicate", "warning",
           "The request brought {count} session cookies; the first is refused, and number "
           "{verifies} is valid. The first counts.",
           "Cookies of one name were set for several paths or domains. Set SESSION_COOKIE_DOMAIN "
           "and SESSION_COOKIE_PATH once, or rename the cookie; the stale one has to expire."),
    Reason("open", "revoked", "note",
           "The session was signed before its revocation.", "Nothing: the visitor logs in anew."),
    Reason("open", "revocation-unchecked", "warning",
           "The session was taken, though whether it is revoked is unknown: the store of "
           "revocations can't be read ({problem}).",
           'Start the store that CTXKIT_SESSION_REVOCATIONS names. CTXKIT_SESSION_REVOCATIONS_DOWN '
           '= "closed" refuses such sessions.'),
    Reason("open", "revocation-refused", "error",
           "The session was refused, since whether it is revoked is unknown: the store of "
           "revocations can't be read ({problem}).",
           'Start the store that CTXKIT_SESSION_REVOCATIONS names. CTXKIT_SESSION_REVOCATIONS_DOWN '
           '= "open" takes such sessions.'),
    Reason("open", "valid-signed", "note",
           "The session cookie is signed and not encrypted, and was taken all the same: signed "
           "{age} s ago, key {key}.",
           "Nothing: it is encrypted when the session is next written. From the day of "
           "CTXKIT_SESSION_ENCRYPT_READ_SIGNED_UNTIL on, such cookies are refused."),
    Reason("open", "not-encrypted", "note",
           "The session cookie was refused: it is signed ({key}), and this app takes only "
           "encrypted ones.",
           "Nothing, or CTXKIT_SESSION_ENCRYPT_READ_SIGNED_UNTIL takes them until a day."),
    Reason("open", "undecryptable", "warning",
           "The session cookie is encrypted, and no key of this worker opens it: it has another "
           "key, doesn't encrypt, or the cookie was changed on its way.",
           "Give all workers the same SECRET_KEY, SECRET_KEY_FALLBACKS, CTXKIT_SESSION_ENCRYPT and "
           "SESSION_COOKIE_NAME."),
    # -------------------------------------------------------------------------- saving
    Reason("save", "saved", "ok", "The session was saved: {size} bytes."),
    Reason("save", "re-signed", "ok",
           "The session was signed anew with the current key, and stays as old as it was."),
    Reason("save", "revoked-meanwhile", "note",
           "The session was revoked while its request ran, so it was deleted and not saved.",
           "Nothing: the visitor logs in anew."),
    Reason("save", "revocation-unread", "error",
           "The session was not saved, since whether it was revoked meanwhile is unknown: the "
           "store of revocations can't be read.",
           "Start the store that CTXKIT_SESSION_REVOCATIONS names."),
    Reason("save", "unchanged", "ok", "The session did not change, so no cookie was sent."),
    Reason("save", "deleted", "ok", "The session was emptied, so its cookie was deleted."),
    Reason("save", "nested-change", "warning",
           "Your change to {names} was not saved: something inside it changed, and Flask notices "
           "only session[key] = value.",
           "Write  session.modified = True  after the change, or set "
           'CTXKIT_SESSION_NESTED = "save".'),
    Reason("save", "nested-saved", "ok",
           "{names} changed inside, and the session was saved for that: {size} bytes."),
    Reason("save", "reissued", "ok",
           "The session did not change; its cookie was signed anew, since it was {age} s old."),
    Reason("save", "split", "note",
           "The session was saved in {count} cookies: {size} bytes.",
           "Store less in the session: each request carries all of it."),
    Reason("save", "too-large", "error",
           "The session was not saved: it takes {size} bytes as a cookie, and {limit} are "
           "allowed. Largest keys: {largest}.",
           "Store an id in the session and the rest on the server."),
    Reason("save", "null-session", "error",
           "Your change to the session was refused: it is read-only, because the app has no secret "
           "key.",
           'Set SECRET_KEY. Make one with: python -c "import secrets; print(secrets.token_hex())"'),
    Reason("save", "unserializable", "error",
           "The session was not saved: {names} can't be stored as JSON ({problem}).",
           "Store a number, string, list or dict instead."),
    Reason("save", "exception-propagated", "warning",
           "Your change to the session was not saved: {problem} left the app, so no response was "
           "made.",
           "Outside of TESTING and DEBUG an error handler answers, and the session is saved."),
    Reason("save", "after-request-raised", "error",
           "Your change to the session was not saved: an after_request function raised {problem}, "
           "and the session is saved after these.",
           "Catch the error in the after_request function."),
    Reason("save", "not-saved", "warning",
           "Your change to the session was not saved: the request ended without a response.",
           LATE),
    Reason("save", "changed-in-stream", "error",
           "The session changed while the response was streamed: the change is lost, since the "
           "cookie had gone out with the headers.", LATE),
    Reason("save", "changed-after-save", "warning",
           "The session changed after it was saved: the change is lost.", LATE),
    Reason("save", "over-budget", "error",
           "The session cookie takes {size} bytes; browsers drop one of more than {limit}. "
           "Largest keys: {largest}.",
           "Store an id in the session and the rest on the server, or set CTXKIT_SESSION_SIZE."),
    Reason("save", "secure-over-http", "error",
           "The session cookie is Secure and this visitor came by http, so the browser drops it.",
           "Serve the app by https, or set SESSION_COOKIE_SECURE = False while you develop."),
    Reason("save", "proxy-not-trusted", "note",
           "The session cookie is Secure and fine: the visitor came by https ({shown_by}), but "
           "the app believes http.",
           "Wrap the app: app.wsgi_app = ProxyFix(app.wsgi_app, x_proto=1)"),
    Reason("save", "secure-unknown", "note",
           "The session cookie is Secure and the request came by http, as far as the app can "
           "see. Whether the browser keeps it is unknown.",
           "Behind a proxy wrap the app in ProxyFix, then this is known."),
    Reason("save", "domain-mismatch", "error",
           "The session cookie is for the domain {domain}, and the request was to {host}, so the "
           "browser drops it.",
           "Leave SESSION_COOKIE_DOMAIN unset, or set it to the host's own domain."),
    Reason("save", "path-mismatch", "note",
           "The session cookie is for the path {path}, so the browser won't send it back to "
           "{url_path}.",
           "Leave SESSION_COOKIE_PATH and APPLICATION_ROOT as they are by default."),
    Reason("save", "prefix-rules", "error",
           "Browsers drop the session cookie: a name that begins with {prefix} needs {needs}.",
           'Set SESSION_COOKIE_SECURE = True, SESSION_COOKIE_PATH = "/" and no '
           "SESSION_COOKIE_DOMAIN, or rename the cookie."),
    Reason("save", "samesite-none", "error",
           "Browsers drop the session cookie: SameSite=None needs Secure.",
           "Set SESSION_COOKIE_SECURE = True."),
)  # fmt: skip

_BY_CODE: t.Final[dict[tuple[str, str], Reason]] = {(r.step, r.code): r for r in REASONS}


def reason(step: Step, code: str) -> Reason:
    """The catalogue's line for *code*.

    :raises KeyError: for a code that is not in the catalogue.
    """
    return _BY_CODE[step, code]


class _Shown(dict[str, t.Any]):
    def __missing__(self, key: str) -> str:
        return "unknown"


LOUD: t.Final = frozenset(r.code for r in REASONS if r.is_worth_telling)
"""The codes of the verdicts that a developer should act on."""
SIMPLE: t.Final = {
    (r.step, r.code): Verdict(r.step, r.code, {}) for r in REASONS if "{" not in r.message
}
"""The verdicts that carry no evidence, made once."""
