"""The commands about the code: any app, with a kit or without, sound or broken."""

from __future__ import annotations

import itertools
import sys
import typing as t

import pytest
from flask import Blueprint, Flask, abort, g, redirect, request, session

from flask_ctxkit import CtxKit
from flask_ctxkit.cli.trial import tried

if t.TYPE_CHECKING:
    from pathlib import Path


def shop_app(**config: t.Any) -> Flask:
    """Two hooks of the app, one of a blueprint, and views that do this and that."""
    made = Flask("shop")
    made.config.update(SECRET_KEY="k" * 32, **config)
    cart = Blueprint("cart", "shop")

    @made.before_request
    def load_user() -> None:
        g.user = "ann"

    @made.after_request
    def frame_options(response: t.Any) -> t.Any:
        response.headers["X-Frame-Options"] = "DENY"
        return response

    @cart.before_request
    def open_cart() -> None:
        g.cart = []

    @cart.get("/cart/<int:number>")
    def show(number: int) -> str:
        print("printed by the app")
        session["seen"] = number
        return f"cart {number}"

    @made.get("/boom")
    def boom() -> str:
        raise ZeroDivisionError("by the app")

    @made.get("/away")
    def away() -> t.Any:
        return redirect("/cart/1")

    @made.post("/order")
    def order() -> t.Any:
        if request.headers.get("X-Key") != "v":
            abort(400)
        return request.get_data(), 201

    made.register_blueprint(cart)
    return made


# ------------------------------------------------------------------------------ hooks


@pytest.mark.parametrize("kit", [False, True])
def test_hooks_names_every_function_in_order(run: t.Any, kit: bool) -> None:
    """With its phase, owner and place; an app without the kit is told of as well."""
    made = shop_app()
    if kit:
        CtxKit(made)
    outcome = run("hooks", "GET", "/cart/7", serving=made)
    assert outcome.code == 0
    names = ["open_session", "load_user", "open_cart", "cart.", "frame_options", "save_session"]
    assert "GET /cart/7 → cart.show  (rule /cart/<int:number>)" in outcome.lines[0]
    assert 'with number="7"' in outcome.lines[1]
    places = [outcome.out.index(name) for name in (*names[:3], "show", *names[4:])]
    assert places[:3] == sorted(places[:3])
    assert places[-2:] == sorted(places[-2:])
    assert "blueprint cart" in outcome.out
    assert "cli/test_cli_code.py:" in outcome.out


def test_hooks_of_a_path_alone_is_a_get(run: t.Any) -> None:
    made = shop_app()
    one, two = (run("hooks", *words, "--format", "json", serving=made).json()
                for words in (("/boom",), ("get", "/boom")))  # fmt: skip
    assert one == two
    assert (one["hooks"]["method"], one["hooks"]["endpoint"]) == ("GET", "boom")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("GET", "/nowhere"), "404, no route matches"),
        (("POST", "/boom"), "405, the route has no such method (it has GET, HEAD, OPTIONS)"),
        (("GET", "/cart/x"), "404, no route matches"),
    ],
)
def test_hooks_of_a_url_that_no_view_answers_is_a_no(
    run: t.Any, words: tuple[str, ...], said: str
) -> None:
    """The hooks that run all the same are listed."""
    outcome = run("hooks", *words, serving=shop_app())
    assert outcome.code == 1
    assert said in outcome.lines[0]
    assert "load_user" in outcome.out


@pytest.mark.parametrize(
    "words",
    [
        ("GET", "cart"), ("GET", "/a", "/b"), ("cart",), ("G-T", "/a"), ("--header", "X-A"),
        ("", ""), ("GET", "//"),
    ],
)  # fmt: skip
def test_hooks_of_no_request_is_wrong_use(run: t.Any, words: tuple[str, ...]) -> None:
    outcome = run("hooks", *words, serving=shop_app())
    assert outcome.code in {1, 2}
    assert "Traceback" not in outcome.err
    if words != ("GET", "//"):
        assert (outcome.code, outcome.out) == (2, "")


def test_hooks_without_a_url_lists_the_tables(run: t.Any) -> None:
    told = run("hooks", serving=shop_app()).out
    assert all(name in told for name in ("load_user", "open_cart", "frame_options"))
    assert run("hooks", serving=Flask("empty"), columns=60).code == 0


