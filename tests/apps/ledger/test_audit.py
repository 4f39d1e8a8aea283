"""The audit passes on an honest ledger and names what was tampered with."""

import json
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from apps.core import platform_keys
from apps.ledger import accounts, audit, blocks, holds, settlement
from apps.ledger.models import Account, AuditRun, Block, Entry, Hold, Transfer
from apps.ledger.posting import post_all
from tests.apps.ledger.cast import BY, NOW, move
from workers.protocol.envelope import sign_document
from workers.protocol.keys import SigningKey

SLOT = timedelta(seconds=10)


@pytest.fixture
def busy(started: Block, ada: Account, bert: Account) -> Hold:
    """A ledger in which everything has happened: an empty block, open and closed holds, pending transfers."""
    treasury = accounts.system("treasury")
    post_all([move(treasury, ada, 1_000), move(treasury, bert, 1_000)], now=NOW)
    blocks.seal_due(NOW + SLOT)
    blocks.seal_due(NOW + 2 * SLOT)
    held = [
        holds.place(id=uuid4(), payer=ada, amount=100, purpose="job", authorisation=BY, expires_at=NOW + SLOT, now=NOW)
        for _ in range(4)
    ]
    for i, hold in enumerate(held[:2]):
        settlement.settle_chunk(hold.pk, task_id=f"tsk_{i}", provider_accounts=[bert], amount=40, now=NOW)
    holds.void(held[1].pk, now=NOW)
    holds.settle(held[2].pk, [holds.Leg(uuid4(), bert.pk, 100, "fee.provider")], now=NOW)
    blocks.seal_due(NOW + 4 * SLOT)
    holds.void(held[3].pk, now=NOW)
    return held[0]


def broken() -> dict[str, list[str]]:
    return {check.name: check.found for check in audit.run(NOW).checks if not check.ok}


UNGUARD = """
do $$ declare t text; c record; begin
  for t in select tablename from pg_tables where tablename like 'ledger_%' loop
    execute format('alter table %I disable trigger user', t);
  end loop;
  for c in select conname, conrelid::regclass as t from pg_constraint
           where contype = 'f' and conrelid::regclass::text like 'ledger_%' loop
    execute format('alter table %s drop constraint %I', c.t, c.conname);
  end loop;
end $$
"""


def tamper(statement: str, *values: object) -> None:
    """Do as somebody does who owns the tables: take triggers and foreign keys away first."""
    with connection.cursor() as cursor:
        cursor.execute("set constraints all immediate")
        cursor.execute(UNGUARD)
        cursor.execute(statement, values or None)


def test_an_honest_ledger_passes(busy: Hold) -> None:
    report = audit.run(NOW)
    assert broken() == {}
    assert report.ok
    assert (report.height, report.transfers) == (4, Transfer.objects.count())
    assert {check.name for check in report.checks} == {
        "entries",
        "sum",
        "balances",
        "overdrafts",
        "supply",
        "holds",
        "authorisations",
        "queue",
        "genesis",
        "chain",
        "roots",
        "counts",
        "signatures",
    }


def test_an_empty_ledger_passes(db: None) -> None:
    assert audit.run(NOW).ok


def test_a_changed_balance_is_named(busy: Hold, ada: Account) -> None:
    tamper("update ledger_account set balance = balance + 1 where id = %s", ada.pk)
    found = broken()
    assert ada.address in found["balances"][0]
    assert set(found) == {"balances", "supply"}


def test_a_negative_balance_is_named(busy: Hold, ada: Account) -> None:
    tamper("alter table ledger_account drop constraint ledger_account_not_overdrawn")
    tamper("update ledger_account set balance = -5 where id = %s", ada.pk)
    assert broken()["overdrafts"] == [f"account {ada.address}"]


def test_a_changed_entry_is_named(busy: Hold, ada: Account) -> None:
    entry = Entry.objects.filter(account=ada).latest("pk")
    tamper("update ledger_entry set amount = amount + 1 where id = %s", entry.pk)
    found = broken()
    assert found["entries"] == [f"transfer {Transfer.objects.get(seq=entry.transfer_id).pk}"]
    assert {"sum", "balances"} < set(found)


def test_entries_moved_to_another_account_are_named(busy: Hold, ada: Account, bert: Account) -> None:
    entry = Entry.objects.filter(account=ada).latest("pk")
    tamper("update ledger_entry set account_id = %s where id = %s", accounts.system("burn").pk, entry.pk)
    assert f"transfer {Transfer.objects.get(seq=entry.transfer_id).pk}" in broken()["entries"]


def test_a_removed_entry_is_named(busy: Hold) -> None:
    entry = Entry.objects.latest("pk")
    transfer = Transfer.objects.get(seq=entry.transfer_id)
    tamper("delete from ledger_entry where id = %s", entry.pk)
    assert broken()["entries"] == [f"transfer {transfer.pk}"]


