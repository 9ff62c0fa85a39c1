"""Contexts outside of requests: what they were pushed for is a step, and names the trace."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import threading
import typing as t
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import pytest
from flask import Flask, copy_current_request_context, g, session
from flask.cli import with_appcontext

from flask_ctxkit import CtxKit

if t.TYPE_CHECKING:
    from flask_ctxkit.trace.model import Event, Trace


def make(**config: t.Any) -> Flask:
    app = Flask("jobs")
    app.secret_key = "a key of more than thirty-two characters"
    app.config.update({"CTXKIT_TRACE": True, **config})
    CtxKit(app)
    return app


def traces(app: Flask) -> list[Trace]:
    assert app.extensions["ctxkit"].recorder.cost()["failures"] == []
    return list(app.extensions["ctxkit"].store.newest())


def block(trace: Trace) -> Event:
    (event,) = (event for event in trace.events if event.phase == "view")
    return event


def test_a_with_block_is_named_by_the_function_that_it_stands_in() -> None:
    app = make()
    ended: list[str] = []
    app.teardown_appcontext(lambda _error: ended.append(g.pop("kept")))
    with app.app_context():
        g.kept, g.dropped = "a", "b"
        del g.dropped
    (trace,) = traces(app)
    assert (trace.kind, trace.state, trace.method) == ("script", "finished", None)
    event = block(trace)
    assert event.name == "test_a_with_block_is_named_by_the_function_that_it_stands_in"
    assert event.where is not None
    assert event.where.startswith("trace/test_blocks.py:")
    assert trace.contexts[0]["pushed"] == event.where
    assert dict(event.g.added) == {"kept": "a"}
    assert [(e.phase, dict(e.g.removed)) for e in trace.events if e.g.removed] == [
        ("teardown_appcontext", {"kept": "a"})
    ]
    assert ended == ["a"]


def test_a_block_that_raises_is_failed() -> None:
    app = make()
    with pytest.raises(ZeroDivisionError), app.app_context():
        raise ZeroDivisionError("by design")
    (trace,) = traces(app)
    assert trace.exception is not None
    assert trace.exception.type == "ZeroDivisionError"
    assert (block(trace).outcome, block(trace).error) == ("raised", trace.exception)


def test_a_context_pushed_by_hand_several_times_is_one_block() -> None:
    app = make()
    ctx = app.app_context()
    ctx.push()
    ctx.push()
    g.one = 1
    ctx.pop()
    g.two = 2
    ctx.pop()
    (trace,) = traces(app)
    assert set(block(trace).g.added) == {"one", "two"}


def test_a_test_context_has_its_block_too() -> None:
    app = make()
    with app.test_request_context("/there?x=1", method="POST"):
        session["user"] = "ada"
    (trace,) = traces(app)
    assert (trace.kind, trace.name) == ("test", "POST /there")
    assert dict(block(trace).session.added) == {"user": "ada"}


def test_a_copied_context_is_named_by_the_function_that_was_copied() -> None:
    app = make()

    @app.get("/")
    def spawn() -> str:
        @copy_current_request_context
        def send_mail() -> None:
            g.sent = True

        thread = threading.Thread(target=send_mail)
        thread.start()
        thread.join()
        return "spawned"

    assert app.test_client().get("/").text == "spawned"
    request, task = sorted(traces(app), key=lambda trace: trace.kind)
    assert (request.kind, task.kind, task.parent) == ("request", "task", request.id)
    assert block(task).name.endswith("spawn.<locals>.send_mail")
    assert dict(block(task).g.added) == {"sent": True}


def in_thread(function: t.Callable[[], object]) -> None:
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


def in_pool(function: t.Callable[[], object]) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(function).result(20)


def in_greenlet(function: t.Callable[[], object]) -> None:
    gevent = pytest.importorskip("gevent")
    gevent.spawn(function).get()


def in_task(function: t.Callable[[], object]) -> None:
    async def main() -> None:
        await asyncio.to_thread(function)
        asyncio.get_running_loop().call_soon(function)

    asyncio.run(main())


@pytest.mark.parametrize("elsewhere", [in_thread, in_pool, in_greenlet, in_task])
def test_a_copied_context_that_only_a_runner_pushes_stands_where_its_function_does(
    elsewhere: t.Callable[[t.Callable[[], object]], None],
) -> None:
    """No line of threading's, or of whatever else calls it: nobody finds their own in that."""
    app = make()

    def send_mail() -> None:
        g.sent = True

    with app.test_request_context("/"):
        elsewhere(copy_current_request_context(send_mail))
        elsewhere(copy_current_request_context(Mailer().send))
    tasks = [trace for trace in traces(app) if trace.kind == "task"]
    codes = [send_mail.__code__, Mailer.send.__code__]
    places = {f"trace/test_blocks.py:{code.co_firstlineno}" for code in codes}
    assert {task.contexts[0]["pushed"] for task in tasks} == places
    names = {block(task).name.rpartition(".")[2] for task in tasks}
    assert names == {"send_mail", "send"}


