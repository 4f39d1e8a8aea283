"""Wallets in Chromium: a visitor's one click, the file to the command line and back, removal; keys that stay there."""

import json
from pathlib import Path

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from playwright.sync_api import Browser, BrowserContext, Page, expect

from apps.core.models import User
from apps.ledger import accounts
from apps.operators.models import Wallet
from tests.apps.operators.test_browser import PASSWORD, elsewhere, sign_in
from tests.site.test_pages_browser import LOOKS, VIEWS, Site, browser, faults, listen, running, site
from workers.protocol import wallet_file
from workers.protocol.keys import SigningKey, fingerprint

__all__ = ["browser", "running", "site"]
pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
PASSPHRASE = "correct horse battery"
# All rows of the store, and whether a script of the page could take the key away.
KEYS = """() => new Promise((resolve) => {
  const request = indexedDB.open("meshwork");
  request.onsuccess = () => {
    const all = request.result.transaction("keys").objectStore("keys").getAll();
    all.onsuccess = () => resolve(all.result.map((row) => [row.address, row.key.extractable]));
  };
})"""


def posted(page: Page) -> list[str]:
    """Everything that the page sends from here on."""
    sent: list[str] = []
    page.on("request", lambda request: sent.append(f"{request.url} {request.post_data or ''}"))
    return sent


def arrive(page: Page, site: Site, path: str = "/") -> None:
    page.goto(f"{site.url}{path}")
    page.get_by_role("button", name="Make a wallet and start").click()
    page.wait_for_url("**/wallet/welcome**")


def save(page: Page, folder: Path) -> Path:
    page.get_by_role("button", name="Save a copy").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Passphrase, ten characters or more").fill(PASSPHRASE)
    dialog.get_by_label("The passphrase again").fill(PASSPHRASE)
    with page.expect_download() as download:
        dialog.get_by_role("button", name="Save the file").click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def load(page: Page, file: Path, passphrase: str, button: str) -> None:
    page.get_by_text("I have the file of a wallet").click()
    page.get_by_label("File", exact=True).set_input_files(file)
    page.get_by_label("Passphrase of the file").fill(passphrase)
    page.get_by_role("button", name=button).click()


@pytest.mark.parametrize("view", LOOKS)
def test_a_visitor_clicks_once_and_has_ten_mesh(view: str, site: Site, browser: Browser) -> None:
    page = browser.new_context(**VIEWS[view]).new_page()
    heard, sent = listen(page), posted(page)
    assert faults(page, f"{site.url}/") == []
    arrive(page, site)
    expect(page.get_by_role("heading", name="10 MESH are in your wallet")).to_be_visible()
    expect(page.get_by_text("not saved yet")).to_be_visible()
    wallet = elsewhere(lambda: Wallet.objects.select_related("user").get())
    assert wallet.user.email is None
    assert elsewhere(lambda: accounts.balance(wallet.user)) == 10 * 10**8
    for path in ("/wallet/welcome", "/wallet", "/account/email", "/account"):
        assert faults(page, f"{site.url}{path}") == [], path
    page.goto(f"{site.url}/wallet/welcome")
    page.get_by_role("link", name="See the transfer").click()
    expect(page.get_by_text("faucet.wallet_connect").first).to_be_visible()
    assert heard == []
    assert page.evaluate(KEYS) == [[wallet.address, True]]
    assert "extractable" not in " ".join(sent)


def test_the_wallet_goes_by_file_to_the_command_line_and_to_another_browser(
    site: Site, browser: Browser, tmp_path: Path
) -> None:
    page = browser.new_context().new_page()
    heard, sent = listen(page), posted(page)
    arrive(page, site)
    file = save(page, tmp_path)
    expect(page.get_by_text("saved", exact=True)).to_be_visible()
    [[address, extractable]] = page.evaluate(KEYS)
    assert not extractable
    opened = wallet_file.read(file.read_bytes().strip(), PASSPHRASE)
    assert (fingerprint(opened.key.public), opened.label) == (address, "This browser")
    assert PASSPHRASE not in " ".join(sent)

    # A second copy is the same file, and asks for nothing.
    with page.expect_download() as download:
        page.get_by_role("button", name="Save a copy").click()
    assert Path(download.value.path()).read_bytes() == file.read_bytes()

    other = browser.new_context().new_page()
    other.goto(f"{site.url}/accounts/login/?next=/jobs")
    load(other, file, "another passphrase", "Open it and come in")
    expect(other.get_by_role("alert").filter(has_text="The passphrase does not open this wallet")).to_be_visible()
    other.get_by_label("Passphrase of the file").fill(PASSPHRASE)
    other.get_by_role("button", name="Open it and come in").click()
    other.wait_for_url(f"{site.url}/jobs")
    assert other.evaluate(KEYS) == [[address, False]]
    assert elsewhere(User.objects.count) == 1
    assert heard == []


