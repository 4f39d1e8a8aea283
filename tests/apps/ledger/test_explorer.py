"""Accounts, proofs, the search by any id, and audits' history and downloads, as pages show them."""

import csv
import json
import warnings
from datetime import timedelta
from io import BytesIO, StringIO
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction
from django.test import Client
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from pytest_django import DjangoCaptureOnCommitCallbacks

from apps.core import platform_keys
from apps.core.models import User
from apps.ledger import accounts, api_urls, audit, blocks, holds, signers
from apps.ledger.audit import runs
from apps.ledger.errors import AuditRunning
from apps.ledger.models import Account, AuditRun, Block, Genesis, Hold, Transfer
from apps.ledger.posting import NewTransfer, post_all
from apps.ledger.tasks import audit_ledger, audit_nightly
from tests.apps.ledger.cast import BY, NOW, move
from tests.apps.ledger.tampering import tamper
from workers.protocol.clock import utcnow
from workers.protocol.ids import show_uuid
from workers.protocol.keys import SigningKey, fingerprint
from workers.protocol.ledger_proof import verify_proof
from workers.protocol.ledger_verify import Pins, verify_export

SLOT = timedelta(seconds=10)


@pytest.fixture
def paid(started: Block, ada: Account) -> NewTransfer:
    transfer = move(accounts.system("treasury"), ada, 500_000_000, memo="hello")
    post_all([transfer], now=NOW)
    blocks.seal_due(NOW + SLOT)
    return transfer


@pytest.fixture
def staff(db: None) -> User:
    return User.objects.create_superuser(email="staff@example.org", password="x")


def text(client: Client, address: str) -> str:
    response = client.get(address)
    assert response.status_code == 200, address
    return response.content.decode()


def link(transfer: NewTransfer) -> str:
    return f"/ledger/transfers/{show_uuid('txn', transfer.id)}"


def test_an_account_is_shown_with_balance_meaning_and_transfers(
    client: Client, paid: NewTransfer, ada: Account
) -> None:
    page = text(client, f"/ledger/accounts/{ada.address}")
    assert "What somebody may spend." in page
    assert "+5" in page
    assert link(paid) in page
    assert "\u22125" in text(client, "/ledger/accounts/treasury:system")
    assert "The network&#x27;s own money" in text(client, "/ledger/accounts/treasury:system")


def test_an_account_leads_to_the_others_of_its_owner(client: Client, paid: NewTransfer, ada: Account) -> None:
    holds.place(id=uuid4(), payer=ada, amount=5, purpose="job", authorisation=BY, expires_at=NOW + SLOT, now=NOW)
    held = accounts.held_for(ada)
    assert f'href="/ledger/accounts/{held.address}"' in text(client, f"/ledger/accounts/{ada.address}")
    assert "/ledger/accounts/mint:system" not in text(client, "/ledger/accounts/treasury:system").split("Transfers")[0]


def test_an_accounts_transfers_come_in_pages(client: Client, paid: NewTransfer, ada: Account) -> None:
    post_all([move(accounts.system("treasury"), ada, 1) for _ in range(60)], now=NOW)
    page = text(client, f"/ledger/accounts/{ada.address}?page=2")
    assert "50 of 61" in page


@pytest.mark.parametrize("address", ["wallet:eve", "nonsense", "wallet:%00", "x:" + "y" * 300])
def test_what_is_no_account_is_not_found(client: Client, paid: NewTransfer, address: str) -> None:
    assert client.get(f"/ledger/accounts/{address}").status_code == 404


def test_the_overview_says_what_treasury_and_faucet_hold(client: Client, paid: NewTransfer) -> None:
    page = text(client, "/ledger")
    assert "2089995" in page
    assert "Left in the faucet" in page
    assert "10000" in page


