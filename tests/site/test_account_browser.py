"""Accounts in Chromium: codes, passkeys, second factors, sessions, the export and the way out; every page both ways."""

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.core.cache import cache
from playwright.sync_api import Browser, CDPSession, Page, expect

from apps.core import platform_keys
from apps.core.models import StoredMail, User
from tests.site.account_cast import code_of
from tests.site.test_pages_browser import LOOKS, VIEWS, Site, ada, browser, faults, listen, running, sign_in, site
from workers.protocol.clock import utcnow

__all__ = ["ada", "browser", "running", "site"]
pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
PASSWORD = "correct horse battery"
KEY = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}
SETTINGS = ("/account", "/account/email", "/account/security", "/account/sessions", "/account/data")
DOORS = (
    *("/accounts/login/", "/accounts/signup/", "/accounts/login/code/", "/accounts/password/reset/"),
    *("/accounts/password/reset/done/", "/accounts/password/reset/key/1-gone/", "/accounts/password/reset/key/done/"),
    *("/accounts/confirm-email/", "/accounts/confirm-email/gone/", "/accounts/inactive/"),
)
INSIDE = (
    *("/accounts/logout/", "/accounts/reauthenticate/", "/accounts/password/change/"),
    *("/accounts/2fa/totp/activate/", "/accounts/2fa/webauthn/add/", "/account/data/ready", "/account/delete"),
)


@pytest.fixture(autouse=True)
def keys(transactional_db: None) -> None:
    cache.clear()
    platform_keys.create(utcnow())


@pytest.fixture
def confirmed(ada: User) -> User:
    EmailAddress.objects.create(user=ada, email=ada.email, verified=True, primary=True)
    return ada


def newest_code(email: str) -> str:
    return code_of(StoredMail.objects.filter(to=email).first())


