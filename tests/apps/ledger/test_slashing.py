"""A slash that is appealed stays in escrow until somebody decides; the audit knows each way that it can end."""

from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection

from apps.core.models import User
from apps.ledger import accounts, blocks, holds, slashing, staking
from apps.ledger.amounts import MESH
from apps.ledger.audit import rows
from apps.ledger.audit.run import run_and_export
from apps.ledger.errors import SlashFinal
from apps.ledger.ids import named
from apps.ledger.models import Account, Block, Slash, SlashStatus
from tests.apps.ledger.cast import BY, NOW, Fund
from tests.apps.ledger.test_export import faults, rewrite, transfer
from tests.apps.ledger.test_races import at_once
from workers.protocol.ledger_ids import named as named_offline

WEEK = timedelta(days=7)
STAKE = 101 * MESH


@pytest.fixture
def user(started: Block, ada: Account, fund: Fund) -> User:
    owner = User.objects.get(email="ada@example.org")
    fund(ada, 200 * MESH)
    staking.stake(owner, STAKE, id=named("test", "stake"), authorisation=BY, now=NOW)
    return owner


def escrow(user: User) -> int:
    return accounts.escrow(f"slash:{accounts.owner_of(user)}").balance


def broken() -> dict[str, list[str]]:
    return {check.name: check.found for check in rows.checks() if not check.ok}


def appealed(user: User, fault: str) -> Slash:
    row = slashing.slash(user, fault, 2_500, NOW, NOW)
    return slashing.keep(row.pk, now=NOW)


def test_what_is_appealed_is_not_executed_and_what_is_overturned_is_at_stake_again(user: User) -> None:
    row = appealed(user, "flt_1")
    assert slashing.execute_due(now=NOW + 5 * WEEK) == []
    assert (escrow(user), accounts.stake(user).balance) == (row.amount, STAKE - row.amount)
    assert slashing.overturn(row.pk, now=NOW).status == SlashStatus.OVERTURNED
    assert (escrow(user), accounts.stake(user).balance) == (0, STAKE)
    assert broken() == {}


def test_what_is_upheld_is_executed_though_its_window_is_open(user: User) -> None:
    row = slashing.uphold(appealed(user, "flt_1").pk, now=NOW)
    assert (row.status, escrow(user)) == (SlashStatus.EXECUTED, 0)
    assert accounts.system("burn").balance == row.amount // 2
    assert broken() == {}


def test_each_state_has_its_ways_out_and_no_other(user: User) -> None:
    row = slashing.slash(user, "flt_1", 2_500, NOW, NOW)
    for decide in (slashing.overturn, slashing.uphold):
        with pytest.raises(SlashFinal):
            decide(row.pk, now=NOW)
    slashing.keep(row.pk, now=NOW)
    with pytest.raises(SlashFinal):
        slashing.keep(row.pk, now=NOW)
    slashing.overturn(row.pk, now=NOW)
    for decide in (slashing.keep, slashing.overturn, slashing.uphold):
        with pytest.raises(SlashFinal):
            decide(row.pk, now=NOW)


def test_a_slash_of_nothing_can_be_overturned(user: User) -> None:
    slashing.slash(user, "all", 10_000, NOW, NOW)
    assert slashing.overturn(appealed(user, "more").pk, now=NOW).amount == 0
    assert broken() == {}


@pytest.mark.django_db(transaction=True)
def test_an_appeal_and_the_end_of_the_window_at_once_are_one_of_the_two(user: User) -> None:
    row = slashing.slash(user, "flt_1", 2_500, NOW, NOW)

    def act(i: int) -> str:
        if i % 2:
            return "executed" if slashing.execute(row.pk, now=NOW + WEEK) else "late"
        try:
            return slashing.keep(row.pk, now=NOW + WEEK - timedelta(seconds=1)).status
        except SlashFinal:
            return "late"

    said = Counter(at_once(act))
    assert (said["late"], said["executed"] + said["appealed"]) == (7, 1)
    assert Slash.objects.get().status in said
    assert broken() == {}


@pytest.mark.django_db(transaction=True)
def test_one_appeal_decided_by_many_at_once_is_decided_once(user: User) -> None:
    row = appealed(user, "flt_1")

    def act(i: int) -> str:
        try:
            return (slashing.overturn if i % 2 else slashing.uphold)(row.pk, now=NOW).status
        except SlashFinal:
            return "late"

    said = Counter(at_once(act))
    assert said["late"] == 7
    assert broken() == {}


@pytest.mark.parametrize(
    ("statement", "named_so"),
    [
        ("update ledger_slash set status = 'overturned' where fault = 'kept'", "slash kept: it is overturned"),
        ("update ledger_slash set status = 'appealed', ended_at = null where fault = 'back'", "slash back"),
        ("update ledger_slash set status = 'executed' where fault = 'back'", "slash back: it is executed"),
        ("update ledger_slash set status = 'overturned' where fault = 'burnt'", "slash burnt: it is overturned"),
        ("update ledger_slash set account_id = account_id - 1 where fault = 'back'", "transfer "),
    ],
)
def test_the_audit_names_a_slash_whose_end_is_not_its_transfers(user: User, statement: str, named_so: str) -> None:
    appealed(user, "kept")
    slashing.overturn(appealed(user, "back").pk, now=NOW)
    slashing.uphold(appealed(user, "burnt").pk, now=NOW)
    assert broken() == {}
    with connection.cursor() as cursor:
        cursor.execute("set constraints all immediate")
        cursor.execute("alter table ledger_slash drop constraint ledger_slash_ends_once")
        cursor.execute(statement)
    assert any(named_so in found for found in broken()["slashes"])


def test_an_export_with_every_end_of_a_slash_verifies_and_its_ids_are_checked(user: User, tmp_path: Path) -> None:
    slashing.overturn(appealed(user, "back").pk, now=NOW)
    slashing.uphold(appealed(user, "burnt").pk, now=NOW)
    hold = holds.place(
        id=named("slash", "burnt", "appeal"),
        payer=accounts.wallet(user),
        amount=MESH,
        purpose="slash.bond",
        authorisation=BY,
        expires_at=NOW + WEEK,
        now=NOW,
    )
    bond = holds.Leg(named("slash", "burnt", "bond"), accounts.system("treasury").pk, MESH, "slash.bond", "burnt")
    holds.settle(hold.pk, [bond], now=NOW)
    blocks.seal_due(NOW + timedelta(minutes=10))
    path = tmp_path / "ledger.zip"
    report, _ = run_and_export(NOW + timedelta(minutes=20), path)
    assert report.ok, [check for check in report.checks if not check.ok]
    assert faults(path) == {}
    for kind, part in (("slash.return", "return"), ("slash.bond", "bond"), ("slash.burn", "burn")):
        changed = rewrite(path, lambda lines, kind=kind: transfer(lines, kind).update(memo="other"))  # type: ignore[misc]
        wanted = str(named_offline("slash", "other", part))
        assert any(wanted in line for found in faults(changed).values() for line in found)
