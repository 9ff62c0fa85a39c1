"""What to do when nobody answered, or not the kit: what was tried, why, and the next step."""

from __future__ import annotations

import typing as t

from .document import Gap, Span, cell, item, line

if t.TYPE_CHECKING:
    from .client import NobodyError
    from .document import Block

_START: t.Final = "Start it:   flask --app YOURAPP run --debug"
_ELSEWHERE: t.Final = "Elsewhere:  flask ctx --url http://host:port   (or set CTXKIT_URL)"
_WITHOUT: t.Final = (
    "Without a running app I can still tell you:  flask ctx hooks GET / · flask ctx app · "
    "flask ctx doctor · flask ctx try GET / · flask ctx session decode COOKIE"
)


def advice(error: NobodyError) -> list[Block]:
    """The document that stands in for an answer."""
    url, said = str(error.evidence["url"]), str(error.evidence["said"])
    answered = error.code.startswith("http-") or error.code == "not-http"
    first = "Something answered, but not the kit." if answered else "No running app answered."
    return [
        line(Span(first, "strong"), " I looked here:"),
        line(f"{url}/   ", Span(said, "error"), indent=2, hang=4),
        *_next_steps(error.code),
        line(_WITHOUT, hang=2),
    ]


def _next_steps(code: str) -> list[Block]:
    steps = _STEPS.get(code)
    if steps is not None:
        return steps()
    return _not_the_kit() if code.startswith("http-") else _not_running()


def _not_running() -> list[Block]:
    return [line(_START, hang=2), line(_ELSEWHERE, hang=2)]


def _silent() -> list[Block]:
    return [
        line(
            "It took the connection but said nothing: it is busy, stopped at a breakpoint, or has "
            "one thread that hangs in a request.",
            hang=2,
        ),
        line("Wait longer:   flask ctx --timeout 30", hang=2),
        line("Look from outside:   py-spy dump --pid PID", hang=2),
        line(_ELSEWHERE, hang=2),
    ]


def _not_found() -> list[Block]:
    sign = Span("?", "warning")
    return [
        line("It is one of three things, which look the same on purpose:"),
        item(sign, "The app has no kit.  Add  CtxKit(app)  to it."),
        item(
            sign,
            "Its pages are off, or under another prefix.  Run it with  --debug , or set "
            "CTXKIT_PAGES = True  together with  CTXKIT_TOKEN .  With a CTXKIT_URL_PREFIX of its "
            "own:  --url http://host:port/PREFIX",
        ),
        item(
            sign,
            "You may not look: not from this machine (a container is not), through a proxy, or by "
            "an unknown host name.  Set  CTXKIT_TOKEN  in the app and here, and the host name in "
            "CTXKIT_PAGE_HOSTS .  The app's log says which it was.",
        ),
        Gap(),
    ]


def _forbidden() -> list[Block]:
    return [
        line(
            "The kit never answers 403, so something before it does: the app, a proxy, or another "
            "program on that port (port 5000 is AirPlay on macOS).",
            hang=2,
        ),
        line(_START + " --port 5001", hang=2),
        line(_ELSEWHERE, hang=2),
    ]


def _not_the_kit() -> list[Block]:
    return [
        line(
            "Another program, a login wall, a proxy or an app that answers every URL stands there. "
            "Ask the app itself, behind none of them.",
            hang=2,
        ),
        line(_ELSEWHERE, hang=2),
    ]


def _not_http() -> list[Block]:
    return [
        line("Another program stands on that port, or it wants https:// in the URL.", hang=2),
        line(_ELSEWHERE, hang=2),
    ]


_STEPS: t.Final[t.Mapping[str, t.Callable[[], list[Block]]]] = {
    "timeout": _silent,
    "http-404": _not_found,
    "http-403": _forbidden,
    "not-http": _not_http,
}


def error_report(code: str, message: str) -> dict[str, t.Any]:
    """The shape in which every error of the kit stands as JSON."""
    return {"schema": 1, "error": {"code": code, "message": message}}


def notice(message: str) -> list[Block]:
    """An error that needs one sentence only."""
    return [line(Span("Error: ", "error"), cell(message), hang=2)]
