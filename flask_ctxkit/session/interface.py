"""``open_session`` and ``save_session`` like Flask's: faster, lazy, and able to say why."""

from __future__ import annotations

import time
import typing as t
from functools import cached_property, partial

from flask.sessions import SessionInterface
from itsdangerous import BadPayload, BadSignature

from flask_ctxkit.internals import ACCESS_IS_TOLD, opens_for

from . import budget, diagnosis, nested, plain, rotation, split
from .cookie import SentCookie, values_in
from .headers import Cookie, last_cookie, vary_by_cookie
from .judge import Judge
from .mapping import SESSION_CLASS, CtxSession, PendingSession, load, pend
from .setup import fallbacks_of, reads_plain_json
from .signing import SigningInterface
from .split import SplitCookie
from .timeouts import Timeouts, holds_only_begin, may_reissue

if t.TYPE_CHECKING:
    from datetime import datetime

    from flask import Flask, Request, Response
    from flask.sessions import SecureCookieSession, SessionMixin

    from .codec import MalformedPayloadError
    from .model import Verdict
    from .revocation import Revoker
    from .tally import Tally

Nested = t.Literal["tell", "save", "off"]
Size = t.Literal["warn", "error", "split"]


class CtxSessionInterface(SigningInterface):
    """Flask's signed cookie session: the same cookies in and out, read only when touched.

    A subclass may override what a subclass of Flask's may; where it changes how a cookie is
    made or read, the slower way of Flask is taken.
    """

    session_class: type[SecureCookieSession] = SESSION_CLASS
    strict = False
    """Whether a cookie that carries a valid signature but can't be read is an error, as it
    is in Flask: each request of that visitor is answered 500. Else the session is empty."""
    leeway = 0
    """Seconds that another host's clock may be ahead of this one."""
    nested: Nested = "tell"
    """What to do about a change inside a value, which Flask doesn't notice."""
    size: Size = "warn"
    """What to do about a session that one cookie can't hold."""
    parts = 2
    """The most cookies that a session is split into."""
    timeouts: Timeouts | None = None
    """How long a session lives, beside PERMANENT_SESSION_LIFETIME."""
    resign: int | None = None
    """From which age, in seconds, what an old key signed is signed anew when it is read; None
    for never."""
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

    @property
    def tally(self) -> Tally:
        """How often each verdict was given, by minute, code and key."""
        return self._judge.tally

    @property
    def failures(self) -> int:
        """How often a listener to the verdicts raised."""
        return self._judge.failures

    # ------------------------------------------------------------------------- opening

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """The session of *request*: None without a secret key, empty without a cookie or
        with one that is refused.

        :raises BadPayload: in strict mode, when a signed cookie can't be read.
        """
        encryption = self.encryption
        if encryption is None and not self._signs_like_flask():
            return self._open_plain(app, request)
        if not app.secret_key:
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
                return cls.__new__(cls) if cls is SESSION_CLASS else cls()
        keys = self.keyring(app)
        own = keys is not None and reads_plain_json()
        if encryption is not None:
            # Never the plain way, which knows nothing of encryption.
            keys = self._ring(app)
        elif not own:
            return self._open_plain(app, request)
        assert keys is not None, "sessions are encrypted with keys that can sign"
        limits = self.timeouts
        max_age = int(app.permanent_session_lifetime.total_seconds())
        make: t.Callable[..., SentCookie] = SentCookie if self.size != "split" else SplitCookie
        if encryption is not None:
            read = None if own else self.serializer.loads
            make = partial(encryption.cookie, app, self.salt, read=read)
        cookie = make(
            request,
            header,
            name,
            keys,
            int(time.time()),
            max_age if limits is None else limits.max_age(max_age),
            self.leeway,
            self.strict,
            partial(self._opened, app),
            self.revoker,
            timeouts=limits,
        )
        return self._open(cookie, request)

    def _open(self, cookie: SentCookie, request: Request) -> SecureCookieSession:
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
        try:
            return self._load_plain(app, serializer, text)
        except BadSignature as error:
            give(app, "open", diagnosis.plain_refusal(error))
            return self.session_class()
        except BadPayload:
            give(app, "open", "undecodable")
            if self.strict:
                raise
            return self.session_class()

    def _load_plain(self, app: Flask, serializer: t.Any, text: str) -> SecureCookieSession:
        give, limits = self._judge.give, self.timeouts
        max_age = int(app.permanent_session_lifetime.total_seconds())
        if limits is None and not self.leeway and self.revoker is None:
            session = self.session_class(serializer.loads(text, max_age=max_age))
            give(app, "open", "valid")
            return session
        limits = limits or Timeouts()
        values, opened = plain.loads(
            serializer, text, max_age=limits.max_age(max_age), leeway=self.leeway
        )
        session = self.session_class(values)
        if opened is not None and opened.signed_at is not None:
            over = limits.ended(session, opened.signed_at, int(time.time()))
            if over is not None:
                give(app, "open", over[0], proof=lambda: over[1])
                return self.session_class()
            if isinstance(session, CtxSession):
                session.opening = opened
                if self.revoker is not None:
                    return self._admit_plain(app, self.revoker, session, opened.signed_at)
        give(app, "open", "valid")
        return session

    def _admit_plain(
        self, app: Flask, revoker: Revoker, session: CtxSession, signed_at: int
    ) -> SecureCookieSession:
        session.users = revoker.users(dict(dict.items(session)))
        ruling = revoker.admit(signed_at, session.users)
        if ruling is None:
            self._judge.give(app, "open", "valid")
            return session
        self._judge.give(app, "open", ruling.code, proof=lambda: ruling.evidence)
        return self.session_class() if ruling.refused else session

    def _opened(self, app: Flask, cookie: SentCookie, error: MalformedPayloadError | None) -> None:
        verified = cookie.checked
        judge, now = self._judge, cookie.now
        if (
            verified is not None
            and verified.code == "valid"
            and error is None
            and cookie.refusal is None
        ):
            key = diagnosis.fingerprint(cookie, verified.key or 0)
            judge.tally.last_used[key] = now
            code = "valid-fallback" if verified.key else "valid"
            ruling = cookie.ruling
            judge.give(
                app, "open", code if ruling is None else ruling.code, key=key, now=now,
                proof=lambda: {
                    **diagnosis.opening(cookie, None, ())[2], **(ruling.evidence if ruling else {}),
                },
            )  # fmt: skip
            return
        try:
            secrets: tuple[t.Any, ...] = ()
            if verified is not None and verified.key is None and judge.may_look_deep(now):
                secrets = (app.secret_key, *fallbacks_of(app))
            code, key, evidence = diagnosis.opening(cookie, error, secrets)
        except Exception as own:
            judge.failed(own)
            return
        judge.give(app, "open", code, key=key, proof=lambda: evidence, now=now)

    # -------------------------------------------------------------------------- saving

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Write *session* into *response* if that is called for."""
        ours = isinstance(session, CtxSession)
        if isinstance(session, CtxSession):
            if not session.modified and not session.accessed:
                if type(session) is PendingSession:
                    if not self._may_refresh(app, session, response):
                        self._judge.give(app, "open", "untouched")
                        return self._through(app, session, response)
                elif not dict.__len__(session):
                    return self._through(app, session, response)
            if type(session) is PendingSession:
                load(session)
        if session.accessed:
            vary_by_cookie(response)
        if is_empty(session) or (self.timeouts is not None and holds_only_begin(session)):
            self._leave_empty(app, session, response)
        elif self._is_to_be_set(app, session):
            self._set(app, session, response, "saved")
        else:
            self._leave_unchanged(app, session, response)
        return self._through(app, session, response) if ours else None

    def _through(self, app: Flask, session: SessionMixin, response: Response) -> None:
        # A reference to the response would keep a streamed body, which holds the context
        # that holds the session.
        streamed = type(response.response) is not list and response.is_streamed
        session.after_save = partial(self._too_late, app, streamed)  # type: ignore[attr-defined]

    def _too_late(self, app: Flask, streamed: bool, session: CtxSession) -> None:
        session.after_save = _ignore
        code = "changed-in-stream" if streamed else "changed-after-save"
        self._judge.give(app, "save", code)

    def _may_refresh(self, app: Flask, session: PendingSession, response: Response) -> bool:
        if not self._refreshes_like_flask():
            return True
        due_at = self._due_at
        if due_at is not None:
            age = session.source.valid_age()
            return age is not None and age >= due_at and may_reissue(response)
        return app.config["SESSION_REFRESH_EACH_REQUEST"] and session.source.may_be_permanent()

    def _refreshes_like_flask(self) -> bool:
        decided_by = getattr(self.should_set_cookie, "__func__", None)
        return decided_by is SessionInterface.should_set_cookie

    @property
    def _due_at(self) -> int | None:
        return None if self.timeouts is None else self.timeouts.due_at

    def _is_to_be_set(self, app: Flask, session: SessionMixin) -> bool:
        if (
            self._due_at is None
            or not isinstance(session, CtxSession)
            or not self._refreshes_like_flask()
        ):
            return self.should_set_cookie(app, session)
        return session.modified

    def _leave_empty(self, app: Flask, session: SessionMixin, response: Response) -> None:
        if session.modified:
            self._delete(app, response)
        self._judge.give(app, "save", "deleted" if session.modified else "unchanged")

    def _delete(self, app: Flask, response: Response) -> None:
        name, attributes = self.get_cookie_name(app), self.cookie_attributes(app)
        response.delete_cookie(name, **attributes)
        if self.size == "split":
            split.drop(response, name, attributes, 1)
        vary_by_cookie(response)

    def _leave_unchanged(self, app: Flask, session: SessionMixin, response: Response) -> None:
        names: tuple[str, ...] = ()
        if (
            self.nested != "off"
            and isinstance(session, CtxSession)
            and nested.may_change_inside(session)
        ):
            names = self._changed_inside(session)
        if names and self.nested == "save":
            return self._set(app, session, response, "nested-saved", names)
        if names:
            evidence = {"names": diagnosis.listed(names), "keys": names}
            self._judge.give(app, "save", "nested-change", proof=lambda: evidence)
        if self.timeouts is not None and self.timeouts.is_due(session, response):
            self._set(app, session, response, "reissued")
        elif self.resign is not None and rotation.is_due(session, response, self.resign):
            self._set(app, session, response, "re-signed")
        elif not names:
            self._judge.give(app, "save", "unchanged")
        return None

    def _changed_inside(self, session: CtxSession) -> tuple[str, ...]:
        try:
            encode = self._cache.current_encode()
            if encode is None:
                return ()
            return nested.changed_inside(session, encode, self.serializer.tag)
        except Exception as own:  # this is watching: the response goes out all the same
            self._judge.failed(own)
            return ()

    def _set(
        self,
        app: Flask,
        session: SessionMixin,
        response: Response,
        code: str,
        names: tuple[str, ...] = (),
    ) -> None:
        if self.revoker is not None and self._stopped(app, session, response):
            return
        expires = self.get_expiration_time(app, session)
        signed_at: int | None = None
        if code == "re-signed" and isinstance(session, CtxSession):
            signed_at = rotation.now_of(session)
            expires = rotation.kept_expiry(session, expires)
        try:
            value = self._text(app, session, code, signed_at)
        except Exception as error:
            self._judge.give(
                app, "save", "unserializable", proof=partial(self._unsavable, session, error)
            )
            if isinstance(session, CtxSession):
                session.after_save = _ignore
            raise
        cookie = Cookie(self.get_cookie_name(app), value, self.cookie_attributes(app))
        known: dict[str, t.Any] = {}
        if self.size == "warn":
            response.set_cookie(cookie.name, value, expires=expires, **cookie.attributes)
        else:
            parts = self._within_budget(cookie, expires)
            if not parts:
                self._refuse(app, session, cookie, expires, code)
                return
            split.send(response, parts, expires)
            if self.size == "split":
                split.drop(response, cookie.name, cookie.attributes, len(parts))
            if len(parts) > 1:
                code, known = "split", {"count": len(parts), "size": len(value)}
        if code == "reissued" and isinstance(session, CtxSession) and session.opening is not None:
            known["age"] = session.opening.age
        vary_by_cookie(response)
        try:
            problem, found = diagnosis.saving(cookie, partial(last_cookie, response))
        except Exception as own:  # this is watching: the response goes out all the same
            self._judge.failed(own)
            return

        def proof() -> dict[str, t.Any]:
            size = len(last_cookie(response))
            evidence = {"size": size, "names": diagnosis.listed(names), **cookie.attributes}
            if problem == "over-budget":
                evidence["largest"] = diagnosis.largest(self._sizes(session))
            return {**evidence, **known, **found}

        self._judge.give(app, "save", code if problem == "saved" else problem, proof=proof)

    def _stopped(self, app: Flask, session: SessionMixin, response: Response) -> bool:
        """Whether *session* may not be saved: else a session that was revoked while its
        request ran would be signed after its revocation.
        """
        if self.revoker is None or not isinstance(session, CtxSession):
            return False
        code = self.revoker.stops(session.opening, session.users)
        if code == "revoked-meanwhile":
            self._delete(app, response)
        if code is not None:
            self._judge.give(app, "save", code)
        return code is not None

    def _text(
        self, app: Flask, session: SessionMixin, code: str, signed_at: int | None = None
    ) -> str:
        limits = self.timeouts
        if signed_at is not None and isinstance(session, CtxSession):
            return self.signed_anew(app, session, signed_at)
        if limits is None:
            return self.dumps(app, session)
        if code == "reissued" and isinstance(session, CtxSession):
            if not limits.lacks_begin(session):
                return self.signed_anew(app, session)
            if session.received is not None:
                # Only the begin is added; what changed inside a value stays unsaved.
                written = CtxSession(values_in(session.received[0]))
                written.opening, written.received = session.opening, session.received
                session = written
        limits.begin(session, int(time.time()))
        return self.dumps(app, session)

    def _within_budget(self, cookie: Cookie, expires: datetime | None) -> list[Cookie]:
        if budget.fits(cookie, expires):
            return [cookie]
        parts = split.cut(cookie, expires) if self.size == "split" else []
        return parts if len(parts) <= self.parts else []

    def _refuse(
        self,
        app: Flask,
        session: SessionMixin,
        cookie: Cookie,
        expires: datetime | None,
        code: str,
    ) -> None:
        allowed = self.parts if self.size == "split" else 0
        size = budget.header_size(cookie, expires)
        error = budget.too_large(size, self._sizes(session), allowed)
        shown = {**error.evidence, "largest": diagnosis.largest(error.evidence["largest"])}
        self._judge.give(app, "save", "too-large", proof=lambda: shown)
        # An unchanged session that is only sent again is none the worse for staying as it is.
        if session.modified or code == "nested-saved":
            if isinstance(session, CtxSession):
                session.after_save = _ignore
            raise error

    def _sizes(self, session: SessionMixin) -> dict[str, int]:
        encode = self._cache.current_encode()
        if encode is None:
            return {}
        return nested.sizes(dict(session), encode, self.serializer.tag)

    def _unsavable(self, session: SessionMixin, error: Exception) -> dict[str, t.Any]:
        encode = self._cache.current_encode()
        if encode is None:
            names: tuple[str, ...] = ()
        else:
            names = nested.unsavable(dict(session), encode, self.serializer.tag)
        shown = diagnosis.listed(names) or "a value"
        return {"names": shown, "keys": names, "problem": type(error).__name__}

    # -------------------------------------------------------------------------- ending

    def finish(self, app: Flask, session: SessionMixin, error: BaseException | None) -> None:
        """Say what became of *session* where the request never came to ``save_session``.

        Called when the context goes, with the error that ended it.
        """
        if isinstance(session, CtxSession):
            if session.modified and session.after_save is None:
                session.after_save = _ignore
                code, evidence = diagnosis.lost(error)
                self._judge.give(app, "save", code, proof=lambda: evidence)
        elif self.is_null_session(session) and diagnosis.is_refused_write(error):
            self._judge.give(app, "save", "null-session")


def _ignore(session: CtxSession) -> None:
    """Hear of a late change that needs no word: the first one was told."""


def is_empty(session: SessionMixin) -> bool:
    """Whether *session* holds nothing, without touching it."""
    return not (dict.__len__(session) if isinstance(session, CtxSession) else session)
