"""The commands that ask a running app: what they say, where, and with which exit code."""

from __future__ import annotations

import itertools
import json
import re
import socket
import typing as t

import pytest

COMMANDS: tuple[tuple[str, ...], ...] = (
    (), ("live",), ("ps", "--frames"), ("stacks",), ("requests",), ("tail",), ("show",),
    ("show", "--full"), ("link",),
)  # fmt: skip
FORMATS = ("md", "table", "json")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("columns", [60, 61, 80, 100, 140])
def test_every_answer_fits_the_terminal(
    shop: t.Any, run: t.Any, command: tuple[str, ...], columns: int
) -> None:
    outcome = run("--url", shop.url, *command, "--format", "table", columns=columns)
    assert outcome.code == 0
    told = [found for found in outcome.lines if not found.startswith("curl ")]
    assert max(map(len, told)) <= columns


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("wanted", FORMATS)
@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1", "cp1252"])
def test_every_answer_can_be_written_in_every_encoding(
    shop: t.Any, run: t.Any, command: tuple[str, ...], wanted: str, encoding: str
) -> None:
    """Signs get stand-ins where the output isn't UTF-8; nothing raises."""
    outcome = run("--url", shop.url, *command, "--format", wanted, encoding=encoding)
    assert outcome.code == 0
    if encoding != "utf-8":
        assert outcome.out.isascii()


def _planted(value: t.Any, escape: str) -> t.Any:
    if isinstance(value, dict):
        return {
            name + escape * (name not in KEPT): _planted(v, escape) for name, v in value.items()
        }
    if isinstance(value, list):
        return [_planted(item, escape) for item in value]
    return value + escape if isinstance(value, str) else value


KEPT = frozenset(
    [
        "schema",
        "app",
        "findings",
        "checks",
        "contexts",
        "requests",
        "totals",
        "folded",
        "cost",
        "failures",
        "evidence",
        "fix",
        "message",
        "severity",
        "code",
        "trace",
        "where",
        "name",
        "kind",
        "state",
        "unit",
        "method",
        "path",
        "endpoint",
        "status",
        "phase",
        "hook",
        "frames",
        "file",
        "line",
        "function",
        "pushed",
        "leaks",
        "missing",
        "app_stack",
        "request_stack",
        "locals",
        "current",
        "stack",
        "g",
        "session",
        "names",
        "events",
        "source",
        "note",
        "response",
        "headers",
        "added",
        "changed",
        "removed",
        "story",
        "curl",
        "exception",
        "strip",
        "id",
        "worker",
        "error",
        "type",
        "started_at",
        "duration_ms",
        "age_s",
        "count",
        "step",
        "static",
        "health",
        "query",
        "near",
        "last_at",
        "recording",
        "flask",
        "pid",
        "uptime_s",
        "index",
        "duration_us",
        "start_us",
        "outcome",
        "members",
        "text",
    ]
)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("wanted", FORMATS)
def test_nothing_that_a_terminal_acts_on_comes_through(
    shop: t.Any, made: t.Any, run: t.Any, command: tuple[str, ...], wanted: str
) -> None:
    """An escape in every text and every name that the app's data can hold."""
    shop.bodies = {
        path: _planted(body, made.escape) for path, body in shop.bodies.items()
    } | {"/_ctx/requests/latest.json": _planted(made.trace(), made.escape)}  # fmt: skip
    outcome = run("--url", shop.url, *command, "--format", wanted)
    assert outcome.code == 0
    for text in (outcome.out, outcome.err):
        assert all(found.isprintable() for found in text.split("\n"))
    if command and command[0] != "link":
        assert "x1b]0;pwned" in outcome.out or "u001b]0;pwned" in outcome.out


@pytest.mark.parametrize("wanted", FORMATS)
def test_an_error_of_the_server_can_not_inject_either(
    canned: t.Any, made: t.Any, run: t.Any, wanted: str
) -> None:
    error = {"code": "unknown" + made.escape, "message": "gone" + made.escape}
    canned.bodies["/_ctx/requests/latest.json"] = (404, {"schema": 1, "error": error})
    outcome = run("--url", canned.url, "show", "--format", wanted)
    assert outcome.code == 1
    assert all(text.isprintable() for text in (outcome.out + outcome.err).split("\n"))


