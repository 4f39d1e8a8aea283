"""The demo's network, used through its pages in Chromium. One module, so that one network serves all of it."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import OpenAI
from playwright.sync_api import Browser, expect

from meshwork.local.demo import FEWEST_HITS
from meshwork.local.demo_cast import ADMIN, OPERATORS, REQUESTER
from tests.e2e.conftest import Network, Person
from tests.e2e.walk import admin_lists, faults_of, operators_pages, requesters_pages, staff_pages, visitors_pages

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
MESH = (sys.executable, "-m", "workers.client.cli")
SOON_MS = 120_000
TEXTS = [f"Sentence {n} says that the number after it is {n + 1}." for n in range(24)]
HARDWARE = {
    "gpu_model": "none",
    "gpu_memory_gb": "0",
    "cpu_cores": "8",
    "memory_gb": "32",
    "operating_system": "Debian 12",
    "bandwidth_mbps": "100",
}


@contextmanager
def somebody(browser: Browser, network: Network, **context: Any) -> Iterator[Person]:
    """Somebody at a browser of their own, whose console stays clean."""
    person = Person(browser, network, **context)
    yield person
    person.close()
    assert person.faults == []


def mesh(network: Network, *arguments: str) -> str:
    """What the command line prints."""
    done = subprocess.run([*MESH, *arguments], env=network.environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def apply(person: Person) -> None:
    """Fill in the application and hand it in."""
    page = person.page
    page.goto("/apply")
    page.get_by_label("ORACLE").check()
    page.get_by_label("Region").select_option("eu-west")
    for name, value in HARDWARE.items():
        page.fill(f"[name={name}]", value)
    page.get_by_label("I run this machine").check()
    page.get_by_role("button", name="Hand in").click()
    expect(page.get_by_role("heading", name="Awaiting review")).to_be_visible()


def decide(desk: Person, email: str, action: str) -> None:
    """Choose one application in the admin's queue and run an action on it."""
    desk.page.goto("/admin/operators/application/")
    desk.page.locator("tr", has_text=email).locator("input[name=_selected_action]").check()
    desk.page.locator("select[name=action]").select_option(action)
    desk.page.get_by_role("button", name="Run").click()


