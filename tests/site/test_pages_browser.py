"""The frame and the network's pages in Chromium: accessible, silent in the console, live, in both themes, on phones."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.core.cache import cache
from django.db import connection, connections
from playwright.sync_api import Browser, Page, expect, sync_playwright
from pytest_django import DjangoDbBlocker

from apps.core.events import publish
from apps.core.models import User
from apps.operators.models import Node, Operator
from meshwork.local.processes import answers
from workers.protocol.clock import utcnow

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# Both widths and both themes; the end-to-end walk looks at their other combinations.
VIEWS = {
    "light": {"color_scheme": "light", "viewport": {"width": 1440, "height": 1000}},
    "phone": {"color_scheme": "dark", "viewport": {"width": 390, "height": 844}},
}
# The end-to-end walk looks at the ordinary pages in both; for others a dark phone is enough unless there is time.
LOOKS = (pytest.param("light", marks=pytest.mark.long), "phone")
PUBLIC = ("/", "/overview", "/search?q=nothing", "/accounts/login/", "/accounts/signup/", "/accounts/password/reset/")
PRIVATE = ("/overview", "/account", "/account/security", "/accounts/password/change/", "/dev/mail")


class Site:
    """The site as its own process, on the test's database and Valkeys."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://localhost:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, database: str) -> None:
        address, _, _ = os.environ["MESH_DATABASE_URL"].rpartition("/")
        query = os.environ["MESH_DATABASE_URL"].partition("?")[2]
        environment = os.environ | {
            "MESH_DATABASE_URL": f"{address}/{database}" + (f"?{query}" if query else ""),
            "MESH_SITE_URL": self.url,
            "PGAPPNAME": f"site-{self.port}",
        }
        command = [sys.executable, "-m", "granian", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--interface", "asgi", "--ws", "meshwork.asgi:application"]
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/"
        )
        for _attempt in range(120):
            if answers(self.port, "/healthz"):
                return
            time.sleep(0.25)
        raise AssertionError("The site did not start.")

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)
            self.process = None
            self.hang_up()

    def restart(self) -> None:
        """Forget the kinds of content of an earlier test: the admin's log names them, and their rows are others now."""
        self.stop()
        self.start(connection.settings_dict["NAME"])

    def hang_up(self) -> None:
        """PostgreSQL notices a little later than the process ends; a database in use cannot be dropped."""
        with connection.cursor() as cursor:
            for _attempt in range(40):
                cursor.execute(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = %s",
                    [f"site-{self.port}"],
                )
                if cursor.fetchone() == (0,):
                    return
                time.sleep(0.1)


@pytest.fixture(scope="module")
def running(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Site]:
    """One site for all tests of a module; it keeps nothing between them."""
    served = Site()
    with django_db_blocker.unblock():
        served.start(connection.settings_dict["NAME"])
    yield served
    with django_db_blocker.unblock():
        served.stop()


