"""Every page that somebody can reach, and what is wrong with one."""

import re
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.e2e.conftest import Person

Pages = list[str]
DESKTOP = {"width": 1440, "height": 1000}
PHONE = {"width": 390, "height": 844}
# What colours and width can change; the rest of axe's rules are asked once.
LAYOUT = {
    "runOnly": [
        "color-contrast", "link-in-text-block", "target-size", "scrollable-region-focusable", "region", "bypass"
    ]
}  # fmt: skip
BADGE = re.compile(r"^\s*testnet\s*$", re.IGNORECASE)
ADMIN_LISTS = ", ".join(f"a[href^='/admin/{room}/']" for room in ("operators", "pool", "ledger", "trading"))


def linked(person: Person, page: str, selector: str) -> Pages:
    """Where the first such link of a page leads; nothing where there is none."""
    person.page.goto(page)
    links = person.page.locator(selector)
    return [links.first.get_attribute("href") or ""] if links.count() else []


def visitors_pages(person: Person) -> Pages:
    """What everybody may see, with a transfer, a block and a model that exist."""
    found = ["/", "/overview", "/install", "/models", "/search?q=nothing", "/dev/mail"]
    found += [f"/ledger{part}" for part in ("", "/transfers", "/blocks", "/audit")]
    found += [f"/trading{part}" for part in ("", "/signals", "/decisions", "/rounds", "/orders", "/scans")]
    found += ["/accounts/login/", "/accounts/signup/", "/accounts/password/reset/"]
    for page, selector in (
        ("/ledger", "a[href^='/ledger/transfers/']"),
        ("/ledger", "a[href^='/ledger/blocks/']"),
        ("/ledger", "a[href^='/ledger/accounts/']"),
        ("/models", "main a[href^='/models/']"),
        ("/trading/signals", "main a[href^='/trading/signals/sig_']"),
        ("/trading/decisions", "main a[href^='/trading/decisions/dec_']"),
        ("/trading/rounds", "main a[href^='/trading/rounds/rnd_']"),
        ("/trading/orders", "main a[href^='/trading/orders/pln_']"),
        ("/trading/scans", "main a[href^='/trading/scans/']"),
    ):
        there = linked(person, page, selector)
        assert there, f"{page} links to no {selector}"
        found += there
    return found


def operators_pages(person: Person) -> Pages:
    """What an operator has, with the first node; the lists of a requester are empty."""
    found = ["/overview", "/apply", "/nodes", "/nodes/register", "/rewards", "/hosts", "/jobs", "/keys", "/mandates"]
    nodes = linked(person, "/nodes", "main a[href^='/nodes/node_']")
    assert nodes, "The operator has no node"
    return [*found, *nodes, *(f"{nodes[0]}/{part}" for part in ("reputation", "idle"))]


def requesters_pages(person: Person) -> Pages:
    """What a requester has, with the first job; the list of nodes is empty."""
    found = ["/nodes", "/jobs", "/jobs/new", "/keys", "/bans", "/wallet", "/wallet/welcome"]
    found += ["/transfers/new", "/mandates/new"]
    found += ["/account", "/account/email", "/account/security", "/account/sessions", "/account/data"]
    jobs = linked(person, "/jobs", "main a[href^='/jobs/job_']")
    assert jobs, "The requester has no job"
    return [*found, *jobs]


def staff_pages(person: Person) -> Pages:
    """The admin: its index, the review queue with everything decided, and an application, a node and a job."""
    queue = "/admin/operators/application/?status=all"
    lists = (queue, "/admin/operators/node/", "/admin/pool/job/")
    rows = [linked(person, page, f"th a[href^='{page.partition('?')[0]}']") for page in lists]
    assert all(rows), f"Lists without rows: {rows}"
    return ["/admin/", queue, *(row for found in rows for row in found)]


def admin_lists(person: Person) -> Pages:
    """Every list of the admin."""
    person.page.goto("/admin/")
    links = person.page.locator(ADMIN_LISTS).evaluate_all("links => links.map(link => link.getAttribute('href'))")
    return sorted({link for link in links if link.count("/") == 4})


def faults_of(person: Person, path: str) -> list[Any]:
    """What is wrong with a page on a light desktop and on a phone in the dark; nothing on a good one.

    The admin's lists share one template of a library: they are looked at on the phone alone.
    """
    page = person.page
    page.set_viewport_size(DESKTOP)  # type: ignore[arg-type]
    # Without transitions, which would be measured half-way between the themes.
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    answer = page.goto(path)
    faults: list[Any] = [] if answer and answer.status == 200 else [f"status {answer.status if answer else None}"]
    if not page.get_by_text(BADGE).filter(visible=True).count():
        faults.append("no testnet badge")
    if not path.startswith("/admin/") or path == "/admin/":
        faults += in_view(page, "light", {})
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    return faults + in_view(page, "phone in the dark", LAYOUT)


def in_view(page: Page, view: str, options: dict[str, Any]) -> list[Any]:
    """What axe finds, and width beyond the screen."""
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    violations = Axe().run(page, options=options).response["violations"]
    faults: list[Any] = [(view, v["id"], [node["html"] for node in v["nodes"]]) for v in violations]
    if page.evaluate("document.documentElement.scrollWidth > window.innerWidth"):
        faults.append((view, "wider than the screen"))
    return faults
