"""Changing a node's keys: the old ones vouch, the new ones prove themselves, and the old ones are worth nothing."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connections
from django.test import Client
from redis import Redis
from redis.exceptions import AuthenticationError, RedisError

from apps.core import platform_keys
from apps.core.models import Event, User
from apps.operators import nodes
from apps.operators.models import Node, RetiredKey
from apps.pool import broker, submission
from apps.pool.models import Attempt, Task
from apps.pool.node_api.keys import directory
from tests.apps.pool import cast
from tests.apps.pool.node_link import Speaker, rows
from workers.protocol import rotation
from workers.protocol.clock import utcnow
from workers.protocol.keys import SealingKey, SigningKey, b64

pytestmark = [pytest.mark.urls("meshwork.node_urls"), pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def fresh(platform_redis: Redis, nodes_broker: Redis) -> None:
    directory.forget()


@pytest.fixture
def node(ada: cast.Machine, client: Client) -> Speaker:
    secret = broker.new_secret()
    broker.open_account(ada.node.pk, broker.digest_of(secret))
    Node.objects.filter(pk=ada.node.pk).update(broker_sha256=broker.digest_of(secret))
    return Speaker(ada, client)


def announced(node: Speaker, signing: SigningKey, sealing: SealingKey, **changes: Any) -> dict[str, Any]:
    by = changes.pop("by", signing)
    proof = by.sign(rotation.proof(platform_keys.network_id(), node.id, signing.public, sealing.public))
    return {"sign_public": b64(signing.public), "seal_public": b64(sealing.public), "proof": b64(proof), **changes}


def rotated(node: Speaker, signing: SigningKey, sealing: SealingKey, **changes: Any) -> tuple[int, dict[str, Any]]:
    return node.post("node.rotate", "/rotate", announced(node, signing, sealing, **changes))


def fresh_keys() -> tuple[SigningKey, SealingKey]:
    return SigningKey.generate(), SealingKey.generate()


def test_from_then_on_the_new_key_counts_and_the_old_one_is_refused_at_once(node: Speaker) -> None:
    old, (signing, sealing) = node.machine.signing, fresh_keys()
    status, raw = rotated(node, signing, sealing)
    assert status == 200
    told = node.open(raw, "platform.rotated")
    assert told["node_id"] == node.id
    for kind, path, body in (
        ("node.heartbeat", "/heartbeat", node.beat()),
        ("task.claim", "/claim?wait=0", {"lane": cast.LANE, "max": 1}),
    ):
        assert node.post(kind, path, body)[1]["code"] == "key_retired"
        assert node.post(kind, path, body, key=signing)[0] == 200
    assert RetiredKey.objects.get().kid == old.kid
    event = Event.objects.get(kind="node.keys_rotated")
    assert (event.data["old"], event.data["new"]) == (old.kid, signing.kid)


def test_a_process_that_knew_the_old_key_refuses_its_work_too(node: Speaker, rita: User) -> None:
    submission.submit(rita, cast.embed("a", chunk_size=1), utcnow())
    [task] = node.machine.take(1, utcnow())
    posted = node.result(task)
    directory.resolve(node.machine.signing.kid)
    signing, sealing = fresh_keys()
    # As in another process: what this one keeps of keys is not told to forget.
    forget, directory.forget = directory.forget, lambda: None  # type: ignore[method-assign]
    try:
        assert rotated(node, signing, sealing)[0] == 200
        assert node.send(f"/results/{task.task_id}", posted)[1]["code"] == "key_retired"
    finally:
        directory.forget = forget  # type: ignore[method-assign]


def test_the_brokers_old_secret_and_its_connections_are_worth_nothing(node: Speaker) -> None:
    first = broker.account(node.id, broker.new_secret())
    broker.open_account(node.id, broker.digest_of(first.password))
    reader = Redis.from_url(first.url, username=first.username, password=first.password)
    assert reader.ping()
    account = node.open(rotated(node, *fresh_keys())[1], "platform.rotated")["broker"]
    with pytest.raises((AuthenticationError, RedisError)):
        reader.ping()
    assert Redis.from_url(account["url"], username=account["username"], password=account["password"]).ping()
    assert Node.objects.get(pk=node.id).broker_sha256 == broker.digest_of(account["password"])


def test_what_the_node_held_goes_to_others_and_counts_for_nobody(node: Speaker, rita: User) -> None:
    submission.submit(rita, cast.embed("a", chunk_size=1), utcnow())
    [task] = node.machine.take(1, utcnow())
    rotated(node, *fresh_keys())
    waiting = Task.objects.get(pk=task.task_id)
    assert (waiting.status, waiting.failures) == ("PENDING", 0)
    assert Attempt.objects.get(task=waiting).counted is False


def test_asking_again_with_the_new_key_only_renews_the_secret(node: Speaker) -> None:
    signing, sealing = fresh_keys()
    first = node.open(rotated(node, signing, sealing)[1], "platform.rotated")["broker"]
    body = announced(node, signing, sealing)
    status, raw = node.post("node.rotate", "/rotate", body, key=signing)
    assert status == 200
    assert node.open(raw, "platform.rotated")["broker"]["password"] != first["password"]
    assert RetiredKey.objects.count() == 1


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"by": SigningKey.generate()}, "rotation_refused"),
        ({"proof": b64(b"x" * 64)}, "rotation_refused"),
        ({"seal_public": b64(SealingKey.generate().public)}, "rotation_refused"),
        ({"sign_public": b64(b"short")}, "envelope_malformed"),
        ({"seal_public": b64(bytes(32))}, "envelope_malformed"),
        ({"more": "x"}, "unknown_field"),
    ],
)
def test_keys_that_do_not_prove_themselves_change_nothing(node: Speaker, change: dict[str, Any], code: str) -> None:
    before = rows(), Node.objects.get(pk=node.id).kid
    assert rotated(node, *fresh_keys(), **change)[1]["code"] == code
    assert (rows(), Node.objects.get(pk=node.id).kid) == before


def test_keys_that_some_node_has_or_had_are_refused(node: Speaker, bert: cast.Machine) -> None:
    assert rotated(node, bert.signing, SealingKey.generate())[1]["code"] == "key_in_use"
    assert rotated(node, SigningKey.generate(), bert.sealing)[1]["code"] == "key_in_use"
    old, (signing, sealing) = node.machine.signing, fresh_keys()
    rotated(node, signing, sealing)
    back = node.post("node.rotate", "/rotate", announced(node, old, SealingKey.generate()), key=signing)
    assert back[1]["code"] == "key_in_use"


def test_a_node_that_has_ended_keeps_its_keys(node: Speaker) -> None:
    nodes.suspend(Node.objects.get(pk=node.id), reason="A fault.", now=utcnow())
    directory.forget()
    assert rotated(node, *fresh_keys())[1]["code"] == "node_ended"
    nodes.revoke(Node.objects.get(pk=node.id), reason="Sold.", now=utcnow())
    directory.forget()
    assert rotated(node, *fresh_keys())[1]["code"] == "node_revoked"


def test_a_broker_that_is_away_leaves_everything_as_it_was(node: Speaker, monkeypatch: pytest.MonkeyPatch) -> None:
    away = Redis.from_url("redis://127.0.0.1:1/0", socket_connect_timeout=1)
    monkeypatch.setattr(broker, "client", lambda: away)
    kid = node.machine.signing.kid
    status, answer = rotated(node, *fresh_keys())
    assert (status, answer["code"]) == (503, "unavailable")
    assert Node.objects.get(pk=node.id).kid == kid
    assert not RetiredKey.objects.exists()


def test_two_rotations_at_once_leave_one_pair_of_keys(node: Speaker) -> None:
    pairs = [fresh_keys(), fresh_keys()]

    def one(keys: tuple[SigningKey, SealingKey]) -> int:
        try:
            return rotated(Speaker(node.machine, Client()), *keys)[0]
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        answers = sorted(pool.map(one, pairs))
    assert answers == [200, 401]
    assert Node.objects.get(pk=node.id).kid in {signing.kid for signing, _ in pairs}
    assert RetiredKey.objects.count() == 1
