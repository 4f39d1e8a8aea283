"""Who may do what at the node API: every address and method, asked by everybody, answers as the table here says."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.urls import URLResolver, get_resolver
from redis import Redis

from apps.core import parameters
from apps.core.models import Parameter, User
from apps.ledger import accounts
from apps.operators import enrolment
from apps.operators.authentication import make_key
from apps.operators.models import Node, NodeStatus, Scope
from apps.pool import submission
from apps.pool.node_api.keys import directory
from apps.trading import rounds
from apps.trading.models import Round, ScanRun, ScanTarget
from tests.apps.pool import cast
from tests.apps.pool.conftest import clean
from tests.apps.pool.node_link import Speaker, stranger
from tests.apps.pool.test_node_joining import Newcomer
from tests.apps.pool.test_node_rotation import announced, fresh_keys
from tests.apps.trading import oracles, scan_cast
from workers.protocol.clock import unix_ms, utcnow

__all__ = ["clean"]
URLS = "meshwork.node_urls"
pytestmark = [pytest.mark.urls(URLS), pytest.mark.django_db]
MOUNT = "api/v1/pool/"
# People bring an API key; operators sign with their node. "suspended" is a node of the operator's that is kept out.
EVERYBODY = frozenset({"visitor", "requester", "operator", "other", "staff", "suspended"})
KEYS = frozenset({"requester", "operator", "other", "staff"})
NODES = frozenset({"operator", "other"})
REQUESTER, OPERATOR = frozenset({"requester"}), frozenset({"operator"})
ALLOWED = {
    ("get", EVERYBODY): ".well-known/meshwork health status nodes nodes/<str:node_id> tasks",
    # With the operator's enrolment token; the others have none.
    ("post", OPERATOR): """
        challenge register tasks/<str:task_id>/started handback results results/<str:task_id>
        consensus/<str:round_id> consensus/<str:round_id>/prediction scans
    """,
    ("post", NODES): "claim rotate",
    # A node that is kept out may still say that it is there, and hears why it gets nothing.
    ("post", NODES | {"suspended"}): "heartbeat",
    ("post", KEYS): "dispatch",
    ("get", REQUESTER): "results/<str:task_id>",
}
REFUSED = {401, 403, 404}


@dataclass
class Stage:
    """Who asks, with what; and what the operator's node has to do."""

    keys: dict[str, str]
    nodes: dict[str, Speaker]
    task: cast.Assignment
    row: Round
    scan: ScanRun
    token: str

    def speaker(self, who: str) -> Speaker:
        """The node of whoever asks; people without one claim to be the operator's."""
        if who in self.nodes:
            return self.nodes[who]
        return Speaker(cast.Machine(self.task_node, stranger(), self.nodes["operator"].machine.sealing), Client())

    @property
    def task_node(self) -> Node:
        return self.nodes["operator"].machine.node

    def path(self, pattern: str) -> str:
        values = {"node_id": self.task_node.pk, "task_id": self.task.task_id, "round_id": self.row.pk}
        for name, value in values.items():
            pattern = pattern.replace(f"<str:{name}>", value)
        return f"/{pattern}"


@pytest.fixture
def stage(clean: None, platform_redis: Redis, nodes_broker: Redis) -> Iterator[Stage]:
    directory.forget()
    rounds.committee_of.cache_clear()
    Parameter.objects.create(name="operators.pow_zeros", value=1, changed_at=utcnow())
    parameters.forget_cached()
    cast.publish()
    rita, staff = cast.requester("rita"), cast.user("stella", is_staff=True, is_superuser=True)
    seated = [oracles.oracle(name) for name in ("olga", "bert", "cleo", "dora")]
    row = rounds.start(None, oracles.SUBJECT, oracles.measurements(), utcnow())
    olga, otto = seated[0], cast.machine("otto")
    kept_out = cast.machine("olga-2", olga.node.operator, status=NodeStatus.SUSPENDED, reason="It lied.")
    for machine in (*seated[1:], otto):
        Node.objects.filter(pk=machine.node.pk).update(reputation=10)
    submission.submit(rita, cast.embed("a", "b", chunk_size=2), utcnow())
    target = ScanTarget.objects.create(host=scan_cast.HOST, category="exchange", pairs=["BTC-USD"])
    now = utcnow()
    scan = ScanRun.objects.create(id="scn_1", target=target, node=olga.node, method="udp", due_at=now, cycle_at=now)
    speaking = {"operator": olga, "other": otto, "suspended": kept_out}
    people = {"requester": rita, "operator": olga.node.operator.user, "other": otto.node.operator.user, "staff": staff}
    for person in people.values():
        cast.fund(accounts.wallet(person), cast.MESH)
    yield Stage(
        keys={who: make_key(user, "k", list(Scope.values), utcnow())[1] for who, user in people.items()},
        nodes={who: Speaker(machine, Client()) for who, machine in speaking.items()},
        task=olga.take(now=utcnow())[0],
        row=row,
        scan=scan,
        token=enrolment.issue_token(olga.node.operator, "box", utcnow()),
    )
    rounds.committee_of.cache_clear()


