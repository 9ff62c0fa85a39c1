"""Where source files use old names: each way is seen, and nothing sound is told."""

from __future__ import annotations

import textwrap
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_ctxkit.findings.old_code import old_uses
from flask_ctxkit.findings.old_names import DISPATCH, OLD_NAMES


def told(source: str) -> list[tuple[int, str, str]]:
    """What is found: the line, how, and the name."""
    uses = old_uses(textwrap.dedent(source).encode())
    return [(use.line, use.how, use.old.name or use.old.modules[0]) for use in uses]


SEEN: t.Final[dict[str, tuple[str, list[tuple[int, str, str]]]]] = {
    "an import": (
        "from flask import Flask, _request_ctx_stack",
        [(1, "import", "_request_ctx_stack")],
    ),
    "an import under another name": (
        "from flask.globals import _app_ctx_stack as stack",
        [(1, "import", "_app_ctx_stack")],
    ),
    "the line of a name in a long import": (
        "from flask import (\n    Flask,\n    escape,\n    Markup,\n)",
        [(3, "import", "escape"), (4, "import", "Markup")],
    ),
    "an attribute of the module": (
        "import flask\nx = flask.Markup('')",
        [(2, "read", "Markup")],
    ),
    "an attribute of the module under another name": (
        "import flask as f\nprint(f.__version__)",
        [(2, "read", "__version__")],
    ),
    "an attribute of a module of the module": (
        "import flask\nctx = flask.globals._request_ctx_stack.top",
        [(2, "read", "_request_ctx_stack")],
    ),
    "an attribute of an imported module": (
        "from flask import globals as of_flask\nctx = of_flask._cv_request.get()",
        [(2, "read", "_cv_request")],
    ),
    "a module that is gone": (
        "import flask.scaffold\nfrom flask.scaffold import Scaffold\nfrom flask import _compat",
        [(1, "import", "flask.scaffold"), (2, "import", "flask.scaffold"),
         (3, "import", "flask._compat")],
    ),
    "a module inside of one that is gone": (
        "from werkzeug.contrib.fixers import ProxyFix\nimport werkzeug.contrib.cache",
        [(1, "import", "werkzeug.contrib"), (2, "import", "werkzeug.contrib")],
    ),
    "names of Werkzeug": (
        ("from werkzeug.security import safe_str_cmp\nfrom werkzeug import urls, secure_filename\n"
        "urls.url_quote('')"),
        [(1, "import", "safe_str_cmp"), (2, "import", "secure_filename"), (3, "read", "url_quote")],
    ),
    "an alias": (
        "from flask.ctx import RequestContext\nctx = RequestContext(app, environ)",
        [(1, "import", "RequestContext")],
    ),
    "a decorator of an app": (
        "from flask import Flask\napp = Flask(__name__)\n@app.before_first_request\ndef f(): ...",
        [(3, "read", "before_first_request")],
    ),
    "an app by another name": (
        "from flask import Flask\nserver = Flask(__name__)\nserver.json_encoder = None",
        [(3, "set", "json_encoder")],
    ),
    "an app of an annotation": (
        "import flask\ndef init(server: 'flask.Flask'):\n    server.before_first_request(f)",
        [(3, "read", "before_first_request")],
    ),
    "an app that a factory makes": (
        "import flask\nfrom shop import create_app\nshop = create_app()\nprint(shop.env)",
        [(4, "read", "env")],
    ),
    "an app of an extension": (
        ("import flask\nclass Tea:\n    def init_app(self, app):\n"
        "        self.app = app\n        self.app.before_first_request(self.warm)"),
        [(5, "read", "before_first_request")],
    ),
    "the current app": (
        "from flask import current_app\nx = current_app.session_cookie_name",
        [(2, "read", "session_cookie_name")],
    ),
    "the current app itself": (
        "from flask import current_app\nshop = current_app._get_current_object()\nshop.env",
        [(3, "read", "env")],
    ),
    "an app in a file without Flask": (
        "from shop import app\n@app.before_first_request\ndef f(): ...",
        [(2, "read", "before_first_request")],
    ),
    "a blueprint": (
        ("from flask import Blueprint\nb = Blueprint('b', __name__)\n"
        "@b.before_app_first_request\ndef f(): ..."),
        [(3, "read", "before_app_first_request")],
    ),
    "a subclass's attributes": (
        ("from flask import Flask\nclass Shop(Flask):\n    json_encoder = Encoder\n"
        "    def open_session(self, request): ...\n"
        "    def f(self):\n        return self.env"),
        [(3, "set", "json_encoder"), (4, "override", "open_session"), (6, "read", "env")],
    ),
    "tokens of a context": (
        "from flask.globals import _cv_app\nprint(_cv_app.get()._cv_tokens)",
        [(2, "read", "_cv_tokens")],
    ),
    "a setting": (
        ("app.config['JSON_AS_ASCII'] = False\napp.config.update(JSON_SORT_KEYS=False)\n"
        "app.config.get('JSONIFY_MIMETYPE')\napp.config.setdefault('JSON_SORT_KEYS', 1)"),
        [(1, "set", "JSON_AS_ASCII"), (2, "set", "JSON_SORT_KEYS"),
         (3, "read", "JSONIFY_MIMETYPE"), (4, "set", "JSON_SORT_KEYS")],
    ),
    "a setting in a class of settings": (
        "class Config:\n    JSON_AS_ASCII = False",
        [(2, "set", "JSON_AS_ASCII")],
    ),
    "an old method of a subclass": (
        ("import flask\nclass Shop(flask.Flask):\n    def full_dispatch_request(self):\n"
        "        return super().full_dispatch_request()\n"
        "class Tea(Shop):\n    async def process_response(self, response): ..."),
        [(3, "override", "full_dispatch_request"), (6, "override", "process_response")],
    ),
    "a call without the context": (
        ("import flask\nwith app.test_request_context():\n    app.preprocess_request()\n"
        "    app.process_response(response)\n    app.log_exception(exc_info=None)"),
        [(3, "call", "preprocess_request"), (4, "call", "process_response"),
         (5, "call", "log_exception")],
    ),
    "a patch by a function": (
        ("import flask\ndef dispatch(): ...\napp.dispatch_request = dispatch\n"
        "app.handle_exception = lambda e: ''"),
        [(3, "patch", "dispatch_request"), (4, "patch", "handle_exception")],
    ),
    "a patch by a method": (
        ("import flask\nclass Bar:\n    def init_app(self, app):\n"
        "        app.dispatch_request = self.dispatch_request\n"
        "    def dispatch_request(self): ..."),
        [(4, "patch", "dispatch_request")],
    ),
    "a patch by a partial": (
        ("import flask\nfrom functools import partial\nclass Api:\n    def init_app(self, app):\n"
        "        app.handle_exception = partial(self.route, app.handle_exception)\n"
        "    def route(self, original, error): ..."),
        [(5, "patch", "handle_exception")],
    ),
    "a patch of the class": (
        "from flask import Flask\ndef dispatch(self): ...\nFlask.dispatch_request = dispatch",
        [(3, "patch", "dispatch_request")],
    ),
    "a version that is asked for in the old way": (
        "import flask\nif flask.__version__ < '2.2':\n    from flask import _app_ctx_stack",
        [(2, "read", "__version__")],
    ),
    "what is old in what is tried and instead": (
        ("try:\n    from flask import _app_ctx_stack as stack\nexcept ImportError:\n"
        "    from flask import _request_ctx_stack as stack"),
        [(4, "import", "_request_ctx_stack")],
    ),
    "what comes after a test": (
        "import flask\ndef f():\n    if app.debug:\n        return\n    flask.escape('')",
        [(5, "read", "escape")],
    ),
    "what is tried for another reason": (
        ("import flask\ntry:\n    flask.escape('')\nexcept KeyError:\n    flask.Markup('')\n"
        "finally:\n    flask.safe_join('')"),
        [(3, "read", "escape"), (5, "read", "Markup"), (7, "read", "safe_join")],
    ),
}  # fmt: skip