class Mailer:
    def send(self) -> None:
        g.sent = True

    def __call__(self) -> None:
        g.sent = True


def test_a_copied_context_that_the_users_own_code_pushes_stands_there() -> None:
    app = make()
    with app.test_request_context("/"):
        copied = copy_current_request_context(Mailer().send)
        line = sys._getframe().f_lineno + 1
        copied()
    (task,) = (trace for trace in traces(app) if trace.kind == "task")
    assert task.contexts[0]["pushed"] == f"trace/test_blocks.py:{line}"


def test_what_has_no_line_stands_where_it_was_called() -> None:
    app = make()
    with app.test_request_context("/"):
        in_thread(copy_current_request_context(Mailer()))
    (task,) = (trace for trace in traces(app) if trace.kind == "task")
    assert "/threading.py:" in task.contexts[0]["pushed"]


# ------------------------------------------------------------------------------ commands


def with_commands(app: Flask) -> Flask:
    @app.cli.command("hello")
    @click.argument("name")
    def hello(name: str) -> None:
        g.greeted = name
        click.echo(f"hello {name}")

    @app.cli.group("shop")
    @click.option("--verbose", is_flag=True)
    def shop(verbose: bool) -> None:
        """The shop's commands."""

    @shop.command("import")
    @click.option("--fail", is_flag=True)
    @with_appcontext
    def import_items(fail: bool) -> None:
        if fail:
            raise ZeroDivisionError
        click.echo("imported")

    @app.cli.command("quit")
    def leave() -> None:
        click.get_current_context().exit(4)

    return app


def test_a_command_of_the_runner_names_its_trace() -> None:
    app = with_commands(make())
    result = app.test_cli_runner().invoke(args=["hello", "ada"])
    assert result.output == "hello ada\n"
    (trace,) = traces(app)
    assert trace.kind == "cli"
    assert trace.name.split()[-1] == "hello"
    assert block(trace).name.split()[-1] == "hello"
    assert str(block(trace).where).startswith("trace/test_blocks.py:")
    assert dict(block(trace).g.added) == {"greeted": "ada"}


def test_a_command_that_raises_is_failed_and_one_that_exits_is_not() -> None:
    app = with_commands(make())
    runner = app.test_cli_runner()
    assert isinstance(runner.invoke(args=["shop", "import", "--fail"]).exception, ZeroDivisionError)
    assert runner.invoke(args=["quit"]).exit_code == 4
    quitted, failed = traces(app)
    assert failed.name.split()[-2:] == ["shop", "import"]
    assert quitted.name.split()[-1] == "quit"
    assert quitted.exception is None


SHOP = """
    import sys
    sys.path.insert(0, {tests!r})
    import atexit
    from flask import Flask
    from flask_ctxkit import CtxKit, trace_finished

    app = Flask("shop")
    app.config["CTXKIT_TRACE"] = True
    CtxKit(app)

    @trace_finished.connect_via(app)
    def told(sender, trace):
        steps = [(e.phase, e.name) for e in trace.events if e.phase == "view"]
        print("trace:", trace.kind, "|", trace.name, "|", *steps)

    @app.cli.command("hello")
    def hello():
        print("hello")

    @app.cli.group("shop")
    def shop():
        pass

    @shop.group("items")
    def items():
        pass

    @items.command("import")
    def import_items():
        print("imported")
"""


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["hello"], "hello"),
        (["shop", "items", "import"], "shop items import"),
        (["routes"], "routes"),
    ],
)
def test_a_command_of_flask_itself_names_its_trace(
    words: list[str], name: str, tmp_path: Path
) -> None:
    """The app is pushed while the group looks for the command: no leaf is known yet."""
    here = str(Path(__file__).parents[2])
    (tmp_path / "shop.py").write_text(textwrap.dedent(SHOP.format(tests=here)))
    done = subprocess.run(
        [sys.executable, "-m", "flask", "--app", "shop", *words],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    told = [line for line in done.stdout.splitlines() if line.startswith("trace:")]
    assert len(told) == 1, done.stderr
    kind, named, step = told[0].removeprefix("trace: ").split(" | ")
    assert kind == "cli"
    assert named.endswith(f"flask {name}")
    assert f"flask {name}'" in step
