"""The audit passes on an honest ledger and names what was tampered with, and what it should have been."""

import csv
import json
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from apps.core import platform_keys
from apps.ledger import accounts, audit, blocks
from apps.ledger.ids import named
from apps.ledger.models import Account, AuditRun, Block, Entry, Genesis, Hold, Transfer
from apps.ledger.posting import post_all
from tests.apps.ledger.cast import NOW, move
from tests.apps.ledger.tampering import broken, tamper
from workers.protocol.envelope import sign_document
from workers.protocol.keys import SigningKey
from workers.protocol.ledger_audit import RULES

SLOT = timedelta(seconds=10)
ASKED = {"entries", "sum", "balances", "overdrafts", "holds", "queue", "stakes", "slashes", "mandates", "epochs"}


def test_an_honest_ledger_passes(busy: Hold) -> None:
    report = audit.run(NOW)
    assert broken() == {}
    assert report.ok
    assert (report.height, report.transfers, report.blocks) == (4, Transfer.objects.count(), 4)
    assert report.pending == Transfer.objects.pending().count() == 1
    assert {check.name for check in report.checks} == ASKED | set(RULES)


def test_an_empty_ledger_passes(db: None) -> None:
    assert audit.run(NOW).ok


def test_the_state_is_one_root_over_all_balances(busy: Hold, ada: Account) -> None:
    before = audit.run(NOW).state
    assert before == audit.run(NOW + SLOT).state
    post_all([move(accounts.system("treasury"), ada, 1)], now=NOW)
    assert audit.run(NOW).state != before


def test_a_changed_balance_is_named_with_the_right_one(busy: Hold, ada: Account) -> None:
    ada.refresh_from_db()
    tamper("update ledger_account set balance = balance + 1 where id = %s", ada.pk)
    found = broken()
    right, wrong = ada.balance, ada.balance + 1
    assert found["balances"] == [f"account {ada.address}: it holds {wrong}, its entries make {right}"]
    assert found["history"] == [f"account {ada.address}: it holds {wrong}, its transfers make {right}"]
    assert set(found) == {"balances", "history", "supply"}


def test_a_negative_balance_is_named(busy: Hold, ada: Account) -> None:
    tamper("alter table ledger_account drop constraint ledger_account_not_overdrawn")
    tamper("update ledger_account set balance = -5 where id = %s", ada.pk)
    assert broken()["overdrafts"] == [f"account {ada.address}: it holds -5"]


def test_an_account_under_another_name_is_found_in_what_was_sealed(busy: Hold, ada: Account) -> None:
    tamper("update ledger_account set owner = 'eve' where id = %s", ada.pk)
    assert {"leaves", "roots", "ids"} >= set(broken()) >= {"leaves", "roots"}


def test_an_account_that_vanished_is_named(busy: Hold, ada: Account) -> None:
    ada.refresh_from_db()
    tamper("delete from ledger_account where id = %s", ada.pk)
    found = broken()
    assert f"account number {ada.pk}: it is missing, its entries make {ada.balance}" in found["balances"]
    assert found["counts"][0].startswith("block 1: count is 2, expected 1")


def test_a_changed_entry_is_named_with_what_was_expected(busy: Hold, ada: Account) -> None:
    entry = Entry.objects.filter(account=ada).latest("pk")
    transfer = Transfer.objects.get(seq=entry.transfer_id)
    tamper("update ledger_entry set amount = amount + 1 where id = %s", entry.pk)
    found = broken()
    [said] = found["entries"]
    assert said.startswith(f"transfer {transfer.pk}: its entries are ")
    assert f"account {ada.pk} {entry.amount + 1}" in said
    assert said.endswith(
        f"expected account {transfer.debit_id} {-transfer.amount}, account {transfer.credit_id} {transfer.amount}"
    )
    assert found["sum"] == ["the entries sum to 1, expected 0"]
    assert "balances" in found


def test_entries_moved_to_another_account_are_named(busy: Hold, ada: Account, bert: Account) -> None:
    entry = Entry.objects.filter(account=ada).latest("pk")
    tamper("update ledger_entry set account_id = %s where id = %s", accounts.system("burn").pk, entry.pk)
    assert str(Transfer.objects.get(seq=entry.transfer_id).pk) in broken()["entries"][0]


