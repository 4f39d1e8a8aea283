"""The inbox in Chromium: its dialogs open by key and by finger, take a reason, and lead back; accessible and silent."""

import os
from datetime import timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from apps.core import platform_keys
from apps.core.models import User
from apps.operators import reputation
from apps.operators.models import Appeal, Node, NodeStatus
from apps.pool import submission
from tests.apps.operators.test_browser import sign_in
from tests.apps.pool import cast
from tests.site import test_inbox
from tests.site.test_pages_browser import LOOKS, VIEWS, Site, browser, faults, listen, running, site
from workers.protocol.clock import utcnow

__all__ = ["browser", "running", "site"]
pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def shot(page: Page, name: str) -> None:
    """A picture for whoever asks for it."""
    if shots := os.environ.get("SHOTS"):
        page.screenshot(path=f"{shots}/{name}.png", full_page=True)


@pytest.fixture
def desk(site: Site) -> User:
    """One of each that waits, and who decides."""
    platform_keys.create(utcnow())
    site.restart()
    admin = User.objects.create_superuser("ada@example.org", "long-enough-1", name="Ada")
    test_inbox.an_application()
    test_inbox.an_appeal()
    test_inbox.a_failed_audit()
    fallen = cast.machine("otto").node
    cast.machine("emil")
    submission.submit(cast.requester("rita"), cast.embed("a"), utcnow() - timedelta(hours=2))
    Node.objects.filter(pk=fallen.pk).update(status=NodeStatus.SUSPENDED, reason=reputation.SUSPENDED, reputation=0)
    return admin


@pytest.mark.parametrize("view", LOOKS)
def test_staff_decide_without_leaving_the_inbox(site: Site, browser: Browser, desk: User, view: str) -> None:
    page = sign_in(browser.new_context(**VIEWS[view]), site, desk.email, "/admin/")
    heard = listen(page)
    assert faults(page, f"{site.url}/admin/") == []
    shot(page, f"inbox-{view}")
    page.get_by_role("button", name="Turn down: ").click()
    expect(page.get_by_text("The ban stands")).to_be_visible()
    expect(page.get_by_role("textbox", name="Reason")).to_be_focused()
    shot(page, f"inbox-dialog-{view}")
    assert [v["id"] for v in Axe().run(page).response["violations"]] == []
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.get_by_role("button", name="Turn down: ").press("Enter")
    expect(page.get_by_role("textbox", name="Reason")).to_be_focused()
    page.get_by_role("dialog").get_by_role("button", name="Turn down").click()
    expect(page.get_by_text("This field is required")).to_be_visible()
    assert Appeal.objects.get().answered_at is None
    page.get_by_role("textbox", name="Reason").fill("The digest is yours.")
    page.get_by_role("dialog").get_by_role("button", name="Turn down").click()
    expect(page.get_by_text("1: turned down")).to_be_visible()
    expect(page.get_by_text("Appeals to answer")).not_to_be_visible()
    shot(page, f"inbox-after-{view}")
    assert heard == []
