"""The explorer and the admin, as visitors, users and staff see them."""

from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from apps.core.models import User
from apps.ledger import accounts, audit, blocks, holds
from apps.ledger.amounts import MESH
from apps.ledger.models import Account, AuditRun, Block, Hold, Transfer
from apps.ledger.posting import NewTransfer, post_all
from apps.ledger.tasks import audit_ledger, audit_nightly
from tests.apps.ledger.cast import BY, NOW, move
from workers.protocol.ids import show_uuid

SLOT = timedelta(seconds=10)


@pytest.fixture
def paid(started: Block, ada: Account) -> NewTransfer:
    transfer = move(accounts.system("treasury"), ada, 5 * MESH, memo="hello <there>")
    post_all([transfer], now=NOW)
    return transfer


def text(client: Client, address: str) -> str:
    response = client.get(address)
    assert response.status_code == 200, address
    return response.content.decode()


def link(transfer: NewTransfer | Transfer) -> str:
    return f"/ledger/transfers/{show_uuid('txn', transfer.id)}"


@pytest.fixture
def staff(db: None) -> User:
    return User.objects.create_superuser(email="staff@example.org", password="x")


def test_an_empty_ledger_says_what_is_missing(client: Client, db: None) -> None:
    assert "No transfers yet" in text(client, "/ledger")
    assert "Not audited yet" in text(client, "/ledger/audit")
    assert client.get("/ledger/audit.json").status_code == 404


def test_visitors_see_transfers_pending_and_sealed(client: Client, paid: NewTransfer) -> None:
    page = text(client, "/ledger")
    assert link(paid) in page
    assert "Pending" in page
    assert "Block 0" in page
    blocks.seal_due(NOW + SLOT)
    assert "Block 1" in text(client, "/ledger")


def test_the_live_part_is_the_page_without_its_frame(client: Client, paid: NewTransfer) -> None:
    part = text(client, "/ledger/transfers/live?kind=genesis")
    assert "<html" not in part
    assert link(paid) not in part
    assert part.count("/ledger/transfers/txn_") == 2
    assert link(paid) in text(client, "/ledger/live")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("account=treasury:system", 3),
        ("account=mint:system", 1),
        ("kind=genesis", 2),
        ("kind=genesis.faucet", 1),
        ("kind=gen", 0),
        ("kind=NOT%20A%20KIND", 3),
        ("state=pending", 1),
        ("state=sealed", 2),
        ("state=sealed&account=faucet:system", 1),
        ("account=wallet:nobody", 0),
        ("account=nonsense", 0),
        ("account=%00", 3),
        ("page=999", 3),
        ("page=x", 3),
    ],
)
def test_filters_live_in_the_address(client: Client, paid: NewTransfer, query: str, found: int) -> None:
    table = text(client, f"/ledger/transfers/live?{query}")
    assert table.count('<th scope="row"><a class="link mono" href="/ledger/transfers/') == found


def test_an_account_is_shown_with_its_balance(client: Client, paid: NewTransfer, ada: Account) -> None:
    assert "5 MESH" in text(client, f"/ledger/transfers?account={ada.address}")
    assert "There is no account of that name" in text(client, "/ledger/transfers?account=wallet:eve")


def test_what_asked_the_ledger_for_transfers_is_led_to_their_list(client: Client, paid: NewTransfer) -> None:
    assert client.get("/ledger?kind=fee&page=2")["Location"] == "/ledger/transfers?kind=fee&page=2"


def test_long_lists_come_in_pages_that_keep_their_filter(client: Client, started: Block, ada: Account) -> None:
    treasury = accounts.system("treasury")
    post_all([move(treasury, ada, 1) for _ in range(60)], now=NOW)
    page = text(client, "/ledger/transfers?kind=test&page=2")
    assert "50 of 60" in page
    assert "kind=test&amp;page=3" in page