def test_a_removed_entry_is_named(busy: Hold) -> None:
    entry = Entry.objects.latest("pk")
    transfer = Transfer.objects.get(seq=entry.transfer_id)
    tamper("delete from ledger_entry where id = %s", entry.pk)
    [said] = broken()["entries"]
    assert str(transfer.pk) in said


@pytest.mark.parametrize(
    "change",
    ["memo = 'x'", "at = at + interval '1 second'", "kind = 'gift'", 'authorisation = \'{"by": "platform"}\''],
)
def test_a_sealed_transfer_that_changed_is_named_and_breaks_its_root(busy: Hold, change: str) -> None:
    sealed = Transfer.objects.filter(sealing__block=1).first()
    assert sealed is not None
    tamper(f"update ledger_transfer set {change} where id = %s", sealed.pk)  # noqa: S608 - a literal of ours
    found = broken()
    assert set(found) == {"leaves", "roots"}
    kept = bytes(sealed.sealing.leaf).hex()
    [said] = found["leaves"]
    assert said.startswith(f"transfer {sealed.pk}: its leaf is ")
    assert said.endswith(f"block 1 sealed {kept}")
    [root] = found["roots"]
    assert root.startswith("block 1: the root of its transfers is ")
    assert root.endswith(f"it says {Block.objects.get(pk=1).root}")


def test_another_amount_is_found_by_entries_leaf_and_history(busy: Hold) -> None:
    sealed = Transfer.objects.filter(sealing__block=1).first()
    assert sealed is not None
    tamper("update ledger_transfer set amount = amount + 1 where id = %s", sealed.pk)
    found = broken()
    assert {"entries", "leaves", "roots", "history"} == set(found)
    assert str(sealed.pk) in found["entries"][0]
    assert str(sealed.pk) in found["leaves"][0]


def test_a_sealed_transfer_that_vanished_is_missed(busy: Hold) -> None:
    sealed = Transfer.objects.filter(sealing__block=1).first()
    assert sealed is not None
    leaf = bytes(sealed.sealing.leaf).hex()
    tamper("delete from ledger_transfer where id = %s", sealed.pk)
    found = broken()
    place = sealed.sealing.position
    missing = f"transfer number {sealed.seq}, sealed at {place} of block 1, is missing: its leaf was {leaf}"
    assert missing in found["queue"]
    assert found["counts"][0].startswith("block 1: count is 2, expected 1")
    assert "roots" in found
    assert [name.split()[0] for name in found["entries"]] == ["entry", "entry"]


def test_a_transfer_that_nobody_authorised_is_named(busy: Hold) -> None:
    sealed = Transfer.objects.filter(sealing__block=4).first()
    assert sealed is not None
    tamper("alter table ledger_transfer drop constraint ledger_transfer_authorised")
    tamper("update ledger_transfer set authorisation = '{}' where id = %s", sealed.pk)
    assert broken()["authorisations"] == [f"transfer {sealed.pk}: it does not say who authorised it"]


def test_an_authorisation_that_cannot_be_hashed_is_named(busy: Hold) -> None:
    sealed = Transfer.objects.filter(sealing__block=4).first()
    assert sealed is not None
    tamper("""update ledger_transfer set authorisation = '{"by": "platform", "x": 0.5}' where id = %s""", sealed.pk)
    assert f"transfer {sealed.pk}: its authorisation cannot be hashed" in broken()["authorisations"][0]


def test_an_id_that_does_not_follow_from_its_purpose_is_named(busy: Hold) -> None:
    paid = Transfer.objects.filter(kind="fee.burn").first()
    assert paid is not None
    tamper("update ledger_transfer set memo = 'tsk_other' where id = %s", paid.pk)
    expected = named("settle", "tsk_other", "burn")
    assert broken()["ids"] == [f"transfer {paid.pk}: its id should be {expected}"]


