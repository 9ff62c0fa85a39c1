"""The pages in a real browser: what is seen, followed, typed and copied."""

from __future__ import annotations

import re
import shutil
import threading
import time
import typing as t

import pytest
from flask import Blueprint, Flask, Response, g, redirect, render_template_string, session
from werkzeug.serving import make_server

from flask_ctxkit import CtxKit

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

CHROMIUMS: t.Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SIZES: t.Final = ((1280, 900), (400, 800))
SCHEMES: t.Final = ("light", "dark")
HOSTILE: t.Final = "<img src=x onerror=\"document.title='pwned'\">"
WATCH: t.Final = """
addEventListener("securitypolicyviolation", (event) => {
  console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`);
});
"""
CONTRAST: t.Final = r"""() => {
  const parse = (text) => text.match(/[\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => {
      v /= 255;
      return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const backdrop = (node) => {
    for (; node; node = node.parentElement) {
      const color = parse(getComputedStyle(node).backgroundColor);
      if (color.length < 4 || color[3] > 0.99) return color;
    }
    return [255, 255, 255];
  };
  const weak = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !node.checkVisibility()) continue;
    const style = getComputedStyle(node);
    const [a, b] = [light(parse(style.color)), light(backdrop(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) weak.push([ratio, walker.currentNode.data.trim().slice(0, 40)]);
  }
  return weak;
}"""


class Connection:
    def __init__(self) -> None:
        self.statements = 3


def tea_shop() -> Flask:
    app = Flask("shop")
    app.config["SECRET_KEY"] = "dev"
    app.debug = True
    CtxKit(app)
    shop = Blueprint("shop", "shop")

    @app.before_request
    def load_user() -> None:
        if "user_id" in session:
            g.user = {"name": "ada", "password": "hunter2-hunter2"}

    @shop.get("/cart")
    def cart() -> str:
        g.db = Connection()
        g.wish = HOSTILE
        return render_template_string("<h1>cart</h1>")

    @shop.get("/login")
    def login() -> t.Any:
        session["user_id"] = 42
        return redirect("/cart")

    @shop.get("/wish")
    def wish() -> str:
        return str(g.user)

    @shop.get("/boom")
    def boom() -> str:
        raise ValueError(HOSTILE)

    @shop.get("/wait/<float:seconds>")
    def wait(seconds: float) -> str:
        time.sleep(seconds)
        return "waited"

    @app.after_request
    def no_frames(response: Response) -> Response:
        response.headers["X-Frame-Options"] = "DENY"
        return response

    @app.teardown_appcontext
    def close_db(error: BaseException | None) -> None:
        g.pop("db", None)

    app.register_blueprint(shop)
    return app


class Site:
    """A served app, and a way to use it besides the browser."""

    def __init__(self, app: Flask, port: int) -> None:
        self.app = app
        self.url = f"http://localhost:{port}"
        self.pages = f"{self.url}/_ctx"

    def visit(self, *paths: str) -> None:
        client = self.app.test_client()
        for path in paths:
            try:
                client.get(path)
            except (ValueError, AttributeError):
                continue  # planted; debug propagates them

    def newest(self, path: str) -> str:
        traces = self.app.extensions["ctxkit"].store.newest()
        return str(next(trace.id for trace in traces if trace.path == path))


