"""A slash and its appeal in Chromium: usable, accessible, silent."""

import pytest
from playwright.sync_api import Browser, Page, expect

from apps.core.models import User
from apps.ledger import faucet
from apps.ledger.amounts import MESH
from apps.operators import slash_appeals
from apps.operators.models import Operator, SlashAppeal
from tests.apps.operators.slash_cast import enrolled, slashed
from tests.apps.operators.test_browser import elsewhere, sign_in
from tests.site.test_pages_browser import LOOKS, VIEWS, Site, browser, faults, listen, running, site
from workers.protocol.clock import utcnow

__all__ = ["browser", "running", "site"]
pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize("view", LOOKS)
def test_an_owner_appeals_and_reads_the_answer(
    site: Site, browser: Browser, operator: Operator, admin: User, view: str
) -> None:
    faucet.treasury_grant(operator.user, 100 * MESH, admin, "for tests", utcnow())
    case = slashed(enrolled(operator))
    page: Page = sign_in(browser.new_context(**VIEWS[view]), site, operator.user.email or "", "/rewards")
    heard, own = listen(page), f"{site.url}/rewards/slashes/{case.public_id}"
    assert faults(page, f"{site.url}/rewards") == []
    assert faults(page, own) == []
    page.goto(f"{site.url}/rewards")
    page.get_by_role("link", name="Appeal").click()
    page.wait_for_url(f"{own}#appeal")
    page.get_by_label("Your appeal").fill("My key was stolen.")
    page.get_by_label("I can appeal only once").check()
    page.get_by_role("main").get_by_role("button", name="Appeal").click()
    expect(page.get_by_text("Until then the stake stays in escrow.")).to_be_visible()
    assert faults(page, own) == []
    made = elsewhere(lambda: SlashAppeal.objects.select_related("case__node").get())
    elsewhere(lambda: slash_appeals.answer(made, admin, "It was.", utcnow(), granted=True))
    page.reload()
    expect(page.get_by_text("It was.")).to_be_visible()
    expect(page.get_by_text("Your appeal was granted: it is at stake again.")).to_be_visible()
    assert faults(page, own) == []
    assert heard == []
