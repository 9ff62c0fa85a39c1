"""The pages over WSGI: who gets what, as HTML and JSON, with which headers."""

from __future__ import annotations

import json
import logging
import re
import typing as t
from datetime import timedelta
from pathlib import PurePosixPath

import pytest
from flask import Flask, Response, abort, g, request_started, session
from flask.sessions import SecureCookieSessionInterface
from markupsafe import Markup
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

from flask_ctxkit import CtxKit
from flask_ctxkit.findings.model import Evidence, Finding
from flask_ctxkit.redact import Redactor
from flask_ctxkit.web.protection import HEADERS
from flask_ctxkit.web.rendering import brief

if t.TYPE_CHECKING:
    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

    from flask_ctxkit.state import State

TOKEN: t.Final = "look-" + "a" * 32
VALUES_TOKEN: t.Final = "values-" + "b" * 32
URLS: t.Final = (
    "/_ctx/", "/_ctx/live", "/_ctx/requests", "/_ctx/requests/latest", "/_ctx/stacks",
    "/_ctx/hooks?path=/", "/_ctx/app", "/_ctx/findings", "/_ctx/session",
)  # fmt: skip


def watched(debug: bool = True, **config: t.Any) -> Flask:
    app = Flask("watched")
    app.debug = debug
    app.config.update(SECRET_KEY="k" * 32, **config)
    CtxKit(app)

    @app.get("/")
    def home() -> str:
        g.name = "value-of-g"
        session["basket"] = "value-of-session"
        return "home"

    return app


def visited(app: Flask) -> FlaskClient:
    client = app.test_client()
    assert client.get("/").status_code == 200
    return client


def state_of(app: Flask) -> State:
    return t.cast("State", app.extensions["ctxkit"])


def body(response: TestResponse) -> t.Any:
    assert response.content_type == "application/json", response.text[:500]
    return json.loads(response.data)


# ---------------------------------------------------------------------- what is answered


@pytest.mark.parametrize("url", URLS)
def test_each_page_is_html_and_the_same_report_as_json(url: str) -> None:
    client = visited(watched())
    html = client.get(url)
    assert (html.status_code, html.mimetype) == (200, "text/html")
    path, _, query = url.partition("?")
    path = path + "index" if path.endswith("/") else path
    by_suffix = body(client.get(f"{path}.json?{query}"))
    by_header = body(client.get(url, headers={"Accept": "application/json"}))
    assert by_suffix["schema"] == by_header["schema"] == 1
    assert by_suffix.keys() == by_header.keys()


def test_every_json_body_has_its_answer_under_its_key() -> None:
    client = visited(watched())
    keys = {
        "index": {"app", "findings", "checks", "contexts", "buckets", "requests", "totals", "cost"},
        "live": {"contexts", "leaks", "missing", "pools"},
        "requests": {"requests", "total", "shown", "folded", "query", "near"},
        "requests/latest": {"trace"},
        "stacks": {"app_stack", "request_stack", "locals", "current", "missing"},
        "hooks": {"hooks"},
        "app": {"app"},
        "session": {"session"},
        "findings": {"findings", "catalogue"},
    }
    for path, wanted in keys.items():
        assert body(client.get(f"/_ctx/{path}.json")).keys() - {"since"} == wanted | {"schema"}


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "text/html"),
        ("*/*", "text/html"),
        ("application/json", "application/json"),
        ("application/json;q=0.5, text/html;q=0.9", "text/html"),
        ("text/html;q=0.5, application/json;q=0.9", "application/json"),
        ("text/html;q=0, application/json;q=0.1", "application/json"),
        ("application/*;q=0.9, text/html;q=0.1", "application/json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html"),
        ("image/png", "text/html"),
        (";;;,,q=x", "text/html"),
    ],
)
def test_the_accept_header_decides_with_its_weights(accept: str, kind: str) -> None:
    response = visited(watched()).get("/_ctx/", headers={"Accept": accept})
    assert response.mimetype == kind


def test_the_prefix_alone_leads_to_the_overview() -> None:
    response = visited(watched()).get("/_ctx")
    assert (response.status_code, response.location) == (308, "/_ctx/")


