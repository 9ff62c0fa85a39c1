"""Headers that were set twice, overwritten, or say two things at once."""

from __future__ import annotations

import typing as t

import pytest
from flask import Blueprint, Flask, Response, jsonify, make_response, session

Watch = t.Callable[..., t.Any]


def setting(name: str, value: str) -> t.Callable[[Response], Response]:
    """An after_request function that sets a header, named after its value."""

    def hook(response: Response) -> Response:
        response.headers[name] = value
        return response

    hook.__name__ = hook.__qualname__ = f"set_{''.join(filter(str.isalnum, value)).lower()}"
    return hook


def serve(*headers: tuple[str, str], status: int = 200) -> Flask:
    """An app whose view sets *headers*."""
    app = Flask(__name__)

    @app.route("/")
    def index() -> Response:
        response = make_response("x", status)
        for name, value in headers:
            response.headers.add(name, value)
        return response

    return app


def test_a_hook_that_overwrites_what_the_view_set_is_named(watch: Watch) -> None:
    app = serve(("X-Frame-Options", "SAMEORIGIN"))
    app.after_request(setting("X-Frame-Options", "DENY"))
    watched = watch(app)
    assert watched.client.get("/").headers["X-Frame-Options"] == "DENY"
    finding = watched.one("header-overwritten")
    assert finding.message.startswith("set_deny (")
    assert finding.message.endswith(
        'overwrites X-Frame-Options, which the view of index had set: "SAMEORIGIN" became "DENY".'
    )
    assert 'setdefault("X-Frame-Options", ...)' in finding.fix


def test_a_hook_that_overwrites_what_a_hook_of_a_blueprint_set_is_named(watch: Watch) -> None:
    """The hooks of the app run last, so that of the blueprint is in vain."""
    app = Flask(__name__)
    embed = Blueprint("embed", __name__)
    embed.add_url_rule("/", "index", lambda: "x")
    embed.after_request(setting("X-Frame-Options", "SAMEORIGIN"))
    app.register_blueprint(embed)
    app.after_request(setting("X-Frame-Options", "DENY"))
    watched = watch(app)
    watched.client.get("/")
    finding = watched.one("header-overwritten")
    assert finding.severity == "warning"
    assert "which set_sameorigin (" in finding.message
    assert len([e for e in finding.evidence if e.event]) == 2


def test_within_one_app_it_is_a_note(watch: Watch) -> None:
    app = serve()
    app.after_request(setting("X-Frame-Options", "SAMEORIGIN"))
    app.after_request(setting("X-Frame-Options", "DENY"))
    watched = watch(app)
    watched.client.get("/")
    assert watched.one("header-overwritten").severity == "note"


def test_the_value_of_an_unknown_header_is_not_told(watch: Watch) -> None:
    """It may be a user's data."""
    app = serve(("X-Account", "ada"))
    app.after_request(setting("X-Account", "bob"))
    watched = watch(app)
    watched.client.get("/")
    finding = watched.one("header-overwritten")
    assert "X-Account" in finding.message
    assert '"ada"' not in f"{finding}"
    assert '"bob"' not in f"{finding}"


def test_a_default_is_sound(watch: Watch) -> None:
    app = serve(("X-Frame-Options", "SAMEORIGIN"))

    @app.after_request
    def default(response: Response) -> Response:
        response.headers.setdefault("X-Frame-Options", "DENY")
        return response

    watched = watch(app)
    watched.client.get("/")
    assert watched.found == ()


def test_adding_to_a_header_is_sound(watch: Watch) -> None:
    app = serve(("Content-Security-Policy", "default-src 'self'"), ("Vary", "Accept"))

    @app.after_request
    def add(response: Response) -> Response:
        response.headers["Content-Security-Policy"] += "; img-src data:"
        response.vary.add("Cookie")
        return response

    watched = watch(app)
    watched.client.get("/")
    assert watched.found == ()


def test_compressing_the_body_is_sound(watch: Watch) -> None:
    app = serve(("ETag", '"1"'))

    @app.after_request
    def compress(response: Response) -> Response:
        response.data = b"zip"
        response.headers["Content-Encoding"] = "gzip"
        response.headers["ETag"] = '"1-gzip"'
        response.headers["Content-Type"] = "application/json"
        return response

    watched = watch(app)
    watched.client.get("/")
    assert watched.found == ()


def test_refining_the_cache_headers_of_static_files_is_sound(watch: Watch, tmp_path: t.Any) -> None:
    """send_file says no-cache, and a hook that knows better replaces it."""
    (tmp_path / "a.css").write_text("a {}")
    app = Flask(__name__, static_folder=tmp_path)
    app.after_request(setting("Cache-Control", "public, max-age=3600"))
    watched = watch(app)
    watched.client.get("/static/a.css").close()
    assert watched.found == ()


