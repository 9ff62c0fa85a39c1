"""Work that runs elsewhere is on both traces: who started it, and what was started."""

from __future__ import annotations

import gc
import threading
import typing as t
import weakref

import pytest
from flask import Flask, copy_current_request_context, g, request, session

from flask_ctxkit import ContextExecutor, propagate
from flask_ctxkit.cli.lines import markdown_lines
from flask_ctxkit.cli.tables.trace import Wanted, trace_document
from flask_ctxkit.contexts.registry import Registry
from flask_ctxkit.internals import current_app_context
from flask_ctxkit.report.story import story
from flask_ctxkit.report.summary import summary, utc_now
from flask_ctxkit.report.trace import plain
from flask_ctxkit.trace import beginning, pushes, recorder
from flask_ctxkit.trace.lineage import CHILDREN, Lineage
from flask_ctxkit.trace.recorder import Recorder
from flask_ctxkit.trace.recording import Recording

from .test_propagate import in_thread, make

if t.TYPE_CHECKING:
    from flask.testing import FlaskClient

    from flask_ctxkit.trace.model import Trace


def served(shop: Flask, view: t.Callable[[], t.Any], path: str = "/tea") -> None:
    @shop.get(path)
    def tea() -> str:
        view()
        return "x"

    assert shop.test_client().get(path).status_code == 200


def kept(shop: Flask) -> list[Trace]:
    kit = shop.extensions["ctxkit"]
    assert kit.recorder.cost()["failures"] == []
    assert kit.registry.leaks == ()
    assert kit.registry.contexts() == []
    return list(kit.store.newest())


def family(shop: Flask) -> tuple[Trace, list[Trace]]:
    """The request's trace, and those of the work."""
    traces = kept(shop)
    (parent,) = [trace for trace in traces if trace.kind == "request"]
    return parent, [trace for trace in traces if trace.kind == "task"]


LOGIN = {"Authorization": f"Bearer {'t' * 40}"}


def answer(client: FlaskClient, trace_id: str) -> dict[str, t.Any]:
    """What the JSON page of a trace says of it."""
    body = t.cast("t.Any", client.get(f"/_ctx/requests/{trace_id}.json", headers=LOGIN).json)
    return t.cast("dict[str, t.Any]", body["trace"])


def pour() -> None:
    g.poured = request.path


def test_a_request_in_an_outer_context_is_the_parent() -> None:
    """Before Flask 3.2 it shares the application context, which is not its own."""
    shop = make()
    work = lambda: g.setdefault("poured", 1)
    with shop.app_context():
        served(shop, lambda: in_thread(propagate(work)))
    traces = [*shop.extensions["ctxkit"].store.newest()]
    (request_,) = [trace for trace in traces if trace.kind == "request"]
    (task,) = [trace for trace in traces if trace.kind == "task"]
    assert task.parent == request_.id
    assert request_.children == (task.id,)


@pytest.mark.parametrize("how", ["snapshot", "none"])
@pytest.mark.parametrize("teardown", [True, False])
def test_both_traces_name_each_other(how: t.Any, teardown: bool) -> None:
    shop = make()
    work = lambda: g.setdefault("poured", 1)
    served(shop, lambda: in_thread(propagate(work, request=how, teardown=teardown)))
    parent, (task,) = family(shop)
    assert parent.children == (task.id,)
    assert parent.lineage is None
    assert task.parent == parent.id
    assert (task.state, task.endpoint) == ("finished", "tea" if how == "snapshot" else None)
    assert task.lineage is not None
    assert task.lineage["how"] == "propagate"
    assert task.lineage["by"] == "GET /tea"
    assert task.lineage["where"].startswith("contexts/test_propagate_lineage.py:")
    assert task.contexts[0]["pushed"] == task.lineage["where"]
    assert (task.lineage["captured"], task.lineage["outlived_ms"]) == ([], 0)
    (block,) = [event for event in task.events if event.phase == "view"]
    assert block.name.endswith("<lambda>")
    assert dict(block.g.added) == {"poured": 1}
    assert "pop" in [event.phase for event in task.events]


def test_each_call_is_a_trace_of_its_own() -> None:
    shop = make()

    def view() -> None:
        with ContextExecutor(3) as pool:
            [*pool.map(lambda _: pour(), range(6))]

    served(shop, view)
    parent, tasks = family(shop)
    assert sorted(parent.children) == sorted(task.id for task in tasks)
    assert len(tasks) == 6
    assert parent.dropped_children == 0


def test_work_inside_work_names_the_work_that_started_it() -> None:
    shop = make()
    served(shop, lambda: in_thread(propagate(lambda: in_thread(propagate(pour)))))
    parent, tasks = family(shop)
    outer = next(task for task in tasks if task.parent == parent.id)
    inner = next(task for task in tasks if task.parent == outer.id)
    assert (parent.children, outer.children, inner.children) == ((outer.id,), (inner.id,), ())


