"""The example: sound as it is, and each switch plants a mistake that the kit names."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import typing as t
from pathlib import Path

import pytest
from markupsafe import escape

from example import create_app, errands
from example.database import db
from example.mistakes import MISTAKES, Mistake
from example.season import NAMES
from example.stops import STOPS, Link
from flask_ctxkit import explain_threads

if t.TYPE_CHECKING:
    from flask import Flask
    from flask.testing import FlaskClient
    from playwright.sync_api import Browser

FAILING = "/refunds"
ROOT = Path(__file__).parent.parent
# Named neither app nor client: pytest-flask would push a request context around each test.


@pytest.fixture
def house(tmp_path: Path) -> t.Iterator[Flask]:
    app = create_app(
        {
            "DATABASE": tmp_path / "teahouse.sqlite3",
            "SECRET_KEY": "8" * 16 + "a key for tests, long and odd enough",
            "BREW_SECONDS": 0.01,
            "NAP_SECONDS": 0.1,  # longer in a hook is rightly called slow
            "CTXKIT_STUCK_AFTER": 0.5,
        }
    )
    app.debug = True
    yield app
    finish(app)


@pytest.fixture
def visitor(house: Flask) -> FlaskClient:
    return house.test_client()


@pytest.fixture(autouse=True)
def threads_as_before() -> t.Iterator[None]:
    """The example has the threads of the whole process explained."""
    yield
    explain_threads()()  # asked twice, it is done once: this undoes it


def finish(app: Flask) -> None:
    """Wait for all threads that the app has started."""
    board = app.extensions["switchboard"]
    for built in (app, board.current):
        built.extensions["kitchen"].shutdown()
        for thread in list(built.extensions["threads"]):
            thread.join(20)
            assert not thread.is_alive()


def follow(visitor: FlaskClient, link: Link) -> None:
    if link.path == FAILING:
        with pytest.raises(ZeroDivisionError):
            visitor.get(link.path)
    else:
        answer = visitor.post(link.path) if link.post else visitor.get(link.path)
        assert answer.status_code < 400, f"{link.path}: {answer.status}"
        answer.close()


def ask(visitor: FlaskClient, page: str) -> t.Any:
    answer = visitor.get(f"/_ctx{page}", headers={"Accept": "application/json"})
    assert answer.status_code == 200, f"{page}: {answer.status}"
    return answer.json


def codes(visitor: FlaskClient) -> list[str]:
    return [finding["code"] for finding in ask(visitor, "/findings.json")["findings"]]


def test_the_example_is_sound(house: Flask, visitor: FlaskClient) -> None:
    """After every stop of the tour, and a login, nothing was found."""
    visitor.post("/login", data={"name": "Mei"})
    for stop in STOPS:
        for link in stop.do:
            follow(visitor, link)
    finish(house)
    # A busy machine may sleep longer in a hook than it was asked to.
    found = [code for code in codes(visitor) if code != "hook-slow"]
    assert found == []
    assert ask(visitor, "/live.json")["contexts"] == []


@pytest.mark.parametrize("stop", STOPS, ids=lambda stop: stop.title)
def test_every_stop_leads_somewhere(stop: t.Any, house: Flask, visitor: FlaskClient) -> None:
    """Its links into the app answer, and so do those to the kit's pages, which say something."""
    visitor.get("/")
    for link in stop.do:
        follow(visitor, link)
    for link in stop.see:
        page = visitor.get(f"/_ctx{link.path}")
        assert page.status_code == 200, f"{link.path}: {page.status}"
        assert "<h1" in page.text


def test_row_1_environ_became_the_request(visitor: FlaskClient) -> None:
    """A trace keeps what of environ made the request."""
    visitor.get("/teas?sort=name")
    trace = ask(visitor, "/requests/latest.json")["trace"]
    assert trace["environ"]["REQUEST_METHOD"] == "GET"
    assert trace["environ"]["PATH_INFO"] == "/teas"


