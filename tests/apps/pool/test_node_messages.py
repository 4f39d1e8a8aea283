"""What nodes send is refused with its code unless everything about it is right, and then nothing has changed."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from redis import Redis

from apps.core.models import User
from apps.ledger import accounts
from apps.operators.models import Node, NodeStatus
from apps.pool import presence, submission
from apps.pool.models import Task, TaskStatus, UsedMessage
from apps.pool.node_api.keys import directory
from tests.apps.pool import cast
from tests.apps.pool.node_link import Speaker, rows, stranger, tamper
from workers.protocol.clock import unix_ms, utcnow
from workers.protocol.ids import new_id

pytestmark = [pytest.mark.urls("meshwork.node_urls"), pytest.mark.django_db]
Wrong = Callable[[Speaker, str, dict[str, Any]], Any]


def altered(raw: dict[str, Any]) -> dict[str, Any]:
    return tamper(raw, lambda payload: payload["body"].update(load=99))


def aged(seconds: int) -> dict[str, Any]:
    return {"now": utcnow() + timedelta(seconds=seconds)}


WRONG: dict[str, tuple[int, Wrong]] = {
    "bad_signature": (401, lambda n, kind, body: altered(n.sign(kind, body))),
    "unknown_key": (404, lambda n, kind, body: n.sign(kind, body, key=stranger())),
    "wrong_sender": (401, lambda n, kind, body: n.sign(kind, body, sender="node_somebodyelse")),
    "wrong_recipient": (403, lambda n, kind, body: n.sign(kind, body, to="node_somebodyelse")),
    "wrong_network": (403, lambda n, kind, body: n.sign(kind, body, net="meshwork-mainnet")),
    "wrong_kind": (403, lambda n, kind, body: n.sign("node.hello", body)),
    "expired": (401, lambda n, kind, body: n.sign(kind, body, **aged(-400))),
    "not_yet_valid": (401, lambda n, kind, body: n.sign(kind, body, **aged(60))),
    "unknown_field": (400, lambda n, kind, body: n.sign(kind, {**body, "extra": 1})),
    "signature_required": (401, lambda n, kind, body: {"node_id": n.id, "load": 0.2}),
    "envelope_malformed": (400, lambda n, kind, body: {**n.sign(kind, body), "more": 1}),
    "body_malformed": (400, lambda n, kind, body: "not json"),
    "body_too_large": (413, lambda n, kind, body: {"payload": "A" * 70_000, "signatures": [], "payloadType": ""}),
}


@pytest.fixture(autouse=True)
def fresh(platform_redis: Redis, nodes_broker: Redis) -> None:
    directory.forget()


@pytest.fixture
def node(ada: cast.Machine, client: Client) -> Speaker:
    return Speaker(ada, client)


@pytest.fixture
def other(bert: cast.Machine, client: Client) -> Speaker:
    return Speaker(bert, client)


@pytest.fixture
def held(node: Speaker, rita: User) -> cast.Assignment:
    """One task of Rita's in the hands of the node."""
    submission.submit(rita, cast.embed("a", "b", chunk_size=2), utcnow())
    return node.machine.take(now=utcnow())[0]


ADDRESSES = ("heartbeat", "claim", "started", "handback")


def message(address: str, node: Speaker, task: cast.Assignment) -> tuple[str, str, dict[str, Any]]:
    """The right message for an address: path, kind, body."""
    this = {"task": task.task_id, "attempt": task.attempt}
    return {
        "heartbeat": ("/heartbeat", "node.heartbeat", node.beat()),
        "claim": ("/claim", "task.claim", {"lane": cast.LANE, "max": 1}),
        "started": (f"/tasks/{task.task_id}/started", "task.started", this),
        "handback": ("/handback", "task.handback", {**this, "reason": "full"}),
    }[address]


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("code", WRONG)
def test_a_wrong_message_is_refused_with_its_code_and_changes_nothing(
    node: Speaker, held: cast.Assignment, address: str, code: str, platform_redis: Redis
) -> None:
    path, kind, body = message(address, node, held)
    status, make = WRONG[code]
    wrong = make(node, kind, body)
    before, state = rows(), Task.objects.values().get(pk=held.task_id)
    for mount in ("", "/api/v1/pool"):
        got, problem = node.send(mount + path, wrong)
        assert (got, problem["code"]) == (status, code)
        assert problem["status"] == status
        assert problem["detail"]
    assert rows() == before
    assert Task.objects.values().get(pk=held.task_id) == state
    assert not UsedMessage.objects.exists()
    assert not platform_redis.exists(presence.BEATS)


@pytest.mark.parametrize("address", ["claim", "started", "handback", "heartbeat"])
def test_a_message_counts_once(node: Speaker, held: cast.Assignment, address: str) -> None:
    path, kind, body = message(address, node, held)
    envelope = node.sign(kind, body)
    assert node.send(path, envelope)[0] == 200
    before, state = rows(), Task.objects.values().get(pk=held.task_id)
    status, problem = node.send(path, envelope)
    assert (status, problem["code"]) == (409, "replayed")
    assert rows() == before
    assert Task.objects.values().get(pk=held.task_id) == state