def test_a_header_that_counts_once_and_was_sent_twice_is_named(watch: Watch) -> None:
    app = serve(("Access-Control-Allow-Origin", "https://a.example"))

    @app.after_request
    def allow(response: Response) -> Response:
        response.headers.add("Access-Control-Allow-Origin", "*")
        return response

    watched = watch(app)
    watched.client.get("/")
    finding = watched.one("header-repeated")
    assert finding.severity == "error"
    assert "carries Access-Control-Allow-Origin 2 times" in finding.message
    assert "allow (" in finding.message


@pytest.mark.parametrize("name", ["Link", "Set-Cookie", "Vary", "Server-Timing"])
def test_a_header_that_may_be_repeated_is_sound(watch: Watch, name: str) -> None:
    app = serve((name, "a=1"), (name, "b=2"))
    watched = watch(app)
    watched.client.get("/")
    assert watched.found == ()


@pytest.mark.parametrize(
    "value",
    [
        "no-store, public",
        "no-store, max-age=60",
        "private, public",
        "private, s-maxage=60",
        "No-Store, Immutable",
    ],
)
def test_a_cache_control_that_contradicts_itself_is_named(watch: Watch, value: str) -> None:
    watched = watch(serve(("Cache-Control", value)))
    watched.client.get("/")
    assert watched.one("header-cache-conflict").message.startswith(
        "Cache-Control says two things at once: "
    )


@pytest.mark.parametrize(
    "value",
    [
        "no-store",
        "no-store, max-age=0",
        "no-store, no-cache, must-revalidate, max-age=0",
        "private, max-age=60",
        "public, max-age=60, immutable",
        "no-cache, max-age=60",
        "max-age=soon, no-store",
        "",
        ",,,",
    ],
)
def test_a_cache_control_that_says_one_thing_is_sound(watch: Watch, value: str) -> None:
    watched = watch(serve(("Cache-Control", value)))
    watched.client.get("/")
    assert watched.found == ()


def test_any_origin_with_credentials_is_named(watch: Watch) -> None:
    app = serve(("Access-Control-Allow-Origin", "*"), ("Access-Control-Allow-Credentials", "true"))
    watched = watch(app)
    watched.client.get("/")
    assert watched.one("header-cors-conflict").severity == "warning"


def test_any_origin_without_credentials_is_sound(watch: Watch) -> None:
    app = serve(("Access-Control-Allow-Origin", "*"), ("Access-Control-Allow-Credentials", "false"))
    watched = watch(app)
    watched.client.get("/")
    assert watched.found == ()


def test_one_origin_with_credentials_is_sound(watch: Watch) -> None:
    app = serve(
        ("Access-Control-Allow-Origin", "https://a.example"),
        ("Access-Control-Allow-Credentials", "true"),
        ("Vary", "Origin"),
    )
    watched = watch(app)
    watched.client.get("/")
    assert watched.found == ()


@pytest.mark.parametrize("value", ["many", "-1", "1.5"])
def test_a_content_length_that_is_no_number_is_named(watch: Watch, value: str) -> None:
    app = serve()

    @app.after_request
    def measure(response: Response) -> Response:
        response.headers["Content-Length"] = value
        response.automatically_set_content_length = False
        return response

    watched = watch(app)
    watched.client.get("/")
    finding = watched.one("header-content-length")
    assert finding.message == "Content-Length is not a number."
    assert any("measure (" in e.text for e in finding.evidence)


def test_a_content_length_beside_chunks_is_named(watch: Watch) -> None:
    watched = watch(serve(("Transfer-Encoding", "chunked")))
    watched.client.get("/")
    assert "contradicts Transfer-Encoding" in watched.one("header-content-length").message


def test_the_content_length_that_werkzeug_sets_is_sound(watch: Watch) -> None:
    app = serve()
    app.add_url_rule("/none", "none", lambda: ("", 204))
    app.add_url_rule("/json", "json", lambda: jsonify(a=1))
    app.add_url_rule("/stream", "stream", lambda: Response(iter(["a", "b"])))
    watched = watch(app)
    for path in ("/", "/none", "/json", "/stream", "/missing"):
        watched.client.get(path).close()
        watched.client.head(path).close()
    assert watched.found == ()


@pytest.mark.parametrize(("value", "told"), [("public, max-age=60", True), ("private", False)])
def test_a_cookie_on_a_public_response(watch: Watch, value: str, told: bool) -> None:
    app = Flask(__name__)

    @app.route("/")
    def index() -> tuple[str, dict[str, str]]:
        session["user"] = "ada"
        return "x", {"Cache-Control": value}

    watched = watch(app)
    watched.client.get("/")
    assert watched.codes == ({"header-cookie-public"} if told else set())