def totp_now(secret: str) -> str:
    return format_hotp_value(hotp_value(secret, int(time.time()) // 30))


@pytest.fixture
def authenticator() -> Callable[[Page], CDPSession]:
    """Gives a page a virtual authenticator that says yes."""

    def give(page: Page) -> CDPSession:
        session = page.context.new_cdp_session(page)
        session.send("WebAuthn.enable")
        session.send("WebAuthn.addVirtualAuthenticator", {"options": KEY})
        return session

    return give


def is_it_you(page: Page) -> None:
    """Answer the question for the password, where it is asked."""
    if "/reauthenticate/" in page.url:
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Confirm").click()
        page.wait_for_url(lambda url: "/reauthenticate/" not in url)


def test_a_passkey_is_enrolled_renamed_used_and_removed(
    site: Site, browser: Browser, confirmed: User, authenticator: Callable[[Page], CDPSession]
) -> None:
    page = browser.new_page()
    heard = listen(page)
    authenticator(page)
    sign_in(page, site)
    page.goto(f"{site.url}/account/security")
    expect(page.get_by_text("No passkeys yet")).to_be_visible()
    page.get_by_role("link", name="Add a passkey").click()
    is_it_you(page)
    expect(page.get_by_label("Name")).to_have_value("Passkey 1")
    page.get_by_label("Name").fill("Laptop")
    page.get_by_role("button", name="Add the passkey").click()
    # The first factor brings its recovery codes, shown this once.
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    page.get_by_role("link", name="I have kept them").click()
    row = page.get_by_role("row", name="Laptop")
    expect(row).to_contain_text("signs in alone")

    row.get_by_role("link", name="Rename").click()
    page.get_by_label("Name").fill("Ada's laptop")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("row", name="Ada's laptop")).to_be_visible()

    page.get_by_label("Your account").click()
    page.get_by_role("button", name="Sign out").click()
    page.goto(f"{site.url}/accounts/login/?next=/wallet")
    page.get_by_role("button", name="Use a passkey").click()
    page.wait_for_url(f"{site.url}/wallet")

    page.goto(f"{site.url}/account/security")
    page.get_by_role("row", name="Ada's laptop").get_by_role("button", name="Remove").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    page.wait_for_url(lambda url: url.endswith("/account/security") or "/reauthenticate/" in url)
    is_it_you(page)
    expect(page.get_by_text("No passkeys yet")).to_be_visible()
    assert not Authenticator.objects.exists()
    assert heard == []


def test_a_passkey_of_a_deleted_row_opens_nothing(
    site: Site, browser: Browser, confirmed: User, authenticator: Callable[[Page], CDPSession]
) -> None:
    page = browser.new_page()
    authenticator(page)
    sign_in(page, site)
    page.goto(f"{site.url}/accounts/2fa/webauthn/add/")
    is_it_you(page)
    page.get_by_role("button", name="Add the passkey").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    Authenticator.objects.all().delete()
    page.context.clear_cookies()
    page.goto(f"{site.url}/accounts/login/")
    page.get_by_role("button", name="Use a passkey").click()
    expect(page.get_by_text("Incorrect code.")).to_be_visible()
    assert page.goto(f"{site.url}/wallet").url.startswith(f"{site.url}/accounts/login/")  # type: ignore[union-attr]


def test_a_passkey_that_is_refused_says_so_on_the_page(site: Site, browser: Browser) -> None:
    page = browser.new_page()
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    session.send("WebAuthn.addVirtualAuthenticator", {"options": {**KEY, "isUserVerified": False}})
    page.goto(f"{site.url}/accounts/login/")
    page.get_by_role("button", name="Use a passkey").click()
    expect(page.get_by_role("alert")).to_contain_text("That did not work")


def test_an_authenticator_app_and_its_recovery_codes(
    site: Site, browser: Browser, confirmed: User, tmp_path: Path
) -> None:
    page = browser.new_page()
    heard = listen(page)
    sign_in(page, site)
    page.goto(f"{site.url}/account/security")
    page.get_by_role("link", name="Set up").click()
    is_it_you(page)
    secret = page.get_by_label("Secret").input_value()
    page.get_by_label("Authenticator code").fill(totp_now(secret))
    page.get_by_role("button", name="Activate").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    codes = page.get_by_role("group", name="Recovery codes").inner_text().split()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    download.value.save_as(tmp_path / "codes.txt")
    assert (tmp_path / "codes.txt").read_text().split() == codes
    assert len(codes) == 10
    page.reload()
    expect(page.get_by_role("group", name="Recovery codes")).to_be_hidden()
    expect(page.get_by_text("10 codes are left")).to_be_visible()

    # Signing in asks for digits or for a code, and each code works once.
    for again in (False, True):
        page.context.clear_cookies()
        page.goto(f"{site.url}/accounts/login/")
        page.get_by_label("Email").fill(confirmed.email)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("main").get_by_role("button", name="Sign In").click()
        expect(page.get_by_role("heading", name="Second factor")).to_be_visible()
        page.get_by_label("Code").fill(codes[0])
        page.get_by_role("main").get_by_role("button", name="Sign In").click()
        if again:
            expect(page.get_by_text("Incorrect code.")).to_be_visible()
        else:
            page.wait_for_url("**/overview")
    page.get_by_label("Code").fill(codes[1])
    page.get_by_role("main").get_by_role("button", name="Sign In").click()
    page.wait_for_url("**/overview")

    page.goto(f"{site.url}/account/security")
    page.get_by_role("link", name="Make new codes").click()
    is_it_you(page)
    page.get_by_role("button", name="Make new codes").click()
    fresh = page.get_by_role("group", name="Recovery codes").inner_text().split()
    assert not set(fresh) & set(codes)
    page.goto(f"{site.url}/account/security")
    page.get_by_role("link", name="Turn off").click()
    page.get_by_role("button", name="Turn off").click()
    expect(page.get_by_text("Off. With it a sign-in asks")).to_be_visible()
    assert not Authenticator.objects.exists()
    assert heard == []


def test_a_code_by_mail_signs_in_without_a_password(site: Site, browser: Browser, ada: User) -> None:
    page = browser.new_page()
    heard = listen(page)
    page.goto(f"{site.url}/accounts/login/?next=/wallet")
    page.get_by_role("link", name="Mail me a code").click()
    page.get_by_label("Email").fill(ada.email)
    page.get_by_role("button", name="Mail me the code").click()
    expect(page.get_by_role("heading", name="Enter the code")).to_be_visible()
    page.get_by_label("Code", exact=True).fill("WRNG-WRNG")
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_text("Incorrect code.")).to_be_visible()
    page.get_by_label("Code", exact=True).fill(newest_code(ada.email))
    page.get_by_role("button", name="Confirm").click()
    page.wait_for_url(f"{site.url}/wallet")
    assert heard == []


def test_an_address_is_changed_by_a_code(site: Site, browser: Browser, ada: User) -> None:
    page = browser.new_page()
    heard = listen(page)
    sign_in(page, site)
    page.get_by_label("Your account").click()
    page.get_by_role("link", name="Profile").click()
    page.get_by_role("navigation", name="Account settings").get_by_role("link", name="E-mail").click()
    expect(page.get_by_text("Not confirmed")).to_be_visible()
    page.get_by_label("New address").fill("ada@new.example.org")
    page.get_by_role("button", name="Send a code there").click()
    is_it_you(page)
    expect(page.get_by_role("heading", name="Enter the code")).to_be_visible()
    page.get_by_label("Code", exact=True).fill(newest_code("ada@new.example.org"))
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_text("Confirmed", exact=True)).to_be_visible()
    ada.refresh_from_db()
    assert ada.email == "ada@new.example.org"
    assert "ada@new.example.org" in StoredMail.objects.filter(to="ada@example.org").first().body  # type: ignore[union-attr]
    assert heard == []


