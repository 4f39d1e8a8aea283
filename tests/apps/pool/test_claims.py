"""Claims that wait: they get work as it comes, each task once, and none of them stands in another's way."""

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from redis import Redis

from apps.core.models import User
from apps.operators.models import Node
from apps.pool import hints, submission
from apps.pool.node_api import working
from apps.pool.take import LaneBusy, take, worth_taking
from tests.apps.pool import cast
from tests.apps.pool.cast import LANE, embed
from tests.apps.pool.node_link import Speaker
from workers.protocol.clock import utcnow
from workers.protocol.envelope import unverified_payload

pytestmark = pytest.mark.django_db(transaction=True)


def waiting(threads: ThreadPoolExecutor, node: Node, most: int, wait_s: float) -> Future[list[dict[str, Any]]]:
    """A claim that waits in a thread."""

    def claim() -> list[dict[str, Any]]:
        try:
            return working.wait_for_tasks(node, LANE, most, wait_s)
        finally:
            connection.close()

    return threads.submit(claim)


def begun(count: int, redis: Redis) -> None:
    """Until that many claims listen."""
    end = time.monotonic() + 10
    while redis.pubsub_numsub(hints.CHANNEL)[0][1] < count:
        assert time.monotonic() < end
        time.sleep(0.01)


def ids(tasks: list[dict[str, Any]]) -> list[str]:
    return [str(unverified_payload(task)["body"]["task"]) for task in tasks]


def test_many_claims_of_one_lane_share_what_comes(
    rita: User, embedder: object, platform_redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(working, "LOOK_EVERY_S", 30.0)
    ada = cast.machine("ada", slots=100)
    heard = platform_redis.pubsub_numsub(hints.CHANNEL)[0][1]
    with ThreadPoolExecutor(6) as threads:
        claims = [waiting(threads, ada.node, 2, 20) for _ in range(6)]
        begun(heard + 6, platform_redis)
        start = time.monotonic()
        submission.submit(rita, embed(*"abcdefghijkl", chunk_size=1), utcnow())
        found = [ids(claim.result(timeout=20)) for claim in claims]
        took = time.monotonic() - start
    assert sorted(map(len, found)) == [2] * 6
    assert len({task for tasks in found for task in tasks}) == 12
    assert took < 15, "well before their time is over"


def test_a_claim_that_waits_for_a_slot_hears_when_one_is_free(
    rita: User, embedder: object, platform_redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(working, "LOOK_EVERY_S", 30.0)
    ada = cast.machine("ada", slots=1)
    Node.objects.filter(pk=ada.node.pk).update(transport=Node.Transport.HTTP)
    submission.submit(rita, embed("a", "b", chunk_size=1), utcnow())
    [first] = ada.take(1, utcnow())
    assert not worth_taking(ada.node.pk, LANE), "its one slot is taken"
    heard = platform_redis.pubsub_numsub(hints.CHANNEL)[0][1]
    with ThreadPoolExecutor(1) as threads:
        claim = waiting(threads, ada.node, 1, 25)
        begun(heard + 1, platform_redis)
        assert working.accept([Speaker(ada, Client()).result(first)], utcnow()) == ["completed"]
        start = time.monotonic()
        [second] = ids(claim.result(timeout=20))
        assert time.monotonic() - start < 10
    assert second != first.task_id


def test_whoever_does_not_queue_up_is_told_that_the_lane_is_busy(rita: User, embedder: object) -> None:
    ada = cast.machine("ada", slots=5)
    submission.submit(rita, embed("a", "b", chunk_size=1), utcnow())
    taken, end = threading.Event(), threading.Event()

    def slow() -> None:
        with transaction.atomic():
            take(ada.node.pk, LANE, 1, utcnow())
            taken.set()
            end.wait(10)
        connection.close()

    other = threading.Thread(target=slow)
    other.start()
    assert taken.wait(10)
    with pytest.raises(LaneBusy):
        take(ada.node.pk, LANE, 1, utcnow(), queue_up=False)
    end.set()
    other.join()
    assert len(take(ada.node.pk, LANE, 5, utcnow(), queue_up=False)) == 1


def test_nothing_is_worth_taking_where_nothing_waits_or_nothing_fits(rita: User, embedder: object) -> None:
    ada = cast.machine("ada", slots=1)
    assert not worth_taking(ada.node.pk, LANE)
    submission.submit(rita, embed("a"), utcnow())
    assert worth_taking(ada.node.pk, LANE)
    assert not worth_taking(ada.node.pk, "inference.cuda")
    assert not worth_taking("node_unknown", LANE)
    Node.objects.filter(pk=ada.node.pk).update(lanes={})
    assert not worth_taking(ada.node.pk, LANE)