@contextmanager
def running_node(network: Network, directory: Path) -> Iterator[None]:
    """`mesh node run` until the block ends; it stops by itself when asked to."""
    command = [*MESH, "node", "run", "--dir", str(directory)]
    with (directory / "node.log").open("w") as log:
        process = subprocess.Popen(command, env=network.environment, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait(60)
    assert code == 0


def test_the_demo_verified_every_step(network: Network) -> None:
    facts = network.facts
    assert facts["nodes_online"] == len(OPERATORS) == 6
    assert facts["jobs_completed"] >= 1
    assert facts["tasks"] == facts["chunks"] > 0
    assert facts["node_killed"] in {operator.node for operator in OPERATORS}
    assert facts["recovered_s"] > 0
    assert facts["search_hits"] >= FEWEST_HITS
    assert facts["receipt_verified"] is True
    assert facts["ledger_audit_ok"] is True
    for name in ("scans", "signals", "decisions", "rounds_certified", "orders_filled"):
        assert facts[name] > 0
    assert facts["certificate_verified"] is True
    assert facts["equivocation_caught"] is True
    assert facts["equivocation_slashed"] is True
    assert facts["source"] == "replay"
    genesis = httpx.get(f"{network.site}/api/v1/ledger/genesis").json()["document"]
    assert "all-MiniLM-L6-v2" in str(genesis["models"])
    assert genesis["shards"]


def test_an_operator_goes_from_sign_up_to_a_node_online(network: Network, browser: Browser, tmp_path: Path) -> None:
    with somebody(browser, network) as olga, somebody(browser, network) as desk:
        olga.sign_up("olga@example.org", "Olga")
        apply(olga)
        desk.log_in(ADMIN)
        decide(desk, "olga@example.org", "approve_selected")
        expect(desk.page.get_by_text("1: approved")).to_be_visible()

        page = olga.page
        page.get_by_role("button", name="Lock the stake").click()
        page.wait_for_url("**/nodes/register")
        page.get_by_label("Name of the node").fill("olga-1")
        page.get_by_role("button", name="Make a token").click()
        token = re.findall(r"mwt_\w+", page.get_by_text("mesh node join").first.inner_text())[0]
        expect(page.get_by_text("Nothing received yet.")).to_be_visible()
        page.evaluate("window.stayed = true")

        mesh(network, "node", "join", network.site, "--token", token, "--name", "olga-1", "--dir", str(tmp_path))
        expect(page.get_by_text("olga-1 is enrolled and has not reported in yet.")).to_be_visible()
        with running_node(network, tmp_path):
            expect(page.get_by_text("Your node is online")).to_be_visible(timeout=SOON_MS)
            assert page.evaluate("window.stayed")
            page.get_by_role("link", name="See the node").click()
            expect(page.get_by_role("main").get_by_text("Online").first).to_be_visible()
        expect(page.get_by_role("main").get_by_text("Offline").first).to_be_visible()


def test_a_rejected_applicant_reads_the_reason(network: Network, browser: Browser) -> None:
    reason = "The uplink is slower than the tier needs."
    with somebody(browser, network) as rolf, somebody(browser, network) as desk:
        rolf.sign_up("rolf@example.org", "Rolf")
        apply(rolf)
        desk.log_in(ADMIN)
        decide(desk, "rolf@example.org", "reject_selected")
        desk.page.get_by_label("What was not met").select_option("bandwidth")
        desk.page.get_by_label("Reason").fill(reason)
        desk.page.get_by_role("button", name="Reject").click()
        expect(desk.page.get_by_text("1: rejected")).to_be_visible()
        expect(rolf.page.get_by_text(reason)).to_be_visible()


def test_a_requester_goes_from_sign_up_to_a_verified_receipt(
    network: Network, browser: Browser, tmp_path: Path
) -> None:
    with somebody(browser, network) as tess:
        page = tess.page
        tess.sign_up("tess@example.org", "Tess")
        page.goto("/wallet")
        page.get_by_role("button", name="Make a wallet in this browser").click()
        expect(page.get_by_text("claimed with your first wallet")).to_be_visible()

        page.goto("/jobs/new")
        page.get_by_label("Texts", exact=True).fill("\n".join(TEXTS))
        page.get_by_label("Texts a chunk").fill("4")
        quote = page.locator("#quote")
        expect(quote).to_contain_text("Nodes that fit")
        expect(quote.locator("dt:text-is('Chunks') + dd")).to_have_text("6")
        page.get_by_role("button", name="Submit").click()
        page.wait_for_url("**/jobs/job_*")
        page.evaluate("window.stayed = true")

        settled = page.locator(".stage", has_text="Settled")
        expect(settled).to_have_attribute("data-s", "done", timeout=SOON_MS)
        expect(page.get_by_role("row").filter(has=page.locator("progress[value='2']"))).to_have_count(6)
        assert page.evaluate("window.stayed")
        with page.expect_download() as saved:
            page.get_by_role("link", name="Download the receipt").click()
        receipt = tmp_path / saved.value.suggested_filename
        saved.value.save_as(receipt)
        root = httpx.get(f"{network.site}/.well-known/meshwork").json()["root_fingerprint"]
        verdict = json.loads(mesh(network, "verify", str(receipt), "--root", root, "--json"))
        assert verdict["ok"] is True

        with somebody(browser, network) as other:
            other.log_in(OPERATORS[0].email)
            answer = other.context.request.get(page.url)
            assert answer.status == 404


def test_a_key_made_on_its_page_serves_the_openai_client(network: Network, browser: Browser) -> None:
    with somebody(browser, network) as rita:
        page = rita.page
        rita.log_in(REQUESTER)
        page.goto("/keys")
        page.get_by_label("Name").fill("notebook")
        page.get_by_role("button", name="Make the key").click()
        key = re.findall(r"mk_[\w-]{43}", page.get_by_role("main").inner_text())[0]
        with OpenAI(base_url=f"{network.site}/v1", api_key=key) as client:
            answer = client.embeddings.create(model="all-MiniLM-L6-v2", input=["one text", "another"])
        assert [len(row.embedding) for row in answer.data] == [384, 384]
        page.goto("/keys")
        expect(page.get_by_role("main")).not_to_contain_text(key)


def test_one_signs_out(network: Network, browser: Browser) -> None:
    with somebody(browser, network) as rita:
        rita.log_in(REQUESTER)
        rita.page.get_by_label("Your account").click()
        rita.page.get_by_role("button", name="Sign out").click()
        expect(rita.page.get_by_role("link", name="Sign in").first).to_be_visible()
        rita.page.goto("/jobs")
        expect(rita.page).to_have_url(re.compile("/accounts/login/"))


def test_every_page_is_accessible_fits_the_screen_and_is_silent(network: Network, browser: Browser) -> None:
    with somebody(browser, network) as visitor:
        found = {path: faults_of(visitor, path) for path in visitors_pages(visitor)}
    for who, email, pages in (
        ("an operator", OPERATORS[0].email, operators_pages),
        ("a requester", REQUESTER, requesters_pages),
        ("staff", ADMIN, staff_pages),
    ):
        with somebody(browser, network) as person:
            person.log_in(email)
            found |= {f"{path} as {who}": faults_of(person, path) for path in pages(person)}
    assert {path: faults for path, faults in found.items() if faults} == {}


@pytest.mark.long
def test_every_list_of_the_admin_is_accessible_fits_the_screen_and_is_silent(
    network: Network, browser: Browser
) -> None:
    with somebody(browser, network) as staff:
        staff.log_in(ADMIN)
        found = {path: faults_of(staff, path) for path in admin_lists(staff)}
    assert len(found) > 20
    assert {path: faults for path, faults in found.items() if faults} == {}
