"""Plans of random apps: which functions stand where, what each does, and how each ends."""

from __future__ import annotations

import itertools
import typing as t
from dataclasses import dataclass, field, replace

from hypothesis import strategies as st

ACTS: t.Final = (
    "set g", "del g", "touch g", "pop g", "set session", "del session",
    "set header", "del header", "add header", "set status",
    "after this request", "client", "app context", "template",
)  # fmt: skip
"""What a function can do on the way; one that is not possible where it stands does nothing."""

ENDS: t.Final = ("return", "return", "return", "raise", "abort", "halt", "exit")
"""How a function ends; the last two raise what is no Exception."""
BODIES: t.Final = ("text", "json", "template", "none", "stream", "stream with context", "broken")
HANDLED: t.Final = ("Boom", "404", "418", "500", "HTTPException", "Exception")


@dataclass(frozen=True, repr=False)
class Function:
    """A hook or view: its name, the phase that it is registered for, what it does."""

    name: str
    phase: str
    acts: tuple[tuple[str, str], ...] = ()
    end: str = "return"
    body: str = "text"
    handles: str = "Boom"
    is_async: bool = False

    def __repr__(self) -> str:
        acts = ", ".join(" ".join(act) for act in self.acts)
        ending = self.body if self.phase == "view" and self.end == "return" else self.end
        handles = f" handles {self.handles}" if self.phase == "error_handler" else ""
        return f"<{'async ' * self.is_async}{self.name}{handles}: {acts} -> {ending}>"


@dataclass(frozen=True, repr=False)
class Scope:
    """The app (no name) or a blueprint, with its hooks and a view at ``/NAME/``."""

    name: str | None
    hooks: tuple[Function, ...]
    view: Function
    children: tuple[Scope, ...] = ()

    def __repr__(self) -> str:
        rows = [*self.hooks, self.view, *self.children]
        return f"{self.name or 'app'}{rows}"

    def every(self, path: tuple[str, ...] = ()) -> t.Iterator[tuple[str, Scope]]:
        """This scope and those inside it, by their dotted names ("" is the app's)."""
        here = path if self.name is None else (*path, self.name)
        yield ".".join(here), self
        for child in self.children:
            yield from child.every(here)


@dataclass(frozen=True)
class Plan:
    """An app, and the request that it gets."""

    root: Scope
    target: int = 0
    """The place of the view that is asked for; one too high asks for a page that is missing."""
    propagate: bool | None = None
    preserve: bool = False
    ambient: bool = False
    """Whether an application context of the app is pushed around the request."""
    read: str = field(default="all")
    """What is read of the body: "all", "some" (and then closed)."""

    def is_beyond_flask(self) -> bool:
        """Whether Flask itself may pop in a wrong order: an error after the view leaves a body
        behind, which holds its context on the stack, and a request that a hook makes meets it.
        """
        scopes = [scope for _, scope in self.root.every()]
        functions = [function for s in scopes for function in (*s.hooks, s.view)]
        return (
            any(s.view.body == "stream with context" for s in scopes)
            and any(f.phase == "after_request" and f.end != "return" for f in functions)
            and any(act == "client" for f in functions for act, _ in f.acts)
        )


NAMES: t.Final = st.sampled_from(["one", "two", "three"])
APP_PHASES: t.Final = (
    "before_request", "after_request", "teardown_request", "teardown_appcontext",
    "error_handler", "url_value_preprocessor", "context_processor",
)  # fmt: skip
BLUEPRINT_PHASES: t.Final = tuple(p for p in APP_PHASES if p != "teardown_appcontext")
RARELY: t.Final = st.sampled_from([False] * 15 + [True])


@st.composite
def functions(draw: st.DrawFn, phase: str) -> Function:
    acts = draw(st.lists(st.tuples(st.sampled_from(ACTS), NAMES), max_size=3))
    # Most functions of an app end well, or no request would come far.
    end = draw(st.sampled_from(ENDS)) if draw(st.integers(0, 3)) == 0 else "return"
    if end == "return" and phase == "before_request" and draw(RARELY):
        end = "answer"
    return Function(
        name="",
        phase=phase,
        acts=tuple(acts),
        end=end,
        body=draw(st.sampled_from(BODIES)) if phase == "view" else "text",
        handles=draw(st.sampled_from(HANDLED)) if phase == "error_handler" else "Boom",
        is_async=draw(RARELY) and phase not in {"url_value_preprocessor", "context_processor"},
    )


@st.composite
def scopes(draw: st.DrawFn, depth: int, name: str | None = None) -> Scope:
    phases = APP_PHASES if name is None else BLUEPRINT_PHASES
    chosen = draw(st.lists(st.sampled_from(phases), max_size=5))
    hooks = tuple(draw(functions(phase)) for phase in chosen)
    children: list[Scope] = []
    if depth:
        count = draw(st.integers(0, 2))
        children = [draw(scopes(depth - 1, f"b{depth}{n}")) for n in range(count)]
    return Scope(name, hooks, draw(functions("view")), tuple(children))


def named(scope: Scope, counter: t.Iterator[int]) -> Scope:
    """*scope* with a name for each of its functions."""
    where = scope.name or "app"
    return replace(
        scope,
        hooks=tuple(replace(h, name=f"{h.phase}_{where}_{next(counter)}") for h in scope.hooks),
        view=replace(scope.view, name=f"view_{where}_{next(counter)}"),
        children=tuple(named(child, counter) for child in scope.children),
    )


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    root = named(draw(scopes(2)), itertools.count())
    return Plan(
        root=root,
        target=draw(st.integers(0, len(list(root.every())))),
        propagate=draw(st.sampled_from([None, True, False])),
        preserve=draw(st.booleans()),
        ambient=draw(st.booleans()),
        read=draw(st.sampled_from(["all", "all", "some"])),
    )