SOUND: t.Final[dict[str, str]] = {
    "names of other modules": (
        "from markupsafe import Markup, escape\nfrom werkzeug.utils import safe_join\n"
        "from json import JSONEncoder\nfrom starlette.ctx import RequestContext\n"
        "from .globals import _cv_request, _request_ctx_stack"
    ),
    "names of its own": "_request_ctx_stack = []\ndef escape(): ...\nMarkup = str\nx = escape()",
    "the kit's": (
        "from flask_ctxkit import CtxKit\nkit = CtxKit(app)\n"
        "@kit.before_first_request\ndef f(): ..."
    ),
    "what is tried": (
        "try:\n    from flask import _app_ctx_stack as stack\nexcept ImportError:\n"
        "    from flask.globals import app_ctx as stack"
    ),
    "what stands in for what is tried": (
        "try:\n    from markupsafe import Markup\nexcept ImportError:\n    from flask import Markup"
    ),
    "an attribute that is tried": (
        "import flask\ntry:\n    v = flask.__version__\n"
        "except (KeyError, AttributeError):\n    v = 1"
    ),
    "what is suppressed": (
        "import contextlib, flask\nwith contextlib.suppress(AttributeError):\n    flask.escape('')"
    ),
    "what a version decides": (
        "from importlib.metadata import version\nFLASK = version('flask')\n"
        "if FLASK < '2.3':\n    from flask import Markup\nelse:\n    from markupsafe import Markup"
    ),
    "what hasattr decides": (
        "import flask\nx = flask.escape if hasattr(flask, 'escape') else None\n"
        "y = hasattr(flask, 'Markup') and flask.Markup('')\n"
        "if not hasattr(app, 'before_first_request'):\n    app.before_first_request(f)"
    ),
    "what a name decides that was tried": (
        "import flask\ntry:\n    from flask.globals import app_ctx\nexcept ImportError:\n"
        "    app_ctx = None\n"
        "def f():\n    if app_ctx is None:\n        return flask._app_ctx_stack.top\n"
        "    return app_ctx"
    ),
    "what a flag decides": (
        "from flask import globals as g\nvar = getattr(g, '_cv_request', None)\n"
        "ONE = var is None\ndef f(ctx):\n    if ONE:\n        return 1\n    return g._cv_request"
    ),
    "types only": (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n"
        "    from flask.ctx import RequestContext"
    ),
    "a file for both lines": (
        "from flask import globals\ndef f(ctx):\n    return ctx._cv_token\n"
        "def g(ctx):\n    return ctx._cv_tokens"
    ),
    "another library's context": (
        "import flask\nclass C:\n    def f(self):\n        self._cv_tokens = []"
    ),
    "other apps": (
        "import flask\nfrom fastapi import FastAPI\nfrom celery import Celery\n"
        "app = FastAPI()\napp.env = 1\napp.before_first_request(f)\n"
        "application = Celery()\napplication.env = 2"
    ),
    "an app of another library": (
        "import flask\nfrom quart import current_app\ncurrent_app.env\n"
        "def f(app: 'Quart'):\n    app.preprocess_request()"
    ),
    "a current app of its own": "import flask\nfrom .globals import current_app\ncurrent_app.env",
    "an app without Flask": "def setup(app):\n    app.env = 1\n    app.open_session()",
    "a view": (
        "from flask.views import View\nclass Tea(View):\n    def dispatch_request(self): ..."
    ),
    "a method that takes the context": (
        "from flask import Flask\nclass A(Flask):\n    def dispatch_request(self, ctx): ...\n"
        "    def preprocess_request(self, c: 'flask.ctx.AppContext'): ...\n"
        "    def handle_exception(self, c: AppContext, e): ..."
    ),
    "a call with the context": (
        "import flask\napp.preprocess_request(ctx)\napp.log_exception(ctx, exc_info=None)\n"
        "app.dispatch_request(*args)\napp.process_response(**given)"
    ),
    "a patch that hands on": (
        "import flask\ndef f(*args, **kwargs): ...\napp.dispatch_request = f\n"
        "def g(ctx): ...\napp.dispatch_request = g\napp.dispatch_request = made()\n"
        "app.dispatch_request = unknown\napp.dispatch_request = other.method\n"
        "flask.Flask.dispatch_request = lambda self, ctx: None"
    ),
    "settings of others": "config['JSON_KEYS'] = 1\nuser.config = {}\nsettings['ENV'] = 2",
    "text": "x = '_request_ctx_stack before_first_request'  # flask._app_ctx_stack",
    "a getattr": "import flask\nx = getattr(flask, '_app_ctx_stack', None)",
}