def test_work_that_begins_after_the_request_is_told_on_it_too() -> None:
    shop = make()
    made: list[t.Callable[[], t.Any]] = []
    served(shop, lambda: made.append(propagate(pour)))
    assert family(shop)[0].children == ()
    in_thread(made[0])
    parent, (task,) = family(shop)
    assert parent.children == (task.id,)
    assert task.lineage is not None
    assert task.lineage["outlived_ms"] > 0
    assert task.findings == ()


def test_a_copy_of_flasks_own_is_told_as_well() -> None:
    shop = make()
    served(shop, lambda: in_thread(copy_current_request_context(pour)))
    parent, (task,) = family(shop)
    assert parent.children == (task.id,)
    assert task.lineage is not None
    assert (task.lineage["how"], task.lineage["outlived_ms"]) == ("copy", 0)
    assert task.lineage["where"].startswith("contexts/test_propagate_lineage.py:")


def test_the_most_children_are_counted() -> None:
    shop = make(CTXKIT_MAX_TRACES=10)

    def view() -> None:
        work = propagate(lambda: None)
        for _ in range(CHILDREN + 5):
            work()

    served(shop, view)
    found = next(trace for trace in kept(shop) if trace.kind == "request")
    assert len(found.children) == CHILDREN
    assert found.dropped_children == 5


def test_what_was_taken_along_is_not_the_works_doing() -> None:
    """Nor is that it is put aside before teardown."""
    shop = make()
    seen: list[t.Any] = []

    @shop.teardown_appcontext
    def close(_: BaseException | None) -> None:
        seen.append(sorted(g))

    def work() -> None:
        g.own = g.user

    def view() -> None:
        g.user, g.cart = "ada", 1
        in_thread(propagate(work, g="copy"))

    served(shop, view)
    _, (task,) = family(shop)
    changes = {event.phase: event.g for event in task.events if event.g}
    assert [*changes] == ["view"]
    assert dict(changes["view"].added) == {"own": "ada"}
    assert not changes["view"].removed
    assert seen[0] == ["own"]


def test_an_error_of_the_work_is_on_its_trace() -> None:
    shop = make()

    def fails() -> None:
        raise ValueError("mine")

    def view() -> None:
        for teardown in (True, False):
            with pytest.raises(ValueError, match="mine"):
                in_thread(propagate(fails, teardown=teardown))

    served(shop, view)
    _, tasks = family(shop)
    assert [task.exception.message for task in tasks if task.exception] == ["mine", "mine"]
    assert [task.state for task in tasks] == ["finished"] * 2


def test_a_started_trace_is_plain_data() -> None:
    shop = make()
    served(shop, lambda: in_thread(propagate(pour)))
    parent, (task,) = family(shop)
    assert plain(parent)["children"] == (task.id,)
    assert plain(task)["lineage"]["by"] == "GET /tea"


def test_live_work_tells_who_started_it() -> None:
    shop = make()
    reached, go = threading.Event(), threading.Event()

    def work() -> None:
        reached.set()
        assert go.wait(20)

    def view() -> None:
        thread = threading.Thread(target=propagate(work), name="worker")
        thread.start()
        assert reached.wait(20)
        rows = {row.unit.name: row for row in shop.extensions["ctxkit"].registry.contexts()}
        found.append((rows["worker"].parent, rows["worker"].kind))
        go.set()
        thread.join(20)

    found: list[t.Any] = []
    served(shop, view)
    parent, _ = family(shop)
    assert found == [(parent.id, "task")]


def test_a_command_and_a_block_start_work_too() -> None:
    shop = make()
    with shop.app_context():
        in_thread(propagate(lambda: None))
    parent, task = sorted(kept(shop), key=lambda trace: trace.kind)
    assert (parent.kind, task.kind) == ("script", "task")
    assert parent.children == (task.id,)
    assert task.lineage is not None
    assert task.lineage["by"] == parent.name


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_work_of_a_request_that_is_not_recorded(rate: float) -> None:
    shop = make(CTXKIT_TRACE_RATE=rate)
    found: list[t.Any] = []
    served(shop, lambda: found.append(in_thread(propagate(lambda: (request.path, dict(session))))))
    assert found == [("/tea", {})]
    assert len(kept(shop)) == (2 if rate else 0)