def test_a_file_of_the_command_line_opens_an_account_here(site: Site, browser: Browser, tmp_path: Path) -> None:
    key, file = SigningKey.generate(), tmp_path / "wallet.json"
    file.write_bytes(wallet_file.write(key, PASSPHRASE, "für Ada"))
    page = browser.new_context().new_page()
    page.goto(f"{site.url}/accounts/signup/?next=/apply")
    load(page, file, PASSPHRASE, "Open it and come in")
    page.wait_for_url("**/wallet/welcome?next=%2Fapply")
    expect(page.get_by_text("für Ada")).to_be_visible()
    assert elsewhere(lambda: Wallet.objects.get().address) == fingerprint(key.public)
    page.get_by_role("link", name="Go on").click()
    expect(page.get_by_text("your account has no e-mail address")).to_be_visible()


def test_files_that_are_none_are_refused_in_words(site: Site, browser: Browser, tmp_path: Path) -> None:
    good = json.loads(wallet_file.write(SigningKey.generate(), PASSPHRASE))
    page = browser.new_context().new_page()
    heard = listen(page)
    page.goto(f"{site.url}/")
    page.get_by_text("I have the file of a wallet").click()
    page.get_by_label("Passphrase of the file").fill(PASSPHRASE)
    for content, problem in (
        ("hello", "That is not the file of a wallet."),
        (json.dumps({**good, "iterations": 1}), "That is not the file of a wallet."),
        (json.dumps({**good, "label": "Another"}), "The passphrase does not open this wallet"),
        (json.dumps({**good, "address": "0" * 64}), "The passphrase does not open this wallet"),
    ):
        file = tmp_path / "wallet.json"
        file.write_text(content)
        page.get_by_label("File", exact=True).set_input_files(file)
        page.get_by_role("button", name="Open it and come in").click()
        expect(page.get_by_role("alert").filter(has_text=problem)).to_be_visible()
    assert page.evaluate(KEYS) == []
    assert heard == []


def test_coming_back_is_one_click_and_removal_asks_first(site: Site, browser: Browser) -> None:
    context: BrowserContext = browser.new_context()
    page = context.new_page()
    heard = listen(page)
    arrive(page, site)
    address = page.evaluate(KEYS)[0][0]
    context.clear_cookies()
    page.goto(f"{site.url}/accounts/login/")
    page.get_by_role("button", name=f"Continue with wallet {address[:8]}").click()
    page.wait_for_url("**/overview")
    page.goto(f"{site.url}/wallet")
    page.get_by_role("button", name="Remove", exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("gone for good")
    dialog.get_by_role("button", name="Cancel").click()
    assert len(page.evaluate(KEYS)) == 1
    page.get_by_role("button", name="Remove", exact=True).click()
    dialog.get_by_role("button", name="Remove it").click()
    expect(page.get_by_text("No wallet in this browser")).to_be_visible()
    assert page.evaluate(KEYS) == []
    assert heard == []


def test_a_browser_without_ed25519_is_told_what_to_do(site: Site, browser: Browser) -> None:
    context = browser.new_context()
    context.add_init_script(
        "crypto.subtle.generateKey = () => Promise.reject(new DOMException('', 'NotSupportedError'))"
    )
    page = context.new_page()
    page.goto(f"{site.url}/")
    page.get_by_role("button", name="Make a wallet and start").click()
    expect(page.get_by_role("alert").filter(has_text="This browser has no Ed25519 keys here")).to_be_visible()


def test_somebody_elses_wallet_is_not_bound_twice(site: Site, browser: Browser, applicant: User) -> None:
    context = browser.new_context()
    arrive(context.new_page(), site)
    context.clear_cookies()
    page = sign_in(context, site, applicant.email or "", "/wallet")
    page.get_by_role("button", name="Bind to this account").click()
    expect(page.get_by_role("alert").filter(has_text="bound to another account")).to_be_visible()
    page.get_by_role("button", name="Make another").click()
    expect(page.get_by_text("this one").filter(visible=True)).to_have_count(1)
    assert elsewhere(lambda: accounts.balance(applicant)) == 10 * 10**8


def grow_old() -> None:
    """All sessions were opened six minutes ago."""
    for row in Session.objects.all():
        store = SessionStore(row.session_key)
        store["account_authentication_methods"] = [
            {**record, "at": record["at"] - 360} for record in store["account_authentication_methods"]
        ]
        store.save()


def test_a_session_left_open_is_asked_who_it_is_before_a_wallet_is_bound(
    site: Site, browser: Browser, applicant: User
) -> None:
    page = sign_in(browser.new_context(), site, applicant.email, "/wallet")
    heard = listen(page)
    elsewhere(grow_old)
    page.get_by_role("button", name="Make a wallet in this browser").click()
    page.wait_for_url("**/accounts/reauthenticate/?next=**")
    assert faults(page, page.url) == []
    assert not elsewhere(Wallet.objects.exists)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Confirm").click()
    page.wait_for_url("**/wallet")
    page.get_by_role("button", name="Bind to this account").click()
    expect(page.get_by_text("this one")).to_be_visible()
    assert elsewhere(lambda: Wallet.objects.get().user) == applicant
    assert [line for line in heard if "403" not in line] == []
