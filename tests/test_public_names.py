"""The public names, which are imported when they are asked for."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import flask_ctxkit


def imported_for_types() -> dict[str, str]:
    """What a type checker takes for the public names: the name and its module."""
    tree = ast.parse(Path(flask_ctxkit.__file__).read_text(encoding="utf-8"))
    block, _ = (node for node in tree.body if isinstance(node, ast.If))
    return {
        alias.name: str(node.module)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_type_checkers_and_the_interpreter_find_the_same_names() -> None:
    """Each public name stands in the three lists of the package."""
    homes = {name: home for home, names in flask_ctxkit._HOMES.items() for name in names}
    assert imported_for_types() == homes
    assert sorted(homes) == sorted(flask_ctxkit.__all__)


@pytest.mark.parametrize("name", flask_ctxkit.__all__)
def test_each_public_name_is_there(name: str) -> None:
    """Also for ``dir``, which asks for none of them."""
    assert getattr(flask_ctxkit, name) is not None
    assert name in dir(flask_ctxkit)


def test_a_name_that_is_none_is_told_as_python_does() -> None:
    """So that ``hasattr`` and ``import`` work as ever."""
    with pytest.raises(AttributeError, match="has no attribute 'CtxKid'"):
        _ = flask_ctxkit.CtxKid  # type: ignore[attr-defined]
    with pytest.raises(ImportError, match="cannot import name 'CtxKid'"):
        from flask_ctxkit import CtxKid  # type: ignore[attr-defined]  # noqa: F401


def test_the_package_alone_imports_nothing_of_flask() -> None:
    """It is imported wherever pytest looks for its plugins."""
    code = "import flask_ctxkit, sys; print(sorted({m.split('.')[0] for m in sys.modules}))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "'flask_ctxkit'" in found.stdout
    assert "'flask'" not in found.stdout