def test_head_has_the_headers_and_no_body() -> None:
    response = visited(watched()).head("/_ctx/")
    assert (response.status_code, response.data) == (200, b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "FOO"])
def test_other_methods_are_refused_to_who_may_look(method: str) -> None:
    response = visited(watched()).open("/_ctx/live.json", method=method)
    assert (response.status_code, response.headers["Allow"]) == (405, "GET, HEAD")
    assert body(response)["error"]["code"] == "method"


def test_the_prefix_can_be_another_one() -> None:
    client = visited(watched(CTXKIT_URL_PREFIX="/debug/ctx"))
    page = client.get("/debug/ctx/")
    assert page.status_code == 200
    assert 'href="/debug/ctx/static/ctxkit.css"' in page.text
    assert "/_ctx" not in page.text
    assert client.get("/_ctx/").status_code == 404


def test_a_longer_word_is_not_the_prefix() -> None:
    client = visited(watched())
    assert client.get("/_ctxother").status_code == 404
    assert not state_of(client.application)._pages.guard.refusals  # type: ignore[union-attr]


def test_a_mounted_app_links_below_its_mount() -> None:
    client = Client(DispatcherMiddleware(watched(), {"/shop": watched()}))
    here = {"REMOTE_ADDR": "127.0.0.1"}
    client.get("/shop/")
    for url in URLS:
        page = client.get(f"/shop{url}", environ_overrides=here)
        assert page.status_code == 200
        links = re.findall(r'(?:href|src|action)="(/[^"]*)"', page.text)
        assert links
        assert all(link.startswith("/shop/") for link in links), links
    assert client.get("/shop/_ctx", environ_overrides=here).location == "/shop/_ctx/"


def test_a_script_name_can_t_lead_links_to_another_host() -> None:
    page = visited(watched()).get("/_ctx/", environ_overrides={"SCRIPT_NAME": '//evil.example/"x'})
    assert 'href="//' not in page.text
    assert "evil.example/%22x/_ctx/" in page.text


# --------------------------------------------------------------------------- protection


@pytest.mark.parametrize(
    "url",
    [*URLS, "/_ctx", "/_ctx/none", "/_ctx/requests/none.json", "/_ctx/requests?status=x",
     "/_ctx/static/ctxkit.css", "/_ctx/static/ctxkit.js", "/_ctx/static/none", "/_ctx/index.json"],
)  # fmt: skip
def test_every_answer_is_protected(url: str) -> None:
    for method in ("GET", "POST"):
        headers = visited(watched()).open(url, method=method).headers
        assert {name: headers.get(name) for name in HEADERS} == dict(HEADERS)
        assert not [name for name in headers.keys() if name.startswith("Access-Control")]  # noqa: SIM118
        assert "Set-Cookie" not in headers