def test_search_leads_to_whatever_has_the_id(client: Client, paid: NewTransfer, ada: Account) -> None:
    block, beginning = Block.objects.get(pk=1), Genesis.objects.get()
    hold: Hold = holds.place(
        id=uuid4(), payer=ada, amount=5, purpose="job", authorisation=BY, expires_at=NOW + SLOT, now=NOW
    )
    wallet = SigningKey.generate()
    address = fingerprint(wallet.public)
    bound = signers.Signer(address, wallet.public, ada.owner)
    known = signers._lookups[:]
    signers.register(lambda asked: bound if asked == address else None)
    wanted = {
        show_uuid("txn", paid.id): link(paid),
        str(paid.id): link(paid),
        str(paid.id).upper(): link(paid),
        show_uuid("hld", hold.pk): f"/ledger/transfers/{show_uuid('txn', hold.pk)}",
        show_uuid("unb", paid.id): link(paid),
        "1": "/ledger/blocks/1",
        block.hash: "/ledger/blocks/1",
        block.hash.upper(): "/ledger/blocks/1",
        block.root: "/ledger/blocks/1",
        beginning.hash: "/ledger/blocks/0",
        ada.address: f"/ledger/accounts/{ada.address}",
        address: f"/ledger/accounts/{ada.address}",
        "job_01ja0": "/jobs/job_01ja0",
    }
    try:
        for asked, place in wanted.items():
            assert client.get("/search", {"q": f" {asked} "})["Location"] == place
            found = client.get("/ledger/search", {"q": asked}, follow=False)["Location"]
            assert found in {place, f"/search?q={asked}"}
    finally:
        signers._lookups[:] = known


@pytest.mark.parametrize(
    "asked", ["", "7", "0" * 64, str(UUID(int=7)), "txn_x", "wallet:eve", "%00", "x" * 500, "9" * 30]
)
def test_what_nothing_has_is_said_to_be_nothing(client: Client, paid: NewTransfer, asked: str) -> None:
    assert client.get("/search", {"q": asked}).status_code == 200
    assert client.get("/ledger/search", {"q": asked}, follow=True).status_code == 200


def test_a_transfers_proof_is_downloaded_and_holds(client: Client, paid: NewTransfer) -> None:
    response = client.get(f"{link(paid)}/proof.json")
    assert response["Content-Disposition"].endswith('.json"')
    assert verify_proof(response.json(), root=platform_keys.root_fingerprint()).ok
    page = text(client, link(paid))
    assert f"mesh audit verify proof-{show_uuid('txn', paid.id)}.json" in page
    assert "signed the block in which it stands" in page


def test_a_pending_transfer_has_no_proof_yet(client: Client, started: Block, ada: Account) -> None:
    waiting = move(accounts.system("treasury"), ada, 5)
    post_all([waiting], now=NOW)
    assert client.get(f"{link(waiting)}/proof.json").status_code == 404
    page = text(client, link(waiting))
    assert "proof.json" not in page
    assert "signs it with the block that seals it" in page


def test_an_audit_writes_report_and_export_and_both_are_downloaded(client: Client, paid: NewTransfer) -> None:
    run = audit.execute(audit.begin(NOW).pk, NOW)
    assert run is not None
    page = text(client, "/ledger/audit")
    assert "Download the ledger" in page
    assert f"--genesis {Genesis.objects.get().hash}" in page
    data = b"".join(client.get("/ledger/audit/export.zip"))
    kept = Path(runs.exports_folder() / "download.zip")
    kept.write_bytes(data)
    assert verify_export(kept, Pins(Genesis.objects.get().hash)).ok
    [head, *rows] = csv.reader(StringIO(client.get(f"/ledger/audit/{run.pk}.csv").content.decode()))
    assert head == ["check", "outcome", "rule", "found"]
    assert {row[1] for row in rows} == {"ok"}
    assert client.get(f"/ledger/audit/{run.pk}.json").json()["ok"] is True
    assert "Every rule holds" in text(client, f"/ledger/audit/{run.pk}")


def test_a_broken_ledgers_table_names_what_breaks_it(client: Client, paid: NewTransfer) -> None:
    tamper("update ledger_transfer set memo = 'x' where id = %s", paid.id)
    audit.execute(audit.begin(NOW).pk, NOW)
    rows = list(csv.reader(StringIO(client.get("/ledger/audit.csv").content.decode())))
    [leaves] = [row for row in rows if row[0] == "leaves"]
    assert leaves[1] == "broken"
    assert leaves[3].startswith(f"transfer {paid.id}: its leaf is ")
    assert str(paid.id) in text(client, "/ledger/audit")


def test_history_keeps_every_audit_and_three_exports(client: Client, paid: NewTransfer) -> None:
    for _ in range(5):
        audit.execute(audit.begin(NOW).pk, NOW)
    assert AuditRun.objects.count() == 5
    assert len(list(runs.exports_folder().glob("ledger-*.zip"))) == 3
    assert text(client, "/ledger/audit").count("Passed") == 5