def test_a_sealed_transfer_that_changed_breaks_its_root(busy: Hold) -> None:
    sealed = Transfer.objects.filter(sealing__block=1).first()
    assert sealed is not None
    tamper("update ledger_transfer set memo = 'x' where id = %s", sealed.pk)
    assert broken() == {"roots": ["block 1"]}


def test_a_sealed_transfer_that_vanished_is_missed(busy: Hold) -> None:
    sealed = Transfer.objects.filter(sealing__block=1).first()
    assert sealed is not None
    tamper("delete from ledger_transfer where id = %s", sealed.pk)
    found = broken()
    assert (found["roots"], found["counts"]) == (["block 1"], ["block 1"])
    assert [name.split()[0] for name in found["entries"]] == ["entry", "entry"]


def test_an_authorisation_that_changed_breaks_its_root(busy: Hold) -> None:
    sealed = Transfer.objects.filter(sealing__block=4).first()
    assert sealed is not None
    tamper("alter table ledger_transfer drop constraint ledger_transfer_authorised")
    tamper("update ledger_transfer set authorisation = '{}' where id = %s", sealed.pk)
    assert broken() == {"roots": ["block 4"], "authorisations": [f"transfer {sealed.pk}"]}


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
    assert all("block 2" in found[rule] for rule in rules)


def test_a_removed_block_breaks_the_chain(busy: Hold) -> None:
    tamper("delete from ledger_block where height = 2")
    assert broken() == {"chain": ["block 4"]}


def test_a_removed_block_with_transfers_is_missed(busy: Hold) -> None:
    tamper("delete from ledger_block where height = 1")
    assert broken()["chain"] == ["block 2"]


def test_a_block_signed_by_somebody_else_is_named(busy: Hold) -> None:
    block = Block.objects.get(pk=2)
    body = {"hash": block.hash, "height": 2}
    forged = sign_document("ledger.block", body, key=SigningKey.generate(), net="meshwork-testnet", now=NOW)
    tamper("update ledger_block set document = %s where height = 2", json.dumps(forged))
    assert broken() == {"signatures": ["block 2"]}


def test_another_genesis_document_is_named(busy: Hold) -> None:
    tamper("""update ledger_genesis set document = jsonb_set(document, '{treasury,amount}', '"1"')""")
    assert set(broken()) == {"genesis"}


def test_a_changed_hold_is_named(busy: Hold) -> None:
    tamper("update ledger_hold set settled = settled - 1 where id = %s", busy.pk)
    assert broken() == {"holds": [f"hold {busy.pk}", f"account {busy.account.address}"]}


@pytest.mark.parametrize(
    "change", ["delete from ledger_pending", "delete from ledger_sealing where block_id = 4 and position = 0"]
)
def test_a_transfer_that_is_neither_pending_nor_sealed_is_named(busy: Hold, change: str) -> None:
    tamper(change)
    assert "queue" in broken()


def test_minting_behind_the_ledgers_back_is_found(busy: Hold, ada: Account) -> None:
    tamper("alter table ledger_account drop constraint ledger_account_supply_cap")
    tamper("update ledger_account set balance = balance - 21000000 * 10^8 where kind = 'mint'")
    found = broken()
    assert "supply" in found
    assert "balances" in found


def test_without_keys_no_signature_is_believed(busy: Hold) -> None:
    (platform_keys.folder() / "key_list.json").unlink()
    platform_keys.forget_cached()
    assert set(broken()) == {"signatures"}


def test_a_long_list_of_faults_is_cut(busy: Hold) -> None:
    tamper("delete from ledger_entry")
    found = broken()["entries"]
    assert found[-1] == f"and {Transfer.objects.count() - 20} more" or len(found) <= 20


@pytest.fixture
def command() -> Callable[..., str]:
    def run(*arguments: str) -> str:
        out = StringIO()
        call_command("audit", *arguments, stdout=out)
        return out.getvalue()

    return run


def test_the_command_prints_every_check_and_keeps_the_report(busy: Hold, command: Callable[..., str]) -> None:
    assert command().count("ok  ") == 13
    kept = AuditRun.objects.get()
    assert kept.ok
    assert kept.report["checks"][0]["name"] == "entries"


def test_the_command_exports_json(busy: Hold, command: Callable[..., str]) -> None:
    report = json.loads(command("--json"))
    assert (report["ok"], report["network"], report["height"]) == (True, "meshwork-testnet", 4)
    assert int(report["minted"]) == 2_100_000 * 10**8


def test_the_command_fails_where_the_ledger_does(busy: Hold, command: Callable[..., str]) -> None:
    tamper("delete from ledger_entry")
    with pytest.raises(CommandError, match="entries") as failed:
        command()
    assert failed.value.returncode == 1
    assert not AuditRun.objects.get().ok
