"""``flask ctx``: the commands that ask a running app, and never import it."""

from __future__ import annotations

import shlex
import time
import typing as t

import click

from . import fields, tail
from .code import app_command, hooks_command, try_command, where_command
from .doctor import doctor_command
from .document import line, verbatim
from .group import NO, CtxGroup
from .lookup import find_trace
from .options import Settings, asks, does_both
from .session import session_command
from .tables.live import live_document
from .tables.overview import overview_document
from .tables.requests import is_filtered, requests_document
from .tables.stacks import stacks_document
from .tables.trace import Wanted, trace_document

if t.TYPE_CHECKING:
    from .client import Report
    from .document import Block

F = t.TypeVar("F", bound=t.Callable[..., t.Any])


@click.group(
    "ctx", cls=CtxGroup, invoke_without_command=True, context_settings={"max_content_width": 100}
)
@does_both
@click.pass_context
def ctx(context: click.Context, settings: Settings) -> None:
    """Flask's contexts: what is wrong, what runs now, what came last.

    Without a command it asks the running app for all three. Exit code 1 means that the
    answer is "no", 2 wrong use or nobody to ask.
    """
    if context.invoked_subcommand is None:
        client = settings.client()
        report = client.ask("index")
        settings.console().answer(report, lambda: overview_document(report, client.url))


@ctx.command("live")
@click.option("--frames", is_flag=True, help="List all Python frames of each.")
@click.option("--min-age", type=click.FloatRange(min=0), metavar="SECONDS", help="Older only.")
@click.option(
    "--watch", type=click.FloatRange(min=0.1), metavar="SECONDS", help="Look again and again."
)
@asks
def live(settings: Settings, frames: bool, min_age: float | None, watch: float | None) -> None:
    """Contexts in flight, and where each is now. Also: ps."""
    client, console = settings.client(), settings.console()

    def look() -> None:
        report = _older(client.ask("live"), min_age)
        if watch is not None and console.format == "json":
            console.json(report, one_line=True)
            return
        if watch is not None:
            console.clear()
        console.answer(report, lambda: live_document(report, frames=frames))

    look()
    while watch is not None:
        time.sleep(watch)
        look()


def _older(report: Report, min_age: float | None) -> Report:
    if min_age is None:
        return report
    # An unknown age stays: it may be the oldest of all.
    kept = [
        row for row in fields.rows(report, "contexts")
        if (age := fields.number(row, "age_s")) is None or age >= min_age
    ]  # fmt: skip
    return {**report, "contexts": kept}


@ctx.command("stacks")
@asks
def stacks(settings: Settings) -> None:
    """Both context stacks of every unit, bottom to top."""
    report = settings.client().ask("stacks")
    settings.console().answer(report, lambda: stacks_document(report))


def filters(command: F) -> F:
    """The options that narrow a list of requests, as the page has them."""
    options = (
        click.argument("query", nargs=-1),
        click.option("--method", metavar="GET"),
        click.option("--status", metavar="500|4xx|500-599"),
        click.option("--endpoint", metavar="NAME"),
        click.option("--kind", metavar="request|cli|script|test|task"),
        click.option("--min-ms", metavar="MS", help="At least so many milliseconds."),
        click.option(
            "--all", "everything", is_flag=True, help="Also static files, HEAD and health checks."
        ),
    )
    decorated: t.Any = command
    for option in reversed(options):
        decorated = option(decorated)
    return t.cast("F", decorated)


def parameters(query: t.Sequence[str], everything: bool, **named: t.Any) -> dict[str, t.Any]:
    """The query string that the filter options stand for."""
    words = " ".join(shlex.quote(word) if " " in word else word for word in query)
    given = {name: value for name, value in named.items() if value is not None}
    return given | ({"q": words} if words else {}) | ({"all": "1"} if everything else {})


@ctx.command("requests")
@filters
@click.option("--sort", type=click.Choice(["newest", "slowest", "status"]))
@click.option("--limit", type=click.IntRange(1, 1000), metavar="N", help="Default: 20.")
@asks
def requests(settings: Settings, limit: int | None, **given: t.Any) -> None:
    """Finished requests. QUERY: words, or path:/cart status:5xx method:POST g:user ..."""
    report = settings.client().ask("requests", limit=limit or 20, **parameters(**given))
    settings.console().answer(report, lambda: requests_document(report))
    if is_filtered(report) and not fields.rows(report, "requests"):
        click.get_current_context().exit(NO)


@ctx.command("tail")
@filters
@click.option("-n", "--lines", default=10, type=click.IntRange(0, 1000), help="Default: 10.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option("--interval", default=1.0, type=click.FloatRange(0.05), metavar="SECONDS")
@asks
def tail_command(
    settings: Settings, lines: int, follow: bool, interval: float, **given: t.Any
) -> None:
    """The last requests, oldest first, one a line; -f goes on."""
    asked = parameters(**given)
    tail.Tail(settings.client(), settings.console(), asked).run(lines, interval if follow else None)


@ctx.command("show")
@click.argument("which", default="latest", metavar="[ID|latest|/path]")
@click.option("--status", metavar="500|4xx|500-599", help="The newest with that status.")
@click.option("--slow", is_flag=True, help="The slowest instead of the newest.")
@click.option("--full", is_flag=True, help="Every step, and all of the below.")
@click.option("--g", "g", is_flag=True, help="The values in g and the session.")
@click.option("--headers", is_flag=True, help="Each response header and who set it.")
@click.option("--contexts", is_flag=True, help="The contexts, and where they were pushed.")
@asks
def show(settings: Settings, which: str, status: str | None, slow: bool, **wanted: bool) -> None:
    """One request, step by step. latest is the newest that is no static file, HEAD,
    OPTIONS or health check.
    """
    client = settings.client()
    report = find_trace(client, which, status=status, slow=slow)
    trace = fields.mapping(report, "trace")
    settings.console().answer(report, lambda: trace_document(trace, client.url, Wanted(**wanted)))


@ctx.command("link")
@asks
def link(settings: Settings) -> None:
    """The URL of the pages, and how to log in where a token is needed."""
    client = settings.client()
    client.ask("index")
    login = None if client.token is None else f"{client.url}/login?token={client.token}"
    report = {"schema": 1, "link": {"url": f"{client.url}/", "login": login}}
    console = settings.console()
    if console.format == "json":
        console.json(report)
    else:
        console.write(f"{client.url}/")
        # Beside the answer, so that $(flask ctx link) is the URL alone.
        console.aside(_login_lines(login))


def _login_lines(login: str | None) -> list[Block]:
    if login is None:
        return [
            line("Not this machine? Set CTXKIT_TOKEN in the app, then:"),
            line("flask ctx link --url http://HOST:PORT --token TOKEN", indent=2),
        ]
    return [line("Log in once, with a link that is as secret as the token:"), verbatim(login)]


for _command in (
    try_command, hooks_command, app_command, where_command, session_command, doctor_command,
):  # fmt: skip
    ctx.add_command(_command)
