"""The ``ctx`` group: aliases, and how each kind of failure ends a command."""

from __future__ import annotations

import os
import sys
import typing as t

import click

from ..errors import CtxKitError
from .advice import advice, error_report, notice
from .client import AskError, NobodyError
from .options import settings_of

ALIASES: t.Final[t.Mapping[str, str]] = {"ps": "live"}
NO: t.Final = 1
"""The exit code where the answer is "no"."""
WRONG: t.Final = 2
"""The exit code of wrong use, and where there is nobody to ask."""
INTERRUPTED: t.Final = 130
"""As a shell counts a process that SIGINT ended."""
PIPE_CLOSED: t.Final = 141
"""As a shell counts a process that SIGPIPE ended."""


class CtxGroup(click.Group):
    """A group that ends without a traceback whatever the other side or the user does."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name or alias."""
        return super().get_command(ctx, ALIASES.get(cmd_name, cmd_name))

    def invoke(self, ctx: click.Context) -> t.Any:
        """Run the command; a failure of ours is told and becomes an exit code."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)
        except BrokenPipeError:
            _forget_stdout()
            ctx.exit(PIPE_CLOSED)
        except CtxKitError as error:
            _tell(ctx, error)
            ctx.exit(error.exit_code if isinstance(error, AskError) else WRONG)
        return result


def _tell(ctx: click.Context, error: CtxKitError) -> None:
    settings = settings_of(ctx)
    if settings.format == "json":
        # A program that reads the answer reads the error in the same place.
        code = getattr(error, "code", "wrong-use")
        settings.console().json(error_report(code, error.message))
        return
    shown = advice(error) if isinstance(error, NobodyError) else notice(error.message)
    settings.console(err=True).draw(shown)


def _forget_stdout() -> None:
    # What is still buffered would raise again when the interpreter flushes at its end.
    # https://docs.python.org/3/library/signal.html#note-on-sigpipe
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
