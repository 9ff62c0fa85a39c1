"""The catalogue, rules that fail, and rules of the user's own."""

from __future__ import annotations

import dataclasses
import json
import sys
import threading
import typing as t

import pytest
from flask import Flask, g

from flask_ctxkit.config import Config
from flask_ctxkit.errors import CtxKitError
from flask_ctxkit.findings import Evidence, Failure, Finding, Rule, Rules, rule_of
from flask_ctxkit.findings.catalogue import BUILT_IN, CODE, PER_RULE
from flask_ctxkit.findings.facts import REMEMBERED, WRITERS, Memory
from flask_ctxkit.signals import finding_raised
from flask_ctxkit.trace.model import Change, Error, Event, ResponseChange, Trace
from flask_ctxkit.units import Unit

Watch = t.Callable[..., t.Any]


def make_rules() -> Rules:
    return Rules(Config.from_mapping({}))


def event(index: int, name: str = "load_user", **fields: t.Any) -> Event:
    values: dict[str, t.Any] = {"phase": "before_request", "where": "auth.py:12", **fields}
    return Event(index=index, name=name, start_us=0.0, duration_us=10.0, **values)


def make_trace(*events: Event, **fields: t.Any) -> Trace:
    values: dict[str, t.Any] = {
        "id": "8f3a1c00",
        "kind": "request",
        "state": "finished",
        "name": "GET /cart",
        "method": "GET",
        "path": "/cart",
        "query": "",
        "endpoint": "cart",
        "status": 200,
        "started_at": "2026-04-01T10:00:00.000000+00:00",
        "duration_ms": 1.0,
        "unit": Unit("thread", "MainThread", 1, 1, 4711),
        "events": events,
        "response": {"status": 200, "headers": [], "streamed": False},
    }
    return Trace(**{**values, **fields})


def make_rule(check: t.Callable[..., t.Any], code: str = "of-mine", **fields: t.Any) -> Rule:
    return Rule(code, "warning", "yours", "Mine", "A cause.", "A fix.", check, **fields)


def test_each_rule_has_a_code_of_its_own_a_cause_and_a_fix() -> None:
    codes = [rule.code for rule in BUILT_IN]
    assert len({*codes}) == len(codes)
    for rule in BUILT_IN:
        assert CODE.fullmatch(rule.code)
        assert rule.theme in {"hooks", "contexts", "headers", "session", "set-up", "resources"}
        assert rule.cause.endswith(".")
        assert not rule.title.endswith(".")
        assert rule.fix
        json.dumps(rule.as_dict())


def test_a_finding_is_plain_data() -> None:
    finding = Finding("It is late.", (Evidence("seen", 3, "a.py:1"),), "Move it.", code="x")
    assert json.loads(json.dumps(finding.as_dict())) == {
        "code": "x",
        "severity": None,
        "message": "It is late.",
        "evidence": [{"text": "seen", "event": 3, "where": "a.py:1"}],
        "fix": "Move it.",
        "trace": None,
    }
    assert finding.at("8f3a1c00").trace == "8f3a1c00"
    assert finding.trace is None


def test_what_a_check_leaves_empty_comes_from_its_rule() -> None:
    rules = make_rules()
    rules.add(make_rule(lambda trace, known: [Finding("Late.")]))
    (finding,) = rules.for_trace(make_trace())
    assert finding == Finding(
        "Late.", fix="A fix.", code="of-mine", severity="warning", trace="8f3a1c00"
    )


@pytest.mark.parametrize("error", [ZeroDivisionError("by design"), RecursionError, GeneratorExit])
def test_a_rule_that_raises_is_counted_and_stops_no_other(error: t.Any) -> None:
    rules = make_rules()

    def broken(trace: Trace, known: t.Any) -> t.Iterator[Finding]:
        yield Finding("Seen before it broke.")
        raise error

    rules.add(make_rule(broken, "broken"))
    rules.add(make_rule(lambda trace, known: [Finding("Late.")]))
    for _ in range(3):
        found = rules.for_trace(make_trace())
        assert {finding.code for finding in found} == {"broken", "of-mine"}
    (failure,) = rules.failures
    assert (failure.step, failure.count) == ("rule broken", 3)


def test_an_app_that_cannot_be_looked_at_is_counted_and_its_traces_still_are() -> None:
    class Odd:
        def __getattr__(self, name: str) -> t.Any:
            raise LookupError(name)

    rules = make_rules()
    rules.add(make_rule(lambda trace, known: [Finding("Late.")]))
    assert rules.for_app(t.cast("Flask", Odd())) == ()
    assert "facts" in {failure.step for failure in rules.failures}
    assert [finding.message for finding in rules.for_trace(make_trace())] == ["Late."]


def test_an_interrupt_in_a_rule_is_not_swallowed() -> None:
    rules = make_rules()

    def interrupted(trace: Trace, known: t.Any) -> None:
        raise KeyboardInterrupt

    rules.add(make_rule(interrupted))
    with pytest.raises(KeyboardInterrupt):
        rules.for_trace(make_trace())


