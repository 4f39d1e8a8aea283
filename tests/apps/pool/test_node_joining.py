"""Joining: with a token, a proof of possession and a proof of work, or not at all."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from redis import Redis

from apps.core import platform_keys
from apps.core.models import Parameter
from apps.operators import enrolment
from apps.operators.models import EnrolmentToken, Node, NodeStatus, Operator, Stake
from apps.pool import broker
from apps.pool.models import UsedMessage
from tests.apps.pool import cast
from tests.apps.pool.node_link import Speaker, rows, stranger, tamper
from workers.node import identity, join
from workers.node.probe import probe as machine_probe
from workers.protocol import pow as proof_of_work
from workers.protocol.clock import utcnow
from workers.protocol.keys import SealingKey, SigningKey, b64

pytestmark = [pytest.mark.urls("meshwork.node_urls"), pytest.mark.django_db]
PROBE = {"gpu_type": "cpu", "memory_mb": 8000, "frameworks": ["numba", "numpy", "onnxruntime"], "slots": 3}


@pytest.fixture(autouse=True)
def services(platform_redis: Redis, nodes_broker: Redis) -> None:
    """Both empty, and work that is quickly proven."""


@pytest.fixture
def owner(db: None) -> Operator:
    Parameter.objects.create(name="operators.pow_zeros", value=1, changed_at=utcnow())
    found = cast.operator("olga")
    Stake.objects.create(id=uuid4(), operator=found, amount=1, locked_at=utcnow())
    return found


@pytest.fixture
def token(owner: Operator) -> str:
    return enrolment.issue_token(owner, "box", utcnow())


class Newcomer:
    """A machine that wants to join; every part of what it says can be made wrong."""

    def __init__(self, client: Client, signing: SigningKey | None = None) -> None:
        self.client = client
        self.signing, self.sealing = signing or SigningKey.generate(), SealingKey.generate()

    def post(self, path: str, body: Any) -> tuple[int, dict[str, Any]]:
        response = self.client.post(path, body, content_type="application/json")
        return response.status_code, response.json()

    def body(self, token: str, **changes: Any) -> dict[str, Any]:
        challenge = changes.pop("challenge", None) or self.post("/challenge", {"token": token})[1]["challenge"]
        return {
            "token": token,
            "name": "box",
            "sign_public": b64(self.signing.public),
            "seal_public": b64(self.sealing.public),
            "probe": PROBE,
            "challenge": challenge,
            "nonce": proof_of_work.solve(challenge, b64(self.signing.public), 1),
            **changes,
        }

    def sign(self, body: dict[str, Any], **changes: Any) -> dict[str, Any]:
        machine = cast.Machine(Node(pk=self.signing.kid), self.signing, self.sealing)
        return Speaker(machine, self.client).sign(changes.pop("kind", "node.register"), body, **changes)

    def register(self, token: str, **changes: Any) -> tuple[int, dict[str, Any]]:
        return self.post("/register", self.sign(self.body(token, **changes)))


def test_a_machine_with_a_token_becomes_a_node(client: Client, token: str, nodes_broker: Redis) -> None:
    status, _ = Newcomer(client).register(token)
    node = Node.objects.get()
    assert status == 201
    assert node.status == NodeStatus.PENDING
    assert node.reason
    assert node.next_step
    assert node.lanes == {"inference.cpu": 3}
    assert EnrolmentToken.objects.get().used_at is not None
    account = nodes_broker.acl_getuser(broker.username(node.pk))
    assert account["passwords"] == [node.broker_sha256]


def test_what_a_real_machine_reports_is_kept_and_what_nobody_knows_is_not(client: Client, token: str) -> None:
    report = machine_probe(measure=False)
    status, _ = Newcomer(client).register(token, probe={**report, "slots": 3, "colour": "\x00"})
    assert status == 201
    assert Node.objects.get().probe == report


@pytest.mark.parametrize(
    "wrong",
    [
        {"memory_mb": "x"},
        {"memory_mb": 2**40},
        {"memory_mb": None},
        {"gflops": "x"},
        {"gflops": 2**31},
        {"frameworks": 5},
        {"frameworks": ["\x00"]},
        {"cpu_cores": []},
        {"gpu_memory_mb": "80000"},
        {"gpu_name": "\x00"},
        {"gpu_type": {"a": 1}},
        {"cuda_available": "yes"},
    ],
)
def test_a_report_that_nobody_can_compute_with_is_refused(client: Client, token: str, wrong: dict[str, Any]) -> None:
    before = rows()
    status, problem = Newcomer(client).register(token, probe={**PROBE, **wrong})
    assert (status, problem["code"]) == (400, "envelope_malformed")
    assert next(iter(wrong)) in problem["detail"]
    assert rows() == before


def test_the_answer_is_all_that_a_node_needs(client: Client, token: str, embedder: Any, tmp_path: Path) -> None:
    signing, _ = identity.load_or_make_keys(tmp_path)
    _, issued = Newcomer(client, signing).register(token)
    network = {
        "network": platform_keys.network_id(),
        "urls": {"site": "http://localhost"},
        "key_list": platform_keys.key_list(),
    }
    kept = join.keep(tmp_path, network, platform_keys.root_fingerprint(), issued, {})
    assert kept.node_id == Node.objects.get().pk
    assert kept.lanes == {"inference.cpu": 3}
    assert kept.gateway.endswith("/ws/node")
    with Redis.from_url(kept.broker.url, username=kept.broker.username, password=kept.broker.password) as redis:
        assert redis.ping()
        assert redis.brpop([f"{kept.broker.prefix}inference.cpu"], timeout=0.1) is None


def test_the_secret_is_nowhere_on_the_platform(client: Client, token: str, tmp_path: Path) -> None:
    signing, _ = identity.load_or_make_keys(tmp_path)
    newcomer = Newcomer(client, signing)
    _, issued = newcomer.register(token)
    body = Speaker(cast.Machine(Node(pk=signing.kid), signing, newcomer.sealing), client).open(
        issued, "platform.registered"
    )
    secret = body["broker"]["password"]
    node = Node.objects.get()
    assert node.broker_sha256 == broker.digest_of(secret)
    assert secret not in str(Node.objects.values().get())
    assert body["models"] == []
    assert body["parameters"] == {"heartbeat_s": 30}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "m1", "host": "192.168.1.20", "port": 9091, "gpu_type": "apple_metal", "gpu_cores": 32},
        {"name": "m1", "host": "192.168.1.20", "token": ""},
    ],
)
def test_registering_without_a_token_says_what_is_missing(client: Client, owner: Operator, body: Any) -> None:
    before = rows()
    for path in ("/register", "/api/v1/pool/register"):
        status, problem = Newcomer(client).post(path, body)
        assert (status, problem["code"]) == (401, "token_required")
        assert "mesh node join" in problem["detail"]
    assert rows() == before


def used(client: Client, token: str, owner: Operator) -> tuple[int, dict[str, Any]]:
    EnrolmentToken.objects.update(used_at=utcnow())
    return Newcomer(client).register(token, challenge="1.x")


def stale(client: Client, token: str, owner: Operator) -> tuple[int, dict[str, Any]]:
    newcomer = Newcomer(client)
    body = newcomer.body(token)
    EnrolmentToken.objects.update(expires_at=utcnow() - timedelta(seconds=1))
    return newcomer.post("/register", newcomer.sign(body))


def wrong_work(client: Client, token: str, owner: Operator) -> tuple[int, dict[str, Any]]:
    newcomer = Newcomer(client)
    body = newcomer.body(token)
    wrong = next(
        str(n) for n in range(1000) if not proof_of_work.check(body["challenge"], body["sign_public"], str(n), 1)
    )
    return newcomer.post("/register", newcomer.sign({**body, "nonce": wrong}))


def taken_key(client: Client, token: str, owner: Operator) -> tuple[int, dict[str, Any]]:
    held = cast.machine("ada")
    return Newcomer(client, held.signing).register(token)


def unstaked(client: Client, token: str, owner: Operator) -> tuple[int, dict[str, Any]]:
    newcomer = Newcomer(client)
    body = newcomer.body(token)
    Stake.objects.all().delete()
    return newcomer.post("/register", newcomer.sign(body))


def signed(**changes: Any) -> Callable[[Client, str, Operator], tuple[int, dict[str, Any]]]:
    def send(client: Client, token: str, owner: Operator) -> tuple[int, dict[str, Any]]:
        newcomer = Newcomer(client)
        extra = changes.get("extra", {})
        rest = {name: value for name, value in changes.items() if name != "extra"}
        return newcomer.post("/register", newcomer.sign({**newcomer.body(token), **extra}, **rest))

    return send


def forged(client: Client, token: str, owner: Operator) -> tuple[int, dict[str, Any]]:
    newcomer = Newcomer(client)
    raw = newcomer.sign(newcomer.body(token))
    return newcomer.post("/register", tamper(raw, lambda payload: payload["body"].update(name="other")))


REFUSED: dict[str, tuple[int, Callable[[Client, str, Operator], tuple[int, dict[str, Any]]]]] = {
    "token_invalid": (401, lambda c, t, o: Newcomer(c).register(f"{t[:-4]}ffff", challenge="1.x")),
    "token_used": (401, used),
    "token_expired": (401, stale),
    "challenge_invalid": (400, lambda c, t, o: Newcomer(c).register(t, challenge="1700000000000.abc")),
    "pow_invalid": (400, wrong_work),
    "key_in_use": (409, taken_key),
    "stake_missing": (409, unstaked),
    "bad_signature": (401, forged),
    "unknown_key": (404, lambda c, t, o: signed(key=stranger())(c, t, o)),
    "wrong_sender": (401, signed(sender="node_x")),
    "wrong_recipient": (403, signed(to="node_x")),
    "wrong_network": (403, signed(net="meshwork-mainnet")),
    "wrong_kind": (403, signed(kind="node.hello")),
    "unknown_field": (400, signed(extra={"more": 1})),
    "envelope_malformed": (400, signed(extra={"seal_public": "AAAA"})),
}


@pytest.mark.parametrize("code", REFUSED)
def test_a_refused_enrolment_changes_nothing(
    client: Client, token: str, owner: Operator, code: str, nodes_broker: Redis
) -> None:
    status, attempt = REFUSED[code]
    before, accounts = rows(), nodes_broker.acl_users()
    got, problem = attempt(client, token, owner)
    after = rows()
    if code in {"key_in_use", "stake_missing"}:  # what the scene itself added or removed
        keep = ("pool.", "ledger.")
        before, after = ({k: v for k, v in r.items() if k.startswith(keep)} for r in (before, after))
        assert Node.objects.filter(operator=owner).count() == 0
    assert (got, problem["code"]) == (status, code)
    assert after == before
    assert nodes_broker.acl_users() == accounts
    assert not UsedMessage.objects.exists()
    if code != "token_used":
        assert EnrolmentToken.objects.get().used_at is None


def test_a_token_is_good_for_one_machine(client: Client, token: str) -> None:
    one, two = Newcomer(client), Newcomer(client)
    first, second = one.sign(one.body(token)), two.sign(two.body(token))
    assert one.post("/register", first)[0] == 201
    before = rows()
    assert two.post("/register", second)[1]["code"] == "token_used"
    assert one.post("/register", first)[1]["code"] == "replayed"
    assert rows() == before


def test_a_challenge_needs_a_token_that_is_open(client: Client, token: str) -> None:
    newcomer = Newcomer(client)
    assert newcomer.post("/challenge", {})[1]["code"] == "token_required"
    assert newcomer.post("/challenge", {"token": "mwt_x_y"})[1]["code"] == "token_invalid"
    assert newcomer.post("/challenge", {"token": token})[0] == 200


def test_an_account_that_could_not_be_made_is_made_later(
    client: Client, token: str, nodes_broker: Redis, settings: Any
) -> None:
    from apps.pool import dispatch

    good = settings.NODES_REDIS_URL
    settings.NODES_REDIS_URL = "redis://127.0.0.1:1/0"
    broker.client.cache_clear()
    assert Newcomer(client).register(token)[0] == 201
    settings.NODES_REDIS_URL = good
    broker.client.cache_clear()
    node = Node.objects.get()
    assert broker.username(node.pk) not in nodes_broker.acl_users()
    assert dispatch.restore_accounts() == [node.pk]
    assert broker.username(node.pk) in nodes_broker.acl_users()
