"""Runs a plan. What its functions log of themselves is the truth that traces are held to."""

from __future__ import annotations

import gc
import itertools
import typing as t
from contextlib import contextmanager
from dataclasses import dataclass, field

from flask import (
    Blueprint,
    Flask,
    Response,
    abort,
    after_this_request,
    g,
    has_request_context,
    render_template_string,
    session,
    stream_with_context,
)
from flask.sessions import SecureCookieSessionInterface
from werkzeug.exceptions import HTTPException

from flask_ctxkit.internals import ONE_CONTEXT

if t.TYPE_CHECKING:
    from flask.sessions import SessionMixin

    from .plans import Function, Plan, Scope

MISSING: t.Final = object()
DEEPEST: t.Final = 2
"""How many requests and contexts may run inside one another."""
MOST: t.Final = 8
"""How many of them may run in all."""
BLOCK: t.Final = "_script"


class Boom(Exception):  # noqa: N818  # short, for it stands in every plan
    """What a function of a plan raises."""


class Halt(BaseException):
    """What is no Exception, and so handled by nobody."""


class LoggedSessions(SecureCookieSessionInterface):
    """Flask's own interface, which logs what it was asked for."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        self.runner.active[-1].saves += 1
        super().save_session(app, session, response)


class Ledger:
    """What a function did to a namespace: for each name its first before and its last after."""

    def __init__(self) -> None:
        self.names: dict[str, list[t.Any]] = {}

    def note(self, name: str, before: t.Any, after: t.Any) -> None:
        if before is after:
            return
        row = self.names.setdefault(name, [before, after])
        if row[0] is row[1]:  # nothing of its own so far: what others did is theirs
            row[0] = before
        row[1] = after

    @property
    def net(self) -> dict[str, dict[str, t.Any]]:
        added = {n: a for n, (b, a) in self.names.items() if b is MISSING and a is not MISSING}
        removed = {n: b for n, (b, a) in self.names.items() if a is MISSING and b is not MISSING}
        changed = {
            n: [b, a]
            for n, (b, a) in self.names.items()
            if b is not MISSING and a is not MISSING and a is not b
        }
        return {"added": added, "changed": changed, "removed": removed}


@dataclass
class Entry:
    """One call of a function, as it logged it itself."""

    phase: str
    name: str
    blueprint: str | None
    late: bool = False
    """Whether it ran in a context that was pushed again after its request had ended."""
    outcome: str = "ok"
    error: str | None = None
    g: Ledger = field(default_factory=Ledger)
    session: Ledger = field(default_factory=Ledger)
    response: tuple[dict[str, str], dict[str, str], int, int] | None = None


@dataclass
class Run:
    """One context: what ran in it, in the order of the starts."""

    number: int
    kind: str
    entries: list[Entry] = field(default_factory=list)
    open: list[Entry] = field(default_factory=list)
    status: int | None = None
    chunks: int | None = None
    ended: bool = False
    failed: bool = False
    saves: int = 0
    g: t.Any = None

    def let_go(self) -> None:
        """Flask's frames hold an error that it answered: a body in them ends only now."""
        if self.failed or any(entry.outcome == "raised" for entry in self.entries):
            gc.collect()