@pytest.mark.parametrize("path", ["audit/999", "audit/999.json", "audit/999.csv", "audit.csv", "audit/export.zip"])
def test_an_audit_that_is_not_there_is_not_found(client: Client, started: Block, path: str) -> None:
    assert client.get(f"/ledger/{path}").status_code == 404


def test_two_audits_never_run_at_once(client: Client, started: Block) -> None:
    first = audit.begin(utcnow())
    with pytest.raises(AuditRunning), transaction.atomic():
        audit.begin(utcnow())
    audit_nightly()
    assert AuditRun.objects.get() == first
    page = text(client, "/ledger/audit")
    assert "It waits for the ledger" in page
    assert audit.execute(first.pk, NOW) is not None
    assert audit.execute(first.pk, NOW) is None
    assert audit.begin(NOW).pk != first.pk


def test_an_audit_that_nobody_works_on_is_given_up(started: Block) -> None:
    lost = audit.begin(NOW)
    later = NOW + timedelta(minutes=11)
    assert audit.begin(later).pk != lost.pk
    lost.refresh_from_db()
    assert (lost.state, lost.report) == ("stopped", None)
    assert audit.execute(lost.pk, later) is None


def test_an_audit_that_breaks_off_is_stopped_and_not_in_the_way(
    started: Block, monkeypatch: pytest.MonkeyPatch
) -> None:
    (platform_keys.folder() / "signing.key").unlink()
    platform_keys.forget_cached()
    asked = audit.begin(NOW)
    with pytest.raises(Exception, match="keys"):
        audit.execute(asked.pk, NOW)
    assert AuditRun.objects.get().state == "stopped"
    assert list(runs.exports_folder().glob("*")) == []
    audit.begin(NOW)


@pytest.mark.django_db(transaction=True)
def test_an_audit_is_refused_while_another_connection_audits(started: Block) -> None:
    asked = audit.begin(NOW)
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("select pg_advisory_lock(%s)", [audit.AUDITOR])
            assert audit.execute(asked.pk, NOW) is None
            assert AuditRun.objects.get().state == "open"
            cursor.execute("select pg_advisory_unlock(%s)", [audit.AUDITOR])
        assert audit.execute(asked.pk, NOW) is not None
    finally:
        other.close()


def test_progress_is_seen_while_an_audit_runs(client: Client, paid: NewTransfer) -> None:
    run = audit.begin(NOW)
    assert not audit.progress_of(run.pk).started
    runs._Watch(run.pk)("chain", 3, 10)
    seen = audit.progress_of(run.pk)
    assert (seen.step, seen.done, seen.total, seen.started) == ("chain", 3, 10, True)
    assert "at chain" in text(client, "/ledger/audit/live")


