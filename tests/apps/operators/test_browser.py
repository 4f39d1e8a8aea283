"""The way to a node in Chromium: apply, review, stake, token, first heartbeat; accessible and silent on the way."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from playwright.sync_api import Browser, BrowserContext, Page, expect

from apps.core.models import User
from apps.ledger import accounts
from apps.operators import enrolment, nodes
from apps.operators.models import Application, EnrolmentToken, Node, NodeStatus, Operator, Wallet
from tests.apps.operators.test_enrolment import enrolment_with, prepared
from tests.site.test_pages_browser import VIEWS, Site, browser, faults, listen, running, site
from workers.protocol.clock import utcnow

__all__ = ["browser", "running", "site"]
pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
PASSWORD = "long-enough-1"
FORM = {
    "GPU model": "none",
    "GPU memory (GB)": "0",
    "CPU cores": "8",
    "Memory (GB)": "32",
    "Operating system": "Debian 12",
    "Upload (Mbit/s)": "100",
}


def elsewhere(act: Callable[[], Any]) -> Any:
    """Act as another process does; this thread belongs to the browser's loop."""

    def run() -> Any:
        try:
            return act()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result()


def sign_in(context: BrowserContext, site: Site, email: str, path: str) -> Page:
    page = context.new_page()
    page.goto(f"{site.url}/accounts/login/?next={path}")
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("main").get_by_role("button", name="Sign In").click()
    page.wait_for_url(f"**{path}")
    return page


def apply(page: Page) -> None:
    page.get_by_label("ORACLE").check()
    page.get_by_label("Region").select_option("eu-west")
    for label, value in FORM.items():
        page.get_by_label(label, exact=True).fill(value)
    page.get_by_label("I run this machine").check()
    page.get_by_role("button", name="Hand in").click()


def test_from_sign_up_to_a_node_online(site: Site, browser: Browser, admin: User) -> None:
    applicant = browser.new_context().new_page()
    heard = listen(applicant)
    applicant.goto(f"{site.url}/accounts/signup/?next=/apply")
    for label, value in (("Email", "olga@example.org"), ("Name", "Olga"), ("Password", PASSWORD)):
        applicant.get_by_label(label, exact=True).fill(value)
    applicant.get_by_label("Password (again)").fill(PASSWORD)
    applicant.get_by_role("main").get_by_role("button", name="Sign Up").click()
    applicant.wait_for_url("**/apply")
    applicant.get_by_label("CPU cores").fill("1")
    applicant.get_by_role("button", name="Save for later").click()
    expect(applicant.get_by_text("It is saved and was not handed in.")).to_be_visible()
    expect(applicant.get_by_label("CPU cores")).to_have_value("1")
    apply(applicant)
    expect(applicant.get_by_role("heading", name="Awaiting review")).to_be_visible()

    desk = sign_in(browser.new_context(), site, admin.email, "/admin/operators/application/")
    grumbles = listen(desk)
    desk.reload()
    desk.locator("input[name=_selected_action]").check()
    desk.locator("select[name=action]").select_option("approve_selected")
    desk.get_by_role("button", name="Run").click()
    expect(desk.get_by_text("1: approved")).to_be_visible()
    assert grumbles == []

    # The page of the applicant turned by itself.
    applicant.get_by_role("button", name="Lock the stake").click()
    applicant.wait_for_url("**/nodes/register")
    applicant.get_by_label("Name of the node").fill("fra-1")
    applicant.get_by_role("button", name="Make a token").click()
    command = applicant.get_by_text("mesh node join").first.text_content() or ""
    token = command.split("--token ")[1].split()[0]
    expect(applicant.get_by_text("Nothing received yet.")).to_be_visible()
    applicant.evaluate("window.stayed = true")

    node: Node = elsewhere(lambda: enrolment.enrol(enrolment_with(token, "fra-1"), utcnow()))
    expect(applicant.get_by_text("fra-1 is enrolled and has not reported in yet.")).to_be_visible()
    elsewhere(lambda: node.move(NodeStatus.SELF_TEST, "Answers its known questions.", "Wait.", utcnow()))
    expect(applicant.get_by_text("The node has reported in")).to_be_visible()
    elsewhere(lambda: node.move(NodeStatus.ONLINE, "", "", utcnow(), last_seen_at=utcnow()))
    expect(applicant.get_by_text("Your node is online")).to_be_visible()
    expect(applicant.get_by_text("1 online")).to_be_visible()
    assert applicant.evaluate("window.stayed")

    applicant.get_by_role("link", name="See the node").click()
    applicant.get_by_role("button", name="Drain").click()
    expect(applicant.get_by_role("dialog")).to_contain_text("It gets no new tasks")
    applicant.get_by_role("dialog").get_by_role("button", name="Drain").click()
    expect(applicant.get_by_text("Draining").first).to_be_visible()
    assert heard == []