class Runner:
    """The app of a plan, and the log of what ran."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.runs: list[Run] = []
        self.active: list[Run] = []
        self.values = (f"v{n}" for n in itertools.count())
        self.app = Flask("planned")
        self.app.secret_key = "a key of the tests that is long enough to be no finding"
        self.app.config["PROPAGATE_EXCEPTIONS"] = plan.propagate
        self.app.logger.disabled = True
        self.app.session_interface = LoggedSessions(self)
        self.paths: list[str] = []
        self.tables: dict[str, dict[str, list[str]]] = {}

    # ------------------------------------------------------------------ building

    def build(self) -> Flask:
        for dotted, _ in self.plan.root.every():
            self.paths.append(f"/{dotted.replace('.', '/')}/" if dotted else "/")
        self._fill(self.app, self.plan.root, None)
        return self.app

    def _fill(self, owner: Flask | Blueprint, scope: Scope, dotted: str | None) -> None:
        for hook in scope.hooks:
            self._register(owner, hook, dotted)
        owner.add_url_rule(
            "/",
            scope.view.name,
            self.function(scope.view, dotted),
            methods=["GET"],
        )
        for child in scope.children:
            name = child.name or ""
            blueprint = Blueprint(name, __name__, url_prefix=f"/{name}")
            self._fill(blueprint, child, f"{dotted}.{name}" if dotted else name)
            owner.register_blueprint(blueprint)

    def _register(self, owner: Flask | Blueprint, hook: Function, dotted: str | None) -> None:
        function = self.function(hook, dotted)
        self.tables.setdefault(hook.phase, {}).setdefault(dotted or "", []).append(hook.name)
        if hook.phase == "error_handler":
            handled: t.Any = {
                "Boom": Boom, "HTTPException": HTTPException, "Exception": Exception,
            }.get(hook.handles) or int(hook.handles)  # fmt: skip
            owner.register_error_handler(handled, function)
        else:
            getattr(owner, hook.phase)(function)

    def function(self, plan: Function, dotted: str | None) -> t.Any:
        def call(*args: t.Any) -> t.Any:
            return self._perform(plan, dotted, args)

        async def call_async(*args: t.Any) -> t.Any:
            return self._perform(plan, dotted, args)

        made: t.Any = call_async if plan.is_async else call
        made.__name__ = made.__qualname__ = plan.name
        return made

    # ------------------------------------------------------------------- running

    def run(self) -> None:
        """Send the plan's request."""
        if self.plan.ambient:
            with self._script():
                self._outer_request()
        else:
            self._outer_request()

    def _outer_request(self) -> None:
        path = (*self.paths, "/missing/")[self.plan.target]
        client = self.app.test_client()
        with self._entered("request") as run:
            try:
                if self.plan.preserve:
                    with client:
                        self._request(client, path, run)
                else:
                    self._request(client, path, run)
            except BaseException as error:
                _only_ours(error)
                run.failed = True
            run.let_go()

    def _request(self, client: t.Any, path: str, run: Run) -> None:
        response = client.get(path, query_string={"n": run.number})
        run.status = response.status_code
        run.chunks = 0
        try:
            for _ in response.response:
                run.chunks += 1
                if self.plan.read == "some":
                    break
        finally:
            response.close()
            run.ended = True

    @contextmanager
    def _entered(self, kind: str) -> t.Iterator[Run]:
        run = Run(len(self.runs), kind)
        self.runs.append(run)
        self.active.append(run)
        try:
            yield run
        finally:
            assert self.active.pop() is run

    @contextmanager
    def _script(self) -> t.Iterator[None]:
        with self._entered("script") as run:
            try:
                with self.app.app_context():
                    block = Entry("view", BLOCK, None)
                    run.entries.append(block)
                    run.g = g._get_current_object()
                    run.open.append(block)
                    try:
                        self._set(run.g, "g", "in_block")
                        yield
                    finally:
                        run.open.remove(block)
            except BaseException as error:
                _only_ours(error)
                run.failed = True
            run.let_go()

    def skipped(self, run: Run, endpoint: str | None) -> list[tuple[str, str]]:
        """What Flask had to leave out in *run*, by the tables and the log."""
        names = (endpoint or "").split(".")[:-1]
        scopes = [".".join(names[:n]) for n in range(len(names), -1, -1)]
        left: list[tuple[str, str]] = []
        for phase in ("after_request", "teardown_request", "teardown_appcontext"):
            if phase.startswith("teardown") and ONE_CONTEXT:
                continue
            table = self.tables.get(phase, {})
            planned = [name for scope in scopes for name in reversed(table.get(scope, []))]
            position = 0
            for entry in (e for e in run.entries if e.phase == phase):
                position += 1
                if entry.outcome == "raised":
                    left += [(phase, name) for name in planned[position:]]
                if entry.outcome == "raised" or position == len(planned):
                    position = 0
        return left

    # ------------------------------------------------------------ one function

    def _perform(self, plan: Function, dotted: str | None, args: tuple[t.Any, ...]) -> t.Any:
        run = self.active[-1]
        entry = Entry(_phase(plan), plan.name, dotted, late=run.ended)
        run.entries.append(entry)
        run.open.append(entry)
        response = args[0] if plan.phase in {"after_request", "after_this_request"} else None
        before = None if response is None else headers_of(response)
        try:
            for act, name in plan.acts:
                self._act(act, name, plan, response)
            result = self._end(plan, entry, response)
        except BaseException as error:
            entry.outcome, entry.error = "raised", type(error).__name__
            raise
        finally:
            run.open.remove(entry)
        if response is not None and before is not None:
            entry.response = (before[0], headers_of(result)[0], before[1], headers_of(result)[1])
        return result

    def _end(self, plan: Function, entry: Entry, response: Response | None) -> t.Any:
        if plan.end == "raise":
            raise Boom(plan.name)
        if plan.end == "abort":
            abort(418)
        if plan.end == "halt":
            raise Halt(plan.name)
        if plan.end == "exit":
            raise SystemExit(3)
        if plan.end == "answer":
            entry.outcome = "answered"
            return "early", 202
        if plan.phase in {"after_request", "after_this_request"}:
            return response
        if plan.phase == "error_handler":
            return "handled", 500
        if plan.phase == "context_processor":
            return {}
        return self._body(plan) if plan.phase == "view" else None

    def _body(self, plan: Function) -> t.Any:
        if plan.body == "json":
            return {"a": 1}
        if plan.body == "template":
            return render_template_string("{{ 1 + 1 }}")
        if plan.body == "none":
            return None
        if plan.body in {"stream", "stream with context", "broken"}:
            chunks = self._chunks(plan)
            # An async view would push its context again in another thread than it is popped in.
            kept = "context" in plan.body and not plan.is_async
            return Response(stream_with_context(chunks) if kept else chunks)
        return "text"

    @staticmethod
    def _chunks(plan: Function) -> t.Iterator[str]:
        yield "one"
        if plan.body == "broken":
            raise Boom("stream")
        yield "two"

    # --------------------------------------------------------------- one act

    def _act(self, act: str, name: str, plan: Function, response: Response | None) -> None:
        verb, _, what = act.partition(" ")
        # Inside a template it would be rendered again, and a loop can't run inside a loop.
        inside = (
            plan.is_async
            or self.active[-1].ended
            or plan.phase in {"url_value_preprocessor", "context_processor"}
        )
        if what == "g":
            self._change(g._get_current_object(), "g", verb, name)
        elif what == "session":
            if has_request_context() and not plan.phase.startswith("teardown"):
                self._change(t.cast("t.Any", session)._get_current_object(), "session", verb, name)
        elif what in {"header", "status"}:
            if response is not None:
                _change_response(response, verb, name, what, next(self.values))
        elif act == "after this request":
            if has_request_context():
                self._after(name)
        elif inside or len(self.active) > DEEPEST or len(self.runs) >= MOST:
            return
        elif act == "client":
            self._inner_request()
        elif act == "app context":
            with self._script():
                self._change(g._get_current_object(), "g", "set", name)
        elif act == "template":
            self._template()

    def _after(self, name: str) -> None:
        from .plans import Function

        made = Function(
            f"after_this_{next(self.values)}", "after_this_request", (("set header", name),)
        )
        after_this_request(self.function(made, None))

    def _template(self) -> None:
        render_template_string("{{ 1 }}")

    def _inner_request(self) -> None:
        with self._entered("request") as run:
            try:
                response = self.app.test_client().get("/", query_string={"n": run.number})
                run.status = response.status_code
                run.chunks = sum(1 for _ in response.response)
                response.close()
            except BaseException as error:
                _only_ours(error)
                run.failed = True
            run.let_go()

    def _set(self, namespace: t.Any, kind: str, name: str) -> None:
        self._change(namespace, kind, "set", name)

    def _change(self, namespace: t.Any, kind: str, verb: str, name: str) -> None:
        """Do it, and log it for each open function that sees this very namespace."""
        before = namespace.get(name, MISSING)
        after: t.Any = before
        if verb in {"del", "pop"}:
            if before is not MISSING:
                namespace.pop(name) if kind == "session" or verb == "pop" else delattr(
                    namespace, name
                )
            after = MISSING
        elif verb == "set" or before is not MISSING:
            after = next(self.values) if verb == "set" else before
            if kind == "session":
                namespace[name] = after
            else:
                setattr(namespace, name, after)
        run = self.active[-1]
        if run.ended and len(self.active) > 1 and self.active[-2].g is namespace:
            run = self.active[-2]  # who watches by now is the context around it
        entry = run.open[-1]
        (entry.session if kind == "session" else entry.g).note(name, before, after)


def _only_ours(error: BaseException) -> None:
    """Raise *error* again unless a plan asked for it."""
    ours = isinstance(error, (Boom, Halt, SystemExit, HTTPException))
    # A view that returns None; and since 3.2, several teardown functions that raised.
    ours = ours or (type(error) is TypeError and "did not return a valid response" in str(error))
    if not ours and not type(error).__name__.endswith("ExceptionGroup"):
        raise error


def _phase(plan: Function) -> str:
    return "template" if plan.phase == "context_processor" else plan.phase


def _change_response(response: Response, verb: str, name: str, what: str, value: str) -> None:
    header = f"X-{name.title()}"
    if what == "status":
        response.status_code = {"one": 201, "two": 203, "three": 299}[name]
    elif verb == "set":
        response.headers[header] = value
    elif verb == "add":
        response.headers.add(header, value)
    else:
        response.headers.pop(header, None)


def headers_of(response: Response) -> tuple[dict[str, str], int]:
    """The headers, those of one name joined with a line feed, and the status."""
    joined: dict[str, str] = {}
    for name, value in response.headers:
        joined[name] = f"{joined[name]}\n{value}" if name in joined else value
    return joined, response.status_code