KEYS = (
    "app", "findings", "contexts", "requests", "trace", "totals", "cost", "checks", "leaks",
    "missing", "app_stack", "request_stack", "locals", "folded", "query", "near",
)  # fmt: skip
WRONG_TYPES: tuple[t.Any, ...] = (
    None,
    5,
    "text",
    [],
    {},
    [None, 1, "x", [], {}],
    {"a": None, "b": {"stack": [{}]}},
)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("wrong", WRONG_TYPES, ids=repr)
def test_a_report_of_another_shape_is_no_crash(
    shop: t.Any, run: t.Any, command: tuple[str, ...], wrong: t.Any
) -> None:
    """Each field of the report in turn, and all of them at once."""
    bodies = dict(shop.bodies)
    for keys in ((key,) for key in (*KEYS, None)):
        for path, body in bodies.items():
            changed = dict.fromkeys(KEYS, wrong) if keys == (None,) else {keys[0]: wrong}
            shop.bodies[path] = body | {k: v for k, v in changed.items() if k in body}
        outcome = run("--url", shop.url, *command)
        assert outcome.code in {0, 1}, outcome.err


def _leaves(value: t.Any, path: tuple[t.Any, ...] = ()) -> t.Iterator[tuple[t.Any, ...]]:
    if isinstance(value, (dict, list)):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield (*path, key)
            yield from _leaves(value[key], (*path, key))


def _with(value: t.Any, path: tuple[t.Any, ...], wrong: t.Any) -> t.Any:
    copy = json.loads(json.dumps(value))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = wrong
    return copy


@pytest.mark.parametrize("wrong", [None, "x", 1e300, [1], {"y": 2}], ids=repr)
def test_a_trace_with_any_field_of_another_type_is_shown(
    shop: t.Any, made: t.Any, run: t.Any, wrong: t.Any
) -> None:
    trace = made.trace()["trace"]
    paths = [path for path in _leaves(trace) if path[0] != "environ"]
    for path in itertools.islice(paths, 0, None, 3):
        body = {"schema": 1, "trace": _with(trace, path, wrong)}
        shop.bodies["/_ctx/requests/latest.json"] = body
        outcome = run("--url", shop.url, "show", "--full")
        assert outcome.code == 0, (path, outcome.err)


def test_the_overview_says_problems_first(shop: t.Any, run: t.Any) -> None:
    """Then what runs now, then what came last, then where to go on."""
    outcome = run("--url", shop.url)
    parts = ["shop · Flask 3.1.3 · debug", "PROBLEMS 1", "was not saved", "modified = True",
             "NOW 1", "/report", "LAST 214", "/cart", "next: flask ctx show latest"]  # fmt: skip
    places = [outcome.out.index(part) for part in parts]
    assert places == sorted(places)
    assert [got.path for got in shop.asked] == ["/_ctx/index.json"]


def test_a_sound_and_quiet_app_is_told_so(shop: t.Any, made: t.Any, run: t.Any) -> None:
    """Nothing is an empty table: each says what to do."""
    shop.bodies["/_ctx/index.json"] = made.index(findings=[], contexts=[], requests=[])
    told = run("--url", shop.url).out
    assert "No problem found. 24 checks run on 214 requests" in told
    assert "nothing is running" in told
    assert "NO REQUEST YET" in told


def test_the_kits_own_failures_and_drops_are_not_hidden(
    shop: t.Any, made: t.Any, run: t.Any
) -> None:
    failure = {"step": "before_request", "type": "KeyError", "message": "x", "count": 3}
    report = made.index(cost={"us_per_request": 9.0, "dropped": 7, "failures": [failure]})
    report["app"]["recording"] = "off"
    shop.bodies["/_ctx/index.json"] = report
    told = run("--url", shop.url).out
    assert "Recording is off (CTXKIT_TRACE)" in told
    assert "dropped 7 events" in told
    assert "failed 3x in before_request: KeyError: x" in told