def test_the_policy_allows_nothing_inline() -> None:
    policy = HEADERS["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "*" not in policy


@pytest.mark.parametrize("url", URLS)
def test_no_page_has_inline_script_or_style_or_foreign_links(url: str) -> None:
    page = visited(watched()).get(url).text
    assert not re.findall(r"<script(?![^>]* src=)|<style|\sstyle=|\son[a-z]+=|javascript:", page)
    assert not [
        link
        for link in re.findall(r'(?:href|src|action)="(https?:[^"]*)"', page)
        if not link.startswith("http://localhost")
    ]


@pytest.mark.parametrize("name", ["../guard.py", "..%2fguard.py", "/etc/passwd", "", "a/b", "%00"])
def test_only_the_named_assets_are_served(name: str) -> None:
    assert visited(watched()).get(f"/_ctx/static/{name}").status_code == 404


# ----------------------------------------------------------------------------- refusing


REMOTE: t.Final = {"REMOTE_ADDR": "203.0.113.9"}


def user_app(**config: t.Any) -> Flask:
    app = watched(**config)
    app.before_request_funcs.setdefault(None, []).append(lambda: None)

    @app.errorhandler(404)
    def missing(error: Exception) -> Response:
        return Response("the user's own 404", 404, {"X-Mine": "1"})

    return app


@pytest.mark.parametrize("url", [*URLS, "/_ctx", "/_ctx/static/ctxkit.css", "/_ctx/login",
                                 "/_ctx/login?token=wrong", "/_ctx/none"])  # fmt: skip
def test_denied_means_that_the_user_s_app_answers(url: str) -> None:
    """No header, no redirect and no Vary of ours tells that there is something."""
    client = visited(user_app(CTXKIT_TOKEN=TOKEN))
    plain = client.get("/nothing-here", environ_overrides=REMOTE)
    for method in ("GET", "POST", "HEAD"):
        response = client.open(url, method=method, environ_overrides=REMOTE)
        assert response.status_code == 404
        assert dict(response.headers) == dict(plain.headers)
        assert response.data in {b"", b"the user's own 404"}


def test_where_pages_are_off_nothing_answers() -> None:
    client = visited(user_app(debug=False, CTXKIT_TRACE=True))
    assert client.get("/_ctx/").text == "the user's own 404"
    client = visited(user_app(CTXKIT_PAGES=False))
    assert client.get("/_ctx/").text == "the user's own 404"


def test_nothing_in_a_request_switches_the_pages_on() -> None:
    client = visited(user_app(debug=False))
    for headers in ({"X-Debug": "1"}, {"X-Ctxkit": "1"}, {"Cookie": "ctxkit_viewer=viewer"}):
        response = client.get(
            "/_ctx/?debug=1&CTXKIT_PAGES=1", headers=headers,
            environ_overrides={"werkzeug.debug.preserve_context": lambda _: None},
        )  # fmt: skip
        assert response.text == "the user's own 404"


def test_a_failing_guard_hands_the_request_to_the_user_s_app(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = visited(user_app())
    assert client.get("/_ctx/").status_code == 200
    monkeypatch.setattr("flask_ctxkit.web.guard._peer", lambda _: 1 / 0)
    assert client.get("/_ctx/").text == "the user's own 404"


def test_a_refusal_is_logged_once_with_what_to_set(caplog: pytest.LogCaptureFixture) -> None:
    client = visited(user_app())
    with caplog.at_level(logging.WARNING, "flask_ctxkit"):
        caplog.clear()
        for _ in range(3):
            client.get("/_ctx/", environ_overrides=REMOTE)
    assert [record.name for record in caplog.records] == ["flask_ctxkit"]
    assert "203.0.113.9" in caplog.text
    assert "CTXKIT_TOKEN" in caplog.text


def test_outside_debug_the_token_opens_the_pages() -> None:
    client = visited(user_app(debug=False, CTXKIT_PAGES=True, CTXKIT_TOKEN=TOKEN))
    assert client.get("/_ctx/").text == "the user's own 404"
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert body(client.get("/_ctx/index.json", headers=headers))["app"]["debug"] is False


# -------------------------------------------------------------------------------- login


def test_the_login_page_only_exists_where_there_is_a_token() -> None:
    assert visited(user_app()).get("/_ctx/login").status_code == 404
    page = visited(user_app(CTXKIT_TOKEN=TOKEN)).get("/_ctx/login")
    assert page.status_code == 200
    assert 'name="token"' in page.text


def test_a_login_sets_a_strict_cookie_for_the_pages_only() -> None:
    client = visited(user_app(CTXKIT_TOKEN=TOKEN))
    assert client.get("/_ctx/", environ_overrides=REMOTE).status_code == 404
    page = client.get(f"/_ctx/login?token={TOKEN}", environ_overrides=REMOTE)
    assert page.status_code == 200
    assert 'http-equiv="refresh" content="0; url=/_ctx/"' in page.text
    assert TOKEN not in page.text
    cookie = page.headers["Set-Cookie"]
    assert TOKEN not in cookie
    for attribute in ("HttpOnly", "SameSite=Strict", "Path=/_ctx", "Max-Age=43200"):
        assert attribute in cookie
    assert "Secure" not in cookie
    assert client.get("/_ctx/", environ_overrides=REMOTE).status_code == 200


def test_over_https_and_below_a_mount_the_login_cookie_fits() -> None:
    page = visited(user_app(CTXKIT_TOKEN=TOKEN)).get(
        f"/_ctx/login?token={TOKEN}", base_url="https://localhost",
        environ_overrides={**REMOTE, "SCRIPT_NAME": "/shop"},
    )  # fmt: skip
    assert "Secure" in page.headers["Set-Cookie"]
    assert "Path=/shop/_ctx" in page.headers["Set-Cookie"]


def test_a_login_from_here_with_a_wrong_token_says_so() -> None:
    client = visited(user_app(CTXKIT_TOKEN=TOKEN))
    page = client.get("/_ctx/login?token=wrong")
    assert "not one of this app" in page.text
    assert state_of(client.application)._pages.guard.refusals == {"token": 1}  # type: ignore[union-attr]


# ------------------------------------------------------------------------------- values


@pytest.mark.parametrize("url", [*URLS, *(f"{u.partition('?')[0].rstrip('/') or u}.json" for u in
                                          URLS[1:]), "/_ctx/index.json"])  # fmt: skip
def test_who_may_not_see_values_sees_none(url: str) -> None:
    app = watched(CTXKIT_TOKEN=TOKEN, MY_SETTING="value-of-config")

    @app.get("/fail")
    def fail() -> str:
        g.name = "value-of-g"
        raise ValueError("value-of-error")

    client = visited(app)
    client.get("/?q=value-of-query", headers={"X-Thing": "value-of-header"})
    with pytest.raises(ValueError, match="value-of-error"):
        client.get("/fail")
    state = state_of(app)
    code = state.rules.catalogue()[0].code
    proof = Evidence("value-of-evidence", where="a.py:1")
    state.rules.tally.add(
        Finding("value-of-finding", (proof,), "value-of-fix", code=code, severity="error")
    )
    state.recorder.failed("sink", OSError("value-of-failure"))
    with app.test_request_context("/?q=value-of-query") as context:
        recording = state.registry.pushed()[-1][2]
        state.registry.popped_wrongly(context, recording, RuntimeError("value-of-leak"))
    response = client.get(
        url, headers={"Authorization": f"Bearer {TOKEN}"}, environ_overrides=REMOTE
    )
    assert response.status_code == 200
    assert "value-of" not in response.text


def test_without_values_names_types_and_marks_stay() -> None:
    client = visited(watched(CTXKIT_TOKEN=TOKEN))
    response = client.get(
        "/_ctx/requests/latest.json", headers={"Authorization": f"Bearer {TOKEN}"},
        environ_overrides=REMOTE,
    )  # fmt: skip
    trace = body(response)["trace"]
    view = next(event for event in trace["events"] if event["phase"] == "view")
    assert view["g"]["added"]["name"]["$type"] == "str"
    assert view["session"]["added"]["basket"]["$type"] == "str"


def test_without_values_a_finding_is_told_by_its_rule_and_place() -> None:
    app = watched(CTXKIT_TOKEN=TOKEN)
    state = state_of(app)
    rule = state.rules.catalogue()[0]
    proof = Evidence("value-of-evidence", event=3, where="a.py:1")
    state.rules.tally.add(Finding("value", (proof,), code=rule.code, severity="error"))
    report = body(
        visited(app).get(
            "/_ctx/findings.json", headers={"Authorization": f"Bearer {TOKEN}"},
            environ_overrides=REMOTE,
        )
    )  # fmt: skip
    found = next(row for row in report["findings"] if row["code"] == rule.code)
    assert (found["message"], found["fix"]) == (rule.title, rule.fix)
    assert found["evidence"] == [{"text": "Seen here.", "event": 3, "where": "a.py:1"}]


def test_who_may_see_values_sees_them() -> None:
    page = visited(watched()).get("/_ctx/requests/latest")
    assert "value-of-g" in page.text
    assert "value-of-session" in page.text


# ------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("url", "code", "told"),
    [
        ("requests/ffffffff", "unknown-trace", "There is no trace"),
        ("requests/none", "unknown-trace", "There is no trace"),
        ("requests/..", "unknown-trace", "There is no trace"),
        ("requests?status=bad", "bad-parameter", "The parameter status"),
        ("requests?stauts=500", "bad-parameter", "Did you mean status?"),
        ("requests?min_ms=nan", "bad-parameter", "The parameter min_ms"),
        ("requests?limit=0", "bad-parameter", "The parameter limit"),
        ("requests/latest?event=x", "bad-parameter", "The parameter event"),
        ("hooks?path=nope", "bad-parameter", "The path must begin"),
        ("hooks?method=G%20T", "bad-parameter", "The method"),
        ("none", "unknown-page", "no such page"),
        ("requests/a/b", "unknown-page", "no such page"),
    ],
)
def test_an_error_says_what_to_do(url: str, code: str, told: str) -> None:
    client = visited(watched())
    wanted = 404 if code.startswith("unknown") else 400
    page = client.get(f"/_ctx/{url}")
    assert page.status_code == wanted
    assert told.partition("<")[0] in page.text.replace("&#39;", "'")
    path, _, query = url.partition("?")
    report = client.get(f"/_ctx/{path}.json?{query}")
    assert report.status_code == wanted
    assert body(report)["error"]["code"] == code
    assert told in body(report)["error"]["message"]


def test_an_unknown_trace_leads_to_the_newest_one() -> None:
    app = watched()
    client = visited(app)
    newest = next(state_of(app).store.newest()).id
    assert f'href="/_ctx/requests/{newest}"' in client.get("/_ctx/requests/ffffff").text


def test_a_page_that_fails_says_so_and_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    app = watched()
    client = visited(app)
    monkeypatch.setattr(state_of(app).registry, "contexts", lambda **_: 1 / 0)
    page = client.get("/_ctx/live")
    assert page.status_code == 500
    assert "ZeroDivisionError" in page.text
    assert "Traceback" not in page.text
    assert "could not make a page" in caplog.text
    pages = state_of(app)._pages
    assert pages is not None
    assert pages.failures == {"ZeroDivisionError": 1}
    assert body(client.get("/_ctx/live.json"))["error"]["code"] == "failed"


def test_too_many_parameters_are_refused() -> None:
    query = "&".join(f"p{number}=1" for number in range(1000))
    client = visited(watched())
    told = client.get(f"/_ctx/requests.json?{query}")
    assert told.status_code == 400
    assert told.get_json()["error"]["message"].startswith("There are more than 50 parameters.")


# --------------------------------------------------------------------------------- the link


@pytest.mark.parametrize(
    ("host", "link"),
    [
        ("localhost:5000", "http://localhost:5000/_ctx/"),
        ("dev.local", "http://dev.local/_ctx/"),
        ("evil.example", "http://127.0.0.1:80/_ctx/"),
        ("", "http://127.0.0.1:80/_ctx/"),
    ],
)
def test_the_link_in_the_log_is_one_that_may_be_followed(
    host: str, link: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever comes first chooses the Host header."""
    app = watched(CTXKIT_PAGE_HOSTS=["dev.local"])
    with caplog.at_level(logging.INFO, "flask_ctxkit"):
        app.test_client().get("/", environ_overrides={"HTTP_HOST": host})
        app.test_client().get("/")
    told = [record.getMessage() for record in caplog.records]
    assert [line for line in told if "/_ctx/" in line] == [f"ctxkit: {link}"]


# ----------------------------------------------------------------------- apart from the app


def test_the_pages_send_no_signal_and_push_no_context_of_their_own() -> None:
    heard: list[object] = []

    def receiver(sender: object, **_: object) -> None:
        heard.append(sender)

    app = watched()
    client = visited(app)
    with request_started.connected_to(receiver):
        for url in URLS:
            assert client.get(url).status_code == 200
    assert heard == []
    stacks = body(client.get("/_ctx/stacks.json"))
    assert [row["app"] for row in stacks["app_stack"][stacks["current"]]["stack"]] == ["watched"]


def test_the_app_s_hooks_and_templates_never_touch_the_pages() -> None:
    app = watched(TEMPLATES_AUTO_RELOAD=True)
    app.jinja_options = {"variable_start_string": "[[", "variable_end_string": "]]"}

    @app.before_request
    def login_wall() -> None:
        from flask import request

        if request.path != "/":
            abort(401)

    @app.after_request
    def mark(response: Response) -> Response:
        response.headers["X-Mine"] = "1"
        return response

    client = visited(app)
    for url in URLS:
        page = client.get(url)
        assert page.status_code == 200
        assert "X-Mine" not in page.headers


def test_the_pages_are_not_recorded() -> None:
    app = watched()
    client = visited(app)
    before = [trace.id for trace in state_of(app).store.newest()]
    for url in URLS:
        client.get(url)
    assert [trace.id for trace in state_of(app).store.newest()] == before


def test_the_stacks_page_shows_this_very_request_as_a_view_would_see_it() -> None:
    client = visited(watched())
    report = body(client.get("/_ctx/stacks.json"))
    here = report["request_stack"][report["current"]]["stack"]
    assert [(row["method"], row["path"], row["top"]) for row in here] == [
        ("GET", "/_ctx/stacks.json", True)
    ]
    assert here[0]["session"]["names"] == {"basket": "value-of-session"}


def test_a_session_that_can_t_be_opened_is_a_note_on_the_page() -> None:
    app = watched()
    client = visited(app)

    class Broken(SecureCookieSessionInterface):
        def open_session(self, *args: object) -> t.Any:
            raise OSError("no store")

    app.session_interface = Broken()
    page = client.get("/_ctx/stacks")
    assert page.status_code == 200
    assert "Your own request is not on the stacks" in page.text
    assert "OSError" in page.text


def test_looking_at_the_session_does_not_touch_it() -> None:
    client = visited(watched())
    response = client.get("/_ctx/stacks")
    assert "Set-Cookie" not in response.headers


# -------------------------------------------------------------------------------- polling


def test_who_has_the_newest_state_gets_it_not_again() -> None:
    app = watched()
    client = visited(app)
    since = re.findall(r'data-since="([^"]+)"', client.get("/_ctx/requests").text)[0]
    same = client.get(f"/_ctx/requests?since={since}")
    assert (same.status_code, same.data) == (204, b"")
    assert same.headers["Cache-Control"] == "no-store"
    client.get("/")
    assert client.get(f"/_ctx/requests?since={since}").status_code == 200


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (timedelta(days=31), "31 days, 0:00:00 (datetime.timedelta)"),
        (PurePosixPath("/srv/shop.db"), f"/srv/shop.db ({PurePosixPath.__module__}.PurePosixPath)"),
        ("x" * 250, f"'{'x' * 200}'… (str, 250 characters)"),
        (b"tea", "'tea' (bytes, 3 bytes)"),
        (Markup("<b>"), "'<b>' (Markup, 3 items)"),
    ],
)
def test_a_text_is_told_whole_or_as_cut(value: t.Any, shown: str) -> None:
    assert brief(Redactor().capture("value", value), 400) == shown


def test_a_context_without_a_request_has_no_session_response_and_environ() -> None:
    app = watched()
    client = visited(app)
    parts = ("all sessions", "Response headers", "environ that became", "g at its fullest")
    page = client.get("/_ctx/requests/latest").text
    assert [part in page for part in parts] == [True, True, True, True]
    with app.app_context():
        g.name = "tea"
    (row,) = body(client.get("/_ctx/requests.json?kind=script"))["requests"]
    page = client.get(f"/_ctx/requests/{row['id']}").text
    assert [part in page for part in parts] == [False, False, False, True]


def test_one_request_matches_and_two_match() -> None:
    client = visited(watched())
    assert "1 request matches." in client.get("/_ctx/requests?method=GET").text
    assert client.get("/").status_code == 200
    assert "2 requests match." in client.get("/_ctx/requests?method=GET").text


def test_json_since_a_trace_tells_only_newer_ones() -> None:
    client = visited(watched())
    since = body(client.get("/_ctx/requests.json"))["since"]
    assert client.get(f"/_ctx/requests.json?since={since}").status_code == 204
    client.get("/")
    fresh = body(client.get(f"/_ctx/requests.json?since={since}"))
    assert fresh["shown"] == 1
    assert fresh["requests"][0]["id"] == fresh["since"]


def test_an_overview_without_traffic_invites() -> None:
    page = watched().test_client().get("/_ctx/")
    assert "No request yet" in page.text
    assert "http://localhost/" in page.text
    assert '<a href="/" target="_blank"' in page.text


def test_without_recording_the_pages_say_so() -> None:
    page = visited(watched(CTXKIT_TRACE=False)).get("/_ctx/")
    assert "Recording is off (CTXKIT_TRACE)" in page.text