def test_who_set_a_header_is_asked_of_the_running_app(run: t.Any, shop: t.Any, made: t.Any) -> None:
    """Without case; the last one that sets it is the one that counts."""
    events = [
        made.event(0, "view", "cart.show",
                   response={"status": [None, 200]} | made.change(added={"X-Frame-Options": "A"})),
        made.event(1, "after_request", "frame_options",
                   response={"status": None}
                   | made.change(changed={"X-Frame-Options": ["A", "DENY"]})),
    ]  # fmt: skip
    shop.bodies["/_ctx/requests/8f3a1c07.json"] = made.trace(
        events=events,
        response={"status": 200, "headers": [["X-Frame-Options", "DENY", 1]], "streamed": False},
    )
    shop.bodies["/_ctx/requests.json"]["requests"] = [made.summary(), made.summary()]
    words = ("hooks", "/cart/1", "--header", "x-frame-options", "--url", shop.url)
    outcome = run(*words, serving=shop_app())
    view, after = (next(found for found in outcome.lines if name in found)
                   for name in ("| show", "frame_options"))  # fmt: skip
    assert "2x = A" in view or "2x = A" in outcome.out
    assert "2x = DENY  ← the one that counts" in after
    assert outcome.out.count("the one that counts") == 1
    assert "Looked at 2 requests: x-frame-options was on 2." in outcome.out
    report = run(*words, "--format", "json", serving=shop_app()).json()
    assert report["setters"][0]["set_by"][-1] == {
        "phase": "after_request", "name": "frame_options", "value": "DENY"
    }  # fmt: skip
    assert shop.asked[0].query["endpoint"] == ["cart.show"]


def test_a_header_that_nobody_set_is_said_to_come_from_outside(run: t.Any, shop: t.Any) -> None:
    # Two of the three that are listed have made room for others since.
    gone = {"schema": 1, "error": {"code": "unknown-trace", "message": "It is gone."}}
    for trace_id in ("77e0b2aa", "51ac09bb"):
        shop.bodies[f"/_ctx/requests/{trace_id}.json"] = (404, gone)
    words = ("hooks", "/cart/1", "--header", "Server", "--url", shop.url)
    told = run(*words, serving=shop_app()).out
    assert "Looked at 1 request: Server was on 0." in told
    assert "Not set inside this app." in told


def test_who_set_a_header_is_unknown_where_nobody_answers(run: t.Any) -> None:
    """The hooks stand; what isn't known is not guessed."""
    words = ("hooks", "/cart/1", "--header", "X-A", "--url", "http://127.0.0.1:1")
    outcome = run(*words, serving=shop_app())
    assert outcome.code == 0
    assert "who sets X-A is unknown" in outcome.out
    assert "connection refused" in outcome.err


# -------------------------------------------------------------------------------- app


def test_app_tells_what_it_is_made_of_and_hides_secrets(run: t.Any) -> None:
    """Routes, hooks, extensions, session, errors, signals, config and the rest."""
    made = shop_app(DB_PASSWORD="hunter2secret")
    made.errorhandler(404)(lambda error: ("no", 404))
    for wanted in ("md", "table", "json"):
        outcome = run("app", "--format", wanted, serving=made)
        assert outcome.code == 0
        assert "/cart/<int:number>" in outcome.out
        assert "SecureCookieSessionInterface" in outcome.out
        assert "hunter2secret" not in outcome.out
        assert "k" * 32 not in outcome.out


def test_app_parts_are_shown_alone(run: t.Any) -> None:
    told = run("app", "routes", "errors", serving=shop_app()).out
    assert "ROUTES 5" in told
    assert "ERROR HANDLERS" in told
    assert "CONFIG" not in told
    assert run("app", "nonsense", serving=shop_app()).code == 2


@pytest.mark.parametrize("columns", [60, 80, 100])
def test_answers_about_code_fit_the_terminal(run: t.Any, columns: int) -> None:
    made = shop_app(A_LONG_LIST=list(range(1000)))
    for words in (("app",), ("hooks",), ("hooks", "/cart/1"), ("try", "GET", "/cart/1")):
        outcome = run(*words, "--format", "table", serving=made, columns=columns)
        assert max(map(len, outcome.lines)) <= columns, words


def test_a_hostile_config_can_not_inject(run: t.Any, made: t.Any) -> None:
    hostile = shop_app(**{"A" + made.escape: made.escape, "B": {made.escape: [made.escape]}})
    for wanted in ("md", "table", "json"):
        told = run("app", "--format", wanted, serving=hostile).out
        assert all(found.isprintable() for found in told.split("\n"))


# -------------------------------------------------------------------------------- try


