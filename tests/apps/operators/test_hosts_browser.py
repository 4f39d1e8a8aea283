"""The page of hosts of shards in Chromium."""

import pytest
from playwright.sync_api import Browser, expect

from apps.core.models import User
from apps.operators import hosts, wallets
from apps.operators.models import Wallet
from tests.apps.operators.test_browser import PASSWORD, elsewhere, sign_in
from tests.apps.operators.test_hosts import asked
from tests.site.test_pages_browser import LOOKS, VIEWS, Site, browser, faults, listen, running, site
from workers.protocol.clock import utcnow
from workers.protocol.keys import SigningKey, b64, fingerprint

__all__ = ["browser", "running", "site"]
pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize("view", LOOKS)
def test_the_page_of_hosts_is_accessible_and_lets_a_host_go(view: str, site: Site, browser: Browser) -> None:
    user = User.objects.create_user("hanna@example.org", PASSWORD)
    page = sign_in(browser.new_context(**VIEWS[view]), site, "hanna@example.org", "/hosts")
    heard, path = listen(page), f"{site.url}/hosts"
    assert faults(page, path) == []
    key = SigningKey.generate()
    row = {"id": "wal_1", "user": user, "public": b64(key.public), "created_at": utcnow()}
    elsewhere(lambda: Wallet.objects.create(address=fingerprint(key.public), **row))
    elsewhere(lambda: wallets.claim_first(user, utcnow()))
    elsewhere(lambda: hosts.join(asked(key), utcnow()))
    assert faults(page, path) == []
    page.get_by_role("button", name="Let it go").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("The stake stays locked")
    dialog.get_by_role("button", name="Let it go").click()
    expect(page.get_by_text("Left", exact=True)).to_be_visible()
    assert heard == []
