"""Money in Chromium: a wallet of the browser signs a transfer and a mandate; the pages are accessible and silent."""

import pytest
from playwright.sync_api import Browser, Page, expect

from apps.core.models import User
from apps.ledger import accounts
from apps.ledger.models import Mandate, Transfer
from apps.operators.models import Wallet
from tests.apps.operators.test_browser import elsewhere
from tests.site.test_pages_browser import LOOKS, VIEWS, Site, browser, faults, listen, running, site

__all__ = ["browser", "running", "site"]
pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
PAGES = ("/rewards", "/transfers/new", "/mandates", "/mandates/new")


def payee() -> str:
    return accounts.wallet(User.objects.create_user(email="bert@example.org", password="x")).address


def arrive(page: Page, site: Site) -> None:
    """A visitor who makes a wallet has an account and the faucet's first reward."""
    page.goto(f"{site.url}/")
    page.get_by_role("button", name="Make a wallet and start").click()
    page.wait_for_url("**/wallet/welcome**")


def write_order(page: Page, site: Site, to: str) -> None:
    page.goto(f"{site.url}/transfers/new?to={to}")
    page.get_by_label("MESH", exact=True).fill("1.25")
    page.get_by_label("Memo").fill("for lunch")
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("heading", name="Read, then sign")).to_be_visible()


@pytest.mark.parametrize("view", LOOKS)
def test_a_wallet_of_the_browser_signs_a_transfer_and_a_mandate(view: str, site: Site, browser: Browser) -> None:
    to = elsewhere(payee)
    page = browser.new_context(**VIEWS[view]).new_page()
    arrive(page, site)
    heard = listen(page)
    for path in PAGES:
        assert faults(page, f"{site.url}{path}") == [], path

    write_order(page, site, to)
    expect(page.get_by_text(f"mesh wallet send {to} 1.25 --memo 'for lunch'")).to_be_visible()
    page.get_by_role("button", name="Sign and hand in").click()
    page.wait_for_url("**/ledger/transfers/txn_*")
    sent = elsewhere(lambda: Transfer.objects.select_related("credit").get(kind="transfer"))
    assert (sent.credit.address, sent.amount, sent.authorisation["by"]) == (to, 125_000_000, "wallet")

    page.goto(f"{site.url}/mandates/new")
    page.get_by_label("Spender").fill(to)
    page.get_by_label("At most, in MESH").fill("5")
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("button", name="Sign and hand in").click()
    page.wait_for_url("**/mandates")
    assert faults(page, f"{site.url}/mandates") == []
    page.get_by_role("button", name="Revoke").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(page.get_by_text("Revoked. Nothing more can be held on it.")).to_be_visible()
    assert elsewhere(lambda: Mandate.objects.get().revoked_at) is not None
    assert heard == []


def test_a_browser_without_the_wallet_says_so_and_sends_nothing(site: Site, browser: Browser) -> None:
    to = elsewhere(payee)
    page = browser.new_context().new_page()
    arrive(page, site)
    write_order(page, site, to)
    page.evaluate("indexedDB.deleteDatabase('meshwork')")
    page.get_by_role("button", name="Sign and hand in").click()
    expect(page.get_by_role("alert").filter(visible=True)).to_contain_text("does not hold that wallet")
    assert elsewhere(lambda: Transfer.objects.filter(kind="transfer").count()) == 0
    assert elsewhere(lambda: Wallet.objects.count()) == 1
