"""``save_session`` like Flask's, and what became of the session: saved, lost, or dropped."""

from __future__ import annotations

import time
import typing as t
from functools import partial

from flask.sessions import SessionInterface

from flask_ctxkit.internals import ACCESS_IS_TOLD

from . import budget, diagnosis, nested, rotation, split
from .cookie import values_in
from .headers import Cookie, last_cookie, vary_by_cookie
from .mapping import CtxSession, PendingSession, is_ours, load
from .opening import OpeningInterface
from .timeouts import holds_only_begin, may_reissue

if t.TYPE_CHECKING:
    from datetime import datetime

    from flask import Flask, Response
    from flask.sessions import SessionMixin

    from .judge import Hears
    from .mapping import Source
    from .nested import Write

Nested = t.Literal["tell", "save", "off"]


class SavingInterface(OpeningInterface):
    """The part of the interface that saves sessions."""

    nested: Nested = "tell"
    """What to do about a change inside a value, which Flask doesn't notice."""
    parts = 2
    """The most cookies that a session is split into."""
    resign: int | None = None
    """From which age, in seconds, what an old key signed is signed anew when it is read; None
    for never."""

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Write *session* into *response* if that is called for."""
        if type(session) is PendingSession:
            # None where another thread reads it meanwhile.
            source = session.__dict__.get("source")
            if (
                source is not None
                and not session.modified
                and not self._may_refresh(app, source, response)
            ):
                self._judge.give(app, "open", "untouched", now=source.now)
                self._through(app, session, response)
                return
            load(session)
        elif not is_ours(session):
            self._save(app, session, response)
            return
        elif not session.modified and not session.accessed and not dict.__len__(session):
            self._through(app, session, response)
            return
        accessed = session.accessed
        self._save(app, session, response)
        if not ACCESS_IS_TOLD:
            session.accessed = accessed  # Flask asks it whether it is permanent: that is no touch
        self._through(app, session, response)

    def _save(self, app: Flask, session: SessionMixin, response: Response) -> None:
        if session.accessed:
            vary_by_cookie(response)
        if is_empty(session) or (self.timeouts is not None and holds_only_begin(session)):
            self._leave_empty(app, session, response)
        elif self._is_to_be_set(app, session):
            self._set(app, session, response, "saved")
        else:
            self._leave_unchanged(app, session, response)

    def _through(self, app: Flask, session: SessionMixin, response: Response) -> None:
        # A reference to the response would keep a streamed body, which holds the context
        # that holds the session.
        streamed = type(response.response) is not list and response.is_streamed
        # A stream may go on without its context; what else comes later has no trace any more.
        later = self._judge.hears_later if streamed else None
        hears = None if later is None else later()
        told = partial(self._too_late, app, streamed, hears)
        session.after_save = told  # type: ignore[attr-defined]

    def _too_late(
        self, app: Flask, streamed: bool, hears: Hears | None, session: CtxSession
    ) -> None:
        session.after_save = ignore
        code = "changed-in-stream" if streamed else "changed-after-save"
        self._judge.give(app, "save", code, hears=hears)

    def _may_refresh(self, app: Flask, source: Source, response: Response) -> bool:
        if not self._refreshes_like_flask():
            return True
        limits = self.timeouts
        due_at = None if limits is None else limits.due_at
        if due_at is not None:
            age = source.valid_age()
            return age is not None and age >= due_at and may_reissue(response)
        return app.config["SESSION_REFRESH_EACH_REQUEST"] and source.may_be_permanent()

    def _refreshes_like_flask(self) -> bool:
        decided_by = getattr(self.should_set_cookie, "__func__", None)
        return decided_by is SessionInterface.should_set_cookie

    def _is_to_be_set(self, app: Flask, session: SessionMixin) -> bool:
        if (
            self.timeouts is None
            or self.timeouts.due_at is None
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
            if encode is not None and session.reread is None:
                return nested.changed_inside(session, encode, self.serializer.tag)
            return nested.changed_as_written(session, self.serializer)
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
                session.after_save = ignore
            raise
        cookie = Cookie(self.get_cookie_name(app), value, self.cookie_attributes(app))
        parts = 1
        if self.size == "warn":
            response.set_cookie(cookie.name, value, expires=expires, **cookie.attributes)
        else:
            parts = self._send_parts(response, cookie, expires)
            if not parts:
                self._refuse(app, session, cookie, expires, code)
                return
        vary_by_cookie(response)
        known: dict[str, t.Any] = {"names": names}
        if parts > 1:
            code, known = "split", {**known, "count": parts, "size": len(value)}
        elif code == "reissued" and isinstance(session, CtxSession) and session.opening is not None:
            known["age"] = session.opening.age
        self._judge_saving(app, session, response, cookie, code=code, known=known)

    def _send_parts(self, response: Response, cookie: Cookie, expires: datetime | None) -> int:
        """Set *cookie*, in parts where that is asked for; how many. 0 where it is too large."""
        parts = self._within_budget(cookie, expires)
        if parts:
            split.send(response, parts, expires)
            if self.size == "split":
                split.drop(response, cookie.name, cookie.attributes, len(parts))
        return len(parts)

    def _judge_saving(
        self,
        app: Flask,
        session: SessionMixin,
        response: Response,
        cookie: Cookie,
        *,
        code: str,
        known: dict[str, t.Any],
    ) -> None:
        try:
            problem, found = diagnosis.saving(cookie, partial(last_cookie, response))
        except Exception as own:  # this is watching: the response goes out all the same
            self._judge.failed(own)
            return

        def proof() -> dict[str, t.Any]:
            evidence = {"size": len(last_cookie(response)), **cookie.attributes}
            if problem == "over-budget":
                evidence["largest"] = diagnosis.largest(self._sizes(session))
            return {**evidence, **known, "names": diagnosis.listed(known["names"]), **found}

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
            if session.received is not None or session.reread is not None:
                # Only the begin is added; what changed inside a value stays unsaved.
                written = CtxSession(self._values_of(session))
                written.opening, written.received = session.opening, session.received
                written.reread = session.reread
                session = written
        limits.begin(session, int(time.time()))
        return self.dumps(app, session)

    @staticmethod
    def _values_of(session: CtxSession) -> t.Any:
        if session.reread is not None:
            return session.reread()
        return {} if session.received is None else values_in(session.received[0])

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
                session.after_save = ignore
            raise error

    def _sizes(self, session: SessionMixin) -> dict[str, int]:
        return nested.sizes(dict(session), self._writer())

    def _writer(self) -> Write:
        own = self._cache.has_own_tags(self.serializer)
        encode = self._cache.current_encode() if own else None
        if encode is None:
            return partial(nested.as_written, serializer=self.serializer)
        return partial(nested.as_json, encode=encode, original=self.serializer.tag)

    def _unsavable(self, session: SessionMixin, error: Exception) -> dict[str, t.Any]:
        names = nested.unsavable(dict(session), self._writer())
        shown = diagnosis.listed(names) or "a value"
        return {"names": shown, "keys": names, "problem": type(error).__name__}


def ignore(session: CtxSession) -> None:
    """Hear of a late change that needs no word: the first one was told."""


def is_empty(session: SessionMixin) -> bool:
    """Whether *session* holds nothing, without touching it."""
    return not (dict.__len__(session) if is_ours(session) else session)
