"""What runs in a context that no server asked for: a command, a copied function, a with block."""

from __future__ import annotations

import inspect
import typing as t
from types import FunctionType, MethodType

import click

from ..definition import Definition, define, short_path
from .site import Site

if t.TYPE_CHECKING:
    from types import CodeType, FrameType

    from flask import Flask

    from .model import Kind

OUTSIDE: t.Final = frozenset({
    "flask.ctx", "contextlib", "click.core", "click.decorators", "flask_ctxkit.trace.pushes",
    "flask_ctxkit.contexts.propagate", "flask_ctxkit.contexts.legacy",
})  # fmt: skip
"""Modules that push on behalf of their caller."""
RUNNERS: t.Final = OUTSIDE | {
    "threading", "concurrent.futures.thread", "gevent.greenlet", "gevent.threadpool",
    "asyncio.events", "asyncio.runners",
}  # fmt: skip
"""Modules that call a function in a unit of its own: no caller of the user's is to be found."""
_WORDS: t.Final = 10
"""The most words of a command line that are looked at for the names of commands."""


class Place(t.NamedTuple):
    """A line of code, as a frame tells it."""

    f_code: CodeType
    f_lineno: int


class Block(t.NamedTuple):
    """``frame`` pushed the context; ``site`` is the step that the context was pushed for."""

    kind: Kind
    frame: FrameType
    site: Site


def block_of(
    pushing: FrameType, app: Flask, *, copied: bool, in_request: bool, function: t.Any = None
) -> Block:
    """The block that *pushing*, the caller of ``push``, begins.

    :param copied: whether the context is of work that a request started.
    :param function: that work; None where the frames have to tell.
    """
    frame = pushing
    while frame.f_globals.get("__name__") in OUTSIDE:
        if copied and function is None and frame.f_code.co_name == "wrapper":
            function = frame.f_locals.get("f")  # of copy_current_request_context
        if frame.f_back is None:  # a greenlet, which nothing of Python's calls
            break
        frame = frame.f_back
    if copied:
        return Block("task", _users(frame, function), _of_function(function, frame, app))
    if in_request:
        return Block("test", frame, _with_block(frame))
    if frame.f_globals.get("__name__") == "flask.cli":
        return Block("cli", frame, _of_command(frame, app))
    return Block("script", frame, _with_block(frame))


def _users(frame: FrameType, function: t.Any) -> FrameType:
    """The line of the user's that pushed: in a unit that only runs *function*, its first."""
    if frame.f_globals.get("__name__") not in RUNNERS:
        return frame
    if type(function) is MethodType:
        function = function.__func__
    if type(function) is not FunctionType:
        return frame
    try:
        function = inspect.unwrap(function)
    except ValueError:
        return frame  # it wraps itself
    if type(function) is not FunctionType:
        return frame
    code = function.__code__
    # Whoever asks reads these two of a frame.
    return t.cast("FrameType", Place(code, code.co_firstlineno))


def _with_block(frame: FrameType) -> Site:
    """The code after the push, named by the function that it stands in."""
    where = f"{short_path(frame.f_code.co_filename)}:{frame.f_lineno}"
    module = str(frame.f_globals.get("__name__", ""))
    return Site("view", Definition(frame.f_code.co_name, module, where, "this app"))


def _of_function(function: t.Any, frame: FrameType, app: Flask) -> Site:
    return _with_block(frame) if function is None else Site("view", define(function, app))


def _of_command(frame: FrameType, app: Flask) -> Site:
    context = click.get_current_context(silent=True)
    if context is None:
        return _with_block(frame)
    words = _info_names(context)
    command: click.Command | None = context.command
    if isinstance(command, click.Group):
        # The app is pushed while the group looks for the command that was asked for.
        names, command = _commands(frame, app)
        words += names
    callback = None if command is None else command.callback
    made = _with_block(frame).definition if callback is None else define(callback, app)
    return Site("view", Definition(" ".join(words), made.module, made.where, made.source))


def _info_names(context: click.Context) -> list[str]:
    names: list[str] = []
    at: click.Context | None = context
    while at is not None:
        names.insert(0, at.info_name or "")
        at = at.parent
    return [name for name in names if name]


def _commands(frame: FrameType, app: Flask) -> tuple[list[str], click.Command | None]:
    """The names of the commands in the arguments that click resolves, and the last command."""
    outer: FrameType | None = frame
    while outer is not None and outer.f_code.co_name != "resolve_command":
        outer = outer.f_back
    words = [] if outer is None else outer.f_locals.get("args", [])
    names: list[str] = []
    command: click.Command | None = app.cli
    for word in words[:_WORDS]:
        found = command.commands.get(word) if isinstance(command, click.Group) else None
        if found is None:
            break
        names.append(word)
        command = found
    return names, command if names else None
