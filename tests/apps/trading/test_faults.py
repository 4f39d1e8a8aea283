"""Evidence that an oracle signed twice costs its owner's stake once, and nothing else does."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from uuid import uuid4

import pytest
from redis import Redis

from apps.core import parameters, platform_keys
from apps.core.models import Event, FaultEvidence, FaultStatus
from apps.ledger import slashing, staking
from apps.ledger.models import Slash, authorised_by_platform
from apps.operators import account_deletion, bans, nodes, rotation
from apps.operators.models import (
    Node,
    NodeStatus,
    Notification,
    Operator,
    ReputationChange,
    RetiredKey,
    SlashCase,
    Stake,
)
from apps.pool.node_api.keys import directory
from apps.trading import faults, rounds
from apps.trading.models import Round
from apps.trading.tasks import judge_faults
from tests.apps.pool import cast
from tests.apps.pool.node_link import stranger, tamper
from tests.apps.trading.fault_cast import OTHER, ROWS, STAKE, VALUE, WALLET, Scene, balances, sound, state
from workers.consensus import evidence as proofs
from workers.protocol.clock import utcnow
from workers.protocol.keys import SealingKey, SigningKey, b64, kid_of

pytestmark = [pytest.mark.urls("meshwork.node_urls"), pytest.mark.django_db]
Wrong = Callable[[Scene], FaultEvidence]


@pytest.fixture(autouse=True)
def stage(nodes_broker: Redis, platform_redis: Redis) -> Iterator[None]:
    platform_keys.create(utcnow())
    for cache in (parameters.forget_cached, rounds.committee_of.cache_clear, directory.forget, bans.forget_cached):
        cache()
    yield
    for cache in (parameters.forget_cached, bans.forget_cached):
        cache()


@pytest.fixture
def scene() -> Scene:
    return Scene()


def node_of(scene: Scene) -> Node:
    return Node.objects.get(pk=scene.twin.machine.node.pk)


def test_who_signs_twice_loses_the_stake_of_that_time(scene: Scene) -> None:
    twin, now = scene.twin, utcnow()
    before = node_of(scene).reputation
    twin.post(scene.round, scene.vote(), scene.vote(OTHER))
    case = FaultEvidence.objects.get()
    assert (case.status, balances(scene.owner)["stake"]) == (FaultStatus.PENDING, STAKE)
    assert judge_faults() == 1
    case.refresh_from_db()
    slash, node = Slash.objects.get(), node_of(scene)
    assert (case.status, case.decided_at is not None) == (FaultStatus.SLASHED, True)
    assert balances(scene.owner) == {"wallet": WALLET, "held": 0, "stake": 0, "escrow": STAKE}
    assert (slash.fault_at, slash.share_bp, slash.amount) == (scene.round.started_at, 10_000, STAKE)
    assert slash.final_at >= now + timedelta(seconds=parameters.get("slashing.appeal_s"))
    assert (node.status, node.reason) == (NodeStatus.SUSPENDED, slash.case.node_reason)
    assert "view 0" in node.reason
    assert "Appeal" in node.next_step
    assert node.reputation == before - parameters.get("reputation.violation")
    assert ReputationChange.objects.get(node=node).kind == "violation"
    mail = Notification.objects.filter(user=scene.owner, kind="stake_slashed").get()
    assert f"/rewards/slashes/{slash.case.public_id}" in mail.body
    assert "5000 MESH" in mail.body
    assert Event.objects.filter(kind="fault.slashed", subject=twin.owner).count() == 1
    assert Stake.objects.get(operator=twin.owner).status == Stake.Status.RELEASED
    assert Operator.objects.get(pk=twin.owner).status == Operator.Status.SUSPENDED
    assert sound()


def test_the_share_is_governed(scene: Scene) -> None:
    parameters.set_parameter("slashing.equivocation_bp", 2_500, actor=None, reason="t", now=utcnow())
    parameters.forget_cached()
    scene.file()
    assert faults.sweep(utcnow()) == 1
    assert balances(scene.owner)["escrow"] == STAKE // 4
    assert Operator.objects.get(pk=scene.twin.owner).status == Operator.Status.ACTIVE
    assert node_of(scene).status == NodeStatus.SUSPENDED


def signed_by_another(scene: Scene) -> FaultEvidence:
    return scene.file(scene.evidence(second=scene.vote(OTHER, key=scene.voices[1].machine.signing)))


def altered(scene: Scene) -> FaultEvidence:
    changed = tamper(scene.vote(), lambda payload: payload["body"].update(value=OTHER))
    return scene.file(scene.evidence(second=changed))


def said_twice_the_same(scene: Scene) -> FaultEvidence:
    return scene.file(scene.evidence(second=scene.vote()))


def of_two_views(scene: Scene) -> FaultEvidence:
    return scene.file(scene.evidence(second=scene.vote(OTHER, view=1)))


def of_two_rounds(scene: Scene) -> FaultEvidence:
    return scene.file(scene.evidence(second=scene.twin.vote(scene.another(), value=OTHER)))


def of_an_unknown_round(scene: Scene) -> FaultEvidence:
    votes = [scene.vote(value, body={"round": "rnd_other"}) for value in (VALUE, OTHER)]
    return scene.file(proofs.make(*votes))


def of_another_network(scene: Scene) -> FaultEvidence:
    return scene.file(proofs.make(*(scene.vote(value, net="elsewhere") for value in (VALUE, OTHER))))


def by_a_strangers_key(scene: Scene) -> FaultEvidence:
    key = stranger()
    return scene.file(proofs.make(*(scene.vote(value, key=key) for value in (VALUE, OTHER))))


def of_somebody_without_a_seat(scene: Scene) -> FaultEvidence:
    owner = cast.operator("zoe").pk
    votes = [scene.vote(value, body={"signer": owner}) for value in (VALUE, OTHER)]
    return scene.file(proofs.make(*votes))


def filed_against_another(scene: Scene) -> FaultEvidence:
    return scene.file(accused=scene.voices[1].owner)


def in_the_name_of_another(scene: Scene) -> FaultEvidence:
    votes = [scene.vote(value, body={"signer": scene.voices[1].owner}) for value in (VALUE, OTHER)]
    return scene.file(proofs.make(*votes))


def no_messages(scene: Scene) -> FaultEvidence:
    return scene.file(scene.evidence(first=["no"], second={"payload": 1}))


def with_more(scene: Scene) -> FaultEvidence:
    return scene.file(scene.evidence(more=1))


def of_a_committee_that_was_changed(scene: Scene) -> FaultEvidence:
    """The platform gives the seat a key of its own, and signs with that."""
    key = SigningKey.generate()
    members = [dict(member) for member in scene.round.members]
    seat = next(member for member in members if member["owner"] == scene.twin.owner)
    seat.update(kid=key.kid, public=b64(key.public))
    Round.objects.filter(pk=scene.round.pk).update(members=members)
    return scene.file(proofs.make(*(scene.vote(value, key=key) for value in (VALUE, OTHER))))


def of_a_round_made_up(scene: Scene) -> FaultEvidence:
    """The platform makes up a whole round, in which the seat has a key that the node never had."""
    key = SigningKey.generate()
    node = scene.twin.machine.node
    old = (node.kid, node.sign_public)
    Node.objects.filter(pk=node.pk).update(kid=key.kid, sign_public=b64(key.public))
    scene.round = scene.another()
    Node.objects.filter(pk=node.pk).update(kid=old[0], sign_public=old[1])
    return scene.file(proofs.make(*(scene.vote(value, key=key) for value in (VALUE, OTHER))))


def with_a_key_given_up_long_before(scene: Scene) -> FaultEvidence:
    row = of_a_round_made_up(scene)
    seat = next(member for member in scene.round.members if member["owner"] == scene.twin.owner)
    RetiredKey.objects.create(
        kid=seat["kid"],
        node=scene.twin.machine.node,
        sign_public=seat["public"],
        retired_at=scene.round.started_at - timedelta(hours=1),
    )
    return row


def of_a_round_moved_in_time(scene: Scene) -> FaultEvidence:
    Round.objects.filter(pk=scene.round.pk).update(started_at=scene.round.started_at - timedelta(hours=5))
    return scene.file()


def too_late(scene: Scene) -> FaultEvidence:
    return scene.file(at=scene.round.started_at + staking.unbonding_time() + timedelta(seconds=1))


REFUSALS: dict[Wrong, str] = {
    signed_by_another: "evidence_unproven",
    altered: "evidence_unproven",
    said_twice_the_same: "evidence_unproven",
    of_two_views: "evidence_unproven",
    of_two_rounds: "evidence_unproven",
    of_an_unknown_round: "evidence_round_unknown",
    of_another_network: "evidence_round_unknown",
    by_a_strangers_key: "evidence_unproven",
    of_somebody_without_a_seat: "evidence_not_seated",
    filed_against_another: "evidence_malformed",
    in_the_name_of_another: "evidence_unproven",
    no_messages: "evidence_unproven",
    with_more: "evidence_malformed",
    of_a_committee_that_was_changed: "evidence_round_changed",
    of_a_round_made_up: "evidence_key_foreign",
    with_a_key_given_up_long_before: "evidence_key_foreign",
    of_a_round_moved_in_time: "evidence_round_changed",
    too_late: "evidence_expired",
}


@pytest.mark.parametrize("wrong", REFUSALS, ids=lambda wrong: wrong.__name__)
def test_evidence_that_does_not_hold_is_refused_with_a_code_and_changes_nothing(scene: Scene, wrong: Wrong) -> None:
    row = wrong(scene)
    before = state()
    assert faults.sweep(utcnow()) == 1
    after = FaultEvidence.objects.get(pk=row.pk)
    assert (after.status, after.reason, bool(after.detail)) == (FaultStatus.REFUSED, REFUSALS[wrong], True)
    assert faults.sweep(utcnow()) == 0
    assert sound()
    assert Event.objects.filter(kind="fault.refused", data__code=REFUSALS[wrong]).count() == 1
    assert [old == new for old, new in zip(before, state(), strict=True)][:-2] == [True] * (len(ROWS) - 2)


def test_evidence_on_the_last_moment_is_in_time(scene: Scene) -> None:
    scene.file(at=scene.round.started_at + staking.unbonding_time())
    assert faults.sweep(utcnow()) == 1
    assert FaultEvidence.objects.get().status == FaultStatus.SLASHED


def test_other_kinds_are_left_to_people(scene: Scene) -> None:
    scene.file(kind="pool.result_forged", status=FaultStatus.FILED)
    assert faults.sweep(utcnow()) == 0
    assert not Slash.objects.exists()
    row = scene.file(kind="pool.result_forged")
    faults.sweep(utcnow())
    row.refresh_from_db()
    assert (row.status, row.reason) == (FaultStatus.REFUSED, "evidence_malformed")


def test_two_pieces_of_evidence_of_one_place_are_one_fault(scene: Scene) -> None:
    first, second = scene.file(), scene.file(proofs.make(scene.vote(""), scene.vote(OTHER)))
    third = scene.file(proofs.make(scene.vote(view=1), scene.vote(OTHER, view=1)))
    assert faults.sweep(utcnow()) == 3
    for row in (first, second, third):
        row.refresh_from_db()
    assert (first.status, second.status, third.status) == ("slashed", "refused", "slashed")
    assert second.reason == "fault_known"
    assert sorted(Slash.objects.values_list("amount", flat=True)) == [0, STAKE]
    assert Notification.objects.filter(kind="stake_slashed").count() == 1
    assert sound()


def test_an_owner_with_nothing_left_is_suspended_all_the_same(scene: Scene) -> None:
    slashing.slash(scene.owner, "flt_before", 10_000, scene.round.started_at, utcnow())
    scene.file()
    faults.sweep(utcnow())
    assert Slash.objects.get(fault__startswith="equivocation:").amount == 0
    assert node_of(scene).status == NodeStatus.SUSPENDED
    assert sound()


def test_stake_that_came_after_the_fault_is_not_touched(scene: Scene) -> None:
    scene.file()
    by = authorised_by_platform("test", user=scene.owner.pk)
    staking.stake(scene.owner, WALLET, id=uuid4(), authorisation=by, now=utcnow())
    faults.sweep(utcnow())
    assert balances(scene.owner)["stake"] == WALLET


def test_stake_on_its_way_out_answers_too(scene: Scene) -> None:
    by = authorised_by_platform("test", user=scene.owner.pk)
    leaving = staking.unstake(scene.owner, STAKE, id=uuid4(), authorisation=by, now=utcnow())
    scene.file()
    faults.sweep(utcnow())
    leaving.refresh_from_db()
    assert (leaving.status, balances(scene.owner)["escrow"]) == ("slashed", STAKE)
    assert sound()


def test_an_account_that_was_deleted_meanwhile_breaks_nothing(scene: Scene) -> None:
    node, now = node_of(scene), utcnow()
    slashing.slash(scene.owner, "flt_before", 10_000, now, now - timedelta(days=30))
    slashing.execute_due(now=now)
    nodes.revoke(node, reason="gone", now=now)
    Stake.objects.filter(operator=scene.twin.owner).update(status=Stake.Status.RELEASED)
    account_deletion.delete(scene.owner, now)
    scene.file()
    assert faults.sweep(utcnow()) == 1
    case = SlashCase.objects.get()
    assert (case.slash.amount, case.evidence.status) == (0, FaultStatus.SLASHED)
    assert node_of(scene).status == NodeStatus.REVOKED
    assert not Notification.objects.filter(kind="stake_slashed").exists()


def test_a_key_that_was_changed_since_still_answers(scene: Scene) -> None:
    row = scene.file()
    new, seal = SigningKey.generate(), SealingKey.generate()
    node = node_of(scene)
    assert rotation.rotate(node, node.kid, new.public, seal.public, "00" * 32, utcnow())
    assert kid_of(new.public) == node_of(scene).kid != node.kid
    faults.sweep(utcnow())
    row.refresh_from_db()
    assert row.status == FaultStatus.SLASHED


def test_a_node_that_is_suspended_already_keeps_that_reason(scene: Scene) -> None:
    nodes.suspend(node_of(scene), reason="It lied.", now=utcnow())
    scene.file()
    faults.sweep(utcnow())
    assert (node_of(scene).status, node_of(scene).reason) == (NodeStatus.SUSPENDED, "It lied.")
    assert balances(scene.owner)["escrow"] == STAKE


def test_a_node_that_was_banned_when_it_was_slashed_does_not_come_back_with_the_bans_end(scene: Scene) -> None:
    now = utcnow()
    admin = cast.user("stella", is_staff=True)
    order = bans.Order(reason="It lied.", evidence="Two results.", node=node_of(scene))
    ban = bans.make(order, admin, now)
    scene.file()
    faults.sweep(utcnow())
    assert node_of(scene).reason == ban.node_reason
    bans.lift(ban, admin, "Enough.", utcnow())
    node = node_of(scene)
    assert (node.status, node.reason) == (NodeStatus.SUSPENDED, SlashCase.objects.get().node_reason)


def test_the_deletion_of_an_account_waits_for_what_is_in_escrow(scene: Scene) -> None:
    scene.file()
    faults.sweep(utcnow())
    nodes.revoke(node_of(scene), reason="gone", now=utcnow())
    assert [obstacle.code for obstacle in account_deletion.obstacles(scene.owner)] == ["account_staked"]
    slashing.execute_due(now=utcnow() + timedelta(days=8))
    assert account_deletion.obstacles(scene.owner) == []