def test_a_persons_transfer_without_a_wallets_signature_is_named(busy: Hold) -> None:
    sealed = Transfer.objects.filter(sealing__block=1).first()
    assert sealed is not None
    tamper("update ledger_transfer set kind = 'transfer' where id = %s", sealed.pk)
    assert broken()["authorisations"] == [f"transfer {sealed.pk}: it carries no wallet's signature"]


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        ("root = repeat('0', 64)", {"chain", "roots"}),
        ("hash = repeat('0', 64)", {"chain", "signatures"}),
        ("prev = repeat('0', 64)", {"chain"}),
        ("count = count + 1", {"chain", "counts"}),
        ("burned = burned + 1", {"chain", "counts"}),
        ("sealed_at = sealed_at + interval '1 day'", {"chain"}),
        ("document = '{}'", {"signatures"}),
    ],
)
def test_a_changed_block_is_named(busy: Hold, change: str, rules: set[str]) -> None:
    tamper(f"update ledger_block set {change} where height = 2")  # noqa: S608 - a literal of ours
    found = broken()
    assert rules <= set(found)
    assert all(found[rule][0].startswith("block 2: ") for rule in rules)


def test_a_removed_block_breaks_the_chain(busy: Hold) -> None:
    gone = Block.objects.get(pk=2)
    before = Block.objects.get(pk=1)
    tamper("delete from ledger_block where height = 2")
    assert broken() == {"chain": [f"block 4: it names {gone.hash} before it, expected {before.hash}"]}


def test_a_removed_block_with_transfers_is_missed(busy: Hold) -> None:
    inside = list(Transfer.objects.in_block(1).values_list("pk", flat=True))
    tamper("delete from ledger_block where height = 1")
    found = broken()["chain"]
    for missed in inside:
        assert f"transfer {missed}: block 1, which sealed it, is missing or stands elsewhere" in found
    assert any(name.startswith("block 2: it names ") for name in found)


def test_a_block_signed_by_somebody_else_is_named(busy: Hold) -> None:
    block = Block.objects.get(pk=2)
    body = {"hash": block.hash, "height": 2}
    forged = sign_document("ledger.block", body, key=SigningKey.generate(), net="meshwork-testnet", now=NOW)
    tamper("update ledger_block set document = %s where height = 2", json.dumps(forged))
    assert [name.split(":")[0] for name in broken()["signatures"]] == ["block 2"]


def test_a_signature_over_another_block_is_named(busy: Hold) -> None:
    tamper("update ledger_block set document = (select document from ledger_block where height = 1) where height = 2")
    assert broken()["signatures"][0].startswith("block 2: {")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("""document = jsonb_set(document, '{treasury,amount}', '"1"')""", "its hash is"),
        ("""document = jsonb_set(document, '{treasury,amount}', '"1"')""", "not signed by the genesis account"),
        ("document = document - 'config'", "it has exactly the fields"),
        ("document = jsonb_set(document, '{config,more}', '1')", "its config has exactly the fields"),
        ("signature = '{}'", "not signed by the genesis account"),
        ("hash = repeat('0', 64)", "expected 000"),
    ],
)
def test_another_genesis_is_named(busy: Hold, change: str, said: str) -> None:
    tamper(f"update ledger_genesis set {change}")  # noqa: S608 - a literal of ours
    assert any(said in name for name in broken()["genesis"])


def test_a_genesis_signed_by_the_platforms_everyday_key_is_refused(busy: Hold) -> None:
    kept = Genesis.objects.get().document
    signed = sign_document("ledger.genesis", kept, key=platform_keys.signing_key(), net="meshwork-testnet", now=NOW)
    tamper("update ledger_genesis set signature = %s", json.dumps(signed))
    assert broken() == {"genesis": ["genesis document: not signed by the genesis account"]}


def test_a_changed_hold_is_named(busy: Hold) -> None:
    tamper("update ledger_hold set settled = settled - 1 where id = %s", busy.pk)
    hold, account = broken()["holds"]
    assert hold == f"hold {busy.pk}: it says placed 100, settled 39, released 0; its transfers make 100, 40, 0"
    assert account.startswith(f"account {busy.account.address}: it holds ")


