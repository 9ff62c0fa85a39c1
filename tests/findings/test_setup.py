"""Set-up: keys, the proxy in front, debug where strangers are, names that go away."""

from __future__ import annotations

import importlib.util
import sys
import typing as t

import pytest
from flask import Flask, session
from werkzeug.middleware.proxy_fix import ProxyFix

from flask_ctxkit.config import Config
from flask_ctxkit.findings import Finding, Rules
from flask_ctxkit.internals import ONE_CONTEXT

if t.TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

Watch = t.Callable[..., t.Any]
GOOD: t.Final = "9f1c6d2a8b7e4f309f1c6d2a8b7e4f30"


def look(app: Flask) -> tuple[Finding, ...]:
    rules = Rules(Config.from_mapping({}))
    found = rules.for_app(app)
    assert rules.failures == ()
    return found


def keyed(key: t.Any, **config: t.Any) -> Flask:
    app = Flask(__name__)
    app.config.update(SECRET_KEY=key, **config)
    return app


# --------------------------------------------------------------------------------- keys


@pytest.mark.parametrize("key", ["dev", b"secret", "ChangeMe", "you-will-never-guess", " dev "])
def test_a_key_that_everybody_knows_is_named(key: t.Any) -> None:
    (finding,) = look(keyed(key))
    assert (finding.code, finding.severity) == ("secret-weak", "error")
    assert "a value that everybody knows" in finding.message
    assert "token_hex" in finding.fix


def test_in_debug_a_known_key_is_a_warning() -> None:
    app = keyed("dev")
    app.debug = True
    (finding,) = look(app)
    assert finding.severity == "warning"
    assert finding.message.startswith('SECRET_KEY is "dev"')
    assert finding.message.endswith("fine while you develop, forgeable in production.")


@pytest.mark.parametrize(
    ("size", "severity"), [(1, "error"), (15, "error"), (16, "note"), (31, "note")]
)
def test_a_short_key_is_named_by_its_size_and_never_shown(size: int, severity: str) -> None:
    key = "Zq7" * 11
    (finding,) = look(keyed(key[:size]))
    assert finding.severity == severity
    assert f"has only {size} bytes" in finding.message
    assert size < 3 or key[:size] not in f"{finding}"


def test_a_long_default_is_named_and_not_shown() -> None:
    key = "192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf"
    (finding,) = look(keyed(key))
    assert "one from a tutorial" in finding.message
    assert key not in f"{finding}"


@pytest.mark.parametrize("key", [GOOD, GOOD.encode(), bytes(range(32)), "ä" * 16, None])
def test_a_strong_key_and_no_key_are_not_named(key: t.Any) -> None:
    assert look(keyed(key)) == ()


def test_tests_may_use_any_key() -> None:
    assert look(keyed("dev", TESTING=True)) == ()


IGNORED: t.Final[t.Collection[str]] = (
    () if "SECRET_KEY_FALLBACKS" in Flask.default_config else ("session-fallbacks-ignored",)
)
"""What Flask 3.0, which knows no fallbacks, is told as well."""


def test_a_weak_fallback_is_named_by_its_position() -> None:
    found = look(keyed(GOOD, SECRET_KEY_FALLBACKS=[GOOD[::-1], "dev"]))
    (finding,) = (f for f in found if f.code not in IGNORED)
    assert finding.message.startswith("SECRET_KEY_FALLBACKS[1] is ")


@pytest.mark.parametrize("value", ["old-key", b"old-key"])
def test_fallbacks_in_one_string_are_one_key_per_character(value: t.Any) -> None:
    found = look(keyed(GOOD, SECRET_KEY_FALLBACKS=value))
    knows = "SECRET_KEY_FALLBACKS" in Flask.default_config
    assert [f.code for f in found] == ["secret-fallbacks-string"] * knows


@pytest.mark.parametrize("value", [None, [], [GOOD], (GOOD,), ""])
def test_fallbacks_in_a_list_are_sound(value: t.Any) -> None:
    found = look(keyed(GOOD, SECRET_KEY_FALLBACKS=value))
    assert all(f.code in IGNORED for f in found)


def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> ModuleType:
    """Import *source* as a module of its own."""
    name = f"ctxkit_{tmp_path.name}"
    file = tmp_path / f"{name}.py"
    file.write_text(source)
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


HEAD: t.Final = "import os, secrets, uuid\nfrom flask import Flask\napp = Flask(__name__)\n"


