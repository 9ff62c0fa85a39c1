"""Names of Flask's and Werkzeug's that are gone or that go, and what to write instead."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

Place = t.Literal["module", "app", "blueprint", "context", "config"]
"""Where a name stood: in a module, on an app, a blueprint or a context, or in ``app.config``."""
STAND_IN: t.Final = "where an extension needs it, call flask_ctxkit.install_legacy() first"


@dataclass(frozen=True, slots=True)
class OldName:
    """A name, the first release ``of`` its package without it, and what to write instead.

    ``modules`` are those that it stood in, for a name of a module; an empty name is the
    whole module. ``since`` is the release that made another thing of it, where it is an alias
    that still works.
    """

    name: str
    place: Place
    gone: str
    instead: str
    modules: tuple[str, ...] = ()
    since: str | None = None
    of: t.Literal["Flask", "Werkzeug"] = "Flask"


def _moved(names: str, gone: str, instead: str, *modules: str) -> tuple[OldName, ...]:
    return tuple(OldName(name, "module", gone, instead, modules) for name in names.split() or [""])


def _werkzeug(names: str, gone: str, instead: str, *modules: str) -> tuple[OldName, ...]:
    return tuple(
        OldName(name, "module", gone, instead, modules, of="Werkzeug")
        for name in names.split() or [""]
    )


def _of(place: Place, names: str, gone: str, instead: str) -> tuple[OldName, ...]:
    return tuple(OldName(name, place, gone, instead) for name in names.split())


OLD_NAMES: t.Final[tuple[OldName, ...]] = (
    *_moved("_request_ctx_stack", "3.0",
            "use flask.request, flask.session and flask.g; " + STAND_IN,
            "flask", "flask.globals"),
    *_moved("_app_ctx_stack", "3.0",
            "use flask.g and flask.current_app; " + STAND_IN,
            "flask", "flask.globals"),
    *_moved("_cv_request", "3.2",
            "use flask.request, flask.has_request_context() or flask.globals.app_ctx",
            "flask.globals"),
    OldName("request_ctx", "module", "4.0",
            "use flask.globals.app_ctx, which since 3.2 has the request too",
            ("flask.globals",), since="3.2"),
    OldName("RequestContext", "module", "4.0",
            "make a context with app.request_context(environ) or app.test_request_context(); "
            "since 3.2 its class is AppContext",
            ("flask.ctx",), since="3.2"),
    *_moved("_lookup_req_object _lookup_app_object _find_app", "2.2",
            "use flask.request, flask.session, flask.g and flask.current_app", "flask.globals"),
    *_moved("_app_ctx_err_msg _request_ctx_err_msg", "2.2",
            "write a message of your own", "flask.globals"),
    *_moved("__version__", "3.2", 'use importlib.metadata.version("flask")', "flask"),
    *_moved("Markup escape", "3.0", "import it from markupsafe", "flask"),
    *_moved("safe_join", "2.1", "import it from werkzeug.utils", "flask", "flask.helpers"),
    *_moved("signals_available", "3.0", "leave it out: signals are always available",
            "flask", "flask.signals"),
    *_moved("JSONEncoder JSONDecoder", "2.3",
            "derive from flask.json.provider.DefaultJSONProvider, and set app.json", "flask.json"),
    *_moved("htmlsafe_dumps htmlsafe_dump", "2.3", "use jinja2.utils.htmlsafe_json_dumps",
            "flask.json"),
    *_moved("tojson_filter", "2.0", "use the tojson filter that Jinja has", "flask.json"),
    *_moved("total_seconds", "2.1", "use the timedelta's own total_seconds()", "flask.helpers"),
    *_moved("locked_cached_property", "3.0", "use werkzeug.utils.cached_property",
            "flask.helpers"),
    *_moved("get_env", "2.3", "use app.debug", "flask.helpers"),
    *_moved("setupmethod", "3.0", "leave it out, or check before the first request yourself",
            "flask.app"),
    *_moved("", "3.0", "use flask.Flask and flask.Blueprint", "flask.scaffold"),
    *_moved("", "2.0", "use Python 3's own", "flask._compat"),
    *_of("context", "_cv_tokens", "3.2",
         "use flask.has_app_context() and flask.has_request_context()"),
    *_of("context", "_implicit_app_ctx_stack", "2.2", "a context pops what it pushed by itself"),
    *_of("app", "before_first_request before_first_request_funcs", "2.3",
         "use kit.before_first_request, or run it when the app is made; " + STAND_IN),
    *_of("app", "try_trigger_before_first_request_functions", "2.2",
         "use kit.before_first_request"),
    *_of("app", "json_encoder json_decoder", "2.3",
         "derive from flask.json.provider.DefaultJSONProvider, and set app.json"),
    *_of("app", "session_cookie_name", "2.3", 'use app.config["SESSION_COOKIE_NAME"]'),
    *_of("app", "send_file_max_age_default", "2.3",
         'use app.config["SEND_FILE_MAX_AGE_DEFAULT"]'),
    *_of("app", "use_x_sendfile", "2.3", 'use app.config["USE_X_SENDFILE"]'),
    *_of("app", "propagate_exceptions", "2.3", 'use app.config["PROPAGATE_EXCEPTIONS"]'),
    *_of("app", "templates_auto_reload", "2.3", 'use app.config["TEMPLATES_AUTO_RELOAD"]'),
    *_of("app", "preserve_context_on_exception", "2.2",
         "leave it out: the debugger keeps what it needs"),
    *_of("app", "env", "2.3", "use app.debug"),
    *_of("app", "got_first_request", "3.0", "remember it yourself in a before_request function"),
    OldName("should_ignore_error", "app", "4.0",
            "handle the error in the teardown function", since="3.2"),
    *_of("app", "open_session save_session make_null_session", "2.0",
         "use the method of app.session_interface"),
    *_of("blueprint", "before_app_first_request", "2.3",
         "use kit.before_first_request; " + STAND_IN),
    *_of("config", "JSON_AS_ASCII", "2.3", "set app.json.ensure_ascii"),
    *_of("config", "JSON_SORT_KEYS", "2.3", "set app.json.sort_keys"),
    *_of("config", "JSONIFY_MIMETYPE", "2.3", "set app.json.mimetype"),
    *_of("config", "JSONIFY_PRETTYPRINT_REGULAR", "2.3", "set app.json.compact"),
    *_of("config", "PRESERVE_CONTEXT_ON_EXCEPTION", "2.2",
         "leave it out: the debugger keeps what it needs"),
    # What old extensions stumble over next, once they have their stacks.
    *_werkzeug("safe_str_cmp", "2.1", "use hmac.compare_digest", "werkzeug.security"),
    *_werkzeug("pbkdf2_hex pbkdf2_bin", "2.1", "use hashlib.pbkdf2_hmac", "werkzeug.security"),
    *_werkzeug("url_quote url_quote_plus url_unquote url_encode url_decode url_parse url_unparse "
               "url_join url_fix", "3.0", "use urllib.parse", "werkzeug.urls"),
    *_werkzeug("Href", "2.1", "use urllib.parse", "werkzeug.urls"),
    *_werkzeug("unescape", "2.1", "use html.unescape", "werkzeug.utils"),
    *_werkzeug("validate_arguments bind_arguments", "2.1", "use inspect.signature",
               "werkzeug.utils"),
    *_werkzeug("BaseRequest BaseResponse AcceptMixin ETagRequestMixin", "2.1",
               "use Request and Response, which have all of it", "werkzeug.wrappers"),
    *_werkzeug("SharedDataMiddleware DispatcherMiddleware", "1.0",
               "import it from werkzeug.middleware", "werkzeug.wsgi"),
    *_werkzeug("pop_path_info get_script_name", "2.3", "use what stands in environ",
               "werkzeug.wsgi"),
    *_werkzeug("parse_authorization_header", "3.0",
               "use werkzeug.datastructures.Authorization.from_header", "werkzeug.http"),
    *_werkzeug("parse_www_authenticate_header", "3.0",
               "use werkzeug.datastructures.WWWAuthenticate.from_header", "werkzeug.http"),
    *_werkzeug("get_ident", "2.1", "use threading.get_ident", "werkzeug.local"),
    *_werkzeug("secure_filename cached_property", "1.0", "import it from werkzeug.utils",
               "werkzeug"),
    *_werkzeug("generate_password_hash check_password_hash", "1.0",
               "import it from werkzeug.security", "werkzeug"),
    *_werkzeug("__version__", "3.1", 'use importlib.metadata.version("werkzeug")', "werkzeug"),
    *_werkzeug("", "1.0", "use werkzeug.middleware, or cachelib for a cache", "werkzeug.contrib"),
    *_werkzeug("", "2.1", "use Request.user_agent", "werkzeug.useragents"),
    *_werkzeug("", "2.0", "use Python 3's own", "werkzeug._compat"),
)  # fmt: skip
"""Each was looked for on Flask 1.1, 2.0, 2.1, 2.2, 2.3, 3.0, 3.1 and 3.2, or on the Werkzeug
of that time."""

DISPATCH: t.Final[t.Mapping[str, int]] = {
    "handle_http_exception": 2,
    "handle_user_exception": 2,
    "handle_exception": 2,
    "log_exception": 2,
    "dispatch_request": 1,
    "full_dispatch_request": 1,
    "finalize_request": 2,
    "make_default_options_response": 1,
    "preprocess_request": 1,
    "process_response": 2,
    "do_teardown_request": 1,
    "do_teardown_appcontext": 1,
    "update_template_context": 2,
}
"""The methods of an app that take the context first since Flask 3.2, and how many arguments
each needs since then."""
UNNOTICED: t.Final = frozenset({"update_template_context"})
"""Those whose old signature Flask 3.2 doesn't look for on a subclass: it breaks at once."""
APP_CLASS: t.Final = ("flask.Flask", "flask.app.Flask")


def numbers(release: str) -> tuple[int, ...]:
    """``(3, 2)`` of "3.2.0.dev0": the release's first two numbers."""
    return tuple(int(number) for number in release.split(".")[:2])
