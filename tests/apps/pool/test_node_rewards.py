"""What a node did in a day, as rewards and the faucet see it; and whose money a job with a mandate spends."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from apps.core.errors import MeshError
from apps.core.models import User
from apps.ledger import accounts, faucet, mandates
from apps.ledger.accounts import owner_of
from apps.ledger.amounts import show
from apps.ledger.errors import RewardNotEarned, ShardNotHosted
from apps.ledger.models import Hold, Mandate
from apps.ledger.rewards import PPM, Work
from apps.operators.models import Node, NodeEvent, Operator, Stake
from apps.pool import cancel, node_rewards, submission
from apps.pool.models import Attempt, AttemptStatus, Job
from tests.apps.pool.cast import MESH, NOW, Machine, embed, fund, later, machine, requester, user
from workers.protocol.ids import show_uuid

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


def staked(who: Machine) -> Machine:
    Stake.objects.create(id=uuid4(), operator=who.node.operator, amount=1, locked_at=NOW)
    return who


def history(who: Machine, *moves: tuple[float, str]) -> None:
    """Moves of a node, each so many hours after the scene begins."""
    for hours, status in moves:
        NodeEvent.objects.create(node=who.node, at=NOW + hours * HOUR, new=status, reason="x")


def attempted(who: Machine, by: User, good: int, bad: int) -> None:
    """Attempts of a node that ended two seconds after the scene begins."""
    task = submission.submit(by, embed(), NOW).tasks.all()[0]
    Attempt.objects.bulk_create(
        Attempt(
            id=f"att_{uuid4().hex[:20]}",
            task=task,
            number=i + 100,
            node=who.node,
            lane="inference.cpu",
            status=AttemptStatus.FAILED if i >= good else AttemptStatus.COMPLETED,
            counted=i >= good,
            claimed_at=later(1),
            ended_at=later(2),
        )
        for i in range(good + bad)
    )


def work() -> dict[str, Work]:
    return {row.node: row for row in node_rewards.work_between(NOW, NOW + DAY)}


@pytest.mark.parametrize(
    ("moves", "hours"),
    [
        ([], 0),
        ([(-5, "online")], 24),
        ([(0, "online")], 24),
        ([(-5, "online"), (-4, "offline")], 0),
        ([(-5, "online"), (6, "degraded"), (12, "online")], 18),
        ([(6, "online"), (7, "offline"), (23, "online")], 2),
        ([(6, "self_test"), (8, "online"), (10, "draining"), (12, "online"), (13, "offline")], 3),
        ([(30, "online")], 0),
        ([(-5, "offline"), (24, "online")], 0),
    ],
)
def test_time_online_is_what_the_history_says(ada: Machine, moves: list[tuple[float, str]], hours: int) -> None:
    history(ada, *moves)
    assert node_rewards.online_time([ada.node.pk], NOW, NOW + DAY)[ada.node.pk] == hours * HOUR


@pytest.mark.parametrize(
    ("good", "bad", "quality"), [(200, 0, PPM), (199, 1, 950_000), (99, 1, 900_000), (9, 1, 0), (1, 3, 0)]
)
def test_each_hundredth_of_errors_costs_a_tenth(ada: Machine, rita: User, good: int, bad: int, quality: int) -> None:
    attempted(ada, rita, good, bad)
    assert node_rewards.quality_of([ada.node.pk], NOW, NOW + DAY) == {ada.node.pk: quality}
    assert node_rewards.quality_of([ada.node.pk], NOW + HOUR, NOW + DAY) == {}


def test_a_nodes_work_is_tier_uptime_and_quality(ada: Machine, rita: User) -> None:
    staked(ada)
    history(ada, (12, "online"))
    attempted(ada, rita, 199, 1)
    owner = owner_of(ada.node.operator.user)
    assert work() == {ada.node.pk: Work(ada.node.pk, owner, 2, 500_000, 950_000, 1, is_new=True)}
    assert work()[ada.node.pk].weight == 2 * 500_000 * 950_000


def test_nodes_of_one_owner_are_counted(ada: Machine) -> None:
    staked(ada)
    machine("second", ada.node.operator)
    assert [row.nodes for row in work().values()] == [2, 2]


def test_a_node_is_new_for_a_week(ada: Machine) -> None:
    staked(ada)
    ages = {}
    for days in (5, 6, 7):
        Node.objects.filter(pk=ada.node.pk).update(enrolled_at=NOW - timedelta(days=days))
        ages[days] = work()[ada.node.pk].is_new
    assert ages == {5: True, 6: False, 7: False}


def change(who: Machine, what: str) -> None:
    node, operator = Node.objects.filter(pk=who.node.pk), Operator.objects.filter(pk=who.node.operator_id)
    if what == "unstaked":
        Stake.objects.update(status="released")
    elif what == "suspended":
        operator.update(status="suspended", reason="x")
    elif what == "revoked":
        node.update(status="revoked", reason="x", revoked_at=NOW)
    else:
        node.update(enrolled_at=NOW + DAY)


@pytest.mark.parametrize("what", ["unstaked", "suspended", "revoked", "enrolled later"])
def test_who_may_not_work_has_no_part_in_the_day(ada: Machine, what: str) -> None:
    staked(ada)
    assert list(work()) == [ada.node.pk]
    change(ada, what)
    assert work() == {}


def refused(reward: str, who: User) -> str:
    with pytest.raises(RewardNotEarned) as error:
        faucet.claim(who, reward, NOW + DAY)
    return error.value.code


@pytest.fixture
def filled(db: None) -> None:
    fund(accounts.system("faucet"), 1_000 * MESH)


def test_the_first_inference_is_rewarded_once_it_was_delivered(filled: None, ada: Machine, rita: User) -> None:
    owner = ada.node.operator.user
    assert refused("first_inference", owner) == "reward_not_earned"
    submission.submit(rita, embed(), NOW)
    ada.work()
    assert faucet.claim(owner, "first_inference", NOW + DAY).amount == 20 * MESH
    assert refused("first_inference", rita) == "reward_not_earned"


def test_a_day_online_is_rewarded(filled: None, ada: Machine) -> None:
    owner = ada.node.operator.user
    history(ada, (0.5, "online"))
    with pytest.raises(RewardNotEarned, match=r"24 hours yet; the best one has 23\.5"):
        faucet.claim(owner, "uptime_bonus", NOW + DAY)
    assert faucet.claim(owner, "uptime_bonus", NOW + DAY + HOUR).amount == 20 * MESH
    with pytest.raises(MeshError) as again:
        faucet.claim(owner, "uptime_bonus", NOW + DAY + HOUR)
    assert again.value.code == "faucet_claimed"


def test_shard_hosting_waits_for_a_shard(filled: None, ada: Machine) -> None:
    with pytest.raises(ShardNotHosted):
        faucet.claim(ada.node.operator.user, "shard_hosting", NOW)
    assert accounts.balance(ada.node.operator.user) == 0


def test_offers_say_what_is_missing(filled: None, ada: Machine, rita: User) -> None:
    owner = ada.node.operator.user
    submission.submit(rita, embed(), NOW)
    ada.work()
    faucet.claim(owner, "wallet_connect", NOW)
    found = {offer.name: (show(offer.amount), offer.given, offer.open) for offer in faucet.offers(owner, NOW)}
    assert found == {
        "wallet_connect": ("10", True, False),
        "shard_hosting": ("50", False, False),
        "first_inference": ("20", False, True),
        "uptime_bonus": ("20", False, False),
    }
    assert faucet.left() == 990 * MESH


def mandated(giver: User, spender: User, cap: int, **fields: Any) -> str:
    values = {"created_at": NOW, "expires_at": NOW + DAY, "document": {}, "signature": "", "wallet": "w"} | fields
    made = Mandate.objects.create(
        id=uuid4(), payer=accounts.wallet(giver), spender=owner_of(spender), cap=cap, **values
    )
    return show_uuid(mandates.PREFIX, made.pk)


def test_a_job_with_a_mandate_is_paid_by_its_wallet(ada: Machine, rita: User) -> None:
    poor = user("poor")
    mandate = mandated(rita, poor, MESH)
    job = submission.submit(poor, embed(mandate=mandate), NOW)
    hold = Hold.objects.get(pk=job.hold_id)
    assert (hold.payer.owner, hold.authorisation["by"], hold.authorisation["mandate"]) == (
        owner_of(rita),
        "mandate",
        mandate,
    )
    assert (job.requester, accounts.balance(rita)) == (poor, 1_000 * MESH - job.price)
    cancel.cancel(job.pk, poor, NOW)
    assert accounts.balance(rita) == 1_000 * MESH
    assert mandates.used(Mandate.objects.get()) == 0


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"cap": 1}, "mandate_exceeded"),
        ({"expires_at": NOW + timedelta(microseconds=1), "created_at": NOW - DAY}, ""),
        ({"revoked_at": NOW}, "mandate_revoked"),
    ],
)
def test_a_mandate_that_does_not_cover_the_job_refuses_it(
    ada: Machine, rita: User, fields: dict[str, Any], code: str
) -> None:
    poor = user("poor")
    mandate = mandated(rita, poor, **({"cap": MESH} | fields))
    if not code:
        assert submission.submit(poor, embed(mandate=mandate), NOW).price > 0
        return
    with pytest.raises(MeshError) as error:
        submission.submit(poor, embed(mandate=mandate), NOW)
    assert (error.value.code, Job.objects.count(), accounts.balance(rita)) == (code, 0, 1_000 * MESH)


def test_somebody_elses_mandate_is_unknown(ada: Machine, rita: User) -> None:
    mandate = mandated(rita, user("poor"), MESH)
    with pytest.raises(MeshError) as error:
        submission.submit(requester("third"), embed(mandate=mandate), NOW)
    assert error.value.code == "mandate_unknown"