def test_rows_2_and_5_stacks_bottom_to_top(visitor: FlaskClient) -> None:
    """Two apps and a request, piled up in one thread, seen from another."""
    visitor.post("/tour/stacks")
    stacks = ask(visitor, "/stacks.json")
    pile = next(unit for unit in stacks["app_stack"].values() if unit["name"] == "pile")
    assert [context["app"] for context in pile["stack"]][:2] == ["example", "cellar"]
    assert pile["stack"][-1]["top"]
    requests = next(unit for unit in stacks["request_stack"].values() if unit["name"] == "pile")
    assert [context["path"] for context in requests["stack"]] == ["/teas"]


def test_rows_3_and_4_locals_of_all_threads(visitor: FlaskClient) -> None:
    """Each waiter's own tray and pots, on the page and among the stacks."""
    page = visitor.get("/locals").text
    assert "Hiro" in page
    assert "green · oolong" in page
    named = ask(visitor, "/stacks.json")["locals"]
    trays = next(units for name, units in named.items() if name.endswith(".tray"))
    guests = {str(values["guest"]) for values in trays.values()}
    assert {"Mei", "Hiro", "Ada"} <= guests


def test_row_6_what_a_proxy_points_at(visitor: FlaskClient) -> None:
    """The object behind it in a view; outside of contexts, the error that says so."""
    page = visitor.get("/proxies").text
    assert "&lt;Flask &#39;example&#39;&gt;" in page
    assert "RuntimeError: Working outside of request context." in page


def test_row_7_tables_of_the_start(visitor: FlaskClient) -> None:
    """Configuration, routes, and the hooks that will run for a URL, in order."""
    visitor.get("/")
    start = ask(visitor, "/app.json")["app"]
    assert {"shop.teas", "account.login"} <= {route["endpoint"] for route in start["routes"]}
    steps = ask(visitor, "/hooks.json?method=GET&path=/teas/1")["hooks"]["steps"]
    names = [step["function"].rpartition(".")[2] for step in steps]
    own = ["find_tea", "load_guest", "start_clock", "tea", "tell_kitchen_time", "no_sniffing"]
    assert [name for name in names if name in own] == own


def test_row_8_the_stove_is_lit_once(visitor: FlaskClient) -> None:
    """On the timeline of the first request, and of no other."""
    visitor.get("/teas")
    visitor.get("/teas")
    phases = [
        [e["phase"] for e in ask(visitor, f"/requests/{row['id']}.json")["trace"]["events"]]
        for row in ask(visitor, "/requests.json")["requests"]
    ]
    assert [found.count("before_first_request") for found in phases] == [0, 1]


def test_rows_9_and_10_steps_and_signals(visitor: FlaskClient) -> None:
    """Each step in Flask's order, and each signal with its receivers."""
    visitor.get("/teas/2")
    trace = ask(visitor, "/requests/latest.json")["trace"]
    phases = list(dict.fromkeys(event["phase"] for event in trace["events"]))
    order = [
        "open_session", "match", "url_value_preprocessor", "before_request", "view",
        "after_request", "save_session", "teardown_request",
    ]  # fmt: skip
    assert [phase for phase in phases if phase in order] == order
    receivers = {signal["name"]: signal["receivers"] for signal in trace["signals"]}
    assert any("note_start" in name for name in receivers["request-started"])


def test_row_11_the_session_is_read_and_written(visitor: FlaskClient) -> None:
    """The cart changes it, so it is saved; the next page only reads it."""
    visitor.post("/cart/1")
    changed = ask(visitor, "/requests/latest.json")["trace"]["session"]
    assert (changed["state"], changed["saved"]) == ("changed", True)
    visitor.get("/cart")
    assert visitor.get("/cart").status_code == 200
    read = ask(visitor, "/requests/latest.json")["trace"]["session"]
    assert "cart" in read["names"]
    assert not read["saved"]


def test_row_12_contexts_without_a_request(house: Flask, visitor: FlaskClient) -> None:
    """A command and a thread of the app stand among the requests."""
    visitor.post("/tour/restock")
    visitor.post("/cart/1")
    visitor.post("/orders")
    finish(house)
    kinds = {row["kind"] for row in ask(visitor, "/requests.json?all=1")["requests"]}
    assert "cli" in kinds
    assert kinds - {"cli", "request"}


