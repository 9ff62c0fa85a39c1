"""Options that commands share, and what comes of them: whom to ask and where to write."""

from __future__ import annotations

import functools
import os
import typing as t
from dataclasses import dataclass

import click

from .client import Client
from .rendering import FORMATS, Console, Format

_META: t.Final = "flask_ctxkit.cli"
TIMEOUT: t.Final = 3.0
F = t.TypeVar("F", bound=t.Callable[..., t.Any])


@dataclass(frozen=True, slots=True)
class Settings:
    """The shared options: what was given before the command, and after it.

    ``flask ctx --url U live`` and ``flask ctx live --url U`` mean the same.
    """

    url: str | None = None
    token: str | None = None
    timeout: float | None = None
    format: Format | None = None
    ascii_signs: bool | None = None
    app: str | None = None

    def updated(self, given: t.Mapping[str, t.Any]) -> Settings:
        """These settings with those of *given* that aren't None in their place."""
        own = {name: given.get(name) for name in self.__slots__}
        return Settings(
            **{name: getattr(self, name) if v is None else v for name, v in own.items()}
        )

    def client(self) -> Client:
        """Who to ask.

        :raises AskError: where the URL or the token can't be one.
        """
        url = self.url or os.environ.get("CTXKIT_URL") or _default_url()
        token = self.token or os.environ.get("CTXKIT_TOKEN") or None
        return Client.at(url, token, TIMEOUT if self.timeout is None else self.timeout)

    def console(self, *, err: bool = False) -> Console:
        """Where to write."""
        return Console(self.format, ascii_signs=self.ascii_signs, err=err)


def _default_url() -> str:
    # The port that "flask run" reads from the environment or from .flaskenv.
    port = os.environ.get("FLASK_RUN_PORT", "")
    return f"http://127.0.0.1:{port if port.isdecimal() else 5000}"


def settings_of(ctx: click.Context) -> Settings:
    """The settings so far."""
    found = ctx.meta.get(_META)
    return found if isinstance(found, Settings) else Settings()


_OUTPUT: t.Final = (
    click.option(
        "--format",
        "format",
        type=click.Choice(FORMATS),
        help="How to answer. Default: table in a terminal where rich is installed, else md.",
    ),
    click.option(
        "--ascii/--no-ascii",
        "ascii_signs",
        default=None,
        help="Write ASCII only. Default: where the output is not UTF-8.",
    ),
)
_ASKING: t.Final = (
    click.option(
        "--url",
        metavar="URL",
        help="The running app. Also CTXKIT_URL; default: http://127.0.0.1:5000",
    ),
    click.option(
        "--token", metavar="TOKEN", help="The app's CTXKIT_TOKEN. Also the variable CTXKIT_TOKEN."
    ),
    click.option(
        "--timeout",
        type=click.FloatRange(min=0, max=3600, min_open=True),
        metavar="SECONDS",
        help="How long an answer may take. Default: 3.",
    ),
)
_IMPORTING: t.Final = (
    click.option("--app", metavar="IMPORT", help='The app to import, like "shop:create_app()".'),
)


def _with(*groups: tuple[t.Any, ...]) -> t.Callable[[F], F]:
    """Add options to a function, which gets the settings they make in their place."""

    def decorate(function: F) -> F:
        @click.pass_context
        @functools.wraps(function)
        def command(ctx: click.Context, /, *args: t.Any, **given: t.Any) -> t.Any:
            settings = settings_of(ctx).updated(given)
            ctx.meta[_META] = settings
            own = {k: v for k, v in given.items() if k not in Settings.__slots__}
            return function(settings, *args, **own)

        decorated: t.Any = command
        for option in reversed([option for group in groups for option in group]):
            decorated = option(decorated)
        return t.cast("F", decorated)

    return decorate


shows: t.Final = _with(_OUTPUT)
"""For commands that need no app at all."""
asks: t.Final = _with(_ASKING, _OUTPUT)
"""For commands that ask a running app; they get the settings first."""
imports: t.Final = _with(_IMPORTING, _OUTPUT)
"""For commands that import the app."""
does_both: t.Final = _with(_IMPORTING, _ASKING, _OUTPUT)
"""For the group, and for commands that import the app and ask a running one too."""