@pytest.mark.parametrize("where", ["before", "after"])
def test_shared_options_stand_before_or_after_the_command(
    shop: t.Any, run: t.Any, where: str
) -> None:
    options = ["--url", shop.url, "--token", "t" * 32, "--format", "json"]
    words = [*options, "live"] if where == "before" else ["live", *options]
    outcome = run(*words)
    assert outcome.json()["schema"] == 1
    assert shop.asked[0].headers["authorization"] == "Bearer " + "t" * 32


def test_the_environment_names_the_app_and_the_option_wins(
    shop: t.Any, run: t.Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CTXKIT_URL", shop.url)
    monkeypatch.setenv("CTXKIT_TOKEN", "e" * 32)
    assert run("stacks").code == 0
    assert shop.asked[-1].headers["authorization"] == "Bearer " + "e" * 32
    monkeypatch.setenv("CTXKIT_URL", "http://127.0.0.1:1")
    assert run("stacks").code == 2
    assert run("stacks", "--url", shop.url).code == 0
    assert run("--url", shop.url, "stacks").code == 0


def test_the_port_of_flask_run_is_the_default(
    shop: t.Any, run: t.Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLASK_RUN_PORT", shop.url.rpartition(":")[2])
    assert run("stacks").code == 0


@pytest.fixture
def nobody() -> t.Iterator[str]:
    """A URL at which nobody listens, kept free while the test runs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{free.getsockname()[1]}"


@pytest.mark.parametrize("command", COMMANDS)
def test_nobody_to_ask_says_what_was_tried_and_what_to_do(
    run: t.Any, nobody: str, command: tuple[str, ...]
) -> None:
    outcome = run("--url", nobody, *command)
    assert (outcome.code, outcome.out) == (2, "")
    assert f"{nobody}/_ctx/   connection refused" in outcome.err
    assert "flask --app YOURAPP run --debug" in outcome.err
    assert "flask ctx --url http://host:port" in outcome.err
    assert "flask ctx hooks GET /" in outcome.err


def test_nobody_to_ask_is_an_error_in_json(run: t.Any, nobody: str) -> None:
    """Where the answer would stand: a script reads one stream."""
    outcome = run("live", "--url", nobody, "--format", "json")
    assert (outcome.code, outcome.err) == (2, "")
    assert outcome.json()["error"]["code"] == "refused"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((404, b"no"), ["CtxKit(app)", "--debug", "CTXKIT_URL_PREFIX", "CTXKIT_TOKEN",
                        "CTXKIT_PAGE_HOSTS", "CTXKIT_PAGES"]),
        ((403, b"no"), ["HTTP 403", "AirPlay", "--port 5001"]),
        ((200, b"<html>"), ["not with a report", "login wall"]),
        ((302, b"", {"Location": "/login"}), ["a redirect to somewhere else"]),
        ({"schema": 9}, ["newer flask-ctxkit", "pip install -U"]),
    ],
)  # fmt: skip
def test_each_wrong_answer_says_what_to_set(
    canned: t.Any, run: t.Any, answer: t.Any, words: list[str]
) -> None:
    canned.bodies["/_ctx/index.json"] = answer
    outcome = run("--url", canned.url)
    assert (outcome.code, outcome.out) == (2, "")
    assert [word for word in words if word not in outcome.err] == []


@pytest.mark.parametrize(
    "words",
    [
        ("nonsense",), ("live", "--format", "xml"), ("live", "extra"), ("--timeout", "0"),
        ("--url", "nonsense"), ("show", "zz"), ("show", "8f"), ("show", "8f3", "--slow"),
        ("requests", "--limit", "0"), ("tail", "--interval", "0"),
    ],
)  # fmt: skip
def test_wrong_use_ends_with_2(shop: t.Any, run: t.Any, words: tuple[str, ...]) -> None:
    outcome = run("--url", shop.url, *words)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err


# ------------------------------------------------------------------------------- live


def test_ps_is_live_and_names_the_frames(shop: t.Any, run: t.Any) -> None:
    told = run("--url", shop.url, "ps").out
    assert told == run("--url", shop.url, "live").out
    assert "| 31.2 s | 4711   | Thread-5   | GET /report | view shop.report ! slow |" in told
    assert "ssl.py:1106 SSLSocket.recv ← views.py:88 |" in told
    assert "Thread-4 still has the context of GET /feed." in told
    assert (
        "flask/app.py:917  Flask.full_dispatch_request"
        in run("--url", shop.url, "ps", "--frames").out
    )


def test_what_a_context_holds_is_told_below(shop: t.Any, made: t.Any, run: t.Any) -> None:
    """The resource, what is done with it, since when, for whom and where it was asked for."""
    unit = made.live()["unit"] | {"name": "Thread-9", "serial": 9, "key": "4711/thread-9"}
    held = {"resource": "db", "state": "closing", "unit": unit, "where": "shop/db.py:12"}
    rows = [made.live(resources=[held | {"age_s": 12.3}]), made.live(resources=[])]
    shop.bodies["/_ctx/live.json"] = {"schema": 1, "contexts": rows, "leaks": [], "missing": []}
    told = run("--url", shop.url, "live").out
    assert "OPEN RESOURCES 1" in told
    assert "| db       | closing | 12.3 s | Thread-9" in told
    assert "shop/db.py:12" in told


def test_a_deep_stack_is_told_by_its_ends(shop: t.Any, made: t.Any, run: t.Any) -> None:
    """The innermost frames, and the hook's own; all of them where the hook isn't found."""
    frames = [{"file": f"lib/f{i}.py", "line": i, "function": f"f{i}"} for i in range(9)]
    frames.append({"file": "shop/views.py", "line": 88, "function": "Report.report"})
    rows = [made.live(frames=frames), made.live(frames=frames, where="other/views.py:1")]
    shop.bodies["/_ctx/live.json"] = {"schema": 1, "contexts": rows, "leaks": [], "missing": []}
    told = run("--url", shop.url, "live").lines
    assert "f0.py:0 f0 ← f1.py:1 ← views.py:88" in told[2]
    assert "f0.py:0 f0 ← f1.py:1 ← views.py:88" in told[3]


def test_unknown_and_left_are_not_told_as_numbers(shop: t.Any, made: t.Any, run: t.Any) -> None:
    """An age that is only a lower bound says so; one that isn't known is a question mark."""
    rows = [
        made.live(age_s=6.0, age_exact=False),
        made.live(age_s=None, phase=None, hook=None, frames=[]),
        made.live(state="left"),
        made.live(state="suspended"),
    ]
    shop.bodies["/_ctx/live.json"] = {"schema": 1, "contexts": rows, "leaks": [], "missing": []}
    told = run("--url", shop.url, "live").out
    assert "≥ 6.0 s" in told
    assert re.search(r"\| +\? \| 4711", told)
    assert "still current" in told
    assert "2 running · 1 suspended · 1 left behind · 1 worker seen" in told


def test_min_age_keeps_the_old_and_the_unknown(shop: t.Any, made: t.Any, run: t.Any) -> None:
    rows = [made.live(age_s=1.0), made.live(age_s=9.0), made.live(age_s=None)]
    shop.bodies["/_ctx/live.json"] = {"schema": 1, "contexts": rows, "leaks": [], "missing": []}
    outcome = run("--url", shop.url, "live", "--min-age", "5", "--format", "json")
    assert [row["age_s"] for row in outcome.json()["contexts"]] == [9.0, None]


def test_nothing_running_is_a_sentence(shop: t.Any, run: t.Any) -> None:
    shop.bodies["/_ctx/live.json"] = {"schema": 1, "contexts": [], "leaks": [], "missing": []}
    assert run("--url", shop.url, "live").out == "Nothing is running.\n"


def test_what_no_server_asked_for_runs_no_view(shop: t.Any, made: t.Any, run: t.Any) -> None:
    """Neither among what runs, nor in its trace."""
    block = {"kind": "script", "method": None, "path": None, "hook": "serve"}
    rows = [made.live(**block), made.live(**block | {"kind": "cli"})]
    shop.bodies["/_ctx/live.json"] |= {"contexts": rows}
    told = run("--url", shop.url, "live").out
    assert "| function serve" in told
    assert "| command serve" in told
    shop.bodies["/_ctx/requests/latest.json"] = made.trace(kind="script", method=None, path=None)
    told = run("--url", shop.url, "show").out
    assert "| function" in told
    assert "| view" not in told


def test_pools_are_told_below(shop: t.Any, made: t.Any, run: t.Any) -> None:
    """How full, who waits, and who has had a connection longest; as much as is known."""
    holder = {
        "unit": made.live()["unit"], "where": "shop/views.py:84", "age_s": 31.1, "depth": 1,
        "request": "GET /report",
    }  # fmt: skip
    full = {"name": "db", "taken": 10, "limit": 10, "held": 10, "waiting": 2, "cursors": 3}
    quiet = {"name": "own", "taken": None, "limit": None, "held": 0, "waiting": 0, "cursors": 0}
    rows = [full | {"holders": [holder, holder | {"age_s": 1.0}]}, quiet | {"holders": []}]
    shop.bodies["/_ctx/live.json"] |= {"pools": rows}
    told = run("--url", shop.url, "live").out
    assert (
        "pool db: 10 of 10 in use, 2 waiting, longest held by Thread-5 in GET /report for 31.1 s"
    ) in " ".join(told.split())
    assert "(shop/views.py:84)" in told
    assert "pool own: 0 in use\n" in told
    shop.bodies["/_ctx/live.json"] |= {"contexts": [], "leaks": [], "missing": []}
    assert run("--url", shop.url, "live").out.startswith("Nothing is running.\n\npool db: ")


def test_the_app_of_a_request_is_named_where_there_are_several(shop: t.Any, run: t.Any) -> None:
    """And a zombie, current though it was popped, is called one."""
    (unit,) = shop.bodies["/_ctx/stacks.json"]["request_stack"].values()
    unit["stack"][1] |= {"app": "admin", "zombie": True}
    told = run("--url", shop.url, "stacks").out
    assert "GET /cart  shop" in told
    assert "zombie GET /inner  admin  pushed 2x" in told


def test_stacks_stand_bottom_to_top(shop: t.Any, run: t.Any) -> None:
    told = run("--url", shop.url, "stacks").out
    assert told.index("| 0     | GET /cart ") < told.index("| 1 top | GET /inner  pushed 2x")
    assert "4711/thread-5  thread Thread-5, ident 140221   answered this" in told
    assert 'LOCAL mine\n 4711/thread-5  {name: "value"}' in told


# --------------------------------------------------------------------------- requests


def test_a_strip_has_its_legend_and_notes_the_worst_first(
    shop: t.Any, made: t.Any, run: t.Any
) -> None:
    """Only signs that are drawn are explained; what failed stands before what is noted."""
    found = [{"code": "c", "severity": "note"}, {"code": "b", "severity": "odd"},
             {"code": "a", "severity": "error"}]  # fmt: skip
    row = made.summary(findings=found, streamed=True, strip=[["hooks", 1.0], ["error", 0.0]])
    shop.bodies["/_ctx/requests.json"]["requests"] = [row]
    told = run("--url", shop.url, "requests").out
    assert "✗ a  · c  ? b  stream" in told
    assert "strip: ▒ hooks  ✗ error" in told
    assert "▓ view" not in told
    shop.bodies["/_ctx/requests.json"]["requests"] = [made.summary(strip=[])]
    assert "strip:" not in run("--url", shop.url, "requests").out


def test_filters_become_the_query_of_the_page(shop: t.Any, run: t.Any) -> None:
    run("--url", shop.url, "requests", "path:/a b", "g:user", "--status", "5xx", "--method", "post",
        "--endpoint", "shop.cart", "--kind", "request", "--min-ms", "10", "--sort", "slowest",
        "--limit", "7", "--all")  # fmt: skip
    assert shop.asked[0].query == {
        "q": ["'path:/a b' g:user"], "status": ["5xx"], "method": ["post"],
        "endpoint": ["shop.cart"], "kind": ["request"], "min_ms": ["10"], "sort": ["slowest"],
        "limit": ["7"], "all": ["1"],
    }  # fmt: skip


def test_no_match_is_a_no_and_names_a_way_out(shop: t.Any, run: t.Any) -> None:
    shop.bodies["/_ctx/requests.json"] = {
        "schema": 1, "requests": [], "total": 0, "shown": 0, "folded": {},
        "query": {"q": "path:/cart", "status": "500"}, "near": {"without status": 98},
    }  # fmt: skip
    outcome = run("--url", shop.url, "requests", "--status", "500")
    assert outcome.code == 1
    assert "No request matches  q:path:/cart status:500" in outcome.out
    assert "Without status there are 98." in outcome.out


def test_no_request_yet_is_not_a_no(shop: t.Any, run: t.Any) -> None:
    """Nothing was looked for; what is hidden is told."""
    shop.bodies["/_ctx/requests.json"] = {
        "schema": 1, "requests": [], "total": 0, "shown": 0, "folded": {"health": 61},
        "query": {"limit": "20"}, "near": {},
    }  # fmt: skip
    outcome = run("--url", shop.url, "requests")
    assert outcome.code == 0
    assert "No request yet." in outcome.out
    assert "hidden: 61 health checks   (--all shows them)" in outcome.out


def test_a_malformed_filter_is_wrong_use(shop: t.Any, run: t.Any) -> None:
    error = {"code": "bad-query", "message": "The parameter status is 'abc'. Set it to a code."}
    shop.bodies["/_ctx/requests.json"] = (400, {"schema": 1, "error": error})
    outcome = run("--url", shop.url, "requests", "--status", "abc")
    assert (outcome.code, outcome.err.strip()) == (2, "Error: " + error["message"])


# ------------------------------------------------------------------------------- show


def test_show_tells_the_request_step_by_step(shop: t.Any, run: t.Any) -> None:
    told = run("--url", shop.url, "show").out
    parts = [
        "GET /cart → 200 in 41.8 ms", "Answered by view shop.cart", "was not saved", "load_user",
        "g +user", "shop.cart", "session ~cart", "+X-Frame-Options",
        "response handed to the server", "g -user", "X-Frame-Options by frame_options",
    ]  # fmt: skip
    assert [part for part in parts if part not in told] == []
    steps = told[told.index("WHAT IT CHANGED") :]
    places = [steps.index(part) for part in parts[3:]]
    assert places == sorted(places)


def test_plumbing_is_one_row_until_it_is_asked_for(shop: t.Any, run: t.Any) -> None:
    short, full = (run("--url", shop.url, "show", *more).out for more in ((), ("--full",)))
    assert "make_request, push_app, push_request" in short
    assert "| push_app " in full


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--g", ["G AT ITS FULLEST", "<shop.User id=7>", "[1, 2]"]),
        ("--headers", ["RESPONSE HEADERS", "frame_options (5)", "Content-Type"]),
        ("--contexts", ["app context of shop", "pushed flask/app.py:1529"]),
    ],
)
def test_more_is_shown_where_it_is_asked_for(
    shop: t.Any, run: t.Any, option: str, words: list[str]
) -> None:
    assert words[0] not in run("--url", shop.url, "show").out
    told = run("--url", shop.url, "show", option).out
    assert [word for word in words if word not in told] == []