def test_row_13_who_wrote_what_to_g(visitor: FlaskClient) -> None:
    """The guest by one hook, the time by another, and nothing of the kit's own."""
    visitor.get("/teas/4")
    trace = ask(visitor, "/requests/latest.json")["trace"]
    wrote = {n: e["name"] for e in trace["events"] for n in e["g"]["added"]}
    assert (wrote["guest"], wrote["started"]) == ("load_guest", "start_clock")
    assert {"guest", "started", "tea"} <= set(wrote)
    assert "reader" not in wrote


def test_row_14_three_lifetimes(house: Flask) -> None:
    """One per context, one per browser, one per process."""

    def cups(visitor: FlaskClient) -> list[int]:
        cells = visitor.get("/lifetimes").text.split("<td>")
        return [int(text) for cell in cells if (text := cell.partition("<")[0]).isdigit()]

    mine, yours = house.test_client(), house.test_client()
    first, again, other = cups(mine), cups(mine), cups(yours)
    assert [first[:2], again[:2], other[:2]] == [[1, 1], [1, 2], [1, 1]]
    assert first[2] < again[2] < other[2]


def steps(trace: dict[str, t.Any]) -> list[dict[str, t.Any]]:
    """What was done with resources."""
    return [event for event in trace["events"] if event["phase"] == "resource"]


def test_rows_13_and_17_opened_once_and_closed(visitor: FlaskClient) -> None:
    """A hook and the view ask for the menu, and SQLite is asked once, over one connection."""
    visitor.get("/teas/4")
    found = steps(ask(visitor, "/requests/latest.json")["trace"])
    names = [event["name"] for event in found]
    assert names[:3] == ["open reader", "open db", "SELECT * FROM tea ORDER BY id"]
    assert names[3:] == ["close reader", "commit db", "close db"]
    assert found[2]["note"].startswith("6 rows")
    assert {event["where"].partition(":")[0] for event in found} == {"example/database.py"}


def test_row_15_an_order_is_a_transaction_in_a_block(visitor: FlaskClient) -> None:
    """Whole or not at all for each tea, and committed once."""
    visitor.post("/cart/2")
    visitor.post("/cart/5")
    visitor.post("/orders")
    names = [event["name"] for event in steps(ask(visitor, "/requests/latest.json")["trace"])]
    assert (names[0], names[-2:]) == ("open db", ["commit db", "close db"])
    assert [names.count(name) for name in ("savepoint", "release savepoint")] == [2, 2]


def test_row_15_what_is_sold_out_costs_only_itself(house: Flask, visitor: FlaskClient) -> None:
    """The cart's other tea is ordered."""
    with house.app_context():
        db.execute("UPDATE tea SET tins = 0 WHERE id = 2")
    visitor.post("/cart/2")
    visitor.post("/cart/5")
    page = visitor.post("/orders", follow_redirects=True).text
    assert "Dragon Well is sold out" in page
    assert "First Flush" in page
    with house.app_context():
        assert db.fetchall("SELECT tea_id FROM tea_order") == [{"tea_id": 5}]


def test_rows_15_and_16_cursors_on_a_stack_and_apart(visitor: FlaskClient) -> None:
    """Two deep, three connections out, and none afterwards."""
    page = visitor.get("/cursors").text
    cells = [cell.partition("</td>")[0] for cell in page.split("<td>")[1:]]
    assert cells[12:16] == ["<code>with db.cursor() as apart</code>", "2", "3", "3 of 15"]
    assert cells[16:20] == ["<code>after</code>", "0", "0", "0 of 15"]
    assert cells[20:].count("a pair apart") == 1


