"""Random apps whose functions log themselves: the trace equals their own log."""

from __future__ import annotations

import os
import typing as t

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings

from flask_ctxkit import CtxKit

from .plans import Plan, plans
from .runner import Runner

if t.TYPE_CHECKING:
    from flask_ctxkit.trace.model import Event, Trace

    from .runner import Entry, Run

EXAMPLES: t.Final = int(os.environ.get("CTXKIT_EXAMPLES", "60"))
PHASES = {
    "before_request", "view", "error_handler", "after_this_request", "after_request",
    "teardown_request", "teardown_appcontext", "template",
}  # fmt: skip


BEGINNING = ["make_request", "push_app", "push_request", "open_session", "match"]


def told(trace: Trace, names: set[str]) -> list[Event]:
    """The events of the plan's own functions, but those that Flask skipped."""
    return [
        event
        for event in trace.events
        if event.phase in PHASES and event.name in names and event.outcome != "skipped"
    ]


def observe(plan: Plan) -> tuple[Runner, dict[int, Trace]]:
    runner = Runner(plan)
    app = runner.build()
    app.config["CTXKIT_TRACE"] = True
    CtxKit(app)
    runner.run()
    state = app.extensions["ctxkit"]
    assert state.recorder.cost()["failures"] == []
    assert state.rules.failures == ()
    traces = sorted(state.store.newest(), key=lambda trace: trace.started_at)
    scripts = iter(run for run in runner.runs if run.kind == "script")
    by_run: dict[int, Trace] = {}
    for trace in traces:
        if trace.kind == "script":
            by_run[next(scripts).number] = trace
        else:
            assert trace.query is not None
            by_run[int(trace.query.removeprefix("n="))] = trace
    assert sorted(by_run) == [run.number for run in runner.runs]
    return runner, by_run


def hold(plan: Plan) -> None:
    runner, traces = observe(plan)
    for run in runner.runs:
        check(run, traces[run.number])
        check_skipped(run, traces[run.number], runner)


def check(run: Run, trace: Trace) -> None:
    log = [entry for entry in run.entries if entry.phase != "url_value_preprocessor"]
    names = {entry.name for entry in log}
    events = told(trace, names)
    assert [(e.phase, e.name, e.outcome) for e in events] == [
        (e.phase, e.name, e.outcome) for e in log
    ]
    for event, entry in zip(events, log, strict=True):
        check_event(event, entry)
    check_preprocessors(run, trace)
    check_order(trace)
    saves = [e for e in trace.events if e.phase == "save_session" and e.outcome == "ok"]
    assert len(saves) <= 1
    assert bool(saves) <= bool(run.saves)


def check_preprocessors(run: Run, trace: Trace) -> None:
    """They are told as one block, with those that ran, the last of which may have raised."""
    ran = [entry for entry in run.entries if entry.phase == "url_value_preprocessor"]
    blocks = [event for event in trace.events if event.phase == "url_value_preprocessor"]
    assert len(blocks) == bool(ran)
    if not ran:
        return
    members = [name.rpartition(".")[2] for name in blocks[0].members]
    raised = ran[-1].outcome == "raised"
    assert (blocks[0].outcome == "raised") == raised
    if blocks[0].error is None and raised:  # an HTTP error that Flask handled by itself
        assert members[: len(ran)] == [entry.name for entry in ran]
        return
    assert members == [entry.name for entry in ran]
    assert (blocks[0].error.type if blocks[0].error else None) == ran[-1].error


def check_order(trace: Trace) -> None:
    """The steps of Flask's own stand where Flask takes them, each once."""
    first = [event.phase for event in trace.events][: len(BEGINNING)]
    if trace.kind == "request":
        wanted = [p for p in BEGINNING if p != "push_app" or not trace.contexts[0]["reused"]]
        assert first[: len(wanted)] == wanted
    assert [event.start_us for event in trace.events] == sorted(e.start_us for e in trace.events)
    assert all(event.duration_us >= 0 for event in trace.events)


def check_skipped(run: Run, trace: Trace, runner: Runner) -> None:
    """After a function that raised: those behind it in its table, on the lines that stop."""
    skipped = [event for event in trace.events if event.outcome == "skipped"]
    assert all(event.note for event in skipped)
    wanted = runner.skipped(run, trace.endpoint)
    told = [(e.phase, e.name) for e in skipped if e.phase != "save_session"]
    assert sorted(told) == sorted(wanted)
    unsaved = any(event.phase == "save_session" for event in skipped)
    if run.kind == "request" and not run.saves:
        assert unsaved
    after = {"after_request", "after_this_request"}
    if not unsaved:
        assert not any(e.phase in after and e.outcome == "raised" for e in run.entries)


def check_event(event: Event, entry: Entry) -> None:
    assert (event.error.type if event.error else None) == entry.error
    assert (event.blueprint or None) == (entry.blueprint or None)
    if entry.response is not None and entry.outcome != "raised":
        assert response_change(event) == headers_change(*entry.response)
    if not entry.late:  # by then the trace is finished, and holds nothing of the user's
        assert plain(event.g) == entry.g.net, event.name
        assert plain(event.session) == entry.session.net, event.name


def response_change(event: Event) -> tuple[dict[str, t.Any], t.Any]:
    return plain(event.response), event.response.status


def headers_change(
    before: dict[str, str], after: dict[str, str], status: int, new_status: int
) -> tuple[dict[str, t.Any], t.Any]:
    added = {name: value for name, value in after.items() if name not in before}
    removed = {name: value for name, value in before.items() if name not in after}
    changed = {
        name: [before[name], value]
        for name, value in after.items()
        if name in before and before[name] != value
    }
    moved = None if status == new_status else (status, new_status)
    return {"added": added, "changed": changed, "removed": removed}, moved


def plain(change: t.Any) -> dict[str, t.Any]:
    return {
        "added": dict(change.added),
        "changed": dict(change.changed),
        "removed": dict(change.removed),
    }


# A body that an error left behind ends as it is collected, and its teardown functions may raise.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    # Without explaining, which traces every line of Flask.
    report_multiple_bugs=False,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
)
@given(plans())
def test_a_trace_equals_the_log_of_the_hooks(plan: Plan) -> None:
    """Order, names, outcomes and who raised; what each did to g and the session."""
    assume(not plan.is_beyond_flask())
    hold(plan)
