"""Conduct in the pool: work moves reputation, which decides who gets work; whoever is banned is told and refused."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.db import OperationalError, connections
from django.test import Client
from redis import Redis

from apps.core.models import User
from apps.operators import bans
from apps.operators.models import Ban, Node, NodeStatus, ReputationChange
from apps.pool import classes, completion, dispatch, leases, node_states, presence, submission
from apps.pool.models import Task, TaskStatus
from apps.pool.node_api.keys import directory
from tests.apps.pool import cast
from tests.apps.pool.node_link import Speaker, rows
from tests.apps.pool.test_node_gateway import dial, greet, hello
from workers.protocol.clock import unix_ms, utcnow
from workers.protocol.keys import b64
from workers.protocol.messages import PlatformHeartbeat, decode_body

WORDS: dict[str, Any] = {"reason": "Forged results.", "evidence": "digest ab12"}


@pytest.fixture(autouse=True)
def fresh(platform_redis: Redis, nodes_broker: Redis) -> None:
    directory.forget()
    bans.forget_cached()


@pytest.fixture
def admin(db: None) -> User:
    return cast.user("staff", is_staff=True, is_superuser=True)


def score(machine: cast.Machine) -> int:
    return Node.objects.get(pk=machine.node.pk).reputation


def set_score(machine: cast.Machine, points: int) -> None:
    Node.objects.filter(pk=machine.node.pk).update(reputation=points)


@pytest.mark.django_db
def test_an_accepted_result_raises_the_score_once(ada: cast.Machine, rita: User) -> None:
    submission.submit(rita, cast.embed("a", "b", "c", chunk_size=1), cast.NOW)
    assert ada.work() == 3
    assert score(ada) == 56
    envelope, sealed = ada.answered[0]
    assert completion.complete(envelope, sealed, ada.node, cast.NOW) == "duplicate"
    assert score(ada) == 56
    assert set(ReputationChange.objects.values_list("kind", flat=True)) == {"success"}
    assert set(ReputationChange.objects.values_list("detail", flat=True)) == set(
        Task.objects.values_list("pk", flat=True)
    )


@pytest.mark.django_db
def test_errors_and_silence_lower_the_score_and_a_hand_back_does_not(ada: cast.Machine, rita: User) -> None:
    submission.submit(rita, cast.embed("a", "b", chunk_size=1), cast.NOW)
    failed, returned = ada.take(2)
    ada.report(failed)
    assert score(ada) == 45
    completion.hand_back(returned.task_id, returned.attempt, ada.node, "full", cast.NOW)
    assert score(ada) == 45
    late = cast.later(3600)
    [held] = ada.take(1, late)
    assert leases.reap_due(late + timedelta(hours=1)) == 1
    assert score(ada) == 40
    lines = ReputationChange.objects.order_by("pk").values_list("kind", "detail")
    assert list(lines) == [
        ("failed", f"{failed.task_id}: engine_failed"),
        ("abandoned", f"{held.task_id}: attempt_deadline"),
    ]


@pytest.mark.django_db
def test_a_node_without_reputation_gets_no_work_and_the_requester_is_told(ada: cast.Machine, rita: User) -> None:
    submission.submit(rita, cast.embed("a"), cast.NOW)
    needs = Task.objects.get().requires
    assert classes.feasibility(needs).fit == 1
    set_score(ada, 9)
    assert ada.take() == []
    assert dispatch.Post().hand_out(utcnow()) == 0
    assert classes.feasibility(needs).sentence() == "1 node: 1 has too low a reputation"
    set_score(ada, 10)
    assert len(ada.take()) == 1


@pytest.mark.django_db
def test_among_equal_nodes_the_better_one_is_served_first_and_a_low_one_last(
    ada: cast.Machine, bert: cast.Machine, rita: User
) -> None:
    set_score(bert, 51)
    submission.submit(rita, cast.embed("a"), utcnow())
    assert dispatch.Post().hand_out(utcnow()) == 1
    assert Task.objects.get().node == bert.node
    # A node of a low score waits, even with every slot free while the other has one.
    set_score(bert, 39)
    set_score(ada, 40)
    [first] = ada.take(1, utcnow()) or [None]
    assert first is None
    submission.submit(rita, cast.embed("b"), utcnow())
    order = [node for node, *_ in dispatch.free_slots()]
    assert order == [ada.node.pk, bert.node.pk]


@pytest.mark.django_db
def test_a_node_of_a_low_score_is_not_refilled_past_the_others(ada: cast.Machine, rita: User) -> None:
    submission.submit(rita, cast.embed("a", "b", chunk_size=1), utcnow())
    set_score(ada, 39)
    ada.node.refresh_from_db()
    assert dispatch.refill(ada.node, utcnow()) == 0
    set_score(ada, 40)
    ada.node.refresh_from_db()
    assert dispatch.refill(ada.node, utcnow()) == 1


def ban(node: Node, admin: User) -> Ban:
    return bans.make(bans.Order(node=node, **WORDS), admin, utcnow())


@pytest.mark.django_db
@pytest.mark.urls("meshwork.node_urls")
def test_a_banned_nodes_heartbeat_tells_it_and_all_else_is_refused(
    ada: cast.Machine, client: Client, rita: User, admin: User
) -> None:
    node = Speaker(ada, client)
    submission.submit(rita, cast.embed("a"), utcnow())
    [task] = ada.take(1, utcnow())
    _, raw = node.heartbeat()
    assert "banned" not in node.open(raw, "platform.heartbeat")
    made = ban(ada.node, admin)
    status, raw = node.heartbeat(running=[task.task_id])
    answer = node.open(raw, "platform.heartbeat")
    assert (status, answer["drain"]) == (200, True)
    assert answer["banned"] == {"ban": made.pk, "reason": "Forged results.", "ends_at": None}
    decoded = decode_body("platform.heartbeat", answer)
    assert isinstance(decoded, PlatformHeartbeat)
    envelope, sealed = ada.signed(task, b"{}", utcnow())
    before = rows()
    this = {"task": task.task_id, "attempt": task.attempt}
    for path, kind, body in (
        ("/claim", "task.claim", {"lane": cast.LANE, "max": 1}),
        (f"/tasks/{task.task_id}/started", "task.started", this),
        ("/handback", "task.handback", {**this, "reason": "full"}),
    ):
        got, problem = node.send(path, node.sign(kind, body))
        assert (got, problem["code"]) == (403, "node_banned")
        assert "Forged results." in problem["detail"]
        assert "Appeal" in problem["detail"]
    got, problem = node.send(f"/results/{task.task_id}", {"envelope": envelope.raw, "sealed": b64(sealed)})
    assert (got, problem["code"]) == (403, "node_banned")
    assert rows() == before
    assert Task.objects.get(pk=task.task_id).status == TaskStatus.CLAIMED


@pytest.mark.django_db
@pytest.mark.urls("meshwork.node_urls")
def test_a_banned_nodes_work_goes_to_others_and_a_lifted_ban_brings_it_back(
    ada: cast.Machine, bert: cast.Machine, client: Client, rita: User, admin: User
) -> None:
    node = Speaker(ada, client)
    Node.objects.filter(pk=ada.node.pk).update(self_test_passed_at=cast.NOW)
    submission.submit(rita, cast.embed("a"), utcnow())
    ada.take(1, utcnow())
    ada.node.refresh_from_db()
    made = ban(ada.node, admin)
    node_states.sweep_ended(utcnow())
    assert Task.objects.get().status == TaskStatus.PENDING
    assert ada.take(1, utcnow()) == []
    assert len(bert.take(1, utcnow() + timedelta(minutes=1))) == 1
    bans.lift(made, admin, "It was another machine.", utcnow())
    _, raw = node.heartbeat()
    assert "banned" not in node.open(raw, "platform.heartbeat")
    node_states.flush(presence.take_heartbeats(), utcnow())
    assert Node.objects.get(pk=ada.node.pk).status == NodeStatus.ONLINE
    submission.submit(rita, cast.embed("b"), utcnow())
    assert len(ada.take(1, utcnow())) == 1
    assert node.send("/claim", node.sign("task.claim", {"lane": cast.LANE, "max": 1}))[0] == 200


@pytest.mark.django_db(transaction=True)
async def test_a_ban_reaches_an_open_socket_which_then_closes_and_stays_refused(
    ada: cast.Machine, client: Any, admin: User
) -> None:
    node = Speaker(ada, client)
    socket = await greet(node)
    made = await sync_to_async(ban)(ada.node, admin)
    told = node.open(await socket.receive_json_from(5), "control.banned")
    assert told == {"ban": made.pk, "reason": "Forged results.", "ends_at": None}
    assert (await socket.receive_json_from(5))["type"] == "refused"
    again: WebsocketCommunicator
    again, challenge = await dial()
    await again.send_json_to(node.sign("node.hello", hello(challenge)))
    answer = await again.receive_json_from(5)
    assert (answer["type"], answer["code"]) == ("refused", "node_banned")
    await sync_to_async(bans.lift)(made, admin, "Settled.", utcnow())
    await (await greet(node)).disconnect()


@pytest.mark.django_db(transaction=True)
def test_results_and_heartbeats_of_the_same_nodes_never_lock_each_other_out(
    ada: cast.Machine, bert: cast.Machine, rita: User
) -> None:
    submission.submit(rita, cast.embed(*"abcdefghijkl", chunk_size=1), utcnow())

    def work(machine: cast.Machine) -> int:
        try:
            return machine.work(utcnow())
        finally:
            connections.close_all()

    def flush(n: int) -> None:
        """As the one dispatcher does it."""
        try:
            ms = unix_ms(utcnow()) + n
            beats = {
                machine.node.pk: presence.Heard(at=ms, sent_at=ms, load=1, slots={cast.LANE: 2}, memory_free_mb=1)
                for machine in ((ada, bert) if n % 2 else (bert, ada))
            }
            node_states.flush(beats, utcnow())
        finally:
            connections.close_all()

    with ThreadPoolExecutor(3) as pool:
        working = [pool.submit(work, machine) for machine in (ada, bert)]
        pool.submit(lambda: [flush(n) for n in range(60)]).result()
        assert sum(one.result() for one in working) == 12
    assert score(ada) + score(bert) == 100 + 12 * 2


@pytest.mark.django_db(transaction=True)
def test_bans_of_many_nodes_stand_beside_heartbeats_of_the_same_nodes(ada: cast.Machine, admin: User) -> None:
    owner = ada.node.operator
    crew = [ada, *(cast.machine(f"n{n}", owner) for n in range(5))]

    def beats(n: int) -> None:
        try:
            ms = unix_ms(utcnow()) + n
            order = crew[::-1] if n % 2 else crew
            heard = presence.Heard(at=ms, sent_at=ms, load=1, slots={}, memory_free_mb=1)
            node_states.flush({machine.node.pk: heard for machine in order}, utcnow())
        except OperationalError:
            pass  # The dispatcher's next round does it.
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        beating = pool.submit(lambda: [beats(n) for n in range(80)])
        for _ in range(6):
            made = bans.make(bans.Order(user=owner.user, **WORDS), admin, utcnow())
            assert {node.status for node in Node.objects.all()} == {NodeStatus.SUSPENDED}
            bans.lift(made, admin, "Settled.", utcnow())
            assert NodeStatus.SUSPENDED not in {node.status for node in Node.objects.all()}
        beating.result()
