"""One fault is slashed once, by however many and however often they die; what fails for a while is tried again."""

from collections import Counter
from collections.abc import Iterator
from threading import Barrier

import pytest
from django.db import connection, transaction
from redis import Redis

from apps.core import parameters, platform_keys
from apps.core.models import FaultEvidence, FaultStatus
from apps.ledger import accounts
from apps.ledger.models import Slash
from apps.operators import bans
from apps.operators.models import Notification, ReputationChange, SlashCase
from apps.pool.node_api.keys import directory
from apps.trading import faults, rounds
from tests.apps.ledger.killing import FIRST_COMMIT, kill_everywhere, killed_before
from tests.apps.ledger.test_races import at_once
from tests.apps.trading.fault_cast import OTHER, STAKE, VALUE, Scene, balances, sound, state
from workers.consensus import evidence as proofs
from workers.protocol.clock import utcnow

pytestmark = [pytest.mark.urls("meshwork.node_urls"), pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def stage(nodes_broker: Redis, platform_redis: Redis, transactional_db: None) -> Iterator[None]:
    platform_keys.create(utcnow())
    for cache in (parameters.forget_cached, rounds.committee_of.cache_clear, directory.forget, bans.forget_cached):
        cache()
    yield
    for cache in (parameters.forget_cached, bans.forget_cached):
        cache()


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_fault_judged_by_many_at_once_is_slashed_once(scene: Scene) -> None:
    rows = [scene.file(), scene.file(proofs.make(scene.vote(""), scene.vote(OTHER)))]
    codes = Counter(at_once(lambda i: faults.judge(rows[i % 2].pk, utcnow())))
    assert codes == {FaultStatus.SLASHED: 1, FaultStatus.REFUSED: 1, None: 6}
    assert balances(scene.owner)["escrow"] == STAKE
    for model in (Slash, SlashCase, ReputationChange):
        assert model._default_manager.count() == 1
    assert Notification.objects.filter(kind="stake_slashed").count() == 1
    assert sound()


def test_a_judge_killed_before_its_commit_leaves_the_evidence_pending_and_it_is_judged_again(scene: Scene) -> None:
    row, now = scene.file(), utcnow()
    before = state()
    for place in (5, FIRST_COMMIT):
        assert killed_before(place, lambda: faults.judge(row.pk, now))
        assert state() == before
    assert faults.sweep(now) == 1
    assert (Slash.objects.count(), balances(scene.owner)["escrow"]) == (1, STAKE)
    assert sound()


@pytest.mark.long
def test_a_judge_killed_between_any_two_statements_leaves_nothing_half_done(scene: Scene) -> None:
    row, now = scene.file(), utcnow()
    kill_everywhere(lambda: faults.judge(row.pk, now), state)
    assert (Slash.objects.count(), balances(scene.owner)["escrow"]) == (1, STAKE)
    assert sound()


def test_what_fails_for_a_while_stays_pending_and_keeps_no_other_waiting(scene: Scene) -> None:
    good, start = scene.voices[1], Barrier(2)
    scene.file()
    scene.file(proofs.make(good.vote(scene.round, value=VALUE), good.vote(scene.round, value=OTHER)))

    def work(i: int) -> int:
        if i:
            with transaction.atomic():
                accounts.lock(accounts.stake(scene.owner))
                start.wait()
                start.wait()
            return 0
        # Somebody holds the account for longer than anybody waits here.
        with connection.cursor() as cursor:
            cursor.execute("set lock_timeout = '200ms'")
        start.wait()
        try:
            return faults.sweep(utcnow())
        finally:
            start.wait()

    assert at_once(work, 2) == [1, 0]
    assert list(FaultEvidence.objects.order_by("pk").values_list("status", flat=True)) == ["pending", "slashed"]
    assert faults.sweep(utcnow()) == 1
    assert Slash.objects.count() == 2