@pytest.mark.parametrize(
    "line",
    [
        "app.secret_key = os.urandom(32)",
        "app.config['SECRET_KEY'] = secrets.token_hex()",
        "app.config['SECRET_KEY'] = os.urandom(32).hex()",
        "app.config.update(SECRET_KEY=secrets.token_bytes(32))",
        "app.config.from_mapping({'SECRET_KEY': secrets.token_urlsafe(64)})",
        "app.config['SECRET_KEY'] = str(uuid.uuid4())",
        "app.config['SECRET_KEY'] = uuid.uuid4().hex",
        "class Settings:\n    SECRET_KEY = os.urandom(32)\napp.config.from_object(Settings)",
        "def fill():\n    app.secret_key = os.urandom(32)\nfill()",
    ],
)
def test_a_key_that_is_made_at_each_start_is_named_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    module = load(tmp_path, monkeypatch, HEAD + line)
    (finding,) = look(module.app)
    assert finding.code == "secret-random"
    assert finding.evidence[0].where is not None
    assert finding.evidence[0].where.rpartition(":")[2] in {"4", "5"}


@pytest.mark.parametrize(
    "line",
    [
        f"app.secret_key = '{GOOD}'",
        f"app.secret_key = os.environ.get('NO_SUCH_KEY') or '{GOOD}'",
        "app.secret_key = os.environ.get('NO_SUCH_KEY') or os.urandom(32)",
        "app.secret_key = os.environ.get('NO_SUCH_KEY', os.urandom(32))",
        "if not app.secret_key:\n    app.secret_key = os.urandom(32)",
        "app.config.setdefault('SECRET_KEY', os.urandom(32))",
        "def make_key():\n    return os.urandom(32)\napp.secret_key = make_key()",
        f"app.secret_key = os.urandom(32)\napp.secret_key = '{GOOD}'",
        f"token = os.urandom(32)\napp.secret_key = '{GOOD}'",
        (
            "try:\n    app.secret_key = open('/no/such/key').read()\n"
            "except OSError:\n    app.secret_key = os.urandom(32)"
        ),
    ],
)
def test_where_the_key_comes_from_is_not_guessed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    """Stored keys, and ones that may have been stored, are not called random."""
    module = load(tmp_path, monkeypatch, HEAD + line)
    assert look(module.app) == ()


def test_a_module_without_a_readable_source_is_not_guessed_about() -> None:
    app = Flask("no_such_module")
    app.secret_key = bytes(range(32))
    assert look(app) == ()


# ---------------------------------------------------------------------- names that go away


@pytest.mark.skipif(ONE_CONTEXT, reason="gone, so that it can't be imported")
def test_a_module_that_imports_a_name_which_goes_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = load(tmp_path, monkeypatch, "from flask.globals import _cv_request\n")
    (finding,) = look(keyed(GOOD))
    assert (finding.code, finding.severity) == ("flask-next", "warning")
    assert finding.message == (
        f"{module.__name__} uses flask's _cv_request, which Flask 3.2 does not have."
    )


def test_a_module_that_imports_an_old_name_gets_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = (
        "import warnings\nwarnings.simplefilter('ignore')\nfrom flask.ctx import RequestContext\n"
    )
    load(tmp_path, monkeypatch, source)
    (finding,) = look(keyed(GOOD))
    assert (finding.code, finding.severity) == ("flask-next", "note")


def test_an_old_name_in_an_installed_package_is_not_the_users_to_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet = "import warnings\nwarnings.simplefilter('ignore')\n"
    load(tmp_path, monkeypatch, f"{quiet}from flask.ctx import RequestContext\n")
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    assert look(keyed(GOOD)) == ()


@pytest.mark.parametrize(
    "source",
    [
        "try:\n    from flask.globals import _cv_request\nexcept ImportError:\n    pass\n",
        "import flask\n",
        "_cv_request = RequestContext = object()\n",
        "from flask import request, g\n",
    ],
)
def test_a_module_that_is_prepared_is_sound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    load(tmp_path, monkeypatch, source)
    assert look(keyed(GOOD)) == ()


# ----------------------------------------------------------------------- seen in requests


def page(watch: Watch, **config: t.Any) -> t.Any:
    app = Flask(__name__)

    @app.route("/")
    def index() -> str:
        session["user"] = "ada"
        return "x"

    @app.route("/plain")
    def plain() -> str:
        return "x"

    return watch(app, **config)


def test_a_missing_proxy_fix_is_named(watch: Watch) -> None:
    watched = page(watch)
    watched.client.get("/plain", headers={"X-Forwarded-Proto": "https"})
    finding = watched.one("proxy-fix-missing")
    assert "ProxyFix(app.wsgi_app" in finding.fix


