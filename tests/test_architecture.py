"""Who may import whom, where private names may stand, and what the tree may hold."""

from __future__ import annotations

import ast
import subprocess
import typing as t
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "flask_ctxkit"
FILES = sorted(PACKAGE.rglob("*.py"))

LEAVES = {
    "errors", "signals", "redact", "config", "globals", "internals", "definition", "units",
    "strength", "origin", "deferred",
}  # fmt: skip
ROOMS = {"contexts", "session", "resources", "trace", "workers"}
RECORDS = {
    "trace.model", "contexts.registry", "session.model",
    # Settings are plain data, and what looks at them is pure.
    "session.settings", "session.check", "session.attributes", "session.own_keys",
}  # fmt: skip

ALLOWED: dict[str, set[str]] = {
    **{leaf: {"errors", leaf} for leaf in LEAVES},
    # A leaf that reads contexts does so through the one file that may.
    "units": {"errors", "internals"},
    "origin": {"errors", "definition"},
    # The state only for the type of what it hands out.
    "globals": {"errors", "internals", "state"},
    **{room: LEAVES | {room} for room in ROOMS},
    "findings": LEAVES | {"findings"} | RECORDS,
    # What happens to a finished recording: composed by the extension, of the same rooms.
    "pipeline": LEAVES | ROOMS | {"findings"},
    "report": LEAVES | ROOMS | {"findings", "report"},
    "web": LEAVES | ROOMS | {"report", "web"},
    "cli": LEAVES | ROOMS | {"report", "cli"},
    # The state only for the type of what they hand out.
    "testing": LEAVES | ROOMS | {"report", "state", "testing"},
    "pytest_plugin": {"state", "testing"},
    # What one app owns: it composes the rooms, and the extension registers it.
    "state": LEAVES | ROOMS | {"findings", "pipeline", "report", "sync", "web"},
    "sync": set(),
    "hooks": LEAVES | ROOMS | {"state"},
    "extension": LEAVES | ROOMS | {"findings", "state", "hooks"},
    "__init__": LEAVES | ROOMS | {"extension", "findings"},
    "__main__": {"cli"},
}

PRIVATE = {
    "_cv_app", "_cv_request", "_cv_token", "_cv_tokens", "_push_count", "_session", "_request",
    "_after_request_functions", "_got_first_request", "_is_setup_finished",
}  # fmt: skip
# It lists these names, which are looked for in the code of others.
LOOKS_FOR_PRIVATE_NAMES = PACKAGE / "findings" / "old_names.py"
BANNED_NAMES = {"utils", "helpers", "core", "common", "misc", "manager", "base_utils"}
TOP_LEVEL = {
    "pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", "flask_ctxkit", "tests", "example",
}  # fmt: skip
LONG_FILE = 300
LONG_FUNCTION = 30


def module_of(path: Path) -> str:
    """``trace.stores.memory`` for its file; a package is named like its folder."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def room_of(module: str) -> str:
    return module.split(".", maxsplit=1)[0]


def imports(source: str, module: str, *, package: bool) -> set[str]:
    """Every module of the kit that *source* imports, wherever the import stands."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _resolved(node, module, package=package)
            # "from . import errors" imports a module, "from .errors import X" a name of one.
            found.update(f"{base}.{alias.name}" for alias in node.names)
    inside = {name.removeprefix("flask_ctxkit.") for name in found if _is_ours(name)}
    return {_known(name) for name in inside} - {""}


def _resolved(node: ast.ImportFrom, module: str, *, package: bool) -> str:
    if not node.level:
        return node.module or ""
    here = ["flask_ctxkit", *([] if module == "__init__" else module.split("."))]
    up = node.level - (1 if package and module != "__init__" else 0)
    base = here[: len(here) - up] if module != "__init__" else ["flask_ctxkit"]
    return ".".join([*base, *([node.module] if node.module else [])])


def _is_ours(name: str) -> bool:
    return room_of(name) == "flask_ctxkit"


def _known(name: str) -> str:
    """The longest start of *name* that is a module: the rest is a name inside it."""
    parts = name.split(".")
    while parts and not _exists(parts):
        parts.pop()
    return ".".join(parts)


