"""The explorer in Chromium: accessible in both themes and on a phone, silent in the console, live."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connections, transaction
from playwright.sync_api import Browser, expect

from apps.ledger import accounts, audit, blocks
from apps.ledger.ids import named
from apps.ledger.models import Account, AuditRun, Block
from apps.ledger.posting import NewTransfer, post_all
from tests.apps.ledger.cast import NOW, move
from tests.site.test_pages_browser import VIEWS, Site, browser, faults, listen, running, site
from workers.protocol.ids import show_uuid

__all__ = ["browser", "running", "site"]
pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def post_now(transfer: NewTransfer) -> None:
    with transaction.atomic():
        post_all([transfer], now=NOW)


@pytest.mark.long
@pytest.mark.parametrize("view", VIEWS)
def test_the_explorer_is_accessible(started: Block, ada: Account, site: Site, browser: Browser, view: str) -> None:
    first = move(accounts.system("treasury"), ada, 5, memo="hello")
    post_now(first)
    audit.execute(audit.begin(NOW).pk, NOW)
    audit.begin(NOW)
    page = browser.new_context(**VIEWS[view]).new_page()
    heard = listen(page)
    for path in (
        "/ledger",
        "/ledger/transfers",
        "/ledger/transfers?account=nonsense",
        f"/ledger/transfers/{show_uuid('txn', first.id)}",
        f"/ledger/transfers/{show_uuid('txn', named('genesis', 'meshwork-testnet', 'treasury'))}",
        f"/ledger/accounts/{ada.address}",
        "/ledger/accounts/treasury:system",
        "/ledger/blocks",
        "/ledger/blocks/0",
        "/ledger/audit",
        f"/ledger/audit/{AuditRun.objects.reported()[0].pk}",
    ):
        assert faults(page, f"{site.url}{path}") == [], path
    assert heard == []


def test_a_pending_transfer_is_seen_to_be_sealed(started: Block, ada: Account, site: Site, browser: Browser) -> None:
    post_now(move(accounts.system("treasury"), ada, 5))
    page = browser.new_page()
    page.goto(f"{site.url}/ledger")
    table = page.get_by_role("region", name="Transfers")
    expect(table.get_by_text("Pending")).to_be_visible()
    page.wait_for_timeout(500)

    def seal() -> None:
        blocks.seal_due(NOW + timedelta(seconds=10))
        connections.close_all()

    with ThreadPoolExecutor(1) as elsewhere:
        elsewhere.submit(seal).result()
    expect(table.get_by_text("Block 1")).to_be_visible()
    expect(table.get_by_text("Pending")).to_have_count(0)
