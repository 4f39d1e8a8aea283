"""A slash's owner appeals within the window, once, with a bond; staff give the stake back or let the slash go on."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from apps.core import parameters
from apps.core.errors import MeshError
from apps.core.models import Event, User
from apps.ledger import audit, faucet, holds, slashing, staking
from apps.ledger.amounts import MESH
from apps.ledger.models import Hold, Slash, Transfer
from apps.operators import account_deletion, account_export, bans, deciding, nodes, slash_appeals, stakes
from apps.operators.models import (
    Node,
    NodeStatus,
    Notification,
    Operator,
    ReputationChange,
    SlashAppeal,
    SlashCase,
    Stake,
)
from tests.apps.operators.slash_cast import BOND, STAKE, Money, enrolled, slashed
from workers.protocol.clock import utcnow

WEEK = timedelta(days=7)
WORDS = "My key was stolen."


@pytest.fixture(autouse=True)
def defaults() -> Iterator[None]:
    for forget in (parameters.forget_cached, bans.forget_cached):
        forget()
    yield
    for forget in (parameters.forget_cached, bans.forget_cached):
        forget()


@pytest.fixture
def rich(operator: Operator, admin: User) -> Operator:
    """The operator, with 100 MESH in the wallet."""
    faucet.treasury_grant(operator.user, 100 * MESH, admin, "for tests", utcnow())
    return operator


@pytest.fixture
def node(rich: Operator) -> Node:
    return enrolled(rich)


@pytest.fixture
def before(node: Node) -> Money:
    return Money.of(node.operator)


@pytest.fixture
def case(before: Money, node: Node) -> SlashCase:
    return slashed(node)


@pytest.fixture
def made(case: SlashCase, rich: Operator) -> SlashAppeal:
    return slash_appeals.appeal(case.pk, rich.user, WORDS, utcnow())


def code(act: Any, *args: Any, **options: Any) -> str:
    with pytest.raises(MeshError) as refused:
        act(*args, **options)
    return refused.value.code


def sound() -> bool:
    # Block 0 is older than this stage's keys.
    return [check for check in audit.run(utcnow()).checks if not check.ok and check.name != "signatures"] == []


def test_an_appeal_keeps_stake_in_escrow_beyond_the_window(made: SlashAppeal, before: Money, rich: Operator) -> None:
    late = utcnow() + timedelta(days=400)
    assert slashing.execute_due(now=late) == []
    assert holds.expire_due(now=late) == []
    slash = Slash.objects.get()
    assert (slash.status, slash.ended_at) == ("appealed", None)
    assert Money.of(rich) == replace(before, wallet=before.wallet - BOND, held=BOND, stake=0, escrow=STAKE)
    assert (made.bond, made.hold.purpose if made.hold else "") == (BOND, "slash.bond")
    assert Event.objects.filter(kind="slash.appealed", subject=slash.fault, actor=rich.user).count() == 1
    assert sound()


def test_granted_stake_bond_node_and_points_come_back(
    made: SlashAppeal, node: Node, before: Money, rich: Operator, admin: User
) -> None:
    lowered = Node.objects.get(pk=node.pk).reputation
    assert Operator.objects.get(pk=rich.pk).status == Operator.Status.SUSPENDED
    slash_appeals.answer(made, admin, "The key was stolen.", utcnow(), granted=True)
    slash = Slash.objects.get()
    assert (slash.status, slash.ended_at is not None) == ("overturned", True)
    assert Money.of(rich) == before
    node.refresh_from_db()
    assert (node.status, node.reason) == (NodeStatus.OFFLINE, slash_appeals.OVERTURNED)
    assert node.reputation == lowered + parameters.get("reputation.violation")
    assert Operator.objects.get(pk=rich.pk).status == Operator.Status.ACTIVE
    assert Stake.objects.live().get(operator=rich).amount == STAKE
    mail = Notification.objects.get(kind="slash_appeal_answered")
    assert "granted. 5000 MESH are at stake again, and your bond of 10 MESH is back" in " ".join(mail.body.split())
    assert "The key was stolen." in mail.body
    assert Event.objects.get(kind="slash.appeal_answered").actor == admin
    assert Transfer.objects.get(kind="slash.return").memo == slash.fault
    assert slashing.execute_due(now=utcnow() + 2 * WEEK) == []
    assert sound()


def test_turned_down_the_slash_is_executed_at_once_and_the_bond_is_the_treasurys(
    made: SlashAppeal, node: Node, before: Money, rich: Operator, admin: User
) -> None:
    slash_appeals.answer(made, admin, "Both messages are yours.", utcnow(), granted=False)
    assert Slash.objects.get().status == "executed"
    assert Money.of(rich) == replace(
        before,
        wallet=before.wallet - BOND,
        stake=0,
        burnt=before.burnt + STAKE // 2,
        treasury=before.treasury + STAKE // 2 + BOND,
    )
    node.refresh_from_db()
    assert (node.status, node.reason) == (NodeStatus.SUSPENDED, made.case.node_reason)
    assert "not granted" in Notification.objects.get(kind="slash_appeal_answered").body
    assert sound()


def test_without_an_appeal_half_is_burnt_and_half_is_the_treasurys(
    case: SlashCase, before: Money, rich: Operator
) -> None:
    final = case.slash.final_at
    assert slashing.execute_due(now=final - timedelta(microseconds=1)) == []
    assert [row.pk for row in slashing.execute_due(now=final)] == [case.pk]
    paid = replace(before, stake=0, burnt=before.burnt + STAKE // 2, treasury=before.treasury + STAKE // 2)
    assert Money.of(rich) == paid
    assert sound()


def test_only_the_owner_can_appeal(case: SlashCase, other: Operator, admin: User) -> None:
    for somebody in (other.user, admin):
        assert code(slash_appeals.appeal, case.pk, somebody, WORDS, utcnow()) == "slash_unknown"
    assert not SlashAppeal.objects.exists()
    assert Slash.objects.get().status == "escrowed"


def test_an_appeal_says_something(case: SlashCase, rich: Operator) -> None:
    assert code(slash_appeals.appeal, case.pk, rich.user, " \n", utcnow()) == "slash_appeal_missing"
    assert not SlashAppeal.objects.exists()


def test_an_appeal_comes_within_the_window(case: SlashCase, rich: Operator) -> None:
    final = case.slash.final_at
    money = Money.of(rich)
    assert code(slash_appeals.appeal, case.pk, rich.user, WORDS, final) == "slash_final"
    assert (SlashAppeal.objects.count(), Money.of(rich)) == (0, money)
    slash_appeals.appeal(case.pk, rich.user, WORDS, final - timedelta(microseconds=1))
    assert SlashAppeal.objects.count() == 1


def test_what_is_executed_is_final(case: SlashCase, rich: Operator) -> None:
    slashing.execute_due(now=case.slash.final_at)
    assert code(slash_appeals.appeal, case.pk, rich.user, WORDS, utcnow()) == "slash_final"
    for decide in (slashing.overturn, slashing.uphold):
        assert code(decide, case.pk, now=utcnow()) == "slash_final"


def test_there_is_one_appeal(made: SlashAppeal, rich: Operator, admin: User) -> None:
    held = Money.of(rich)
    assert code(slash_appeals.appeal, made.case_id, rich.user, WORDS, utcnow()) == "slash_appealed"
    slash_appeals.answer(made, admin, "No.", utcnow(), granted=False)
    assert code(slash_appeals.appeal, made.case_id, rich.user, WORDS, utcnow()) == "slash_appealed"
    assert (SlashAppeal.objects.count(), held.held, Money.of(rich).held) == (1, BOND, 0)


def test_without_the_bond_in_the_wallet_nothing_is_appealed(operator: Operator) -> None:
    case = slashed(enrolled(operator))
    assert code(slash_appeals.appeal, case.pk, operator.user, WORDS, utcnow()) == "insufficient_funds"
    assert (Slash.objects.get().status, SlashAppeal.objects.count()) == ("escrowed", 0)


def test_a_network_may_ask_for_no_bond(operator: Operator, admin: User) -> None:
    parameters.set_parameter("slashing.appeal_bond", 0, actor=None, reason="t", now=utcnow())
    parameters.forget_cached()
    case = slashed(enrolled(operator))
    made = slash_appeals.appeal(case.pk, operator.user, WORDS, utcnow())
    assert (made.bond, made.hold, Hold.objects.count()) == (0, None, 0)
    slash_appeals.answer(made, admin, "Well.", utcnow(), granted=False)
    assert "bond" not in Notification.objects.get(kind="slash_appeal_answered").body
    assert sound()


def test_staff_answer_once_with_a_reason_and_never_for_themselves(made: SlashAppeal, admin: User) -> None:
    answer = slash_appeals.answer
    assert code(answer, made, admin, " ", utcnow(), granted=True) == "reason_missing"
    assert code(answer, made, made.by, "Mine.", utcnow(), granted=True) == "self_appeal"
    assert SlashAppeal.objects.open().count() == 1
    answer(made, admin, "No.", utcnow(), granted=False)
    assert code(answer, made, admin, "Yes.", utcnow(), granted=True) == "slash_appeal_closed"
    assert Slash.objects.get().status == "executed"


def test_what_was_leaving_comes_back_to_the_stake(rich: Operator, admin: User) -> None:
    node = enrolled(rich)
    faucet.treasury_grant(rich.user, 500 * MESH, admin, "for tests", utcnow())
    stakes.add(rich.user, 500 * MESH, utcnow())
    leaving = stakes.take_back(rich.user, 500 * MESH, utcnow())
    case = slashed(node)
    made = slash_appeals.appeal(case.pk, rich.user, WORDS, utcnow())
    slash_appeals.answer(made, admin, "Yes.", utcnow(), granted=True)
    leaving.refresh_from_db()
    assert (leaving.status, staking.bonded(rich.user)) == ("slashed", STAKE + 500 * MESH)
    assert sound()


def test_a_node_that_is_banned_stays_out_until_the_ban_ends(made: SlashAppeal, node: Node, admin: User) -> None:
    order = bans.Order(reason="It lied.", evidence="Two results.", node=node)
    ban = bans.make(order, admin, utcnow())
    node.refresh_from_db()
    assert node.reason == made.case.node_reason
    slash_appeals.answer(made, admin, "Yes.", utcnow(), granted=True)
    node.refresh_from_db()
    assert (node.status, node.reason) == (NodeStatus.SUSPENDED, ban.node_reason)
    bans.lift(ban, admin, "Enough.", utcnow())
    node.refresh_from_db()
    assert node.status == NodeStatus.OFFLINE


def test_a_node_slashed_for_two_faults_stays_out_until_both_are_overturned(
    made: SlashAppeal, node: Node, rich: Operator, admin: User
) -> None:
    second = slash_appeals.appeal(slashed(node).pk, rich.user, WORDS, utcnow())
    slash_appeals.answer(made, admin, "Yes.", utcnow(), granted=True)
    node.refresh_from_db()
    assert (node.status, node.reason) == (NodeStatus.SUSPENDED, second.case.node_reason)
    slash_appeals.answer(second, admin, "Yes.", utcnow(), granted=True)
    node.refresh_from_db()
    assert node.status == NodeStatus.OFFLINE
    assert sound()


def test_an_admins_word_on_the_node_stands(made: SlashAppeal, node: Node, admin: User) -> None:
    node.refresh_from_db()
    deciding.reinstate(node, actor=admin, reason="For now.", now=utcnow())
    nodes.suspend(node, reason="Another matter.", now=utcnow())
    slash_appeals.answer(made, admin, "Yes.", utcnow(), granted=True)
    node.refresh_from_db()
    assert (node.status, node.reason) == (NodeStatus.SUSPENDED, "Another matter.")
    assert ReputationChange.objects.filter(node=node, key__startswith="back:slash:").count() == 1


def test_the_account_waits_for_the_end_of_its_slashes_and_its_words_go_with_it(
    made: SlashAppeal, node: Node, rich: Operator, admin: User
) -> None:
    node.refresh_from_db()
    nodes.revoke(node, reason="gone", now=utcnow())
    assert [obstacle.code for obstacle in account_deletion.obstacles(rich.user)] == ["account_staked"]
    slash_appeals.answer(made, admin, "No.", utcnow(), granted=False)
    account_deletion.delete(rich.user, utcnow())
    made.refresh_from_db()
    assert (made.text, made.answer) == ("", "No.")


def test_the_export_of_ones_data_has_the_appeal(made: SlashAppeal, rich: Operator) -> None:
    [row] = account_export.OWN["slash_appeals"](rich.user)
    assert (row["text"], row["bond"]) == (WORDS, "10")