def _exists(parts: list[str]) -> bool:
    path = PACKAGE.joinpath(*parts)
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def may_import(importer: str, imported: str) -> bool:
    allowed = ALLOWED.get(room_of(importer), set())
    return imported in allowed or room_of(imported) in allowed


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_imports_go_downward_only(path: Path) -> None:
    """A file imports what the table of the design allows its room, and nothing else."""
    module = module_of(path)
    assert room_of(module) in ALLOWED, f"{module} has no row in the table of imports"
    found = imports(path.read_text(encoding="utf-8"), module, package=path.name == "__init__.py")
    assert sorted(name for name in found if not may_import(module, name)) == []


def test_the_table_refuses_an_upward_import() -> None:
    """The check itself: a room that reaches for another room or upward is caught."""
    source = "def f():\n    from ..session import No\n    from . import model\n"
    found = imports(source, "trace.recorder", package=False)
    assert {name for name in found if not may_import("trace.recorder", name)} == {"session"}
    assert not may_import("findings.hooks", "trace.recorder")
    assert may_import("findings.hooks", "trace.model")
    assert not may_import("config", "internals")
    assert not may_import("web.pages", "extension")
    assert imports("from .config import Config", "__init__", package=True) == {"config"}
    assert imports("from ..errors import X", "web", package=True) == {"errors"}
    assert imports("import flask_ctxkit.trace.model", "web", package=True) == {"trace.model"}


def private_names(tree: ast.AST) -> t.Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in PRIVATE:
            # A class of ours may have an attribute of that name for itself.
            if not (isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}):
                yield f"{node.lineno}: .{node.attr}"
        elif isinstance(node, ast.Constant) and node.value in PRIVATE:
            yield f"{node.lineno}: {node.value!r}"
        elif isinstance(node, ast.ImportFrom) and _is_foreign(node):
            yield from (f"{node.lineno}: {a.name}" for a in node.names if a.name.startswith("_"))


def _is_foreign(node: ast.ImportFrom) -> bool:
    return not node.level and room_of(node.module or "") in {"flask", "werkzeug"}


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if path not in {PACKAGE / "internals.py", LOOKS_FOR_PRIVATE_NAMES}],
    ids=module_of,
)
def test_private_flask_names_stand_in_internals_only(path: Path) -> None:
    """A change of Flask's inside is then met in one file."""
    assert list(private_names(ast.parse(path.read_text(encoding="utf-8")))) == []


def test_a_private_name_is_noticed() -> None:
    """As an attribute, behind ``getattr``, and as an import."""
    source = "ctx._cv_tokens\ngetattr(ctx, '_session')\nfrom flask.globals import _cv_app\n"
    assert len(list(private_names(ast.parse(source)))) == 3
    assert list(private_names(ast.parse("self._session = None"))) == []


def mutable_globals(tree: ast.Module) -> t.Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            yield f"{node.lineno}: global {', '.join(node.names)}"
    for node in tree.body:
        value = getattr(node, "value", None)
        if isinstance(value, (ast.List, ast.Dict, ast.Set)) and not _is_constant(node):
            yield f"{node.lineno}: {ast.unparse(node)[:60]}"


def _is_constant(node: ast.stmt) -> bool:
    if isinstance(node, ast.AnnAssign):
        return "Final" in ast.unparse(node.annotation)
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_no_module_keeps_mutable_state(path: Path) -> None:
    """State lives with the app or the context, so apps in one process stay apart."""
    assert list(mutable_globals(ast.parse(path.read_text(encoding="utf-8")))) == []


def test_file_names_are_nouns_that_say_something() -> None:
    """No drawer that anything fits into."""
    assert [path for path in FILES if path.stem in BANNED_NAMES] == []


def test_the_top_level_holds_only_what_the_design_lists() -> None:
    """Beside files whose name begins with a dot."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    tops = {name.split("/")[0] for name in listed.stdout.splitlines()}
    assert {top for top in tops if not top.startswith(".")} <= TOP_LEVEL


def test_sizes_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Long files and functions are listed, not refused: whether one is too long is judged."""
    told = [line for path in FILES for line in sizes(path)]
    with capsys.disabled():
        print("".join(f"\n  {line}" for line in told), end="")
    assert all(line.startswith("flask_ctxkit/") for line in told)


def sizes(path: Path) -> t.Iterator[str]:
    text = path.read_text(encoding="utf-8")
    name = path.relative_to(ROOT).as_posix()
    if text.count("\n") > LONG_FILE:
        yield f"{name}: {text.count(chr(10))} lines"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = (node.end_lineno or node.lineno) - node.body[0].lineno + 1
            if length > LONG_FUNCTION:
                yield f"{name}:{node.lineno}: {node.name} has {length} lines"