@pytest.mark.parametrize(
    ("words", "paths"),
    [
        (["latest"], ["/_ctx/requests/latest.json"]),
        (["8F3"], ["/_ctx/requests/8f3.json"]),
        (["/cart"], ["/_ctx/requests.json", "/_ctx/requests/8f3a1c07.json"]),
        (["--status", "500"], ["/_ctx/requests.json", "/_ctx/requests/8f3a1c07.json"]),
    ],
)
def test_show_finds_what_is_meant(
    shop: t.Any, run: t.Any, words: list[str], paths: list[str]
) -> None:
    assert run("--url", shop.url, "show", *words).code == 0
    assert [got.path for got in shop.asked] == paths


def test_show_a_path_prefers_the_path_itself(shop: t.Any, made: t.Any, run: t.Any) -> None:
    """The list holds all paths that contain it."""
    rows = [made.summary(id="00000001", path="/cart/items"), made.summary()]
    shop.bodies["/_ctx/requests.json"]["requests"] = rows
    assert run("--url", shop.url, "show", "/cart", "--slow", "--status", "2xx").code == 0
    assert shop.asked[0].query == {
        "q": ["path:/cart"], "status": ["2xx"], "sort": ["slowest"], "limit": ["1000"]
    }  # fmt: skip
    assert shop.asked[1].path == "/_ctx/requests/8f3a1c07.json"