def test_the_number_of_queries_does_not_grow_with_the_rows(client: Client, started: Block, ada: Account) -> None:
    treasury = accounts.system("treasury")
    counts: dict[str, list[int]] = {}
    for number in (2, 20):
        post_all([move(treasury, ada, 1) for _ in range(number)], now=NOW)
        blocks.seal_due(NOW + number * SLOT)
        post_all([move(treasury, ada, 1) for _ in range(number)], now=NOW)
        pages = [
            "/ledger",
            "/ledger/transfers",
            f"/ledger/accounts/{ada.address}",
            "/ledger/blocks",
            "/ledger/blocks/2",
        ]
        for page in [*pages, "/api/v1/ledger/transfers", "/api/v1/ledger/blocks"]:
            client.get(page)
            with CaptureQueriesContext(connection) as said:
                client.get(page)
            counts.setdefault(page, []).append(len(said))
    # One more at most: parameters are read again once a second.
    assert all(many <= few + 1 <= 12 for few, many in counts.values()), counts


def test_a_transfer_is_shown_with_the_form_that_is_sealed(client: Client, paid: NewTransfer) -> None:
    page = text(client, link(paid))
    assert "Pending" in page
    assert "hello &lt;there&gt;" in page
    assert "treasury:system" in page
    assert str(paid.id) in page
    blocks.seal_due(NOW + SLOT)
    assert 'href="/ledger/blocks/1"' in text(client, link(paid))


def test_a_transfer_of_a_hold_leads_to_the_others(client: Client, paid: NewTransfer, ada: Account) -> None:
    later = NOW + timedelta(hours=1)
    hold: Hold = holds.place(
        id=uuid4(), payer=ada, amount=5, purpose="job", authorisation=BY, expires_at=later, now=NOW
    )
    holds.void(hold.pk, now=NOW)
    released = Transfer.objects.get(kind="hold.void")
    page = text(client, link(released))
    assert show_uuid("hld", hold.pk) in page
    assert link(Transfer.objects.get(kind="hold.place")) in page


@pytest.mark.parametrize(
    "identifier", ["txn_0", "hld_00000000000000000000000000", "x", "txn_zzzzzzzzzzzzzzzzzzzzzzzzzz"]
)
def test_what_is_no_transfer_is_not_found(client: Client, db: None, identifier: str) -> None:
    assert client.get(f"/ledger/transfers/{identifier}").status_code == 404
    assert client.get(link(move(Account(pk=1), Account(pk=2), 1))).status_code == 404


def test_a_block_leads_to_its_neighbours_and_transfers(client: Client, paid: NewTransfer) -> None:
    first = blocks.seal_due(NOW + SLOT)
    blocks.seal_due(NOW + 5 * SLOT)
    assert first is not None
    page = text(client, "/ledger/blocks/1")
    assert first.root in page
    assert link(paid) in page
    assert 'rel="prev" href="/ledger/blocks/0"' in page
    assert 'rel="next" href="/ledger/blocks/5"' in page
    assert "An empty block" in text(client, "/ledger/blocks/5")


def test_the_first_block_shows_the_genesis_document(client: Client, started: Block) -> None:
    page = text(client, "/ledger/blocks/0")
    assert "blockSeconds" in page
    assert started.prev in page


@pytest.mark.parametrize("height", ["1", "999999999999999999", "9999999999999999999999", "-1"])
def test_a_block_that_is_not_there_is_not_found(client: Client, started: Block, height: str) -> None:
    assert client.get(f"/ledger/blocks/{height}").status_code == 404


def test_the_audit_is_shown_and_downloaded(client: Client, paid: NewTransfer) -> None:
    audit.record(NOW)
    assert "Every rule holds" in text(client, "/ledger/audit")
    assert "Audit passed" in text(client, "/ledger")
    report = client.get("/ledger/audit.json")
    assert report.headers["Content-Disposition"] == 'attachment; filename="audit-20260301T120000Z.json"'
    assert report.json()["ok"] is True


