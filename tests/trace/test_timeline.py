"""Random apps whose functions log themselves: the trace equals their own log."""

from __future__ import annotations

import os
import typing as t

from hypothesis import HealthCheck, Phase, given, settings

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


def check(run: Run, trace: Trace) -> None:
    log = [entry for entry in run.entries if entry.phase != "url_value_preprocessor"]
    names = {entry.name for entry in log}
    events = told(trace, names)
    assert [(e.phase, e.name, e.outcome) for e in events] == [
        (e.phase, e.name, e.outcome) for e in log
    ]
    for event, entry in zip(events, log, strict=True):
        check_event(event, entry)


def check_event(event: Event, entry: Entry) -> None:
    assert (event.error.type if event.error else None) == entry.error
    assert (event.blueprint or None) == (entry.blueprint or None)
    if not entry.late:  # by then the trace is finished, and holds nothing of the user's
        assert plain(event.g) == entry.g.net, event.name
        assert plain(event.session) == entry.session.net, event.name


def plain(change: t.Any) -> dict[str, t.Any]:
    return {"added": dict(change.added), "changed": dict(change.changed), "removed": dict(change.removed)}


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
    hold(plan)