def test_a_task_is_found_on_its_page_and_in_the_terminal() -> None:
    """Both ways: from the request to the work, and back."""
    shop = make(CTXKIT_PAGES=True, CTXKIT_TOKEN="t" * 40)
    served(shop, lambda: in_thread(propagate(pour)))
    parent, (task,) = family(shop)
    client = shop.test_client()
    pages = {
        one.id: client.get(f"/_ctx/requests/{one.id}", headers=LOGIN).text for one in (parent, task)
    }
    assert f'started <a href="/_ctx/requests/{task.id}">{task.id}</a>' in pages[parent.id]
    assert f'started by <a href="/_ctx/requests/{parent.id}">GET /tea</a>' in pages[task.id]
    told = {
        one.id: "\n".join(
            markdown_lines(trace_document(answer(client, one.id), None, Wanted()), None)
        )
        for one in (parent, task)
    }
    assert f"started  {task.id}" in told[parent.id]
    assert "started by  GET /tea at contexts/test_propagate_lineage.py:" in told[task.id]
    assert f"flask ctx show {parent.id}" in told[task.id]
    assert "GET /tea → task in " in told[task.id]
    assert "GET /tea → 200 in " in told[parent.id]


def test_work_that_starts_itself_again_keeps_nothing_of_the_past() -> None:
    """A heartbeat would else hold every one that came before."""
    shop = make(CTXKIT_MAX_TRACES=10)
    calls: list[t.Callable[[], t.Any]] = []
    beats = iter(range(300))

    def beat() -> None:
        if next(beats, None) is not None:
            calls.append(propagate(beat, request="none"))

    with shop.app_context():
        calls.append(propagate(beat, request="none"))
    while calls:
        calls.pop()()
    gc.collect()
    recorder = shop.extensions["ctxkit"].recorder
    kept = [o for o in gc.get_objects() if type(o) is Recording and o.recorder is recorder]
    assert recorder.finished == 302
    assert len(kept) <= 100  # the store's last, its slow ones, and the last of each endpoint


@pytest.mark.parametrize("start", [propagate, copy_current_request_context])
def test_a_trace_keeps_nothing_of_the_work_itself(start: t.Any) -> None:
    """Neither the function nor what its closure holds, once it has ended."""
    shop = make()
    held: list[weakref.ref[t.Any]] = []

    class Large:
        pass

    def view() -> None:
        large = Large()
        held.append(weakref.ref(large))
        in_thread(start(lambda: large))

    served(shop, view)
    gc.collect()
    assert len(family(shop)[1]) == 1
    assert held[0]() is None


def test_the_story_says_who_and_what() -> None:
    shop = make()
    served(shop, lambda: in_thread(propagate(pour)))
    parent, (task,) = family(shop)
    assert "It started 1 call elsewhere." in story(parent)
    assert summary(task, utc_now())["note"] == "ran pour"
    first, second, *_ = story(task)
    assert first.startswith("Ran pour (contexts/test_propagate_lineage.py:")
    assert first.endswith("in a context of its own.")
    assert second.startswith("GET /tea started it at contexts/test_propagate_lineage.py:")


BROKEN = [
    (Recorder, "started"), (Lineage, "started"), (Lineage, "settle"), (Lineage, "outlived_ns"),
    (Registry, "shared_copy"), (pushes, "calling"), (beginning, "claim"), (pushes, "_work_ends"),
    (recorder, "trace_name"), (Recorder, "on_escape"), (Recording, "watch_g"),
    (Recording, "look_inside"), (beginning, "block_of"),
]  # fmt: skip


@pytest.mark.parametrize(("owner", "name"), BROKEN, ids=[name for _, name in BROKEN])
def test_a_fault_of_the_kits_own_never_hurts_the_work(
    owner: t.Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever fails while work is watched is counted; the work itself goes on."""
    shop = make()
    done: list[t.Any] = []

    def broken(*_: t.Any, **__: t.Any) -> t.NoReturn:
        raise ZeroDivisionError("own")

    def work() -> None:
        g.own = g.user
        done.append((g.user, request.path))
        if len(done) > 2:
            raise ValueError("mine")

    def view() -> None:
        g.user = "ada"
        in_thread(propagate(work, g=["user"]))
        in_thread(propagate(work, g="copy", teardown=False))
        with pytest.raises(ValueError, match="mine"):
            in_thread(propagate(work, g="copy"))
        in_thread(copy_current_request_context(lambda: done.append(request.path)))

    kit = shop.extensions["ctxkit"]
    if name == "on_escape":
        kit.recorder.on_escape = broken
    else:
        monkeypatch.setattr(owner, name, broken)
    served(shop, view)
    assert done == [("ada", "/tea")] * 3 + ["/tea"]
    assert current_app_context(None) is None
    failures = kit.recorder.cost()["failures"]
    if name != "shared_copy":  # no copy is shared here
        assert failures
    assert {row["type"] for row in failures} <= {"ZeroDivisionError"}