@pytest.mark.parametrize("kit", [False, True])
@pytest.mark.parametrize("recording", [{}, {"CTXKIT_TRACE": False}, {"CTXKIT_TRACE_RATE": 0}])
def test_try_runs_the_request_and_shows_its_trace(
    run: t.Any, kit: bool, recording: dict[str, t.Any]
) -> None:
    """An app without a kit gets one, one that doesn't record does it for once; what the
    app prints is not in the answer."""
    made = shop_app(**recording)
    if kit:
        CtxKit(made)
    outcome = run("try", "get", "/cart/7?x=1", serving=made)
    assert outcome.code == 0
    assert "GET /cart/7 → 200 in" in outcome.lines[0]
    for word in ("load_user", "g +user", "open_cart", "session +seen", "+X-Frame-Options"):
        assert word in outcome.out
    assert "printed by the app" not in outcome.out
    assert "printed by the app" in outcome.err


def test_try_answers_in_json_alone(run: t.Any) -> None:
    outcome = run("try", "GET", "/cart/7", "--format", "json", serving=shop_app())
    trace = outcome.json()["trace"]
    assert (trace["path"], trace["status"], trace["kind"]) == ("/cart/7", 200, "request")


def test_try_shows_the_exception_that_escaped(run: t.Any) -> None:
    """Propagated, as in debug and testing, or answered with a 500."""
    for config in ({"PROPAGATE_EXCEPTIONS": True}, {}):
        outcome = run("try", "GET", "/boom", serving=shop_app(**config))
        assert outcome.code == 0
        assert "ZeroDivisionError: by the app" in outcome.out
        assert "Traceback" not in outcome.out