def test_the_message_of_a_failure_never_runs_the_users_code() -> None:
    class Odd(Exception):  # noqa: N818
        def __str__(self) -> str:
            raise AssertionError

    def broken(trace: Trace, known: t.Any) -> None:
        raise Odd("told")

    rules = make_rules()
    rules.add(make_rule(broken))
    rules.for_trace(make_trace())
    assert rules.failures[0].message == "told"


def test_a_rule_without_end_is_cut() -> None:
    rules = make_rules()

    def endless(trace: Trace, known: t.Any) -> t.Iterator[Finding]:
        serial = 0
        while True:
            serial += 1
            yield Finding(f"It is {serial}.")

    rules.add(make_rule(endless))
    assert len(rules.for_trace(make_trace())) == PER_RULE


def test_the_same_finding_stands_once() -> None:
    rules = make_rules()
    rules.add(make_rule(lambda trace, known: [Finding("Late."), Finding("Late.")]))
    assert len(rules.for_trace(make_trace())) == 1


def test_a_rule_of_any_kind_may_be_added() -> None:
    rules = make_rules()
    rules.add(make_rule(lambda app, config: [Finding(app.name)], "for-app", when="app"))
    rules.add(make_rule(lambda lives, leaks: [Finding(str(lives))], "for-live", when="live"))
    app = Flask("shop")
    assert [f.message for f in rules.for_app(app)] == ["shop"]
    assert [f.message for f in rules.for_live((), ())] == ["()"]
    assert rules.catalogue()[-1].code == "for-live"


@pytest.mark.parametrize("code", ["", "Of-mine", "of mine", "of_mine", "-x", "x-", "1x", "ü"])
def test_a_code_that_is_none_is_refused(code: str) -> None:
    with pytest.raises(CtxKitError, match="lower case"):
        make_rules().add(make_rule(lambda trace, known: None, code))


def test_a_code_that_is_taken_is_refused() -> None:
    with pytest.raises(CtxKitError, match="already") as caught:
        make_rules().add(make_rule(lambda trace, known: None, "hook-order"))
    assert caught.value.evidence == {"code": "hook-order"}


def test_rules_of_one_app_are_not_those_of_another() -> None:
    one, other = make_rules(), make_rules()
    one.add(make_rule(lambda trace, known: None))
    assert len(one.catalogue()) == len(other.catalogue()) + 1


def test_rules_can_be_added_while_others_look() -> None:
    rules = make_rules()
    stop = threading.Event()
    errors: list[BaseException] = []

    def look() -> None:
        while not stop.is_set():
            try:
                rules.for_trace(make_trace(event(1)))
            except BaseException as error:
                errors.append(error)

    thread = threading.Thread(target=look)
    thread.start()
    for serial in range(200):
        rules.add(make_rule(lambda trace, known: None, f"of-mine-{serial}"))
    stop.set()
    thread.join()
    assert errors == []
    assert rules.failures == ()


# ------------------------------------------------------------------------ of the user's own


def test_a_function_becomes_a_rule_by_its_name_and_docstring() -> None:
    def cart_without_user(trace: Trace) -> t.Iterator[str]:
        """A cart is shown to nobody.

        More about it.
        """
        if trace.endpoint == "cart":
            yield "The cart was shown without a user."

    rule = rule_of(cart_without_user, fix="Log in first.", cause="No check.")
    assert (rule.code, rule.title) == ("cart-without-user", "A cart is shown to nobody.")
    rules = make_rules()
    assert not rules.every_trace
    rules.add(rule)
    assert rules.every_trace
    (finding,) = rules.for_trace(make_trace())
    assert finding.message == "The cart was shown without a user."
    assert finding.fix == "Log in first."
    assert rules.for_trace(make_trace(endpoint="index")) == ()


@pytest.mark.parametrize(
    ("answer", "messages"),
    [
        (None, []),
        ("Late.", ["Late."]),
        (Finding("Late."), ["Late."]),
        (["Late.", Finding("Odd.")], ["Late.", "Odd."]),
        ((), []),
    ],
)
def test_a_function_may_answer_in_any_way(answer: t.Any, messages: list[str]) -> None:
    rules = make_rules()
    rules.add(rule_of(lambda trace: answer, code="of-mine", timed=False))
    assert not rules.every_trace
    assert [finding.message for finding in rules.for_trace(make_trace())] == messages


def test_functions_for_each_kind_get_what_the_kind_is_about() -> None:
    rules = make_rules()
    got: list[t.Any] = []
    rules.add(rule_of(got.append, code="a", when="app"))
    rules.add(rule_of(lambda lives, leaks: got.append((lives, leaks)), code="b", when="live"))
    rules.add(rule_of(got.append, code="c", when="escape"))
    app = Flask("shop")
    rules.for_app(app)
    rules.for_live((), ())
    error = Error("KeyError", "x")
    rules.for_error(error)
    assert got == [app, ((), ()), Failure(error)]


# ----------------------------------------------------------------------------- odd traces


def test_traces_with_nothing_in_them_are_sound() -> None:
    rules = make_rules()
    rules.for_app(Flask("shop"))
    empty = make_trace(
        response=None, endpoint=None, method=None, path=None, status=None, session=None
    )
    assert rules.for_trace(empty) == ()
    assert rules.failures == ()


