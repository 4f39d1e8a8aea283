"""An audit names every row of stakes, slashes, mandates and epochs that does not fit its transfers."""

from collections.abc import Iterator

import pytest
from django.db import connection

from apps.core.models import User
from apps.ledger import rewards, slashing, staking
from apps.ledger.amounts import MESH
from apps.ledger.audit import rows
from apps.ledger.models import Account, Block, Hold, Mandate, Transfer
from apps.ledger.posting import post_all
from tests.apps.ledger.cast import NOW, Fund, move
from tests.apps.ledger.signing import Hand, known
from tests.apps.ledger.test_money_races import HOUR, Scene, ask_back, put, work


@pytest.fixture
def scene(ada: Account, bert: Account, started: Block, fund: Fund) -> Iterator[Scene]:
    hands = [Hand(User.objects.get(email=f"{name}@example.org")) for name in ("ada", "bert")]
    for account in (ada, bert):
        fund(account, 1_000 * MESH)
    before = list(rewards._sources)
    rewards.register(lambda start, end: work(hands))
    with known(*hands):
        yield Scene(hands)
    rewards._sources[:] = before


def broken() -> dict[str, list[str]]:
    return {check.name: check.found for check in rows.checks() if not check.ok}


def tamper(statement: str) -> None:
    """As somebody with the database's password would."""
    with connection.cursor() as cursor:
        cursor.execute(f"set constraints all immediate; {statement}")


def test_an_honest_ledger_has_nothing_to_name(scene: Scene) -> None:
    staking.release(scene.leaving.pk, now=NOW + HOUR)
    slashing.execute_due(now=NOW + 200 * HOUR)
    assert broken() == {}


@pytest.mark.parametrize(
    ("statement", "rule", "named"),
    [
        ("update ledger_unbonding set amount = amount * 2", "stakes", "account stake:user:"),
        ("update ledger_unbonding set status = 'released', ended_at = now()", "stakes", "unbonding "),
        ("update ledger_slash set amount = amount - 1 where fault = 'first'", "slashes", "slash first"),
        ("update ledger_slash set status = 'executed', ended_at = now()", "slashes", "account escrow:slash:"),
        ("update ledger_slash set fault = 'other' where fault = 'first'", "slashes", "slash other"),
        ("update ledger_mandate set cap = 5", "mandates", "mandate "),
        ("delete from ledger_mandatedraw", "mandates", "hold "),
        ('update ledger_hold set authorisation = \'{"by": "platform"}\'', "mandates", "hold "),
        ("update ledger_mandate set payer_id = (select id from ledger_account where kind='mint')", "mandates", "hold "),
        ("update ledger_epoch set pool = pool + 9, minted = minted + 9", "epochs", "epoch 2026-03-01"),
        ("update ledger_epochshare set amount = amount + 1 where node = 'node_0'", "epochs", "share of node_0"),
        ("update ledger_epochshare set tier = tier + 1 where node = 'node_1'", "epochs", "share of node_1"),
        ("update ledger_epochshare set weight = weight + 1 where node = 'node_1'", "epochs", "share of node_1"),
        ("delete from ledger_epochshare where node = 'node_1'", "epochs", "epoch 2026-03-01"),
    ],
)
def test_a_tampered_row_is_named(scene: Scene, statement: str, rule: str, named: str) -> None:
    tamper(statement)
    assert any(name.startswith(named) for name in broken()[rule])


def test_what_left_without_a_row_is_named(scene: Scene) -> None:
    stake = put(scene.ada, MESH).credit
    row = ask_back(scene.ada, MESH)
    made = move(stake, scene.hold.payer, 5, kind="stake.release")
    post_all([made], now=NOW)
    assert f"transfer {made.id}" in broken()["stakes"]
    assert row.status == "waiting"
    assert Transfer.objects.filter(pk=made.id).exists()


def test_what_was_minted_without_an_epoch_is_named(scene: Scene, ada: Account) -> None:
    made = move(Account.objects.get(kind="mint"), ada, 5, kind="emission", memo="2026-02-30")
    post_all([made], now=NOW)
    assert broken()["epochs"] == [f"transfer {made.id}"]


def test_money_left_in_the_epochs_account_is_named(scene: Scene, ada: Account) -> None:
    post_all([move(ada, Account.objects.get(kind="escrow", owner="epoch"), 5)], now=NOW)
    assert broken()["epochs"] == ["account escrow:epoch: it holds 5"]
    assert Mandate.objects.count() == Hold.objects.count() == 1