@pytest.fixture
def site(running: Site, transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Site:
    # Playwright's own loop runs in this thread, where Django would refuse to touch the database.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    cache.clear()
    return running


@pytest.fixture
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    assert chromium, "Chromium is missing; make setup-test installs it."
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()
        # Beside a running loop Django keeps connections apart from those that the test session closes.
        connections.close_all()


@pytest.fixture
def ada(transactional_db: None) -> User:
    return User.objects.create_user(email="ada@example.org", password="correct horse battery", name="Ada")


@pytest.fixture
def enrol(ada: User) -> Callable[[str], Node]:
    now = utcnow()
    operator = Operator.objects.create(id="op_ada", user=ada, tier="ORACLE", region="eu-central", approved_at=now)

    def enrol(name: str) -> Node:
        return Node.objects.create(
            id=f"node_{name}",
            operator=operator,
            name=name,
            status="online",
            status_at=now,
            enrolled_at=now,
            sign_public=name,
            seal_public=name,
            kid=name,
            probe={"cpu_name": "A processor", "gflops": 130},
            free_slots={"inference.cpu": 2},
            last_seen_at=now,
        )

    return enrol


def listen(page: Page) -> list[str]:
    """Everything that the console complains about from here on."""
    heard: list[str] = []
    page.on("console", lambda m: heard.append(m.text) if m.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: heard.append(str(error)))
    return heard


def sign_in(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/accounts/login/")
    page.get_by_label("Email").fill("ada@example.org")
    page.get_by_label("Password").fill("correct horse battery")
    page.get_by_role("main").get_by_role("button", name="Sign In").click()
    page.wait_for_url("**/overview")


def faults(page: Page, url: str) -> list[Any]:
    """What axe finds, and whether the page is wider than the screen."""
    page.goto(url)
    found = [(v["id"], [node["html"] for node in v["nodes"]]) for v in Axe().run(page).response["violations"]]
    wider = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    return [*found, *(["wider than the screen"] if wider > 0 else [])]


def announce(topic: str) -> None:
    """Publish as another thread does; this one belongs to the browser's loop."""
    with ThreadPoolExecutor(1) as elsewhere:
        elsewhere.submit(publish, (topic,), {"kind": "node.joined", "subject": "node", "data": {}, "at": ""}).result()


@pytest.mark.long
@pytest.mark.parametrize("view", VIEWS)
def test_every_page_is_accessible_fits_and_leaves_the_console_empty(
    view: str, site: Site, browser: Browser, enrol: Callable[[str], Node]
) -> None:
    enrol("fra-1")
    page = browser.new_page(**VIEWS[view])
    heard = listen(page)
    found = {path: faults(page, f"{site.url}{path}") for path in PUBLIC}
    sign_in(page, site)
    found |= {f"{path} signed in": faults(page, f"{site.url}{path}") for path in PRIVATE}
    assert {path: faulty for path, faulty in found.items() if faulty} == {}
    assert heard == []


def test_a_node_that_joins_appears_without_a_reload(site: Site, browser: Browser, enrol: Callable[[str], Node]) -> None:
    page = browser.new_page()
    page.goto(f"{site.url}/overview")
    pill = page.locator("[data-live-pill]")
    expect(pill).to_have_text("Live")
    expect(page.get_by_text("No nodes yet")).to_be_visible()
    page.evaluate("window.stayed = true")
    enrol("fra-1")
    announce("network")
    expect(page.get_by_role("row", name="fra-1")).to_be_visible()
    expect(page.locator(".kpi").first).to_contain_text("1 of 1")
    assert page.evaluate("window.stayed")


def test_the_pill_says_when_the_site_is_gone_and_what_was_missed_is_fetched(
    site: Site, browser: Browser, enrol: Callable[[str], Node]
) -> None:
    page = browser.new_page()
    page.goto(f"{site.url}/overview")
    pill = page.locator("[data-live-pill]")
    expect(pill).to_have_text("Live")
    site.stop()
    expect(pill).to_have_text("Reconnecting", timeout=10_000)
    enrol("fra-1")
    site.start(connection.settings_dict["NAME"])
    expect(pill).to_have_text("Live", timeout=20_000)
    expect(page.get_by_role("row", name="fra-1")).to_be_visible()


def test_the_frame_works_by_keyboard(site: Site, browser: Browser) -> None:
    page = browser.new_page()
    page.goto(f"{site.url}/overview")
    expect(page.locator("[data-live-pill]")).to_have_text("Live")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox", name="Search by id").first).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_hidden()


def test_a_chosen_theme_stays(site: Site, browser: Browser) -> None:
    page = browser.new_page(color_scheme="light")
    page.goto(site.url)
    page.get_by_label("Theme").click()
    page.get_by_role("button", name="Dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "mesh-dark")
    page.goto(f"{site.url}/overview")
    expect(page.locator("html")).to_have_attribute("data-theme", "mesh-dark")


def test_a_command_is_copied(site: Site, browser: Browser) -> None:
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto(site.url)
    page.get_by_role("button", name="Copy").first.click()
    expect(page.get_by_role("button", name="Copied").first).to_be_visible()
    assert "/v1/embeddings" in page.evaluate("navigator.clipboard.readText()")


def test_a_phone_has_the_menu_in_a_drawer(site: Site, browser: Browser) -> None:
    page = browser.new_page(**VIEWS["phone"])
    page.goto(f"{site.url}/overview")
    expect(page.get_by_role("navigation", name="Main")).to_be_hidden()
    page.get_by_role("button", name="Open the menu").click()
    drawer = page.get_by_role("dialog", name="Menu")
    expect(drawer.get_by_role("link", name="Overview")).to_have_attribute("aria-current", "page")
    page.mouse.click(370, 500)
    expect(drawer).to_be_hidden()


def test_one_signs_out_from_the_account_menu(site: Site, browser: Browser, ada: User) -> None:
    page = browser.new_page()
    sign_in(page, site)
    page.get_by_label("Your account").click()
    expect(page.get_by_text("ada@example.org").first).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("link", name="Sign in").first).to_be_visible()