def test_show_nothing_found_is_a_no(shop: t.Any, run: t.Any) -> None:
    shop.bodies["/_ctx/requests.json"] |= {"requests": [], "near": {"without status": 98}}
    outcome = run("--url", shop.url, "show", "/cart", "--status", "500")
    assert (outcome.code, outcome.out) == (1, "")
    assert "No request matches  path:/cart status:500 . Without status there are 98." in outcome.err


def test_a_long_trace_is_bounded_and_says_so(shop: t.Any, made: t.Any, run: t.Any) -> None:
    """What raised, what changed something and what took long stays."""
    events = [made.event(i, "signal", f"sent-{i}", duration_us=1.0) for i in range(3000)]
    events[1500] |= {"outcome": "raised", "error": {"type": "KeyError", "message": "k"}}
    shop.bodies["/_ctx/requests/latest.json"] = made.trace(events=events, dropped_events=6000)
    told = run("--url", shop.url, "show").out
    assert len(told.splitlines()) < 100
    assert "✗ KeyError: k" in told
    assert "6,000 events in the middle were dropped" in told
    assert "fast events hidden (--full shows them)" in told


def test_a_running_and_a_failed_trace_say_so_first(shop: t.Any, made: t.Any, run: t.Any) -> None:
    path = "/_ctx/requests/latest.json"
    shop.bodies[path] = made.trace(state="running", duration_ms=None, status=None, response=None)
    assert "GET /cart → still running" in run("--url", shop.url, "show").lines[0]
    error = {"type": "ZeroDivisionError", "message": "division by zero", "where": "views.py:70"}
    story = ["ZeroDivisionError: division by zero, raised in view boom (views.py:70)."]
    shop.bodies[path] = made.trace(exception=error, status=500, story=story)
    told = run("--url", shop.url, "show").lines
    assert told[1] == story[0]
    # In debug mode the debugger answers an error, out of the kit's sight.
    shop.bodies[path] = made.trace(exception=error, status=None, story=story)
    assert "GET /cart → ✗ ZeroDivisionError in 41.8 ms" in run("--url", shop.url, "show").lines[0]


def test_a_context_without_a_request_is_shown_by_its_name(
    shop: t.Any, made: t.Any, run: t.Any
) -> None:
    shop.bodies["/_ctx/requests/latest.json"] = made.trace(
        kind="cli", method=None, path=None, status=None, response=None, name="flask import-csv"
    )
    assert "flask import-csv → 41.8 ms" in run("--url", shop.url, "show").lines[0]


# ------------------------------------------------------------------------------- link


def test_link_is_the_url_alone_on_stdout(shop: t.Any, run: t.Any) -> None:
    outcome = run("--url", shop.url, "link")
    assert outcome.out == f"{shop.url}/_ctx/\n"
    assert "CTXKIT_TOKEN" in outcome.err


def test_link_with_a_token_tells_how_to_log_in(shop: t.Any, run: t.Any) -> None:
    token = "t" * 64
    outcome = run("--url", shop.url, "--token", token, "link", columns=60)
    assert outcome.out == f"{shop.url}/_ctx/\n"
    assert f"\n{shop.url}/_ctx/login?token={token}\n" in outcome.err
    report = run("--url", shop.url, "--token", token, "link", "--format", "json").json()
    assert report["link"]["login"] == f"{shop.url}/_ctx/login?token={token}"