@pytest.mark.parametrize("case", SEEN)
def test_each_way_of_using_an_old_name_is_seen(case: str) -> None:
    """With its line, and once."""
    source, expected = SEEN[case]
    assert told(source) == expected


@pytest.mark.parametrize("case", SOUND)
def test_what_is_sound_is_not_told(case: str) -> None:
    """No false alarm: what is tried or asked for first works on every release."""
    assert told(SOUND[case]) == []


@pytest.mark.parametrize("old", [o for o in OLD_NAMES if o.place == "module"], ids=str)
def test_every_name_of_a_module_is_seen_where_it_is_imported(old: t.Any) -> None:
    """From each module that had it, and as its attribute."""
    for module in old.modules:
        name = old.name or "anything"
        assert [u.old for u in old_uses(f"from {module} import {name}".encode())] == [old]
        if old.name:
            source = f"import {module}\n{module}.{name}"
            assert [u.old for u in old_uses(source.encode())] == [old]


@pytest.mark.parametrize("old", [o for o in OLD_NAMES if o.place == "app"], ids=str)
def test_every_name_of_an_app_is_seen(old: t.Any) -> None:
    source = f"from flask import Flask\nshop = Flask('shop')\nshop.{old.name}"
    assert [use.old for use in old_uses(source.encode())] == [old]


