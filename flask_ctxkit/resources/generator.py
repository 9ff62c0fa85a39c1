"""A resource that a generator opens: it yields the object once, and closes it behind."""

from __future__ import annotations

import functools
import types
import typing as t

from ..definition import place
from ..errors import ResourceError

if t.TYPE_CHECKING:
    from .recipe import Close

    Generator = types.GeneratorType[t.Any, None, object]


def enter(name: str, generator: Generator) -> tuple[t.Any, Close]:
    """What *generator* yields, and what lets it go on.

    :raises ResourceError: if it yields nothing.
    """
    try:
        return next(generator), functools.partial(_leave, name, generator)
    except StopIteration:
        raise _wrong(
            name,
            generator,
            "ended without a yield, so there is nothing to use. Write yield where the object is "
            "open, on every way through it, or raise what keeps it from opening.",
        ) from None


def inside(manager: object) -> Generator | None:
    """The generator that ``contextlib.contextmanager`` made *manager* of; None for another one.

    It would only say that this one did not yield, or not stop.
    """
    generator = getattr(manager, "gen", None) if type(manager).__module__ == "contextlib" else None
    return generator if isinstance(generator, types.GeneratorType) else None


def _leave(name: str, generator: Generator, error: BaseException | None) -> None:
    """Let *generator* end: behind its yield, where *error* is raised if there is one.

    :raises ResourceError: if it yields again.
    """
    try:
        if error is None:
            next(generator)
        else:
            generator.throw(error)
    except StopIteration:
        return
    except RuntimeError as raised:
        if isinstance(error, StopIteration) and raised.__cause__ is error:
            return  # PEP 479: handed on by a generator, it comes as this
        raise
    try:
        raise _wrong(
            name,
            generator,
            "yields a second time, and nobody asks for that object. Write one yield, with what "
            "closes the object behind it; of yields on different ways, return after each.",
        )
    finally:
        generator.close()


def _wrong(name: str, generator: Generator, what: str) -> ResourceError:
    function, where = generator.__qualname__, place(generator.gi_code)
    return ResourceError(
        f"{name} is opened by the generator {function} ({where}), which {what}",
        name=name,
        function=function,
        where=where,
    )