def test_a_time_zone_shows_on_every_time(site: Site, browser: Browser, ada: User) -> None:
    context = browser.new_context(timezone_id="America/New_York")
    page = context.new_page()
    sign_in(page, site)
    page.goto(f"{site.url}/account")
    page.get_by_label("Time zone").select_option("Asia/Tokyo")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    joined = page.locator("main time").first
    joined.hover()
    expect(joined).to_have_attribute("title", re.compile(r"GMT\+9|JST"))


def test_sessions_are_listed_and_ended(site: Site, browser: Browser, ada: User) -> None:
    here, there, elsewhere_too = (browser.new_context(user_agent=agent).new_page() for agent in AGENTS)
    for page in (here, there, elsewhere_too):
        sign_in(page, site)
    here.goto(f"{site.url}/account/sessions")
    expect(here.get_by_role("row", name="Chrome 130 on Linux")).to_contain_text("This session")
    expect(here.get_by_role("row", name="Firefox 131 on Windows")).to_contain_text("127.0.0.1")
    here.get_by_role("button", name="Sign out Firefox 131 on Windows").click()
    expect(here.get_by_text("Signed out there.")).to_be_visible()
    there.goto(f"{site.url}/wallet")
    assert "/accounts/login/" in there.url
    elsewhere_too.goto(f"{site.url}/wallet")
    assert elsewhere_too.url.endswith("/wallet")
    here.get_by_role("button", name="Sign out all others").click()
    here.get_by_role("dialog").get_by_role("button", name="Sign out all others").click()
    expect(here.get_by_role("row", name="Safari 18 on iPhone")).to_be_hidden()
    elsewhere_too.goto(f"{site.url}/wallet")
    assert "/accounts/login/" in elsewhere_too.url


AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:131.0) Gecko/20100101 Firefox/131.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.0 Mobile/15E148 Safari/604.1",
)


def test_the_export_is_downloaded_and_the_account_deleted(
    site: Site, browser: Browser, ada: User, tmp_path: Path
) -> None:
    page = browser.new_page()
    heard = listen(page)
    sign_in(page, site)
    page.goto(f"{site.url}/account/data")
    page.get_by_role("link", name="Prepare the download").click()
    is_it_you(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    download.value.save_as(tmp_path / "export.json")
    assert json.loads((tmp_path / "export.json").read_text())["profile"]["email"] == ada.email

    page.get_by_role("link", name="Delete the account").click()
    page.get_by_label("Type your e-mail address").fill("somebody@example.org")
    page.get_by_role("button", name="Delete my account").click()
    expect(page.get_by_text("That is not this account's address or name.")).to_be_visible()
    page.get_by_label("Type your e-mail address").fill("Ada@example.org")
    page.get_by_role("button", name="Delete my account").click()
    expect(page.get_by_text("Your account is deleted.")).to_be_visible()
    page.goto(f"{site.url}/wallet")
    assert "/accounts/login/" in page.url
    assert not User.objects.get(pk=ada.pk).is_active
    assert StoredMail.objects.filter(to="ada@example.org", subject__contains="deleted").exists()
    assert heard == []


@pytest.mark.parametrize("view", LOOKS)
def test_every_account_page_is_accessible_and_fits(
    view: str, site: Site, browser: Browser, confirmed: User, authenticator: Callable[[Page], CDPSession]
) -> None:
    page = browser.new_page(**VIEWS[view])  # type: ignore[arg-type]
    heard = listen(page)
    authenticator(page)
    found = {path: faults(page, f"{site.url}{path}") for path in DOORS}
    sign_in(page, site)
    page.goto(f"{site.url}/accounts/2fa/webauthn/add/")
    is_it_you(page)
    found |= {path: faults(page, f"{site.url}{path}") for path in (*SETTINGS, *INSIDE)}
    page.goto(f"{site.url}/accounts/2fa/webauthn/add/")
    page.get_by_role("button", name="Add the passkey").click()
    page.wait_for_url("**/recovery-codes/")
    key = Authenticator.objects.get(type="webauthn").pk
    parts = ("recovery-codes/", "recovery-codes/generate/", "webauthn/reauthenticate/")
    more = [f"/accounts/2fa/{part}" for part in parts]
    more += [f"/accounts/2fa/webauthn/keys/{key}/{part}/" for part in ("edit", "remove")]
    found |= {path: faults(page, f"{site.url}{path}") for path in (*more, "/account/security")}
    assert {path: faulty for path, faulty in found.items() if faulty} == {}
    assert [line for line in heard if "404" not in line] == []
