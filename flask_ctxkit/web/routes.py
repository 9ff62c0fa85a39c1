"""Which URL shows what: one row per page, one function per row."""

from __future__ import annotations

import hashlib
import typing as t
from dataclasses import dataclass, field

from .. import internals, report
from ..report.query import KINDS, SORTS
from ..report.trace import around, plain
from .waterfall import opened_by_default, owners_of_g, waterfall

if t.TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

    from ..report import Sources
    from .guard import Access

METHODS: t.Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
DRAW_ALL: t.Final = 20_000
"""The most events that are drawn on one page."""
ROWS_OF_LIVE: t.Final = 100
"""The most live contexts that the page draws unless it is asked for all, the oldest ones."""
PING: t.Final = 1.0
"""Seconds that the resources have to answer, all together, while the page of the app waits."""
PAGES_TO_OPEN: t.Final = 8
"""How many of the app's own URLs an empty overview offers."""


class PageError(Exception):
    """What is shown instead of a page: why, and what to do."""

    def __init__(self, code: str, message: str, status: int, newest: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.newest = newest


@dataclass(frozen=True, slots=True)
class Visit:
    """A request of somebody who may look. ``root`` is where the pages are, for links,
    ``app_root`` where the app is.
    """

    sources: Sources
    access: Access
    environ: WSGIEnvironment
    parameters: t.Mapping[str, str]
    wants_json: bool
    root: str
    app_root: str
    has_login: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """``body`` is the report for JSON, ``context`` what the template gets. ``since`` names
    the state that is shown, so that who has it already need not have it again.
    """

    body: t.Mapping[str, t.Any]
    template: str
    context: t.Mapping[str, t.Any] = field(default_factory=dict)
    since: str | None = None
    status: int = 200


@dataclass(frozen=True, slots=True)
class Route:
    """A page. ``parts`` are the pieces of its path, of which ``<...>`` is an argument;
    pages with a ``title`` stand in the navigation.
    """

    parts: tuple[str, ...]
    answer: t.Callable[..., Answer]
    title: str | None = None

    def match(self, parts: t.Sequence[str]) -> tuple[str, ...] | None:
        """The arguments that *parts* hold, or None if they are another page's."""
        if len(parts) != len(self.parts):
            return None
        pairs = list(zip(self.parts, parts, strict=True))
        if any(want != got for want, got in pairs if not want.startswith("<")):
            return None
        return tuple(got for want, got in pairs if want.startswith("<"))


def find_route(inner: str) -> tuple[Route, tuple[str, ...]]:
    """The page of a path below the prefix, and its arguments.

    :raises PageError: if there is none.
    """
    parts = inner.split("/") if inner else ["index"]
    for route in ROUTES:
        arguments = route.match(parts)
        if arguments is not None:
            return route, arguments
    raise PageError("unknown-page", "There is no such page. The overview leads to all.", 404)


# ------------------------------------------------------------------------------ pages


def overview(visit: Visit) -> Answer:
    body = report.index(visit.sources)
    newest = body["requests"][0]["id"] if body["requests"] else ""
    since = state_of(newest, body["checks"], body["findings"], _live_state(body["contexts"]))
    context = body | {"live": body["contexts"]}
    if not body["requests"]:
        context["own_pages"] = _own_pages(visit)
        context["base_url"] = _base_url(visit)
    return Answer(body, "overview.html", context | {"methods": METHODS}, since)


def requests(visit: Visit) -> Answer:
    query = report.Query.from_mapping(visit.parameters)
    known = visit.parameters.get("since", "") if visit.wants_json else ""
    body = report.requests(visit.sources, query, known)
    rows = body["requests"]
    if visit.wants_json:
        # Whoever asks for what is newer names a trace; "since" is the one to name next.
        since = rows[0]["id"] if rows and query.sort == "newest" else known or None
    else:
        since = state_of([row["id"] for row in rows], body["total"])
    choices = {"kinds": KINDS, "sorts": SORTS, "methods": METHODS}
    near = [
        (name, count, query.without(name.removeprefix("without ")).as_parameters())
        for name, count in body["near"].items()
    ]
    context = body | choices | {"asked": query, "near_links": near, "text": _text(visit)}
    return Answer(body, "requests.html", context, since)


def request(visit: Visit, name: str) -> Answer:
    chosen, first = _index(visit, "event"), _index(visit, "from")
    try:
        found = report.find_trace(visit.sources, name)
    except report.UnknownTraceError as error:
        newest = error.evidence["newest"]
        raise PageError("unknown-trace", str(error), 404, newest) from error
    extra = around(visit.sources, found)
    if visit.wants_json:
        return Answer({"trace": plain(found) | extra}, "request.html")
    opened = opened_by_default(found) if chosen is None else {chosen}
    window = {"window": DRAW_ALL} if visit.parameters.get("all") == "1" else {}
    picture = waterfall(found, opened, first or _window_of(chosen), **window)
    by_index = {event.index: event for event in found.events}
    context = {
        "trace": found,
        "around": extra,
        "picture": picture,
        "by_index": by_index,
        "g_rows": owners_of_g(found),
        "told": extra["session_report"],
    }
    # Only what still runs can change.
    since = state_of(len(found.events)) if found.state == "running" else None
    return Answer({}, "request.html", context, since)


def live(visit: Visit) -> Answer:
    body = report.contexts(visit.sources)
    leaks = [(row["kind"], row["at"], row["still"]) for row in body["leaks"]]
    since = state_of(_live_state(body["contexts"]), leaks, _pool_state(body["pools"]))
    shown = len(body["contexts"]) if visit.parameters.get("all") == "1" else ROWS_OF_LIVE
    return Answer(body, "live.html", {**body, "shown": shown}, since)


def stacks(visit: Visit) -> Answer:
    sources = visit.sources
    try:
        # A copy: making a request from an environ leaves the request in it.
        body = internals.run_placed(
            sources.app,
            dict(visit.environ),
            lambda: report.stacks(sources),
            report.uncounted(sources.app),
        )
    except Exception as error:
        body = report.stacks(sources)
        body["missing"].insert(
            0,
            f"Your own request is not on the stacks: its contexts could not be made "
            f"({type(error).__name__} in open_session or before).",
        )
    return Answer(body, "stacks.html", body)


def session(visit: Visit) -> Answer:
    body = report.session(visit.sources, visit.environ)
    rows = [row["trace"] for row in (*body["refused"], *body["unsaved"])]
    since = state_of(body["counts"], rows)
    return Answer({"session": body}, "session.html", {"report": body}, since)


def startup(visit: Visit) -> Answer:
    sources = visit.sources
    sources.resources.ping(PING)
    body = report.startup(sources.app, sources.redactor, sources.resources)
    return Answer({"app": body}, "app.html", body)


def hooks(visit: Visit) -> Answer:
    method = visit.parameters.get("method") or "GET"
    path = visit.parameters.get("path") or "/"
    body: dict[str, t.Any] = report.hooks(visit.sources.app, method, path)
    context = {"hooks": body, "methods": METHODS, "method": body["method"], "path": path}
    return Answer({"hooks": body}, "hooks.html", context)


def findings(visit: Visit) -> Answer:
    body = report.findings(visit.sources)
    seen = {row["code"] for row in body["findings"]}
    return Answer(body, "findings.html", body | {"seen": seen}, state_of(body["findings"]))


ROUTES: t.Final = (
    Route(("index",), overview, "Overview"),
    Route(("live",), live, "Live"),
    Route(("requests",), requests, "Requests"),
    Route(("requests", "<id>"), request),
    Route(("stacks",), stacks, "Context stacks"),
    Route(("session",), session, "Session"),
    Route(("hooks",), hooks, "Hooks"),
    Route(("app",), startup, "Start-up"),
    Route(("findings",), findings, "Findings"),
)

NAVIGATION: t.Final = tuple(
    ("" if route.parts == ("index",) else "/".join(route.parts), route.title)
    for route in ROUTES
    if route.title is not None
)


# ------------------------------------------------------------------------------ pieces


def state_of(*parts: t.Any) -> str:
    """A short name for what is shown: the same for the same, another for anything else."""
    return hashlib.blake2b(repr(parts).encode(), digest_size=6).hexdigest()


def _live_state(contexts: t.Sequence[t.Mapping[str, t.Any]]) -> list[t.Any]:
    return [
        (
            row["id"] or (row["unit"]["key"], row["path"]),
            row["phase"], row["hook"], row["state"], row["stuck"],
            [(frame["file"], frame["line"]) for frame in row["frames"][:3]],
            [(held["resource"], held["state"], held["where"]) for held in row["resources"]],
        )
        for row in contexts
    ]  # fmt: skip


def _pool_state(pools: t.Sequence[t.Mapping[str, t.Any]]) -> list[t.Any]:
    return [
        (
            row["name"], row["taken"], row["limit"], row["held"], row["waiting"], row["cursors"],
            [(holder["unit"]["key"], holder["where"]) for holder in row["holders"]],
        )
        for row in pools
    ]  # fmt: skip


def _index(visit: Visit, name: str) -> int | None:
    value = visit.parameters.get(name, "")
    if not value:
        return None
    if not (value.isascii() and value.isdigit() and len(value) < 8):  # noqa: PLR2004
        raise PageError(
            "bad-parameter", f"The parameter {name} is not the number of an event.", 400
        )
    return int(value)


def _window_of(index: int | None) -> int:
    # A little before the event, so that it is seen where it happened.
    return 1 if index is None else max(1, index - 20)


def _text(visit: Visit) -> str:
    return visit.parameters.get("q", "")


def _base_url(visit: Visit) -> str:
    scheme = visit.environ.get("wsgi.url_scheme", "http")
    return f"{scheme}://{visit.environ.get('HTTP_HOST', '')}{visit.app_root}/"


def _own_pages(visit: Visit) -> list[str]:
    """Rules of the app that need no arguments and answer GET."""
    found = [
        rule.rule
        for rule in visit.sources.app.url_map.iter_rules()
        if not rule.arguments and "GET" in (rule.methods or ())
        # "//" would be another host.
        if rule.rule.startswith("/") and not rule.rule.startswith("//")
    ]
    return found[:PAGES_TO_OPEN]