RESULTS_WRONG: dict[str, tuple[int, Callable[[Speaker, cast.Assignment], Any]]] = {
    "bad_signature": (
        401,
        lambda n, t: {
            **(r := n.result(t)),
            "envelope": tamper(r["envelope"], lambda p: p["body"].update(duration_ms=1)),
        },
    ),
    "unknown_key": (404, lambda n, t: n.result(t, key=stranger())),
    "wrong_sender": (401, lambda n, t: n.result(t, sender="node_somebodyelse")),
    "wrong_recipient": (403, lambda n, t: n.result(t, to="node_x")),
    "wrong_network": (403, lambda n, t: n.result(t, net="meshwork-mainnet")),
    "wrong_kind": (403, lambda n, t: n.result(t, kind="task.started")),
    "expired": (401, lambda n, t: n.result(t, **aged(-400))),
    "not_yet_valid": (401, lambda n, t: n.result(t, **aged(60))),
    "unknown_field": (400, lambda n, t: n.result(t, body={"more": 1})),
    "task_mismatch": (400, lambda n, t: n.result(t, body={"task": new_id("tsk", utcnow())})),
    "not_assigned": (404, lambda n, t: n.result(t, body={"attempt": 7})),
    "result_refused": (422, lambda n, t: {**n.result(t), "sealed": "AAAA"}),
    "body_malformed": (400, lambda n, t: {"sealed": ""}),
    "body_too_large": (413, lambda n, t: {"envelope": {}, "sealed": "A" * (33 * 2**20)}),
}


@pytest.mark.parametrize("code", RESULTS_WRONG)
def test_a_wrong_result_is_refused_with_its_code_and_nobody_is_paid(
    node: Speaker, held: cast.Assignment, code: str
) -> None:
    status, make = RESULTS_WRONG[code]
    wrong = make(node, held)
    before, state = rows(), Task.objects.values().get(pk=held.task_id)
    got, problem = node.send(f"/results/{held.task_id}", wrong)
    assert (got, problem["code"]) == (status, code)
    assert rows() == before
    assert Task.objects.values().get(pk=held.task_id) == state


def test_another_nodes_result_for_ones_task_is_refused(node: Speaker, other: Speaker, held: cast.Assignment) -> None:
    plain = node.machine.compute(held, utcnow())
    before = rows()
    status, problem = other.send(f"/results/{held.task_id}", other.result(held, plain))
    assert (status, problem["code"]) == (404, "not_assigned")
    assert rows() == before


def test_a_result_is_paid_once_however_often_it_is_posted(node: Speaker, held: cast.Assignment) -> None:
    owner = node.machine.node.operator.user
    posted = node.result(held)
    assert node.send(f"/results/{held.task_id}", posted) == (200, {"status": "completed"})
    paid, before = accounts.balance(owner), rows()
    assert paid > 0
    assert node.send(f"/results/{held.task_id}", posted) == (200, {"status": "duplicate"})
    assert node.send(f"/results/{held.task_id}", node.result(held)) == (200, {"status": "duplicate"})
    assert accounts.balance(owner) == paid
    assert rows() == before


def test_a_late_result_is_superseded_and_changes_nothing(node: Speaker, other: Speaker, held: cast.Assignment) -> None:
    from apps.pool import leases

    posted = node.result(held)
    leases.release_node(node.id, "It was silent.", utcnow())
    again = other.machine.take(now=utcnow())[0]
    assert again.task_id == held.task_id
    before = rows()
    assert node.send(f"/results/{held.task_id}", posted) == (200, {"status": "superseded"})
    assert rows() == before
    assert Task.objects.get(pk=held.task_id).node_id == other.id
    assert other.send(f"/results/{held.task_id}", other.result(again)) == (200, {"status": "completed"})


def test_a_batch_takes_each_result_for_itself(node: Speaker, rita: User) -> None:
    submission.submit(rita, cast.embed("a", "b", chunk_size=1), utcnow())
    one, two = node.machine.take(2, now=utcnow())
    batch = [node.result(one), node.result(two, to="node_x"), {"sealed": ""}, node.result(two)]
    status, answer = node.send("/results", {"results": batch})
    assert status == 200
    assert [entry.get("status") or entry["code"] for entry in answer["results"]] == [
        "completed",
        "wrong_recipient",
        "body_malformed",
        "completed",
    ]
    assert Task.objects.filter(status=TaskStatus.COMPLETED).count() == 2


@pytest.mark.parametrize("batch", [[], {}, None, [{}] * 101])
def test_a_batch_has_one_to_a_hundred_results(node: Speaker, batch: Any) -> None:
    assert node.send("/results", {"results": batch})[1]["code"] == "body_malformed"


