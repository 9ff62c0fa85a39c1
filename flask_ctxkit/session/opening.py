"""``open_session`` like Flask's: faster, lazy, and able to say why a cookie is refused."""

from __future__ import annotations

import time
import typing as t
from functools import cached_property, partial

from itsdangerous import BadPayload, BadSignature

from flask_ctxkit.internals import ACCESS_IS_TOLD, opens_for

from . import codec, diagnosis, plain, split
from .cookie import SentCookie, Terms
from .judge import Judge
from .mapping import ABSENT_CLASS, SESSION_CLASS, CtxSession, pend
from .setup import fallbacks_of, reads_plain_json
from .signing import SigningInterface
from .split import SplitCookie
from .timeouts import Timeouts

if t.TYPE_CHECKING:
    from datetime import timedelta

    from flask import Flask, Request
    from flask.sessions import SecureCookieSession

    from .codec import MalformedPayloadError, Verified
    from .judge import Hears
    from .model import Verdict
    from .revocation import Revoker
    from .tally import Tally

Size = t.Literal["warn", "error", "split"]


class OpeningInterface(SigningInterface):
    """The part of the interface that opens sessions, and judges them."""

    session_class: type[SecureCookieSession] = SESSION_CLASS
    strict = False
    """Whether a cookie that carries a valid signature but can't be read is an error, as it
    is in Flask: each request of that visitor is answered 500. Else the session is empty."""
    leeway = 0
    """Seconds that another host's clock may be ahead of this one."""
    size: Size = "warn"
    """What to do about a session that one cookie can't hold."""
    timeouts: Timeouts | None = None
    """How long a session lives, beside PERMANENT_SESSION_LIFETIME."""
    revoker: Revoker | None = None
    """Refuses the sessions that are revoked; None where none can be."""

    @cached_property
    def _judge(self) -> Judge:
        return Judge()

    @property
    def on_verdict(self) -> t.Callable[[Verdict], object] | None:
        """Called with each verdict, in the request that it is about. Counted if it raises."""
        return self._judge.on_verdict

    @on_verdict.setter
    def on_verdict(self, value: t.Callable[[Verdict], object] | None) -> None:
        self._judge.on_verdict = value

    def listen(self, hears: Hears, later: t.Callable[[], Hears]) -> None:
        """Tell *hears* each verdict, in the request that it is about.

        :param later: gives, in a request, what hears of it when its context is gone.
        """
        self._judge.on_verdict, self._judge.hears_later = hears, later

    @property
    def tally(self) -> Tally:
        """How often each verdict was given, by minute, code and key."""
        return self._judge.tally

    @property
    def failures(self) -> int:
        """How often a listener to the verdicts raised."""
        return self._judge.failures

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """The session of *request*: None without a secret key, empty without a cookie or
        with one that is refused.

        :raises BadPayload: in strict mode, when a signed cookie can't be read.
        """
        encryption = self.encryption
        if encryption is None and not self._signs_like_flask():
            return self._open_plain(app, request)
        secret = app.secret_key
        if not secret:
            self._judge.give(app, "open", "no-key")
            return None
        name = self.get_cookie_name(app)
        header: str | None = None
        if self._cache.reads_environ(type(request)) and "cookies" not in request.__dict__:
            header = request.environ.get("HTTP_COOKIE", "")
            if name not in header:
                self._judge.give(app, "open", "absent")
                cls = self.session_class
                # Without the call of __init__, which has nothing to do here.
                return ABSENT_CLASS.__new__(ABSENT_CLASS) if cls is SESSION_CLASS else cls()
        own = self._cache.has_own_tags(self.serializer) and reads_plain_json()
        terms = self._terms(app, secret, name) if own or encryption is not None else None
        if terms is None:
            if encryption is not None:
                # Never the plain way, which knows nothing of encryption.
                encryption.refuse_keys()
            return self._open_plain(app, request)
        make: t.Callable[..., SentCookie] = SentCookie if self.size != "split" else SplitCookie
        if encryption is not None:
            read = None if own else self.serializer.loads
            make = partial(encryption.cookie, app, self.salt, read=read)
        cookie = make(terms, request, header, int(time.time()), partial(self._opened, app))
        cls = self.session_class
        if cls is CtxSession and not self.strict and ACCESS_IS_TOLD and opens_for(request):
            return pend(cookie)
        values, attributes = cookie()
        session = cls(values)
        if attributes and isinstance(session, CtxSession):
            session.__dict__.update(attributes)
        return session

    def _open_plain(self, app: Flask, request: Request) -> SecureCookieSession | None:
        give = self._judge.give
        serializer = self.get_signing_serializer(app)
        if serializer is None:
            give(app, "open", "no-key")
            return None
        name = self.get_cookie_name(app)
        text = request.cookies.get(name)
        if not text:
            give(app, "open", "absent")
            return self.session_class()
        if self.size == "split":
            text = split.join(text, name, request.cookies)[0]
        cookie = self._outside(app, request, name)
        try:
            return self._load_plain(app, serializer, text, cookie)
        except BadSignature as error:
            code = diagnosis.plain_refusal(error)
            self._tell_plain(app, cookie, code, plain.when(error, self._plain_age(app)))
            return self.session_class()
        except BadPayload as error:
            unread = codec.malformed("json", error.original_error or error)
            self._tell_plain(app, cookie, "undecodable", {}, unread)
            if self.strict:
                raise
            return self.session_class()

    def _terms(self, app: Flask, secret: t.Any, name: str) -> Terms | None:
        """What the cookie *name* is judged by; None for keys that only Flask's serializer takes."""
        signing = (
            secret, fallbacks_of(app), self.salt, self.digest_method, self.key_derivation,
        )  # fmt: skip
        config = (
            name, signing, app.permanent_session_lifetime, self.leeway, self.strict,
            self.revoker, self.timeouts,
        )  # fmt: skip
        known, terms = self._cache.terms
        if known == config:
            return terms
        # By what was just looked at, since another thread may set something else meanwhile.
        keys = self._ring_of(signing)
        if keys is None:
            return None
        _, _, lifetime, leeway, strict, revoker, limits = config
        age = most_age(lifetime, limits)
        terms = Terms(name, keys, age, leeway, strict, revoker, limits)
        self._cache.terms = (config, terms)
        return terms

    def _plain_age(self, app: Flask) -> int:
        return most_age(app.permanent_session_lifetime, self.timeouts)

    def _outside(self, app: Flask, request: Request, name: str) -> SentCookie | None:
        """The cookie whose inside only Flask's serializer reads, where its outside is as the
        codec knows it: its verdict is then as good as any.
        """
        keys = self.outer_keyring(app)
        if keys is None:
            return None
        make = SentCookie if self.size != "split" else SplitCookie
        age = self._plain_age(app)
        terms = Terms(name, keys, age, self.leeway, timeouts=self.timeouts)
        return make(terms, request, None, int(time.time()), partial(self._opened, app))

    def _tell_plain(
        self,
        app: Flask,
        cookie: SentCookie | None,
        code: str,
        evidence: t.Mapping[str, t.Any],
        error: MalformedPayloadError | None = None,
    ) -> None:
        """Give the verdict *code*, or what the outside of *cookie* shows, if that agrees."""
        verified = None if cookie is None else cookie.verify()
        refused = code in {"unknown-key", "expired", "future"}
        if cookie is None or verified is None or (verified.code == "valid") is refused:
            idle = self.timeouts is not None and self.timeouts.idle == self._plain_age(app)
            told = "idle" if idle and code == "expired" else code
            self._judge.give(app, "open", told, proof=lambda: evidence)
            return
        if code == "over":
            cookie.refusal = (code, dict(evidence))
        self._opened(app, cookie, error)

    def _load_plain(
        self, app: Flask, serializer: t.Any, text: str, cookie: SentCookie | None
    ) -> SecureCookieSession:
        limits, max_age = self.timeouts, self._plain_age(app)
        outside = None if cookie is None else cookie.verify()
        if outside is not None and outside.code != "valid":
            outside = None
        if limits is None and not self.leeway and self.revoker is None:
            session = self.session_class(serializer.loads(text, max_age=max_age))
            self._keep(session, serializer, text, max_age, outside)
            self._tell_plain(app, cookie, "valid", {})
            return session
        limits = limits or Timeouts()
        values, opened = plain.loads(serializer, text, max_age=max_age, leeway=self.leeway)
        session = self.session_class(values)
        self._keep(session, serializer, text, max_age, outside or opened)
        signed_at = None if opened is None else opened.signed_at
        if signed_at is not None:
            over = limits.ended(session, signed_at, int(time.time()))
            if over is not None:
                self._tell_plain(app, cookie, *over)
                return self.session_class()
        if self.revoker is not None:
            return self._admit_plain(app, self.revoker, session, signed_at, cookie)
        self._tell_plain(app, cookie, "valid", {})
        return session

    @staticmethod
    def _keep(
        session: SecureCookieSession,
        serializer: t.Any,
        text: str,
        max_age: int,
        opening: Verified | None,
    ) -> None:
        if isinstance(session, CtxSession):
            session.opening = opening
            session.reread = partial(plain.again, serializer, text, max_age=max_age)

    def _admit_plain(
        self,
        app: Flask,
        revoker: Revoker,
        session: SecureCookieSession,
        signed_at: int | None,
        cookie: SentCookie | None,
    ) -> SecureCookieSession:
        users = revoker.users(dict(dict.items(session)))
        if isinstance(session, CtxSession):
            session.users = users
        ruling = revoker.admit(signed_at, users)
        if ruling is None:
            self._tell_plain(app, cookie, "valid", {})
            return session
        if cookie is not None:
            cookie.ruling = ruling
            cookie.refusal = (ruling.code, dict(ruling.evidence)) if ruling.refused else None
        self._tell_plain(app, cookie, ruling.code, ruling.evidence)
        return self.session_class() if ruling.refused else session

    def _opened(self, app: Flask, cookie: SentCookie, error: MalformedPayloadError | None) -> None:
        verified = cookie.checked
        if (
            verified is not None
            and verified.code == "valid"
            and error is None
            and cookie.refusal is None
        ):
            number, ruling, judge = verified.key or 0, cookie.ruling, self._judge
            key, code = diagnosis.fingerprint(cookie, number), "valid"
            if ruling is not None:
                code = ruling.code
            elif number:
                code = "valid-fallback"
            judge.tally.last_used[key] = cookie.now
            proof = partial(diagnosis.acceptance, cookie)
            judge.give(app, "open", code, key=key, now=cookie.now, proof=proof)
        else:
            self._refused(app, cookie, error)

    def _refused(self, app: Flask, cookie: SentCookie, error: MalformedPayloadError | None) -> None:
        verified, judge, now = cookie.checked, self._judge, cookie.now
        try:
            secrets: tuple[t.Any, ...] = ()
            if verified is not None and verified.key is None and judge.may_look_deep(now):
                secrets = (app.secret_key, *fallbacks_of(app))
            code, key, evidence = diagnosis.opening(cookie, error, secrets)
        except Exception as own:
            judge.failed(own)
            return
        judge.give(app, "open", code, key=key, proof=lambda: evidence, now=now)


def most_age(lifetime: timedelta, limits: Timeouts | None) -> int:
    """How old a signature may be, in seconds, by the app's *lifetime* and the *limits*."""
    seconds = int(lifetime.total_seconds())
    return seconds if limits is None else limits.max_age(seconds)