def test_a_failed_audit_says_what_is_broken_and_what_to_do(client: Client, paid: NewTransfer) -> None:
    report = audit.run(NOW).as_dict()
    report["checks"][0] |= {"ok": False, "found": ["transfer 1"]}
    AuditRun.objects.create(at=NOW, finished_at=NOW, ok=False, report=report)
    page = text(client, "/ledger/audit/live")
    assert "The ledger breaks its rules" in page
    assert "transfer 1" in page
    assert "Stop posting" in page
    assert "Audit failed" in text(client, "/ledger")


def test_the_queue_keeps_what_the_audit_found(paid: NewTransfer) -> None:
    audit_nightly()
    assert AuditRun.objects.get().state == "passed"


def test_staff_ask_for_an_audit_and_others_do_not(
    client: Client,
    started: Block,
    staff: User,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    # The queue's worker, in this process.
    monkeypatch.setattr(audit_ledger, "delay", audit_ledger)
    assert client.post("/ledger/audit/run").status_code == 403
    assert not AuditRun.objects.exists()
    client.force_login(staff)
    assert client.get("/ledger/audit/run").status_code == 405
    with django_capture_on_commit_callbacks(execute=True):
        assert client.post("/ledger/audit/run", follow=True).status_code == 200
    assert AuditRun.objects.get().ok


def test_a_user_finds_their_own_transfers(client: Client, paid: NewTransfer, ada: Account) -> None:
    client.force_login(User.objects.get(email="ada@example.org"))
    assert f"/ledger/transfers?account={ada.address.replace(':', '%3A')}" in text(client, "/ledger")


@pytest.fixture
def admin(client: Client, staff: User) -> Client:
    client.force_login(staff)
    return client


@pytest.mark.parametrize("model", ["account", "transfer", "hold", "block", "genesis", "auditrun"])
def test_the_admin_shows_the_ledger_and_changes_nothing(admin: Client, paid: NewTransfer, model: str) -> None:
    text(admin, f"/admin/ledger/{model}/")
    assert admin.get(f"/admin/ledger/{model}/add/").status_code == 403


def test_the_admin_shows_a_transfer_read_only(admin: Client, paid: NewTransfer) -> None:
    assert 'name="_save"' not in text(admin, f"/admin/ledger/transfer/{paid.id}/change/")
    assert admin.post(f"/admin/ledger/transfer/{paid.id}/delete/", {"post": "yes"}).status_code == 403


Grant = Callable[..., str]


@pytest.fixture
def grant(admin: Client) -> Grant:
    def grant(**changes: str) -> str:
        values = {"user": "ada@example.org", "amount": "2.5", "reason": "a workshop", "request": str(uuid4())}
        response = admin.post(reverse("admin:ledger_account_grant"), {**values, **changes}, follow=True)
        return response.content.decode()

    return grant


def test_staff_grant_from_the_treasury_in_the_admin(grant: Grant, started: Block, ada: Account) -> None:
    one = str(uuid4())
    assert "2.5 MESH → ada@example.org" in grant(request=one)
    grant(request=one)
    ada.refresh_from_db()
    assert ada.balance == 250_000_000


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"user": "eve@example.org"}, "Nobody has that address."),
        ({"amount": "0"}, "more than nothing"),
        ({"amount": "1e9"}, "at most eight decimals"),
        ({"amount": "3000000"}, "does not hold that much"),
        ({"reason": ""}, "required"),
    ],
)
def test_a_grant_that_cannot_be_is_refused_with_the_reason(
    grant: Grant, started: Block, ada: Account, changes: dict[str, str], said: str
) -> None:
    assert said in grant(**changes)
    assert not Transfer.objects.filter(kind="grant.treasury").exists()


def test_a_mainnet_has_no_grants(admin: Client, started: Block, ada: Account, settings: Settings) -> None:
    settings.IS_TESTNET = False
    assert admin.get(reverse("admin:ledger_account_grant")).status_code == 403