@pytest.mark.parametrize("outside", [True, False])
def test_with_proxy_fix_it_is_sound(watch: Watch, outside: bool) -> None:
    """Set before the kit, or after it."""
    app = Flask(__name__)
    app.add_url_rule("/plain", "plain", lambda: "x")
    if not outside:
        app.wsgi_app = ProxyFix(app.wsgi_app)  # type: ignore[method-assign]
    watched = watch(app)
    if outside:
        app.wsgi_app = ProxyFix(app.wsgi_app)  # type: ignore[method-assign]
    watched.client.get("/plain", headers={"X-Forwarded-Proto": "https"})
    assert watched.found == ()


@pytest.mark.parametrize(
    ("headers", "url"),
    [
        ({}, "http://localhost"),
        ({"X-Forwarded-Proto": "http"}, "http://localhost"),
        ({"X-Forwarded-Proto": ""}, "http://localhost"),
        ({"X-Forwarded-Proto": "https, http"}, "http://localhost"),
        ({"X-Forwarded-Proto": "https"}, "https://localhost"),
    ],
)
def test_where_scheme_and_header_agree_it_is_sound(
    watch: Watch, headers: dict[str, str], url: str
) -> None:
    watched = page(watch)
    watched.client.get("/plain", headers=headers, base_url=url)
    assert watched.found == ()


def test_a_session_cookie_over_https_without_secure_is_named(watch: Watch) -> None:
    watched = page(watch)
    watched.client.get("/plain", base_url="https://localhost")
    assert watched.found == ()
    watched.client.get("/", base_url="https://localhost")
    assert watched.one("cookie-not-secure").fix.startswith("Set SESSION_COOKIE_SECURE = True")


@pytest.mark.parametrize(
    ("secure", "url"), [(True, "https://localhost"), (False, "http://localhost")]
)
def test_a_secure_cookie_or_plain_http_is_sound(watch: Watch, secure: bool, url: str) -> None:
    watched = page(watch, SESSION_COOKIE_SECURE=secure)
    watched.client.get("/", base_url=url)
    assert watched.found == ()


def served(address: str, software: str = "Werkzeug/3.1") -> dict[str, t.Any]:
    return {"environ_overrides": {"SERVER_NAME": address, "SERVER_SOFTWARE": software}}


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.168.1.7"])
def test_debug_on_a_public_address_is_named(
    watch: Watch, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setattr("pathlib.Path.exists", lambda path: False)  # in no container
    watched = page(watch)
    watched.app.debug = True
    watched.client.get("/plain", **served(address))
    finding = watched.one("debug-public")
    assert f"listens on {address}" in finding.message


def test_in_a_container_a_public_address_is_the_only_one(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pathlib.Path.exists", lambda path: True)
    watched = page(watch)
    watched.app.debug = True
    watched.client.get("/plain", **served("0.0.0.0"))
    assert watched.found == ()


@pytest.mark.parametrize(
    ("debug", "address"),
    [(True, "127.0.0.1"), (True, "::1"), (True, "dev.local"), (False, "0.0.0.0")],
)
def test_debug_on_this_machine_is_sound(
    watch: Watch, monkeypatch: pytest.MonkeyPatch, debug: bool, address: str
) -> None:
    monkeypatch.setattr("pathlib.Path.exists", lambda path: False)
    watched = page(watch)
    watched.app.debug = debug
    watched.client.get("/plain", **served(address))
    assert watched.found == ()


@pytest.mark.parametrize("name", ["TESTING", "PROPAGATE_EXCEPTIONS"])
def test_testing_under_a_production_server_is_named(watch: Watch, name: str) -> None:
    watched = page(watch, **{name: True})
    watched.client.get("/plain", **served("127.0.0.1", "gunicorn/23.0.0"))
    assert watched.one("testing-in-production").message.startswith(
        f"{name} is on under gunicorn/23.0.0: "
    )


@pytest.mark.parametrize("software", ["Werkzeug/3.1", "WSGIServer/0.2", ""])
def test_testing_in_tests_is_sound(watch: Watch, software: str) -> None:
    watched = page(watch, TESTING=True)
    watched.client.get("/plain", **served("127.0.0.1", software))
    assert watched.found == ()


def test_an_environ_of_odd_types_raises_nothing(watch: Watch) -> None:
    watched = page(watch)
    odd = {"SERVER_SOFTWARE": "x" * 5000, "HTTP_X_FORWARDED_PROTO": "https" * 500}
    watched.client.get("/plain", environ_overrides=odd)
    assert watched.found == ()