def addresses(prefix: str) -> set[str]:
    """The patterns that begin so, without it."""

    def walk(resolver: Any, before: str = "") -> Iterator[str]:
        for entry in resolver.url_patterns:
            here = before + str(entry.pattern)
            yield from walk(entry, here) if isinstance(entry, URLResolver) else [here]

    found = set(walk(get_resolver(URLS)))
    inside = {one.removeprefix(MOUNT) for one in found if one.startswith(MOUNT)}
    return inside if prefix else {one for one in found if not one.startswith(MOUNT)}


def message(stage: Stage, pattern: str, who: str) -> Any:
    """The right message for an address, signed by whoever asks."""
    node, task, row = stage.speaker(who), stage.task, stage.row
    this = {"task": task.task_id, "attempt": task.attempt}
    newcomer = Newcomer(Client())
    result = partial(stage.nodes["operator"].result, task, key=node.machine.signing, sender=node.id)
    asked: dict[str, Callable[[], Any]] = {
        "challenge": lambda: {"token": stage.token if who == "operator" else "tok_of_nobody"},
        "register": lambda: newcomer.sign(
            newcomer.body(stage.token) if who == "operator" else newcomer.body("x", challenge="x")
        ),
        "rotate": lambda: node.sign("node.rotate", announced(node, *fresh_keys())),
        "heartbeat": lambda: node.sign("node.heartbeat", node.beat()),
        "dispatch": lambda: {"task_type": "embed", "data": {"model": cast.EMBEDDER, "inputs": ["a"]}},
        "claim": lambda: node.sign("task.claim", {"lane": cast.LANE, "max": 1}),
        "tasks/<str:task_id>/started": lambda: node.sign("task.started", this),
        "handback": lambda: node.sign("task.handback", {**this, "reason": "full"}),
        "results": lambda: {"results": [result()]},
        "results/<str:task_id>": result,
        "consensus/<str:round_id>": lambda: node.sign("consensus.messages", {"round": row.pk, "messages": []}),
        "consensus/<str:round_id>/prediction": lambda: node.sign("consensus.prediction", prediction(row)),
        "scans": lambda: node.sign("scan.result", scan_cast.result_body(stage.scan.pk, utcnow())),
    }
    return asked[pattern]()


def prediction(row: Round) -> dict[str, Any]:
    """What an oracle says of the round's symbol."""
    said = {"symbol": "BTC-USD", "action": "BUY", "confidence_bp": 5600, "price": "1070000000000", "horizon_s": 900}
    model = {"features_sha256": "ab" * 32, "model": "msrr", "version": "1", "reasoning": "score 0.1"}
    moment = {"target_price": None, "stop_loss": None, "market_at": unix_ms(utcnow())}
    return {"round": row.pk, **said, **model, **moment}


def asked(stage: Stage, method: str, pattern: str, who: str) -> tuple[int, bool]:
    """The status, and whether this one was let in; nothing of it stays."""
    key = stage.keys.get(who)
    client = Client(raise_request_exception=False, headers={"Authorization": f"Bearer {key}"} if key else {})
    point = transaction.savepoint()
    if method == "get":
        answer = client.get(stage.path(pattern))
    else:
        text = json.dumps(message(stage, pattern, who))
        answer = client.post(stage.path(pattern), text, content_type="application/json")
    transaction.savepoint_rollback(point)
    directory.forget()
    said = answer.json() if answer.content else {}
    outcome = said["results"][0] if pattern == "results" and "results" in said else said
    taken = outcome.get("status") != "superseded" and "code" not in outcome
    return answer.status_code, answer.status_code not in REFUSED and (method == "get" or taken)


def test_every_address_and_method_is_in_the_table_at_both_mounts() -> None:
    known: dict[str, set[str]] = {}
    for (method, _), patterns in ALLOWED.items():
        for pattern in patterns.split():
            known.setdefault(pattern, set()).add(method.upper())
    assert addresses("") == set(known)
    assert addresses(MOUNT) == set(known) - {".well-known/meshwork"}
    for pattern, methods in known.items():
        answer = Client().delete("/" + pattern.replace("<str:", "").replace(">", ""))
        if pattern != ".well-known/meshwork":
            assert set(answer["Allow"].split(", ")) - {"HEAD"} == methods, pattern


def test_people_and_nodes_are_let_in_where_the_table_says_and_nowhere_else(stage: Stage) -> None:
    wrong = {}
    for (method, allowed), patterns in ALLOWED.items():
        for pattern in patterns.split():
            for who in sorted(EVERYBODY):
                status, inside = asked(stage, method, pattern, who)
                if inside != (who in allowed) or status >= 500:
                    wrong[f"{who}: {method} {pattern}"] = status
    assert wrong == {}


def test_a_session_of_the_site_opens_nothing_here(stage: Stage) -> None:
    client = Client()
    client.force_login(User.objects.get(email="rita@example.org"))
    assert client.get(stage.path("results/<str:task_id>")).status_code == 401
