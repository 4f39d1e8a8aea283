"""The pages of trading in Chromium: accessible, within the screen, silent in the console, drawn and live."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections
from playwright.sync_api import Browser, Page, expect

from apps.core.events import publish
from apps.core.models import User
from apps.trading import market_time
from tests.site import trading_cast as cast
from tests.site.test_pages_browser import LOOKS, VIEWS, Site, browser, faults, listen, running, site
from tests.site.trading_cast import MINUTE, NOW

__all__ = ["browser", "running", "site"]  # fixtures

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

PASSWORD = "correct horse battery"


@pytest.fixture
def stage(site: Site) -> dict[str, str]:
    """Everything once, and the addresses of its pages."""
    rows = cast.full_stage()
    return {
        "desk": "/trading",
        "signals": "/trading/signals",
        "signal": f"/trading/signals/{rows['signal'].pk}",
        "decisions": "/trading/decisions",
        "decision": f"/trading/decisions/{rows['decision'].pk}",
        "rounds": "/trading/rounds",
        "round": f"/trading/rounds/{rows['round'].pk}",
        "evidence": f"/trading/evidence/{rows['evidence'].digest}",
        "orders": "/trading/orders",
        "plan": f"/trading/orders/{rows['plan'].pk}",
        "scans": "/trading/scans",
        "target": f"/trading/scans/{rows['target'].host}",
    }


@pytest.fixture
def sam(transactional_db: None) -> User:
    return User.objects.create_user(email="sam@example.org", password=PASSWORD, is_staff=True)


@pytest.fixture(autouse=True)
def closed_connections() -> Iterator[None]:
    yield
    connections.close_all()


def announce(topic: str) -> None:
    """Publish as another thread does; this one belongs to the browser's loop."""
    with ThreadPoolExecutor(1) as elsewhere:
        elsewhere.submit(publish, (topic,), {"kind": "x", "subject": "x", "data": {}, "at": ""}).result()


def sign_in(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/accounts/login/?next=/trading")
    page.get_by_label("Email").fill("sam@example.org")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("main").get_by_role("button", name="Sign In").click()
    page.wait_for_url("**/trading")


def picture(page: Page, name: str) -> None:
    """Keep what the page looks like, where somebody asked to see it."""
    folder = os.environ.get("MESH_TEST_PICTURES")
    if folder:
        page.wait_for_timeout(400)
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)


@pytest.mark.long
@pytest.mark.parametrize("view", VIEWS)
def test_every_page_is_accessible_fits_and_leaves_the_console_empty(
    view: str, site: Site, browser: Browser, stage: dict[str, str]
) -> None:
    page = browser.new_page(**VIEWS[view])
    heard, found = listen(page), {}
    for name, address in stage.items():
        found[name] = faults(page, f"{site.url}{address}")
        picture(page, f"{view}-{name}")
    assert {name: faulty for name, faulty in found.items() if faulty} == {}
    assert heard == []


@pytest.mark.parametrize("view", LOOKS)
def test_empty_pages_are_accessible_and_fit(view: str, site: Site, browser: Browser) -> None:
    page = browser.new_page(**VIEWS[view])
    heard, found = listen(page), {}
    for name in ("", "/signals", "/decisions", "/rounds", "/orders", "/scans"):
        found[name] = faults(page, f"{site.url}/trading{name}")
        picture(page, f"{view}-empty{name.replace('/', '-')}")
    assert {name: faulty for name, faulty in found.items() if faulty} == {}
    assert heard == []


def test_the_desk_draws_candles_and_orders_and_follows_what_happens(
    site: Site, browser: Browser, stage: dict[str, str]
) -> None:
    page = browser.new_page(**VIEWS["light"])
    heard = listen(page)
    page.goto(f"{site.url}/trading")
    chart = page.locator("#candles")
    expect(chart).to_have_attribute("data-bars", "90")
    expect(chart).to_have_attribute("data-orders", "2")
    expect(page.locator("[data-live-pill]")).to_have_text("Live")
    assert page.locator("#candles canvas").count() > 0
    page.evaluate("document.querySelector('#candles canvas').dataset.same = 'yes'")
    market_time.move_to(NOW + MINUTE, cast.WALL)
    cast.candles(1, until=NOW + MINUTE)
    more = cast.signal(NOW - 3 * MINUTE, "SOL-USD")
    announce("desk")
    expect(page.locator(f"a[href='/trading/signals/{more.pk}']")).to_be_visible()
    expect(chart).to_have_attribute("data-bars", "91")
    assert page.locator("#candles canvas[data-same=yes]").count() == 1  # the fragment left the drawing alone
    expect(page.get_by_role("link", name="TradingView")).to_be_visible()
    page.get_by_role("img", name="Result").locator("canvas").wait_for()  # the curve was drawn again
    assert heard == []


def test_a_rounds_steps_appear_as_they_come(site: Site, browser: Browser, transactional_db: None) -> None:
    row = cast.a_round(cast.signal())
    page = browser.new_page(**VIEWS["light"])
    page.goto(f"{site.url}/trading")
    line = page.get_by_role("row", name="op_ada")
    expect(line).to_contain_text("not revealed")
    cast.votes(row, ("ada",))
    expect(page.locator("[data-live-pill]")).to_have_text("Live")
    announce("desk")
    expect(line).to_contain_text("BUY")
    expect(line).to_contain_text("precommit: done")


def test_staff_confirm_before_everything_is_sold(
    site: Site, browser: Browser, stage: dict[str, str], sam: User
) -> None:
    page = browser.new_page(**VIEWS["light"])
    sign_in(page, site)
    page.get_by_role("button", name="Stop and flatten").click()
    dialog = page.get_by_role("dialog", name="Stop and sell everything?")
    expect(dialog).to_contain_text("This cannot be undone.")
    picture(page, "light-confirm")
    announce("desk")
    page.wait_for_timeout(700)
    expect(dialog).to_be_visible()  # what happens meanwhile does not close it
    dialog.get_by_label("Reason, kept with the change").fill("Enough for today.")
    dialog.get_by_role("button", name="Stop and flatten").click()
    expect(page.get_by_text("Trading is stopped, and every position is being sold.")).to_be_visible()
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    picture(page, "light-halted")