def test_try_asks_before_a_method_that_may_change_data(
    run: t.Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []
    made = shop_app()
    made.before_request(lambda: ran.append(request.method))
    answers = iter([False, True])
    monkeypatch.setattr("click.confirm", lambda *_, **__: next(answers) or sys.exit(1))
    assert run("try", "POST", "/order", serving=made).code == 1
    assert ran == []
    assert run("try", "POST", "/order", serving=made).code == 0
    assert run("try", "DELETE", "/order", "--yes", serving=made).code == 0
    assert run("try", "HEAD", "/boom", serving=made).code == 0
    assert ran == ["POST", "DELETE", "HEAD"]


def test_try_without_anyone_to_ask_does_not_run_it(run: t.Any) -> None:
    """No terminal and no ``--yes``."""
    ran: list[str] = []
    made = shop_app()
    made.before_request(lambda: ran.append(request.method))
    assert run("try", "POST", "/order", serving=made).code == 1
    assert ran == []


def test_try_sends_headers_and_a_body(run: t.Any, tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(b"\x00\xff")
    for data in ("text", f"@{tmp_path / 'body'}"):
        words = ("try", "POST", "/order", "-H", "X-Key: v", "-d", data, "--yes")
        assert "→ 201" in run(*words, serving=shop_app()).out
    assert "→ 400" in run("try", "POST", "/order", "--yes", serving=shop_app()).out


@pytest.mark.parametrize(
    "words",
    [("-H", "no colon"), ("-H", "A: b\nC: d"), ("-H", ": x"), ("-d", "@/nowhere/at/all")],
)
def test_try_refuses_what_can_not_be_sent(run: t.Any, words: tuple[str, ...]) -> None:
    outcome = run("try", "POST", "/order", "--yes", *words, serving=shop_app())
    assert (outcome.code, outcome.out) == (2, "")


def test_try_twice_shows_the_second(run: t.Any) -> None:
    made = shop_app()
    assert tried(made, "GET", "/boom", [], b"")["path"] == "/boom"
    assert tried(made, "GET", "/away", [], b"")["path"] == "/away"


def test_try_reads_a_stream_but_not_without_end(run: t.Any) -> None:
    """What happens in the body is part of the request."""
    made = shop_app()

    @made.get("/stream")
    def stream() -> t.Any:
        return made.response_class(iter([b"a", b"b", b"c"]))

    @made.get("/endless")
    def endless() -> t.Any:
        return made.response_class(itertools.repeat(b"x" * 65536))

    short = run("try", "GET", "/stream", "--format", "json", serving=made).json()["trace"]
    assert any(event["phase"] == "stream" for event in short["events"])
    assert short["state"] == "finished"
    assert "GET /endless → 200" in run("try", "GET", "/endless", serving=made).out


def test_try_of_a_view_that_exits_shows_its_trace(run: t.Any) -> None:
    made = shop_app()

    @made.get("/exit")
    def leave() -> str:
        raise SystemExit(7)

    outcome = run("try", "GET", "/exit", serving=made)
    assert outcome.code == 0
    assert "SystemExit" in outcome.out


def test_a_failure_to_import_is_an_error_in_json_too(run: t.Any) -> None:
    outcome = run("app", "--app", "no_such_module_at_all", "--format", "json")
    assert (outcome.code, outcome.json()["error"]["code"]) == (2, "not-imported")


def test_try_of_an_app_that_has_served_already_says_what_to_do(run: t.Any) -> None:
    """Flask takes no hooks after the first request."""
    made = shop_app()
    made.test_client().get("/away")
    outcome = run("try", "GET", "/away", serving=made)
    assert outcome.code in {0, 2}
    if outcome.code:
        assert "Add CtxKit(app)" in outcome.err


# ---------------------------------------------------------------------------- loading


APPS = {
    "raises": ("raise RuntimeError('no database\\x1b[2J')", "RuntimeError: no database"),
    "exits": ("raise SystemExit(3)", "SystemExit: 3"),
    "empty": ("x = 1", "Failed to find Flask application"),
    "missing": (None, "Could not import"),
    "wrong_key": (
        (
            "from flask import Flask\nfrom flask_ctxkit import CtxKit\napp = Flask('x')\n"
            "app.config['CTXKIT_PAGE'] = 1\nCtxKit(app)"
        ),
        "CTXKIT_PAGES",
    ),
}


@pytest.mark.parametrize("name", APPS)
@pytest.mark.parametrize("words", [("app",), ("hooks", "/"), ("try", "GET", "/")])
def test_an_app_that_can_not_be_imported_is_told_in_a_sentence(
    run: t.Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: tuple[str, ...]
) -> None:
    """Where and why, exit code 2, and what needs no import."""
    source, said = APPS[name]
    module = f"app_that_{name}"
    if source is not None:
        (tmp_path / f"{module}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    outcome = run(*words, "--app", module)
    assert (outcome.code, outcome.out) == (2, "")
    assert said in outcome.err.replace("\n  ", " ")
    assert "Traceback" not in outcome.err
    assert "\x1b" not in outcome.err


def test_an_app_is_found_as_flask_finds_it(
    run: t.Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By ``FLASK_APP``, a factory with arguments, or ``--app`` after the command."""
    (tmp_path / "made_shop.py").write_text(
        "from flask import Flask\n"
        "def create_app(name='plain'):\n"
        "    print('noise on import')\n"
        "    app = Flask(name)\n"
        "    app.get('/' + name)(lambda: name)\n"
        "    app.run()\n"
        "    return app\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    monkeypatch.setenv("FLASK_APP", "made_shop")
    assert "/plain" in run("app", "routes").out
    outcome = run("app", "routes", "--app", "made_shop:create_app('other')", "--format", "json")
    assert any(row["rule"] == "/other" for row in outcome.json()["app"]["routes"])


# ------------------------------------------------------------------------------ where


NOBODY = ("--url", "http://127.0.0.1:1")


def test_where_tells_the_places_of_a_name(run: t.Any) -> None:
    """With its value, and for how long it lives; secrets stay hidden."""
    made = shop_app(LIMIT=7)
    outcome = run("where", "LIMIT", *NOBODY, serving=made)
    assert outcome.code == 0
    assert "LIMIT lives in 1 place" in outcome.out
    assert 'app.config["LIMIT"]' in outcome.out
    assert "| 7 " in outcome.out
    assert "not looked at" in outcome.err
    hidden = run("where", "SECRET_KEY", *NOBODY, serving=made)
    assert "•••" in hidden.out
    assert "k" * 32 not in hidden.out


def test_where_looks_into_a_running_app_too(run: t.Any, shop: t.Any) -> None:
    """g and the session of every context that is pushed there."""
    for name, place, other in (
        ("user", "g.user", "session."), ("cart", "session.cart", "g.cart"),
        ("g.user", "g.user", "session."), ("session.cart", "session.cart", "g."),
    ):  # fmt: skip
        told = run("where", name, "--url", shop.url, serving=Flask("empty")).out
        assert f"{place} " in told, name
        assert other not in told, name
        assert "on Thread-5." in told


def test_where_of_a_name_that_is_nowhere_is_a_no(run: t.Any) -> None:
    outcome = run("where", "nothing_like_it", *NOBODY, serving=shop_app())
    assert outcome.code == 1
    assert "nothing_like_it lives nowhere that can be seen" in outcome.out
    assert run("where", "", *NOBODY, serving=shop_app()).code == 1


@pytest.mark.parametrize("columns", [60, 100])
def test_where_fits_the_terminal(run: t.Any, columns: int) -> None:
    made = shop_app(LIMIT="x" * 300)
    outcome = run("where", "LIMIT", "--format", "table", *NOBODY, serving=made, columns=columns)
    assert max(map(len, outcome.lines)) <= columns
    report = run("where", "LIMIT", "--format", "json", *NOBODY, serving=made)
    assert report.json()["where"]["places"][0]["now"] is True
    assert report.err == ""