@pytest.mark.parametrize("name", DISPATCH)
def test_every_dispatch_method_is_seen(name: str) -> None:
    """Overridden, replaced and called in the old way."""
    head = "from flask import Flask\napp = Flask('shop')\n"
    source = (
        f"{head}class A(Flask):\n    def {name}(self): ...\napp.{name} = lambda: 1\napp.{name}()"
    )
    hows = [(use.how, use.old.gone) for use in old_uses(source.encode())]
    first = "3.2" if name == "update_template_context" else "4.0"
    assert hows == [("override", first), ("patch", "3.2"), ("call", "3.2")]


def test_what_python_can_not_parse_raises() -> None:
    """The caller tells which file it was."""
    with pytest.raises(SyntaxError):
        old_uses(b"from flask import escape\ndef f(:")
    with pytest.raises((SyntaxError, ValueError)):
        old_uses(b"from flask import escape\n\0")
    with pytest.raises(SyntaxError):
        old_uses(b"# -*- coding: nonsense -*-\nfrom flask import escape")
    with pytest.raises((RecursionError, MemoryError, SyntaxError)):
        old_uses(b"import flask\nflask.escape(" + b"(" * 100_000)


def test_encodings_and_line_ends_are_pythons() -> None:
    """As the file says, not as the machine does; no warning of its own."""
    latin = "# -*- coding: latin-1 -*-\nx = 'ü\\d'\nfrom flask import escape\n"
    assert [use.line for use in old_uses(latin.encode("latin-1"))] == [3]
    assert [use.line for use in old_uses(b"\xef\xbb\xbfimport flask\r\nflask.escape\r\n")] == [2]


@given(st.text(max_size=200))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    """Nothing else escapes, whatever stands in a file."""
    source = f"from flask import escape\n{text}".encode("utf-8", "surrogatepass")
    try:
        found = old_uses(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    assert found[0].line == 1