def test_a_hold_that_vanished_is_named(busy: Hold) -> None:
    tamper("delete from ledger_hold where id = %s", busy.pk)
    assert any(name.endswith(f"of hold {busy.pk}, which is missing") for name in broken()["holds"])


@pytest.mark.parametrize(
    "change", ["delete from ledger_pending", "delete from ledger_sealing where block_id = 4 and position = 0"]
)
def test_a_transfer_that_is_neither_pending_nor_sealed_is_named(busy: Hold, change: str) -> None:
    tamper(change)
    assert broken()["queue"][0].endswith("it is neither pending nor sealed")


def test_a_leaf_that_was_kept_otherwise_is_named(busy: Hold) -> None:
    tamper("update ledger_sealing set leaf = sha256('x') where block_id = 4 and position = 0")
    first = Transfer.objects.get(sealing__block=4, sealing__position=0)
    found = broken()
    assert set(found) == {"leaves"}
    assert found["leaves"][0].startswith(f"transfer {first.pk}: its leaf is ")


def test_two_transfers_that_changed_places_are_named(busy: Hold) -> None:
    tamper("update ledger_sealing set position = -1 where block_id = 1 and position = 0")
    tamper("update ledger_sealing set position = 0 where block_id = 1 and position = 1")
    tamper("update ledger_sealing set position = 1 where block_id = 1 and position = -1")
    found = broken()
    assert set(found) >= {"roots"}


def test_minting_behind_the_ledgers_back_is_found(busy: Hold, ada: Account) -> None:
    tamper("alter table ledger_account drop constraint ledger_account_supply_cap")
    tamper("update ledger_account set balance = balance - 21000000 * 10^8 where kind = 'mint'")
    found = broken()
    assert {"balances", "history"} <= set(found)


def test_without_keys_no_signature_is_believed(busy: Hold) -> None:
    (platform_keys.folder() / "key_list.json").unlink()
    platform_keys.forget_cached()
    assert set(broken()) == {"signatures", "genesis"}


def test_a_long_list_of_faults_is_cut(busy: Hold, ada: Account) -> None:
    treasury = accounts.system("treasury")
    post_all([move(treasury, ada, 1) for _ in range(30)], now=NOW)
    blocks.seal_due(NOW + 6 * SLOT)
    total = Transfer.objects.count()
    tamper("delete from ledger_entry")
    tamper("update ledger_transfer set memo = 'x' where kind = 'test'")
    found = broken()
    assert (len(found["entries"]), found["entries"][-1]) == (21, f"and {total - 20} more")
    assert (len(found["leaves"]), found["leaves"][-1]) == (21, "and 12 more")


@pytest.fixture
def command() -> Callable[..., str]:
    def run(*arguments: Any) -> str:
        out = StringIO()
        call_command("audit", *arguments, stdout=out, stderr=StringIO())
        return out.getvalue()

    return run


def test_the_command_prints_every_check_and_keeps_the_report(busy: Hold, command: Callable[..., str]) -> None:
    assert command().count("ok  ") == len(ASKED) + len(RULES)
    kept = AuditRun.objects.get()
    assert (kept.ok, kept.state) == (True, "passed")
    assert kept.report is not None
    assert kept.report["checks"][0]["name"] == "entries"


def test_the_command_says_json(busy: Hold, command: Callable[..., str]) -> None:
    report = json.loads(command("--json"))
    assert (report["ok"], report["network"], report["height"]) == (True, "meshwork-testnet", 4)
    assert int(report["minted"]) == 2_100_000 * 10**8


def test_the_command_says_csv(busy: Hold, command: Callable[..., str]) -> None:
    [head, *lines] = csv.reader(StringIO(command("--csv")))
    assert head == ["check", "outcome", "rule", "found"]
    assert {(name, outcome) for name, outcome, *_ in lines} == {(name, "ok") for name in ASKED | set(RULES)}


def test_the_command_fails_where_the_ledger_does(busy: Hold, command: Callable[..., str]) -> None:
    tamper("delete from ledger_entry")
    with pytest.raises(CommandError, match="entries") as failed:
        command()
    assert failed.value.returncode == 1
    assert AuditRun.objects.get().state == "failed"