def test_work_elsewhere_names_its_request_and_is_named(house: Flask, visitor: FlaskClient) -> None:
    """And closes what it opened, the last one first."""
    visitor.post("/login", data={"name": "Mei"})
    visitor.post("/cart/1")
    visitor.post("/orders")
    finish(house)
    rows = ask(visitor, "/requests.json?kind=task")["requests"]
    [job] = [ask(visitor, f"/requests/{row['id']}.json")["trace"] for row in rows]
    order = ask(visitor, f"/requests/{job['parent']}.json")["trace"]
    assert (order["method"], order["path"]) == ("POST", "/orders")
    assert order["children"] == [job["id"]]
    names = [event["name"] for event in steps(job)]
    kept = [name for name in names if name.endswith(("kettle", "reader"))]
    assert kept == ["open kettle", "open reader", "close reader", "close kettle"]


@pytest.mark.parametrize("how", ["threads", "greenlets", "tasks"])
def test_errands_are_alone_with_their_g_and_name_who_sent_them(
    how: str, visitor: FlaskClient
) -> None:
    """In threads, greenlets and tasks alike: the guest came along, no basket came back."""
    visitor.post("/login", data={"name": "Mei"})
    page = visitor.get(f"/errands/{how}").text
    assert page.count("<td>Mei</td><td>nothing</td>") == 3
    assert page.count(f"<code>/errands/{how}</code>") == 3
    assert "there is no basket" in page
    rows = ask(visitor, "/requests.json?kind=task")["requests"]
    found = [ask(visitor, f"/requests/{row['id']}.json")["trace"] for row in rows]
    sender = ask(visitor, f"/requests/{found[0]['parent']}.json")["trace"]
    assert sender["path"] == f"/errands/{how}"
    assert sorted(sender["children"]) == sorted(trace["id"] for trace in found)
    kinds = sorted(trace["unit"]["kind"] for trace in found)
    assert (
        kinds
        == {
            "threads": ["thread"] * 3,
            "greenlets": ["greenlet"] * 3,
            "tasks": ["task", "task", "thread"],
        }[how]
    )


