"""The kit under real servers: each a process of its own, with many requests at once."""

from __future__ import annotations

import json
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor

import pytest

from .app import STEPS
from .process import SERVERS, Running, Server, serve

pytestmark = [pytest.mark.server, pytest.mark.timeout(240)]

AT_ONCE = 16
REQUESTS = 64
KINDS = ("work", "work", "stream", "fail")
ASLEEP = {
    "hook": ("before_request", "sleepy_hook"),
    "view": ("view", "sleepy_view"),
    "stream": ("stream", "sleepy_stream"),
}
"""Where a request to ``/sleep/PLACE`` sleeps: the phase, and the function."""


def named(server: Server) -> str:
    return server.name.replace(" ", "-")


@pytest.fixture(scope="module", params=SERVERS, ids=named)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> t.Iterator[Running]:
    """One server after the other, each with the answers to the same requests behind it."""
    if request.param.command(0) is None:
        pytest.skip(f"{request.param.name} is not installed")
    with serve(request.param, tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="module")
def answers(server: Running) -> dict[int, tuple[str, int, str, dict[str, str]]]:
    """What came back for each of many requests, sixteen at a time."""

    def visit(number: int) -> tuple[str, int, str, dict[str, str]]:
        kind = KINDS[number % len(KINDS)]
        return kind, *server.get(f"/{kind}/?n={number}")

    with ThreadPoolExecutor(AT_ONCE) as clients:
        return dict(enumerate(clients.map(visit, range(REQUESTS))))


Answers = dict[int, tuple[str, int, str, dict[str, str]]]


def traces_of(server: Running) -> dict[int, dict[str, t.Any]]:
    """Each whole trace by the number of its request."""
    found = server.ask("requests.json?all=1&limit=1000")["requests"]
    whole = [server.ask(f"requests/{row['id']}.json")["trace"] for row in found]
    numbered = {}
    for trace in whole:
        name, _, number = (trace["query"] or "").partition("=")
        if name == "n":
            assert int(number) not in numbered, f"request {number} has two traces"
            numbered[int(number)] = trace
    return numbered


def test_every_answer_is_right(answers: Answers) -> None:
    """The kit changes no answer, and no request gets another's."""
    for number, (kind, status, body, headers) in answers.items():
        if kind == "fail":
            assert status == 500
        else:
            assert status == 200
            assert headers["X-Number"] == str(number)
        if kind == "work":
            assert json.loads(body) == {"number": number}
        if kind == "stream":
            assert body == f"{number} {number}\n" * 5


def test_no_context_is_left(server: Running, answers: Answers) -> None:
    """When all have their answers nothing is pushed any more, and nothing leaked."""
    deadline = time.monotonic() + 10
    live = server.ask("live.json")
    while live["contexts"] and time.monotonic() < deadline:
        time.sleep(0.05)
        live = server.ask("live.json")
    assert live["contexts"] == []
    assert live["leaks"] == []


def test_g_and_session_are_never_mixed(server: Running, answers: Answers) -> None:
    """Each hook and view saw the ``g`` and the session of its own request."""
    assert json.loads(server.get("/log/")[1])["mixed"] == []


def test_every_request_has_a_trace_of_its_own(server: Running, answers: Answers) -> None:
    """Stored under its own id, with its own path and status, and no other."""
    traces = traces_of(server)
    assert traces.keys() == answers.keys()
    assert len({trace["id"] for trace in traces.values()}) == REQUESTS
    for number, trace in traces.items():
        kind, status, _, _ = answers[number]
        assert (trace["path"], trace["status"]) == (f"/{kind}/", status)
        assert trace["state"] == "finished"
        assert trace["g"].get("number", number) == number
        raised = trace["exception"]
        assert (raised and raised["type"]) == ("ZeroDivisionError" if kind == "fail" else None)


def test_every_trace_names_its_unit(server: Running, answers: Answers) -> None:
    """The thread or greenlet and the process that really ran the request."""
    units = json.loads(server.get("/log/")[1])["units"]
    traces = traces_of(server)
    assert units
    for number, seen in units.items():
        unit = traces[int(number)]["unit"]
        assert (unit["worker"], unit["kind"], unit["ident"]) == (
            seen["pid"],
            seen["kind"],
            seen["ident"],
        )
        assert unit["kind"] == server.server.unit


