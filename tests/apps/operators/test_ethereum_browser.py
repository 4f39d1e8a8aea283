"""Ethereum wallets in Chromium, by a scripted provider (EIP-1193) that signs with a real key."""

import json
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_account.signers.local import LocalAccount
from playwright.sync_api import Browser, BrowserContext, Page, expect

from apps.operators import enrolment
from apps.operators.models import EthereumAddress, NodeBinding, Operator
from tests.apps.operators.test_browser import elsewhere, sign_in
from tests.apps.operators.test_enrolment import prepared
from tests.site.test_pages_browser import LOOKS, VIEWS, Site, browser, faults, listen, running, site
from workers.protocol.clock import utcnow

__all__ = ["browser", "running", "site"]
pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
# The site loads what checks these signatures when the first comes.
SLOW = 30_000
PROVIDER = """
window.asked = [];
window.ethereum = {
  chain: '0x1',
  knows: ['0x1', '0xcd1'],
  refuses: '',
  async request({ method, params }) {
    window.asked.push(method);
    if (method === this.refuses) throw Object.assign(new Error('no'), { code: 4001 });
    if (method === 'eth_requestAccounts') return [await window.scriptedAddress()];
    if (method === 'eth_chainId') return this.chain;
    if (method === 'wallet_switchEthereumChain') {
      if (!this.knows.includes(params[0].chainId)) throw Object.assign(new Error('unknown'), { code: 4902 });
      this.chain = params[0].chainId;
      return null;
    }
    if (method !== 'eth_signTypedData_v4') throw Object.assign(new Error('unsupported'), { code: 4200 });
    const typed = JSON.parse(params[1]);
    if (Number.parseInt(this.chain, 16) !== typed.domain.chainId) throw new Error('another chain is active');
    return window.scriptedSignature(params[0], params[1]);
  },
};
"""


def with_provider(browser: Browser, key: LocalAccount, **how: Any) -> BrowserContext:
    def sign(address: str, typed: str) -> str:
        assert address == key.address
        signed = key.sign_message(encode_typed_data(full_message=json.loads(typed)))
        return str(signed.signature.to_0x_hex())

    context = browser.new_context(**how)
    context.expose_function("scriptedAddress", lambda: key.address)
    context.expose_function("scriptedSignature", sign)
    context.add_init_script(PROVIDER)
    return context


def come_in(page: Page, site: Site, path: str = "/") -> None:
    page.goto(f"{site.url}{path}")
    page.get_by_role("button", name="Use an Ethereum wallet").click()


def test_an_ethereum_wallet_opens_an_account_and_switches_its_chain(site: Site, browser: Browser) -> None:
    key = Account.create()
    context = with_provider(browser, key)
    page = context.new_page()
    heard = listen(page)
    come_in(page, site)
    expect(page.get_by_role("heading", name="10 MESH are in your wallet")).to_be_visible(timeout=SLOW)
    assert elsewhere(lambda: EthereumAddress.objects.get().address) == key.address.lower()
    context.clear_cookies()
    come_in(page, site, "/accounts/login/?next=/jobs")
    page.wait_for_url(f"{site.url}/jobs")
    assert elsewhere(EthereumAddress.objects.count) == 1
    assert heard == []


def test_without_a_provider_or_consent_or_chain_the_page_says_what_to_do(site: Site, browser: Browser) -> None:
    bare = browser.new_context().new_page()
    come_in(bare, site)
    expect(bare.get_by_role("alert").filter(has_text="No Ethereum wallet is in this browser")).to_be_visible()
    page = with_provider(browser, Account.create()).new_page()
    heard = listen(page)
    page.goto(f"{site.url}/")
    for change, words in (
        ("ethereum.refuses = 'eth_requestAccounts'", "you turned it down"),
        ("ethereum.refuses = 'eth_signTypedData_v4'", "you turned it down"),
        ("ethereum.refuses = ''; ethereum.chain = '0x1'; ethereum.knows = []", "does not know the chain"),
    ):
        page.evaluate(change)
        page.get_by_role("button", name="Use an Ethereum wallet").click()
        expect(page.get_by_role("alert").filter(has_text=words)).to_be_visible()
    assert elsewhere(EthereumAddress.objects.exists) is False
    assert heard == []


@pytest.mark.parametrize("view", LOOKS)
def test_an_owner_binds_an_address_to_a_node_and_takes_it_away(
    view: str, site: Site, browser: Browser, operator: Operator
) -> None:
    key, node = Account.create(), enrolment.enrol(prepared(operator), utcnow())
    page = sign_in(with_provider(browser, key, **VIEWS[view]), site, operator.user.email or "", f"/nodes/{node.pk}")
    heard, path = listen(page), f"{site.url}/nodes/{node.pk}/ethereum"
    page.get_by_role("link", name="Ethereum address").click()
    page.wait_for_url(path)
    assert faults(page, path) == []
    page.get_by_role("button", name="Bind an address").click()
    expect(page.get_by_text(key.address.lower())).to_be_visible(timeout=SLOW)
    assert faults(page, path) == []
    assert elsewhere(lambda: NodeBinding.objects.get().address_id) == key.address.lower()
    assert faults(page, f"{site.url}/wallet") == []
    page.get_by_role("link", name=node.name).click()
    page.get_by_role("button", name="Take it away").click()
    page.get_by_role("dialog").get_by_role("button", name="Take it away").click()
    expect(page.get_by_role("heading", name="No address is bound")).to_be_visible()
    assert heard == []