@pytest.fixture
def site() -> Iterator[Site]:
    app = tea_shop()
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield Site(app, server.server_port)
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        pytest.skip("Playwright is not installed")
    path = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if path is None:
        pytest.skip("there is no Chromium here")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens pages, and afterwards holds them to silence: no error, no policy violation."""
    said: list[str] = []
    contexts = []

    def make(
        width: int = 1280, height: int = 900, scheme: t.Any = "light", **options: t.Any
    ) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, **options
        )
        contexts.append(context)
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.add_init_script(WATCH)
        page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("requestfailed", lambda request: said.append(f"{request.failure}: {request.url}"))
        return page

    yield make
    for context in contexts:
        context.close()
    # Leaving a page ends its poll, and what it still loads.
    assert [line for line in said if not line.startswith("net::ERR_ABORTED")] == []


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("size", SIZES, ids=["wide", "narrow"])
def test_from_the_overview_to_the_event_that_shows_the_problem(
    site: Site, open_page: Callable[..., Page], size: tuple[int, int], scheme: str
) -> None:
    site.visit("/cart", "/wish", "/cart", "/login", "/boom")
    page = open_page(*size, scheme)
    page.goto(f"{site.pages}/")
    assert "shop" in page.title()
    problem = page.locator("#problems .finding.error").first
    assert "g.user" in problem.inner_text()
    assert page.locator("#last tbody tr").count() == 5

    problem.get_by_role("link", name=re.compile("^event")).last.click()
    event = page.locator("details.event:target")
    assert event.evaluate("node => node.open")
    assert "wish" in event.locator("summary").inner_text()
    assert "AttributeError" in event.inner_text()
    assert page.locator("h1").inner_text().startswith("GET /wish")

    page.goto(f"{site.pages}/")
    page.get_by_role("link", name="GET /cart").last.click()
    page.wait_for_url(re.compile("/requests/"))
    names = page.locator("details.event > summary .phase").all_inner_texts()
    assert names[:2] == ["make_request", "push_app"]
    assert names.index("view") < names.index("save_session") < names.index("pop")
    view = page.locator("details.event", has=page.locator(".phase", has_text="view"))
    if not view.evaluate("node => node.open"):
        view.locator("summary").click()
    assert "statements" in view.inner_text()
    assert view.locator("svg.bar rect").bounding_box()
    assert "response handed to the server" in page.inner_text("main")


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("size", SIZES, ids=["wide", "narrow"])
def test_every_page_fits_its_screen_and_can_be_read(
    site: Site, open_page: Callable[..., Page], size: tuple[int, int], scheme: str
) -> None:
    """Nothing sticks out, and text has the contrast of WCAG's level AA."""
    site.visit("/cart", "/wish", "/login", "/boom", "/missing", "/" + "x" * 300)
    waiting = threading.Thread(target=site.visit, args=("/wait/2.5",))
    waiting.start()
    page = open_page(*size, scheme)
    for url in (
        "/", "/live", "/requests", "/stacks", "/hooks?path=/cart", "/app", "/findings", "/session",
        f"/requests/{site.newest('/cart')}", f"/requests/{site.newest('/boom')}",
    ):  # fmt: skip
        page.goto(site.pages + url)
        beside = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert beside <= 0, f"{url} is {beside} pixels too wide"
        assert page.evaluate(CONTRAST) == [], url
    waiting.join()


def test_the_overview_follows_by_itself_and_can_be_paused(
    site: Site, open_page: Callable[..., Page]
) -> None:
    page = open_page()
    page.goto(f"{site.pages}/")
    assert "No request yet" in page.inner_text("main")
    site.visit("/cart")
    page.get_by_role("link", name="GET /cart").wait_for()
    page.keyboard.press("p")
    assert page.locator("#live-state").inner_text() == "paused"
    site.visit("/login")
    page.wait_for_timeout(3000)
    assert page.get_by_role("link", name="GET /login").count() == 0
    page.get_by_role("button", name="Resume").click()
    page.get_by_role("link", name="GET /login").wait_for()


def test_a_link_that_is_pressed_while_the_page_follows_is_still_followed(
    site: Site, open_page: Callable[..., Page]
) -> None:
    """What is shown is not swapped between the press and the release."""
    page = open_page()
    page.goto(f"{site.pages}/")
    site.visit("/cart")
    link = page.get_by_role("link", name="GET /cart")
    link.wait_for()
    box = link.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 5, box["y"] + box["height"] / 2)
    with page.expect_response(lambda answer: answer.status == 200 and "since=" in answer.url):
        page.mouse.down()
        site.visit("/login")
    page.wait_for_timeout(200)
    page.mouse.up()
    page.wait_for_url("**/_ctx/requests/*")