def test_staff_press_the_button_once(
    client: Client,
    started: Block,
    staff: User,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(audit_ledger, "delay", asked.append)
    client.force_login(staff)
    with django_capture_on_commit_callbacks(execute=True):
        client.post("/ledger/audit/run")
        answer = client.post("/ledger/audit/run", follow=True).content.decode()
    assert asked == [AuditRun.objects.get().pk]
    assert AuditRun.objects.get().by == staff
    assert "An audit is under way" in answer


API = "/api/v1/ledger"


def test_the_api_says_what_the_pages_say(client: Client, paid: NewTransfer, ada: Account) -> None:
    summary = client.get(API).json()
    assert (summary["height"], summary["pending"], summary["treasury"]) == (1, 0, "208999500000000")
    assert (summary["faucet"], summary["supply"]) == ("1000000000000", str(2_100_000 * 10**8))
    found = client.get(f"{API}/transfers", {"account": ada.address}).json()["results"]
    assert [one["txId"] for one in found] == [str(paid.id)]
    one = client.get(f"{API}/transfers/{show_uuid('txn', paid.id)}").json()
    assert one == found[0]
    assert {"txId", "from", "to", "amount", "txType", "timestamp", "signature"} <= set(one)
    assert (one["from"], one["to"], one["amount"]) == ("treasury:system", ada.address, "500000000")
    assert one["signer"]["by"] == "platform"
    assert one["signature"] == Block.objects.get(pk=1).document["signatures"][0]["sig"]
    assert client.get(f"{API}/transfers/{paid.id}").json() == one
    assert verify_proof(client.get(f"{API}/transfers/{paid.id}/proof").json()).ok
    assert client.get(f"{API}/accounts/{ada.address}").json()["balance"] == "500000000"
    assert client.get(f"{API}/blocks/1").json() == client.get(f"{API}/blocks").json()["results"][0]
    assert client.get(f"{API}/blocks/{Block.objects.get(pk=1).hash}").json()["header"]["height"] == 1
    assert client.get(f"{API}/genesis").json()["document"]["treasury"]["amount"] == "2100000"
    assert client.get(f"{API}/transfers?block=0").json()["results"][0]["txType"].startswith("genesis.")
    assert len(client.get(f"{API}/transfers?kind=genesis").json()["results"]) == 2
    whole = client.get(f"{API}/transfers").json()["results"]
    for digits in (19, 4_301):
        # A number that is no height cannot be read as a block, and filters nothing.
        assert client.get(f"{API}/transfers?block={'9' * digits}").json()["results"] == whole


def test_the_api_refuses_with_codes(client: Client, started: Block, ada: Account) -> None:
    waiting = move(accounts.system("treasury"), ada, 5)
    post_all([waiting], now=NOW)
    one = client.get(f"{API}/transfers/{waiting.id}").json()
    assert (one["block"], one["signature"], one["signer"]) == (None, None, None)
    refused = client.get(f"{API}/transfers/{waiting.id}/proof")
    assert (refused.status_code, refused.json()["code"]) == (409, "not_sealed")
    for path in ("transfers/x", f"transfers/{uuid4()}", "accounts/x", "blocks/77", "blocks/x", "audit"):
        assert client.get(f"{API}/{path}").status_code == 404, path
    assert client.get(f"{API}/audit/export").json()["code"] == "not_exported"


def test_the_api_takes_audits_from_staff_alone(
    client: Client,
    started: Block,
    staff: User,
    ada: Account,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    monkeypatch.setattr(audit_ledger, "delay", audit_ledger)
    assert client.post(f"{API}/audit").status_code in {401, 403}
    client.force_login(User.objects.get(email="ada@example.org"))
    assert client.post(f"{API}/audit").status_code == 403
    assert not AuditRun.objects.exists()
    client.force_login(staff)
    with django_capture_on_commit_callbacks(execute=True):
        assert client.post(f"{API}/audit").status_code == 202
        again = client.post(f"{API}/audit")
        assert (again.status_code, again.json()["code"]) == (409, "audit_running")
    report = client.get(f"{API}/audit").json()
    assert report["ok"] is True
    assert len(report["state"]) == 64
    export = b"".join(client.get(f"{API}/audit/export"))
    assert BytesIO(export).read(2) == b"PK"


def test_a_mainnet_has_no_faucet_to_show(client: Client, paid: NewTransfer, settings: pytest.FixtureRequest) -> None:
    settings.IS_TESTNET = False  # type: ignore[attr-defined]
    assert client.get(API).json()["faucet"] is None
    assert "Left in the faucet" not in text(client, "/ledger")


def test_amounts_are_never_floats(client: Client, paid: NewTransfer) -> None:
    for path in ("", "/transfers", "/blocks", "/genesis"):
        assert not [one for one in _scalars(json.loads(client.get(f"{API}{path}").content)) if isinstance(one, float)]
    assert Transfer.objects.count() == 3


def _scalars(value: object) -> list[object]:
    if isinstance(value, dict):
        return [found for item in value.values() for found in _scalars(item)]
    if isinstance(value, list):
        return [found for item in value for found in _scalars(item)]
    return [value]


def test_every_address_of_the_api_is_described() -> None:
    GENERATOR_STATS.reset()
    with warnings.catch_warnings(), GENERATOR_STATS.silence():
        schema = SchemaGenerator().get_schema(request=None, public=True)
    told = [*GENERATOR_STATS._warn_cache, *GENERATOR_STATS._error_cache]
    assert [line for line in told if "apps/ledger" in str(line) or "ledger.api" in str(line)] == []
    paths = {path for path in schema["paths"] if path.startswith(API)}
    assert paths == {f"/{pattern.pattern}".replace("<str:", "{").replace(">", "}") for pattern in api_urls.urlpatterns}
    fields = schema["components"]["schemas"]["TransferForm"]["properties"]
    assert {"txId", "from", "to", "amount", "txType", "timestamp", "signature"} <= set(fields)