def test_traces_with_captured_values_of_every_kind_raise_nothing() -> None:
    """Headers and environ may be hidden, cut or of any size."""
    rules = make_rules()
    rules.for_app(Flask("shop"))
    hidden = {"$hidden": "looks like a JWT", "$type": "str", "$size": 91, "$mark": "3f2a"}
    names = ("Cache-Control", "Content-Length", "Access-Control-Allow-Origin", "X-Frame-Options")
    ResponseChange(added=dict.fromkeys(names, hidden))
    change = ResponseChange(changed={name: [hidden, "x"] for name in names})
    trace = make_trace(
        event(
            1, phase="make_response", response=ResponseChange(added=dict.fromkeys(names, hidden))
        ),
        event(2, phase="after_request", response=change),
        event(3, phase="teardown_request", session=Change(added={"x" * 300: hidden})),
        response={
            "status": 200,
            "headers": [[n, v, None] for n in names for v in (hidden, "x" * 200, None, 5)],
            "streamed": False,
        },
        environ=dict.fromkeys(
            ("HTTP_X_FORWARDED_PROTO", "wsgi.url_scheme", "SERVER_NAME", "SERVER_SOFTWARE"), hidden
        ),
        session={"state": "changed", "names": {}, "accessed_by": 1, "saved": True},
    )
    rules.for_trace(trace)
    assert rules.failures == ()


def test_a_trace_of_ten_thousand_events_is_looked_at_in_bounded_time() -> None:
    import time

    rules = make_rules()
    rules.for_app(Flask("shop"))
    names = {f"name{i}": i for i in range(20)}
    changed = Change(added=names)
    events = [event(i, f"hook{i}", g=changed) for i in range(1, 10_001)]
    begun = time.perf_counter()
    assert rules.for_trace(make_trace(*events)) == ()
    assert time.perf_counter() - begun < 20


def test_what_is_remembered_is_bounded() -> None:
    memory = Memory()
    for serial in range(REMEMBERED + 10):
        change = Change(added={f"name{serial}": 1, "same": 1})
        memory.learn(make_trace(event(1, f"hook{serial}", g=change)))
    assert memory.writers("name0") == []
    assert len(memory.writers("same")) == WRITERS
    assert memory.writers("same")[0].event.name == f"hook{REMEMBERED + 9}"


def test_an_after_request_that_was_seen_to_return_none_is_named() -> None:
    rules = make_rules()
    lost = event(1, "measure", phase="after_request", note="returned None")
    (finding,) = rules.for_trace(make_trace(lost))
    assert finding.code == "after-request-lost-response"
    assert finding.fix == "End measure, on every path, with: return response"


def test_facts_hold_no_object_of_the_apps(watch: Watch) -> None:
    """An app must be collectable by reference count."""

    def everything(value: t.Any) -> t.Iterator[t.Any]:
        yield value
        if dataclasses.is_dataclass(value):
            for field in dataclasses.fields(value):
                yield from everything(getattr(value, field.name))
        elif isinstance(value, (tuple, frozenset)):
            for item in value:
                yield from everything(item)

    app = Flask(__name__)

    @app.before_request
    def load_user() -> None:
        g.user = app.name

    before = sys.getrefcount(app)
    rules = make_rules()
    rules.for_app(app)
    assert sys.getrefcount(app) == before
    facts = rules._facts
    assert facts is not None
    assert facts.setters("user")[0].name.endswith("load_user")
    kinds = {type(value).__module__ for value in everything(facts)}
    assert kinds <= {"builtins", "flask_ctxkit.findings.facts"}


def test_a_finding_of_a_request_is_sent_once_per_trace(watch: Watch) -> None:
    app = Flask(__name__)
    heard: list[tuple[t.Any, Finding]] = []

    @app.before_request
    def limiter() -> None:
        g.rate = g.user

    @app.before_request
    def load_user() -> None:
        g.user = "ada"

    app.add_url_rule("/", "index", lambda: "x")
    watched = watch(app)

    def listen(sender: t.Any, finding: Finding) -> None:
        heard.append((sender, finding))

    with finding_raised.connected_to(listen, app):
        watched.client.get("/")
        watched.client.get("/")
    assert [(sender, finding.code) for sender, finding in heard] == [(app, "hook-order")] * 2
    assert [finding.trace for _, finding in heard] == [trace.id for trace in watched.traces[::-1]]
    assert watched.traces[0].findings[0] == heard[1][1].as_dict()


def test_a_rule_of_the_users_own_sees_every_request(watch: Watch) -> None:
    """Also one that took the same steps as a sound one before."""
    app = Flask(__name__)
    app.add_url_rule("/<int:number>", "item", lambda number: "x")
    watched = watch(app)

    def odd_number(trace: Trace) -> str | None:
        return "An odd number." if trace.path is not None and int(trace.path[1:]) % 2 else None

    watched.rules.add(rule_of(odd_number))
    for number in range(6):
        watched.client.get(f"/{number}")
    assert watched.rules.tally.counts() == {"odd-number": 3}