def test_a_running_request_shows_where_it_is(site: Site, open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.goto(f"{site.pages}/live")
    assert "Nothing is running" in page.inner_text("#contexts")
    waiting = threading.Thread(target=site.visit, args=("/wait/6.0",))
    waiting.start()
    row = page.locator("details.live-row")
    row.wait_for()
    if not row.evaluate("node => node.open"):
        row.locator("summary").click()
    assert "GET /wait/6.0" in row.inner_text()
    assert "test_browser.py" in row.locator(".frames").inner_text()
    row.get_by_role("link", name=re.compile("the steps of")).click()
    assert "still running" in page.inner_text("h1")
    waiting.join()
    page.locator("h1", has_text="200").wait_for()
    assert page.locator(".phase", has_text="pop").count() == 1


def test_the_keys_move_search_and_leave(site: Site, open_page: Callable[..., Page]) -> None:
    site.visit("/cart", "/login")
    page = open_page()
    page.goto(f"{site.pages}/requests")
    page.keyboard.press("?")
    assert page.locator("#keys").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("#keys").is_visible()
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/requests/[0-9a-f]{8}$"))
    assert page.locator("h1").inner_text().startswith("GET /login")
    page.keyboard.press("[")
    page.wait_for_url(re.compile(site.newest("/cart")))
    page.keyboard.press("]")
    page.wait_for_url(re.compile(site.newest("/login")))
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.closest('details.event').id") == "e1"
    page.keyboard.press("Escape")
    page.wait_for_url(f"{site.pages}/requests")
    page.keyboard.press("/")
    page.keyboard.type("path:/cart")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"\?q=path"))
    assert page.locator("tbody tr").count() == 1


def test_the_curl_command_can_be_copied(site: Site, open_page: Callable[..., Page]) -> None:
    site.visit("/cart")
    page = open_page()
    page.goto(f"{site.pages}/requests/latest")
    page.locator("#curl button").click()
    page.get_by_text("Copied").wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("curl -i http")
    assert copied == page.locator("#curl-text").inner_text()


def test_without_javascript_everything_can_be_read(
    site: Site, open_page: Callable[..., Page]
) -> None:
    site.visit("/cart", "/wish")
    page = open_page(java_script_enabled=False)
    page.goto(f"{site.pages}/")
    assert page.get_by_text("reload to update").is_visible()
    assert not page.locator("#pause").is_visible()
    page.get_by_role("link", name="GET /cart").click()
    number = int(page.locator("details.event", has_text="load_user").locator(".i").inner_text())
    page.goto(f"{page.url}?event={number}#e{number}")
    assert page.locator(f"#e{number} .event-body").is_visible()
    page.locator("#e1 summary").click()
    assert page.locator("#e1 .event-body").is_visible()
    page.get_by_label("Search requests").fill("path:/wish")
    page.get_by_label("Search requests").press("Enter")
    assert page.locator("tbody tr").count() == 1


def test_hostile_text_is_only_text(site: Site, open_page: Callable[..., Page]) -> None:
    site.visit("/cart?" + HOSTILE, "/boom", "/" + HOSTILE.replace("/", ""))
    page = open_page()
    for url in ("/", "/requests", f"/requests/{site.newest('/cart')}",
                f"/requests/{site.newest('/boom')}", "/findings", "/live"):  # fmt: skip
        page.goto(site.pages + url)
        page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true })")
        assert page.locator("main img").count() == 0
        assert "pwned" not in page.title()
    page.goto(f"{site.pages}/requests/{site.newest('/boom')}")
    assert HOSTILE in page.inner_text("main")
    assert "hunter2" not in page.content()


def test_the_overview_says_when_the_app_is_gone(site: Site, open_page: Callable[..., Page]) -> None:
    site.visit("/cart")
    page = open_page()
    page.goto(f"{site.pages}/")
    page.route(re.compile("since="), lambda route: route.fulfill(status=202))
    page.get_by_text("no answer, trying again").wait_for()
    page.unroute_all()
    site.visit("/login")
    page.get_by_role("link", name="GET /login").wait_for()
    assert page.locator("#live-state").inner_text() == "on"