def test_a_row_is_rejected_in_its_dialog(site: Site, browser: Browser, applicant: User, admin: User) -> None:
    site.restart()
    waiting = sign_in(browser.new_context(), site, applicant.email, "/apply")
    apply(waiting)
    expect(waiting.get_by_role("heading", name="Awaiting review")).to_be_visible()
    desk = sign_in(browser.new_context(), site, admin.email, "/admin/operators/application/")
    heard = listen(desk)
    desk.get_by_text("more_horiz").click()
    desk.get_by_role("link", name="Reject with a reason").click()
    desk.get_by_label("What was not met").select_option("bandwidth")
    desk.get_by_label("Reason").fill("The uplink is too slow.")
    desk.get_by_role("button", name="Reject").click()
    expect(desk.get_by_text("1: rejected")).to_be_visible()
    expect(waiting.get_by_text("The uplink is too slow.")).to_be_visible()
    assert heard == []
    assert Application.objects.get().reason == "The uplink is too slow."


def test_after_two_silent_minutes_the_page_names_likely_causes(
    site: Site, browser: Browser, operator: Operator
) -> None:
    page = sign_in(browser.new_context(), site, operator.user.email, "/nodes/register")
    page.get_by_label("Name of the node").fill("fra-1")
    page.get_by_role("button", name="Make a token").click()
    expect(page.get_by_text("Nothing received yet.")).to_be_visible()
    EnrolmentToken.objects.update(created_at=utcnow() - timedelta(minutes=3))
    expect(page.get_by_text("Likely causes")).to_be_visible(timeout=20_000)
    expect(page.get_by_role("listitem").filter(has_text="The command has not finished")).to_be_visible()


def test_a_wallet_made_in_the_browser_is_paid_the_faucets_first_reward(
    site: Site, browser: Browser, applicant: User
) -> None:
    page = sign_in(browser.new_context(), site, applicant.email, "/wallet")
    heard = listen(page)
    page.get_by_role("button", name="Make a wallet in this browser").click()
    expect(page.get_by_text("claimed with your first wallet")).to_be_visible()
    assert accounts.balance(applicant) == 10 * 10**8
    assert Wallet.objects.get().label == "This browser"
    assert heard == []


@pytest.mark.long
@pytest.mark.parametrize("view", VIEWS)
def test_the_operators_pages_are_accessible_and_fit(
    view: str, site: Site, browser: Browser, operator: Operator, applicant: User
) -> None:
    node = enrolment.enrol(prepared(operator), utcnow())
    nodes.revoke(enrolment.enrol(prepared(operator, "old"), utcnow()), reason="Sold.", now=utcnow())
    page = sign_in(browser.new_context(**VIEWS[view]), site, operator.user.email, "/nodes")
    heard = listen(page)
    paths = ["/apply", "/nodes", "/nodes/register", f"/nodes/{node.pk}", "/keys", "/wallet"]
    found = {path: faults(page, f"{site.url}{path}") for path in paths}
    page = sign_in(browser.new_context(**VIEWS[view]), site, applicant.email, "/apply")
    found |= {f"{path} of an applicant": faults(page, f"{site.url}{path}") for path in paths}
    assert {path: faulty for path, faulty in found.items() if faulty} == {}
    assert heard == []
