"""``flask ctx session``: what the running server saw, and one cookie taken apart here."""

from __future__ import annotations

import typing as t

import click

from ..errors import CtxKitError
from . import fields
from .code import on_the_wire
from .cookies import all_cookies, given_text, session_cookies
from .group import NO
from .loading import load_app, quiet_output
from .options import Settings, does_both, imports, shows
from .tables.session import (
    check_document,
    cookie_document,
    session_document,
    signed_notes,
)
from .trial import redactor_for

if t.TYPE_CHECKING:
    from flask import Flask

_COOKIE: t.Final = "the cookie, a Cookie: or a Set-Cookie: header"


class SignError(CtxKitError):
    """The session can't be signed."""

    code = "not-signed"


@click.group("session", invoke_without_command=True)
@does_both
@click.pass_context
def session_command(context: click.Context, settings: Settings) -> None:
    """What the running app says of its sessions: verdicts, keys, what was refused or lost."""
    if context.invoked_subcommand is None:
        report = settings.client().ask("session")
        session = fields.mapping(report, "session")
        settings.console().answer(report, lambda: session_document(session))


@session_command.command("decode")
@click.argument("cookie", required=False)
@click.option("--name", metavar="NAME", help='The cookie in a header. Default: "session".')
@shows
def decode(settings: Settings, cookie: str | None, name: str | None) -> None:
    """What a cookie claims, UNVERIFIED: no app and no key are needed. COOKIE is a value, a
    header, or - for standard input, where it stays out of the shell's history. A session in
    several cookies needs the whole header; an encrypted one, verify.
    """
    from ..report.session_cookie import decoded

    text = given_text(cookie, _COOKIE)
    names = session_cookies(text, name or _usual(text))
    found = decoded(*names, all_cookies(text))
    settings.console().answer({"schema": 1, "session": found}, lambda: cookie_document(found))
    if found["problem"] is not None:
        click.get_current_context().exit(NO)


def _usual(text: str) -> str | None:
    # Only where it is there: else the looks decide.
    return "session" if "session=" in text else None


@session_command.command("verify")
@click.argument("cookie", required=False)
@imports
def verify(settings: Settings, cookie: str | None) -> None:
    """Whether the app takes a cookie, and by which key. COOKIE as for decode. An encrypted one
    is shown where the app's key opens it.
    """
    from ..report.session_cookie import verified

    text = given_text(cookie, _COOKIE)
    app = load_app(settings.app)
    name = _cookie_name(app)
    _, values = session_cookies(text, name)
    with quiet_output():
        found = verified(app, name, values, redactor_for(app).capture, all_cookies(text))
    report = on_the_wire({"schema": 1, "session": found})
    session = fields.mapping(report, "session")
    settings.console().answer(report, lambda: cookie_document(session))
    if not fields.flag(session, "verified"):
        click.get_current_context().exit(NO)


def _cookie_name(app: Flask) -> str:
    from ..session.settings import settings_of

    return str(settings_of(app).name)


@session_command.command("sign")
@click.argument("text", required=False, metavar="JSON")
@click.option("--header", is_flag=True, help="Print it as a Cookie: header, for curl -H.")
@imports
def sign(settings: Settings, text: str | None, header: bool) -> None:
    """Sign a session given as JSON, as the app would. What decode prints can be signed
    again. JSON is an object, or - for standard input.
    """
    from ..report.session_cookie import SigningError, signed

    given = given_text(text, "the session as JSON")
    app = load_app(settings.app)
    try:
        with quiet_output():
            found = signed(app, given)
    except SigningError as error:
        raise SignError(str(error)) from error
    console = settings.console()
    if console.format == "json":
        console.json(on_the_wire({"schema": 1, "session": found}))
        return
    value = found["value"]
    console.write(f"Cookie: {found['cookie']}={value}" if header else value)
    # Beside the answer, so that $(flask ctx session sign ...) is the cookie alone.
    console.aside(signed_notes(found))


@session_command.command("revoke")
@click.argument("user")
@imports
def revoke(settings: Settings, user: str) -> None:
    """Refuse every session that is signed until now for a USER, in all workers at once."""
    from ..report.summary import iso
    from ..session import revocation
    from ..session.revocations.base import RevocationsError

    app = load_app(settings.app)
    with quiet_output():
        if not revocation.revoker_of(app.session_interface).store.shared:
            raise RevocationsError(
                "Revocations are in the memory of each worker, which no command reaches. Set "
                'CTXKIT_SESSION_REVOCATIONS = "sqlite:///revoked.db" or "redis://...".'
            )
        try:
            until = revocation.revoke(app, user)
        except Exception as error:
            raise RevocationsError(
                f"Nothing is revoked: the store can't be written ({type(error).__name__}). Start "
                "it, and try again."
            ) from error
    found = {"app": app.name, "user": user, "revoked_before": iso(until)}
    report = on_the_wire({"schema": 1, "session": found})
    console = settings.console()
    if console.format == "json":
        console.json(report)
    else:
        console.write(f"Sessions of {user} that were signed until {iso(until)} are refused.")


@session_command.command("check")
@imports
def check(settings: Settings) -> None:
    """What is wrong with how the app's sessions are set up. Exit code 1 for an error or a
    warning; notes alone leave it 0.
    """
    from ..session.check import CHECKS
    from ..session.check import check as run
    from ..session.settings import settings_of

    app = load_app(settings.app)
    with quiet_output():
        problems = [problem.as_dict() for problem in run(settings_of(app))]
    report = on_the_wire(
        {"schema": 1, "session": {"app": app.name, "check": problems, "checks": len(CHECKS)}}
    )
    session = fields.mapping(report, "session")
    settings.console().answer(report, lambda: check_document(session))
    if any(problem["severity"] != "note" for problem in problems):
        click.get_current_context().exit(NO)