def test_requests_at_the_same_time_run_in_different_units(
    server: Running, answers: Answers
) -> None:
    """Many did run at the same time, where the server can do that at all."""
    traces = {trace["id"]: trace for trace in traces_of(server).values()}
    overlaps = [
        (trace["unit"]["key"], traces[other]["unit"]["key"])
        for trace in traces.values()
        for other in trace["concurrent"]
        if other in traces
    ]
    assert all(mine != other for mine, other in overlaps)
    assert bool(overlaps) == server.server.parallel


def test_traces_equal_the_hooks_own_log(server: Running, answers: Answers) -> None:
    """The steps that were recorded are the steps that the hooks wrote down, in that order."""
    steps = json.loads(server.get("/log/")[1])["steps"]
    traces = traces_of(server)
    for number, (kind, _, _, _) in answers.items():
        own = set(STEPS)
        names = [event["name"].rpartition(".")[2] for event in traces[number]["events"]]
        recorded = [name for name in names if name in own]
        assert recorded == steps[str(number)]
        if kind == "work":
            assert recorded == STEPS


def functions(context: dict[str, t.Any]) -> list[str]:
    return [frame["function"].rpartition(".")[2] for frame in context["frames"]]


def asleep(server: Running, places: t.Collection[str]) -> dict[str, dict[str, t.Any]]:
    """The live contexts by the place they sleep in, when all sleep or time is up."""
    deadline = time.monotonic() + 20
    while True:
        contexts = server.ask("live.json")["contexts"]
        found = {c["path"].rpartition("/")[2]: c for c in contexts if c["path"]}
        sleeping = {place for place, c in found.items() if ASLEEP[place][1] in functions(c)}
        if sleeping == set(places) or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def look_at_sleepers(running: Running, places: t.Collection[str]) -> dict[str, dict[str, t.Any]]:
    """Send a request to sleep in each of *places*, look from outside, and wake all."""
    with ThreadPoolExecutor(len(places)) as clients:
        calls = {place: clients.submit(running.get, f"/sleep/{place}") for place in places}
        try:
            asleep(running, places)
            time.sleep(0.01)  # the last one may be too young to have an age
            found = asleep(running, places)
        finally:
            running.get("/wake/")
        woken = {place: call.result()[:2] for place, call in calls.items()}
    assert woken == dict.fromkeys(places, (200, "good night and good morning"))
    return found


def assert_named(place: str, context: dict[str, t.Any], server: Server) -> None:
    """Its phase, and the function in which it sleeps: as the hook, and among its frames."""
    phase, function = ASLEEP[place]
    assert context["phase"] == phase
    assert (context["method"], context["path"]) == ("GET", f"/sleep/{place}")
    assert context["endpoint"] == "bed.sleepy_view"
    assert context["unit"]["kind"] == server.unit
    assert context["state"] != "left"
    assert function in functions(context)
    if phase != "stream":  # the body is no registered function
        assert context["hook"].rpartition(".")[2] == function
        assert context["where"].startswith("servers/app.py:")


SLEEPING = [server for server in SERVERS if server.parallel]


@pytest.mark.parametrize("sleeper", SLEEPING, ids=named)
def test_sleeping_requests_are_read_from_outside(
    sleeper: Server, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Asleep in a hook, in a view and in a stream: another process is told which is where."""
    if sleeper.command(0) is None:
        pytest.skip(f"{sleeper.name} is not installed")
    with serve(sleeper, tmp_path_factory.mktemp("asleep")) as running:
        found = look_at_sleepers(running, ASLEEP)
        assert found.keys() == ASLEEP.keys()
        for place, context in found.items():
            assert_named(place, context, sleeper)
            assert context["age_exact"]
            assert context["age_s"] > 0
        assert len({context["unit"]["key"] for context in found.values()}) == len(ASLEEP)
        assert running.ask("live.json")["leaks"] == []


@pytest.mark.parametrize(
    "sleeper", [s for s in SLEEPING if s.name.startswith("gunicorn")], ids=named
)
def test_sleeping_requests_are_read_with_recording_off(
    sleeper: Server, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Hook and view are read from the frames; that streams are missed is said."""
    if sleeper.command(0) is None:
        pytest.skip(f"{sleeper.name} is not installed")
    folder = tmp_path_factory.mktemp("asleep")
    with serve(sleeper, folder, CTXKIT_TRACE=False) as running:
        found = look_at_sleepers(running, ("hook", "view"))
        assert found.keys() == {"hook", "view"}
        for place, context in found.items():
            assert_named(place, context, sleeper)
            assert not context["age_exact"]
        live = running.ask("live.json")
        assert live["contexts"] == []
        assert "streams" in " ".join(live["missing"])
