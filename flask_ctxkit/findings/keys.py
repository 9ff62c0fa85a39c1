"""Secret keys: whether an app's source makes a new one at each start."""

from __future__ import annotations

import ast
import sys
import typing as t
from pathlib import Path

if t.TYPE_CHECKING:
    from flask import Flask

SOURCE: t.Final = 1_000_000
"""The most bytes of a source file that are read."""
GENERATORS: t.Final = frozenset(
    {"urandom", "token_bytes", "token_hex", "token_urlsafe", "uuid4", "randbytes", "getrandbits"}
)
SINGLE_MEANING: t.Final = (ast.Module, ast.FunctionDef, ast.ClassDef, ast.With)
"""What a statement may stand in to be certain to run when its file or function does."""


def made_at_start(app: Flask) -> int | None:
    """The line of the app's own module that makes a new secret key at each start.

    None where none does, and where that is not certain: the key is of another type than the
    line makes, the line stands under a condition, or the source can't be read.
    """
    module = sys.modules.get(app.import_name)
    file = None if module is None else module.__dict__.get("__file__")
    if type(file) is not str or not file.endswith(".py"):
        return None
    try:
        with Path(file).open("rb") as source:
            tree = ast.parse(source.read(SOURCE))
    except (OSError, SyntaxError, ValueError):
        return None
    rows = list(_assignments(tree, certain=True))
    # Two lines that set the key: which one counts is not certain.
    if len(rows) != 1:
        return None
    line, value, certain = rows[0]
    name = _generator(value)
    if not certain or name is None:
        return None
    makes_bytes = name in {"urandom", "token_bytes", "randbytes"} and isinstance(value, ast.Call)
    makes_bytes = makes_bytes and _called(value) == name
    return line if (type(app.secret_key) is bytes) == makes_bytes else None


def _assignments(node: ast.AST, *, certain: bool) -> t.Iterator[tuple[int, ast.expr, bool]]:
    """Every setting of a secret key under *node*: its line, its value, whether it must run."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Assign) and any(map(_names_key, child.targets)):
            yield child.lineno, child.value, certain
        elif isinstance(child, ast.Call):
            yield from _arguments(child, certain=certain)
        still = certain and isinstance(child, (*SINGLE_MEANING, ast.expr, ast.stmt))
        still = still and not isinstance(child, (ast.If, ast.Try, ast.For, ast.While, ast.IfExp))
        yield from _assignments(child, certain=still)


def _arguments(call: ast.Call, *, certain: bool) -> t.Iterator[tuple[int, ast.expr, bool]]:
    for keyword in call.keywords:
        if keyword.arg == "SECRET_KEY":
            yield keyword.value.lineno, keyword.value, certain
    for argument in call.args:
        if isinstance(argument, ast.Dict):
            for key, value in zip(argument.keys, argument.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "SECRET_KEY":
                    yield value.lineno, value, certain
    if _called(call) == "setdefault":
        first = call.args[0] if call.args else None
        if isinstance(first, ast.Constant) and first.value == "SECRET_KEY":
            yield call.lineno, call, False


def _names_key(target: ast.expr) -> bool:
    if isinstance(target, ast.Attribute):
        return target.attr == "secret_key"
    if isinstance(target, ast.Subscript):
        index = target.slice
        return isinstance(index, ast.Constant) and index.value == "SECRET_KEY"
    return isinstance(target, ast.Name) and target.id == "SECRET_KEY"


def _generator(value: ast.expr) -> str | None:
    """The random function that *value* certainly calls: ``os.urandom(24).hex()``."""
    while isinstance(value, ast.Call):
        name = _called(value)
        if name in GENERATORS:
            return name
        if name == "str" and value.args:
            value = value.args[0]
        elif isinstance(value.func, ast.Attribute):
            value = value.func.value
        else:
            return None
    if isinstance(value, ast.Attribute):  # uuid4().hex
        return _generator(value.value)
    return None


def _called(call: ast.expr) -> str | None:
    if not isinstance(call, ast.Call):
        return None
    function = call.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else None
