"""The pages of installing and of a node in Chromium: accessible, silent, in both themes, on a phone, and usable."""

import os
from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from apps.core.models import User
from apps.operators import enrolment
from apps.operators.models import Node, NodeStatus, Operator
from tests.apps.operators.test_browser import elsewhere, sign_in
from tests.apps.operators.test_enrolment import prepared
from tests.site.test_pages_browser import VIEWS, Site, browser, faults, listen, running, site
from workers.protocol.clock import utcnow

__all__ = ["browser", "running", "site"]
pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def node(operator: Operator) -> Node:
    """A node with some history."""
    made = enrolment.enrol(prepared(operator), utcnow())
    Node.objects.filter(pk=made.pk).update(enrolled_at=utcnow() - timedelta(days=9))
    made.events.update(at=utcnow() - timedelta(days=9))
    begun = utcnow() - timedelta(days=8)
    for hours, status, reason in (
        (0, NodeStatus.SELF_TEST, ""),
        (1, NodeStatus.ONLINE, ""),
        (150, NodeStatus.OFFLINE, "It has not been heard from."),
        (160, NodeStatus.ONLINE, ""),
        (180, NodeStatus.DRAINING, "It keeps its quiet hours."),
    ):
        made.move(status, reason, "It takes tasks again by itself." if reason else "", begun + timedelta(hours=hours))
    return made


@pytest.mark.long
@pytest.mark.parametrize("view", VIEWS)
def test_the_pages_are_accessible_and_silent(site: Site, browser: Browser, node: Node, admin: User, view: str) -> None:
    context = browser.new_context(**VIEWS[view])
    page = sign_in(context, site, node.operator.user.email, "/nodes")
    heard = listen(page)
    own = f"/nodes/{node.pk}"
    for name, path in (
        ("install", "/install"),
        ("node", own),
        ("idle", f"{own}/idle"),
        ("register", "/nodes/register"),
    ):
        assert faults(page, site.url + path) == [], path
        for closed in page.locator("main details").all():
            closed.evaluate("it => it.open = true")
        assert not page.evaluate("document.documentElement.scrollWidth > window.innerWidth"), path
        if shots := os.environ.get("SHOTS"):
            page.screenshot(path=f"{shots}/{name}-{view}.png", full_page=True)
    assert heard == []


def test_a_way_of_installing_is_chosen_read_and_copied(site: Site, browser: Browser, db: Any) -> None:
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto(f"{site.url}/install")
    expect(page.get_by_text("docker compose up -d").first).to_be_hidden()
    page.get_by_role("tab", name="Docker Compose").click()
    expect(page.get_by_text("docker compose up -d").first).to_be_visible()
    panel = page.locator("#with-compose")
    panel.locator("summary").first.click()
    panel.locator("details").first.get_by_role("button", name="Copy").first.click()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert "condition: service_healthy" in copied
    assert copied.startswith("# A Meshwork node")
    page.keyboard.press("Tab")
    page.get_by_role("tab", name="Docker Compose").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_text("sudo systemctl daemon-reload")).to_be_visible()


def test_limits_are_set_and_a_node_is_revoked_by_its_typed_name(site: Site, browser: Browser, node: Node) -> None:
    page = sign_in(browser.new_context(), site, node.operator.user.email, f"/nodes/{node.pk}")
    page.get_by_label("Quiet hours").fill("22:00-07:00")
    page.get_by_label("Time zone").select_option("Europe/Berlin")
    page.get_by_role("button", name="Set limits").click()
    expect(page.get_by_text("quiet 22:00-07:00 Europe/Berlin").first).to_be_visible()
    page.get_by_role("button", name="Revoke").first.click()
    page.get_by_label("Type fra-1 to revoke it").fill("fra-2")
    page.locator("dialog[open]").get_by_role("button", name="Revoke").click()
    expect(page.get_by_text("type the node's name").first).to_be_visible()
    assert elsewhere(lambda: Node.objects.get().status) == NodeStatus.DRAINING
    page.get_by_role("button", name="Revoke").first.click()
    page.get_by_label("Type fra-1 to revoke it").fill("fra-1")
    page.locator("dialog[open]").get_by_role("button", name="Revoke").click()
    expect(page.get_by_text("Its keys are refused for good.").first).to_be_attached()
    assert elsewhere(lambda: Node.objects.get().status) == NodeStatus.REVOKED