def test_a_heartbeat_is_answered_by_the_platform_for_this_node(node: Speaker) -> None:
    status, raw = node.heartbeat()
    answer = node.open(raw, "platform.heartbeat")
    assert status == 200
    assert abs(answer["time"] - unix_ms(utcnow())) < 5000
    assert answer["cancel"] == []
    assert answer["drain"] is False
    assert answer["key_list_version"] == 1
    assert answer["heartbeat_s"] == 30


def test_a_heartbeat_extends_the_lease_and_names_what_was_taken_away(node: Speaker, held: cast.Assignment) -> None:
    before = Task.objects.get(pk=held.task_id).lease_expires_at
    gone = new_id("tsk", utcnow())
    _, raw = node.heartbeat(running=[held.task_id, gone])
    assert node.open(raw, "platform.heartbeat")["cancel"] == [gone]
    after = Task.objects.get(pk=held.task_id).lease_expires_at
    assert before is not None
    assert after is not None
    assert after > before


def test_a_drained_node_is_told_so(node: Speaker) -> None:
    node.machine.node.move(NodeStatus.DRAINING, "Maintenance.", "Wait.", utcnow())
    directory.forget()
    assert node.open(node.heartbeat()[1], "platform.heartbeat")["drain"] is True


def test_a_revoked_node_is_refused_everywhere(node: Speaker, held: cast.Assignment) -> None:
    posted = node.result(held)
    assert node.heartbeat()[0] == 200
    Node.objects.filter(pk=node.id).update(status=NodeStatus.REVOKED, reason="Gone.", revoked_at=utcnow())
    directory.forget()
    before = rows()
    for address in ADDRESSES:
        path, kind, body = message(address, node, held)
        status, problem = node.post(kind, path, body)
        assert (status, problem["code"]) == (403, "node_revoked")
    assert node.send(f"/results/{held.task_id}", posted)[1]["code"] == "node_revoked"
    assert rows() == before
    assert not UsedMessage.objects.exists()


def test_a_claim_gets_work_that_only_this_node_can_open(node: Speaker, rita: User) -> None:
    submission.submit(rita, cast.embed("a", "b", "c", chunk_size=1), utcnow())
    status, answer = node.post("task.claim", "/claim?wait=0", {"lane": cast.LANE, "max": 5})
    assert status == 200
    bodies = [node.open(raw, "task.run") for raw in answer["tasks"]]
    assert len(bodies) == 2, "no more than the lane's slots"
    assert {body["lane"] for body in bodies} == {cast.LANE}
    assert Node.objects.get(pk=node.id).transport == Node.Transport.HTTP


def test_a_claim_waits_for_work_no_longer_than_it_says(node: Speaker) -> None:
    start = utcnow()
    status, answer = node.post("task.claim", "/claim?wait=1.2", {"lane": cast.LANE, "max": 1})
    assert (status, answer) == (200, {"tasks": []})
    assert 1.0 < (utcnow() - start).total_seconds() < 4


def test_a_suspended_node_gets_no_work(node: Speaker, rita: User) -> None:
    submission.submit(rita, cast.embed("a", chunk_size=1), utcnow())
    Node.objects.filter(pk=node.id).update(status=NodeStatus.SUSPENDED, reason="Slashed.")
    before = rows()
    assert node.post("task.claim", "/claim", {"lane": cast.LANE, "max": 1})[1]["code"] == "node_suspended"
    assert rows() == before


def test_starting_and_handing_back(node: Speaker, held: cast.Assignment) -> None:
    this = {"task": held.task_id, "attempt": held.attempt}
    path = f"/tasks/{held.task_id}/started"
    assert node.post("task.started", path, this) == (200, {"status": "running"})
    assert Task.objects.get(pk=held.task_id).status == TaskStatus.RUNNING
    assert node.post("task.handback", "/handback", {**this, "reason": "stopping"}) == (200, {"status": "pending"})
    assert Task.objects.get(pk=held.task_id).status == TaskStatus.PENDING
    assert node.post("task.started", path, this) == (200, {"status": "superseded"})
    assert node.post("task.handback", "/handback", {**this, "reason": "x"}) == (200, {"status": "superseded"})


def test_text_that_no_column_can_hold_is_refused_or_left_out(
    node: Speaker, held: cast.Assignment, platform_redis: Redis
) -> None:
    before = rows()
    status, problem = node.post("task.claim", "/claim", {"lane": "\u0000", "max": 1})
    assert (status, problem["code"]) == (400, "body_malformed")
    this = {"task": held.task_id, "attempt": held.attempt, "reason": "\u0000"}
    assert node.post("task.handback", "/handback", this)[1]["code"] == "body_malformed"
    assert node.client.get("/nodes/%00").status_code == 400
    assert rows() == before
    assert node.heartbeat(running=["\u0000"], models=["\u0000", "m"], slots={"\u0000": 1})[0] == 200
    heard = presence.take_heartbeats()[node.id]
    assert (heard.running, heard.models, heard.slots) == ([], ["m"], {})