def test_greenlets_without_gevent(visitor: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not installed is asked for, and is no error of the house."""
    monkeypatch.setitem(sys.modules, "gevent", None)
    answer = visitor.get("/errands/greenlets")
    assert (answer.status_code, "pip install gevent" in answer.text) == (501, True)


def test_greenlets_leave_no_file_open(house: Flask) -> None:
    """Each thread of a server without gevent's own has a hub for the time of the errands."""

    def visit() -> None:
        house.test_client().get("/errands/greenlets")

    def files() -> int:
        worker = threading.Thread(target=visit)
        worker.start()
        worker.join()
        return len([*Path("/proc/self/fd").iterdir()])

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("the files of a process can't be counted here")
    before = files()
    later = [files() for _ in range(5)]
    assert later[-1] < before + 5, later  # a hub that is left behind keeps two


def test_greenlets_have_their_time_whenever_the_hub_last_ran(
    visitor: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hub knows the time of its last run, which was for an earlier request of this thread."""
    gevent, fetch = pytest.importorskip("gevent"), errands.fetch

    def fetch_later(good: str) -> errands.Fetched:
        gevent.sleep(0.01)
        return fetch(good)

    monkeypatch.setattr(errands, "fetch", fetch_later)
    monkeypatch.setattr(errands, "PATIENCE", 0.2)
    visitor.get("/errands/greenlets")
    time.sleep(0.3)
    assert visitor.get("/errands/greenlets").text.count("<td>nobody</td>") == 3


def test_the_hub_of_a_server_of_greenlets_goes_on(visitor: FlaskClient) -> None:
    """It serves other requests beside the one with the errands, also where nothing is patched."""
    gevent = pytest.importorskip("gevent")
    other = gevent.spawn(gevent.sleep, 0.05)
    request = gevent.spawn(lambda: visitor.get("/errands/greenlets").text.count("<td>nobody</td>"))
    with gevent.Timeout(20):
        gevent.joinall([request, other], raise_error=True)
    assert (request.value, other.successful()) == (3, True)


def test_who_holds_a_kettle_now(house: Flask, visitor: FlaskClient) -> None:
    """While the pot that the tour orders is brewed, with the line that asked for it."""
    house.config["BREW_SECONDS"] = 1.0
    visitor.post("/tour/pot")
    held: list[t.Any] = []
    deadline = time.monotonic() + 10
    while not held and time.monotonic() < deadline:
        time.sleep(0.02)
        held = [one for ctx in ask(visitor, "/live.json")["contexts"] for one in ctx["resources"]]
    assert [(one["resource"], one["state"]) for one in held] == [("kettle", "open")]
    assert held[0]["where"].startswith("example/background.py:")


def test_each_resource_is_asked(visitor: FlaskClient) -> None:
    """On the page of the start, and it answers."""
    resources = ask(visitor, "/app.json")["app"]["resources"]
    assert {row["name"]: row["ping"]["ok"] for row in resources} == {"reader": True, "kettle": True}


def test_an_old_extension_runs_and_the_doctor_names_it(
    tmp_path: Path, visitor: FlaskClient
) -> None:
    """Flask has the old stack no more; the doctor knows who stands in for it."""
    import flask

    assert any(name in visitor.get("/teas").text for name in NAMES)
    assert not hasattr(flask, "_request_ctx_stack")
    factory = f"example:create_app({{'DATABASE': '{tmp_path / 'x.sqlite3'}'}})"
    command = [sys.executable, "-m", "flask", "--app", factory, "ctx", "doctor"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout
    assert "example/season.py:8" in told.stdout
    assert "install_legacy() stands in" in told.stdout
    assert "reader answered" in told.stdout


def test_the_examples_own_tests_pass() -> None:
    """With the fixtures that the kit brings, as a user runs them."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "example/tests"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout
    # Before Python 3.11 a traceback takes no notes.
    assert ("9 passed" if sys.version_info >= (3, 11) else "8 passed, 1 skipped") in told.stdout


# Threads that fail, a body that is dropped, and a proxy are what some mistakes are about.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::flask_ctxkit.CapturedProxyWarning")
@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=list(MISTAKES))
def test_each_switch_plants_a_mistake_that_is_named(
    mistake: Mistake, house: Flask, visitor: FlaskClient
) -> None:
    """Planted and made, it is found and told on the page; taken out, it is found no more."""
    visitor.get("/")
    assert codes(visitor) == []
    visitor.post(f"/break/{mistake.name}")
    assert visitor.post(f"/break/{mistake.name}/make").status_code in {302, 303}
    if not mistake.hangs:
        finish(house)
    found = codes(visitor)
    assert set(mistake.codes) & set(found)
    page = visitor.get("/break").text
    finish(house)
    assert page.count('class="said"') >= 1
    assert page.count('aria-checked="true"') == 1
    assert str(escape(mistake.source)) in page
    assert mistake.source.startswith(("@", "def ", "app.", "pages", "begun", "options"))
    visitor.post(f"/break/{mistake.name}")
    visitor.get("/")
    assert codes(visitor) == []
    assert visitor.get(mistake.path).status_code == 404
    gc.collect()


def test_an_unknown_switch_is_not_found(visitor: FlaskClient) -> None:
    """Neither planted nor made."""
    assert visitor.post("/break/everything").status_code == 404
    assert visitor.post("/break/everything/make").status_code == 404


def test_the_pages_of_the_app_say_so_where_the_kit_is_off(tmp_path: Path) -> None:
    """Outside debug no link leads to a page that would not answer."""
    app = create_app({"DATABASE": tmp_path / "x.sqlite3", "SECRET_KEY": "k" * 40})
    page = app.test_client().get("/").text
    assert "/_ctx" not in page
    assert "--debug" in page


def test_workers_that_start_together_agree_on_the_secret(tmp_path: Path) -> None:
    """Made once, and only its owner may read it."""
    from example.secret import secret_key

    first = secret_key(tmp_path)
    assert len(first) == 64
    assert secret_key(tmp_path) == first
    assert (tmp_path / "secret_key").stat().st_mode & 0o077 == 0
    assert [file.name for file in tmp_path.iterdir()] == ["secret_key"]


@pytest.fixture
def address(tmp_path: Path) -> t.Iterator[str]:
    """The example as a user starts it, with its reloader, on a free port.

    The reloader watches nothing: whoever saves a file meanwhile would start the server anew, in
    the middle of a test, and its traces would be gone. A pot takes longer than a test, which may
    so take its time to look at one that is brewed.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = {"DATABASE": str(tmp_path / "teahouse.sqlite3"), "BREW_SECONDS": 120.0}
    command = [sys.executable, "-m", "flask", "--app", f"example:create_app({config})"]
    command += ["run", "--debug", "--exclude-patterns", "*", "--port", str(port)]
    with (tmp_path / "output").open("w") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # the reloader is a second process
        )
    try:
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.1)
        else:
            pytest.fail(f"it doesn't answer: {(tmp_path / 'output').read_text()}")
        yield f"http://127.0.0.1:{port}"
    finally:
        for sign in (signal.SIGTERM, signal.SIGKILL):  # which waits for no pot
            with contextlib.suppress(ProcessLookupError):  # all have ended by themselves
                os.killpg(process.pid, sign)
            process.wait(20)


@pytest.mark.browser
@pytest.mark.server
def test_click_through(address: str, browser: Browser) -> None:
    """From the tour to the stacks, to the sleepers, and from a switch to what the kit says."""
    page = browser.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(f"{address}/")
    page.get_by_role("button", name="Pile contexts up").click()
    page.wait_for_url(f"{address}/_ctx/stacks")
    page.get_by_text("pile", exact=False).first.wait_for()
    page.goto(f"{address}/")
    page.get_by_role("button", name="Send three to sleep").click()
    page.wait_for_url(f"{address}/_ctx/live")
    page.get_by_text("nap_in_hook", exact=False).first.wait_for()
    page.get_by_text("nap_in_stream", exact=False).first.wait_for(state="attached")
    page.goto(f"{address}/break")
    card = page.locator("#hook-order")
    card.get_by_role("switch").click()
    card.get_by_role("button", name="Make it happen").click()
    card.get_by_text("greet asks for g.visitor before load_visitor sets it").wait_for()
    card.get_by_role("link", name="more").click()
    page.get_by_text("hook-order", exact=True).first.wait_for()
    page.goto(f"{address}/break")
    card.get_by_role("switch").click()
    card.get_by_role("switch", checked=False).wait_for()
    page.wait_for_load_state()
    assert card.locator(".said").count() == 0
    assert said == []


@pytest.mark.browser
@pytest.mark.server
def test_click_from_a_kettle_to_who_put_it_on(address: str, browser: Browser) -> None:
    """From what a job holds to the request that started it, and back to the job's own trace."""
    page = browser.new_page()
    page.goto(f"{address}/")
    page.get_by_role("button", name="Order a pot").click()
    page.wait_for_url(f"{address}/_ctx/live")
    job = page.locator("details", has_text="work that it started")
    job.get_by_text("kettle", exact=True).wait_for()
    job.locator("dt", has_text="started by").locator("+ dd a").click()
    page.get_by_role("heading", name="POST /tour/pot", level=1).wait_for()
    page.locator(".meta a[href*='/requests/']").first.click()
    page.get_by_text("open kettle").first.wait_for()
    page.get_by_role("link", name="POST /tour/pot").click()
    page.get_by_text("INSERT INTO tea_order").first.wait_for()
    page.goto(f"{address}/cursors")
    assert page.get_by_text("3 of 15").count() == 1


@pytest.mark.browser
@pytest.mark.server
def test_click_from_an_errand_to_who_sent_it(address: str, browser: Browser) -> None:
    """Greenlets in a server of threads; their traces, and the request that is named there."""
    page = browser.new_page()
    page.goto(f"{address}/")
    page.get_by_role("link", name="Send greenlets").click()
    page.wait_for_url(f"{address}/errands/greenlets")  # the whole page, before it is counted
    assert page.get_by_role("cell", name="/errands/greenlets").count() == 3
    page.get_by_role("link", name="Their traces").click()
    page.get_by_role("link", name="GET /errands/greenlets").first.click()
    page.get_by_text("Greenlet-").first.wait_for()
    page.locator(".meta a", has_text="GET /errands/greenlets").click()
    page.get_by_text("in_greenlets").first.wait_for()
