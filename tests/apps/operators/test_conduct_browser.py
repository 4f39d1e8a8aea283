"""Applying with a report, bans, reputation, keys and the staff's inbox in Chromium: usable, accessible, silent."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from apps.core.models import User
from apps.ledger.models import AuditRun
from apps.operators import appeals, applications, bans, enrolment, reputation
from apps.operators.authentication import make_key
from apps.operators.models import Ban, Node, NodeStatus, Operator
from tests.apps.operators.conftest import DATA
from tests.apps.operators.test_browser import elsewhere, sign_in
from tests.apps.operators.test_enrolment import prepared
from tests.apps.operators.test_reports import REPORT
from tests.site.test_pages_browser import LOOKS, VIEWS, Site, browser, faults, listen, running, site
from workers.protocol.clock import utcnow

__all__ = ["browser", "running", "site"]
pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
WORDS: dict[str, Any] = {"reason": "Forged results.", "evidence": "task tsk_1 at 12:00, digest ab12"}


@pytest.fixture
def node(operator: Operator) -> Node:
    made = enrolment.enrol(prepared(operator), utcnow())
    for status in (NodeStatus.SELF_TEST, NodeStatus.ONLINE):
        made.move(status, "", "", utcnow())
    return made


def shot(page: Page, name: str) -> None:
    """A picture for whoever asks for it."""
    if shots := os.environ.get("SHOTS"):
        page.screenshot(path=f"{shots}/{name}.png", full_page=True)


@pytest.mark.long
@pytest.mark.parametrize("view", VIEWS)
def test_the_pages_are_accessible_and_silent(
    site: Site, browser: Browser, node: Node, admin: User, applicant: User, view: str
) -> None:
    page = sign_in(browser.new_context(**VIEWS[view]), site, applicant.email, "/bans")
    assert faults(page, f"{site.url}/bans") == []
    shot(page, f"bans-empty-{view}")
    for n in range(8):
        reputation.record(node.pk, "failed" if n < 3 else "success", utcnow(), f"tsk_{n}: engine_failed")
    owner = node.operator.user
    make_key(owner, "laptop", ["jobs:read", "jobs:write"], utcnow())
    first = bans.make(bans.Order(node=node, **WORDS), admin, utcnow())
    made = appeals.appeal(first, owner, "My disk was broken.", utcnow())
    appeals.answer(made, admin, "We saw the disk's log.", utcnow(), granted=True)
    bans.make(bans.Order(user=owner, **WORDS), admin, utcnow())
    page = sign_in(browser.new_context(**VIEWS[view]), site, owner.email, "/nodes")
    heard = listen(page)
    own = f"/nodes/{node.pk}"
    paths = {"bans": "/bans", "reputation": f"{own}/reputation", "node": own, "keys": "/keys"}
    paths |= {"no-match": f"{own}/reputation?kind=vote"}
    for name, path in paths.items():
        assert faults(page, site.url + path) == [], path
        shot(page, f"{name}-{view}")
    applications.save_draft(applicant, {**DATA, "probe": REPORT}, utcnow())
    page = sign_in(browser.new_context(**VIEWS[view]), site, applicant.email, "/apply")
    assert faults(page, f"{site.url}/apply") == []
    shot(page, f"apply-{view}")
    elsewhere(lambda: applications.submit(applicant, DATA, utcnow()))
    assert faults(page, f"{site.url}/apply") == []
    shot(page, f"submitted-{view}")
    assert heard == []


@pytest.mark.parametrize("view", LOOKS)
def test_the_staffs_pages_are_accessible_and_silent(
    site: Site, browser: Browser, node: Node, admin: User, applicant: User, view: str
) -> None:
    page = sign_in(browser.new_context(**VIEWS[view]), site, admin.email, "/admin/")
    heard = listen(page)
    expect(page.get_by_text("Nothing waits")).to_be_visible()
    assert faults(page, f"{site.url}/admin/") == []
    shot(page, f"inbox-empty-{view}")
    application = applications.submit(applicant, {**DATA, "probe": hardware_report()}, utcnow())
    ban = bans.make(bans.Order(node=node, **WORDS), admin, utcnow())
    made = appeals.appeal(ban, node.operator.user, "My disk was broken.", utcnow())
    AuditRun.objects.create(at=utcnow(), finished_at=utcnow(), ok=False, report={})
    room = "/admin/operators"
    for name, path in {
        "inbox": "/admin/",
        "ban-form": f"{room}/ban/ban/",
        "ban-list": f"{room}/ban/",
        "ban": f"{room}/ban/{ban.pk}/change/",
        "appeal": f"{room}/appeal/{made.pk}/change/",
        "appeals": f"{room}/appeal/",
        "application": f"{room}/application/{application.pk}/change/",
        "operators": f"{room}/operator/",
        "changes": f"{room}/reputationchange/",
    }.items():
        assert faults(page, site.url + path) == [], path
        shot(page, f"admin-{name}-{view}")
    assert heard == []


def hardware_report() -> dict[str, Any]:
    """A report as an application keeps it."""
    from apps.operators import hardware

    return hardware.read(json.dumps(REPORT))


def test_a_report_is_pasted_read_mended_and_handed_in(
    site: Site, browser: Browser, applicant: User, tmp_path: Path
) -> None:
    page = sign_in(browser.new_context(), site, applicant.email, "/apply")
    heard = listen(page)
    page.get_by_label("ORACLE").check()
    page.get_by_label("Report of the machine").fill('{"gpu_type": "cuda"}')
    page.get_by_role("button", name="Read the report").click()
    expect(page.get_by_text("missing required field")).to_be_visible()
    expect(page.get_by_label("ORACLE")).to_be_checked()
    file = tmp_path / "probe.json"
    file.write_text(json.dumps(REPORT))
    page.get_by_label("Report of the machine").fill("")
    page.get_by_label("Report as a file").set_input_files(file)
    page.get_by_role("button", name="Read the report").click()
    expect(page.get_by_text("NVIDIA H200, 143771 MiB")).to_be_visible()
    expect(page.get_by_label("CPU cores", exact=True)).to_have_value("16")
    page.get_by_label("Region").select_option("eu-west")
    page.get_by_label("Upload (Mbit/s)").fill("500")
    page.get_by_label("I run this machine").check()
    page.get_by_role("button", name="Hand in").click()
    expect(page.get_by_role("heading", name="Awaiting review")).to_be_visible()
    expect(page.get_by_text("Place in the queue")).to_be_visible()
    expect(page.get_by_text("not known yet")).to_be_visible()
    assert heard == []


def test_a_ban_is_made_appealed_against_and_lifted(site: Site, browser: Browser, node: Node, admin: User) -> None:
    site.restart()
    desk = sign_in(browser.new_context(), site, admin.email, "/admin/operators/ban/")
    grumbles = listen(desk)
    desk.get_by_role("link", name="Ban", exact=True).first.click()
    desk.get_by_label("What").select_option("node")
    desk.get_by_label("Which").fill(node.pk)
    desk.get_by_label("Reason").fill("Forged results.")
    desk.get_by_label("Evidence").fill("digest ab12")
    desk.get_by_role("button", name="Ban").click()
    expect(desk.get_by_text("Forged results.").first).to_be_visible()
    page = sign_in(browser.new_context(), site, node.operator.user.email, f"/nodes/{node.pk}")
    heard = listen(page)
    expect(page.get_by_text("Banned (ban_").first).to_be_visible()
    page.goto(f"{site.url}/bans")
    page.get_by_label("Your appeal").fill("My disk was broken.")
    page.get_by_role("button", name="Appeal").click()
    expect(page.get_by_text("Staff read it")).to_be_visible()
    desk.goto(f"{site.url}/admin/")
    desk.get_by_role("link", name="Appeals to answer: 1").click()
    desk.locator("input[name=_selected_action]").check()
    desk.locator("select[name=action]").select_option("grant_selected")
    desk.get_by_role("button", name="Run").click()
    desk.get_by_label("Reason").fill("We saw the disk's log.")
    desk.get_by_role("button", name="Grant, with an answer").click()
    expect(desk.get_by_text("1: granted")).to_be_visible()
    page.reload()
    expect(page.get_by_text("We saw the disk's log.").first).to_be_visible()
    assert Ban.objects.get().lifted_by == admin
    assert (heard, grumbles) == ([], [])
