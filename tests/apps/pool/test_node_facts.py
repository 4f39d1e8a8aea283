"""What the node API tells anybody, and the compute pool's own way to ask for work."""

from typing import Any

import pytest
from django.test import Client
from redis import Redis

from apps.core.models import User
from apps.operators.authentication import make_key
from apps.operators.models import Node, NodeStatus, Scope
from apps.pool import submission
from apps.pool.models import Job
from tests.apps.pool import cast
from tests.apps.pool.node_link import Speaker, rows
from workers.protocol.clock import utcnow

pytestmark = [pytest.mark.urls("meshwork.node_urls"), pytest.mark.django_db]
BODY = {"task_type": "embed", "data": {"model": cast.EMBEDDER, "inputs": ["a", "b"]}, "priority": 3}


@pytest.fixture(autouse=True)
def services(platform_redis: Redis, nodes_broker: Redis) -> None:
    """Both empty."""


def bearer(user: User, *scopes: str) -> dict[str, Any]:
    _, text = make_key(user, "test", list(scopes) or [Scope.JOBS_READ, Scope.JOBS_WRITE], utcnow())
    return {"headers": {"Authorization": f"Bearer {text}"}}


@pytest.mark.parametrize("mount", ["", "/api/v1/pool"])
def test_health(client: Client, mount: str) -> None:
    assert client.get(f"{mount}/health").json() == {"status": "ok"}


def test_status_counts_nodes_tasks_and_capacity(client: Client, ada: cast.Machine, rita: User) -> None:
    gpu = {"gpu_type": "cuda", "gpu_memory_mb": 80_000, "memory_mb": 8000, "cpu_cores": 4, "gflops": 500}
    cast.machine("gert", probe={**gpu, "frameworks": []})
    cast.machine("idle", status=NodeStatus.OFFLINE, reason="It was stopped.")
    submission.submit(rita, cast.embed("a", "b", "c", chunk_size=1), utcnow())
    ada.take(now=utcnow())
    answer = client.get("/status").json()
    assert answer["nodes"]["total"] == 3
    assert answer["nodes"]["online"] == 2
    assert answer["nodes"]["offline"] == 1
    assert answer["tasks"] == {"queued": 2, "running": 1, "completed": 0, "failed": 0, "cancelled": 0}
    assert answer["gpu_capacity"] == {
        "gpus": 1,
        "gpu_memory_mb": 80_000,
        "memory_mb": 16_000,
        "cpu_cores": 4,
        "gflops": 500,
    }


def test_nodes_can_be_listed_by_state(client: Client, ada: cast.Machine, bert: cast.Machine) -> None:
    bert.node.move(NodeStatus.OFFLINE, "It was stopped.", "Start it.", utcnow())
    assert {n["id"] for n in client.get("/nodes").json()["nodes"]} == {ada.node.pk, bert.node.pk}
    online = client.get("/nodes?status=online").json()["nodes"]
    assert [n["id"] for n in online] == [ada.node.pk]
    assert client.get("/nodes?status=sleeping").json()["code"] == "body_malformed"


def test_a_node_shows_no_person_and_no_secret(client: Client, ada: cast.Machine) -> None:
    Node.objects.update(broker_sha256="f" * 64)
    answer = client.get(f"/nodes/{ada.node.pk}")
    assert answer.json()["name"] == "ada"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    text = answer.content.decode()
    assert ada.node.operator.user.email not in text
    assert "f" * 64 not in text


def test_unknown_things_are_not_found(client: Client, ada: cast.Machine, rita: User) -> None:
    assert client.get("/nodes/node_none").json()["code"] == "node_unknown"
    assert client.get("/results/tsk_none", **bearer(rita)).json()["code"] == "task_unknown"
    assert client.get("/nodes/node_none").status_code == 404
    assert client.delete("/nodes").status_code == 405


def test_tasks_are_the_queued_and_running_ones_unless_asked_otherwise(
    client: Client, ada: cast.Machine, rita: User
) -> None:
    submission.submit(rita, cast.embed("a", "b", "c", chunk_size=1), utcnow())
    (task,) = ada.take(now=utcnow())
    ada.start(task, utcnow())
    ada.answer(task, utcnow())
    ada.take(now=utcnow())
    tasks = client.get("/tasks").json()["tasks"]
    assert sorted(t["status"] for t in tasks) == ["queued", "running"]
    assert [t["status"] for t in client.get("/tasks?status=queued").json()["tasks"]] == ["queued"]
    assert [t["task_id"] for t in client.get("/tasks?status=completed").json()["tasks"]] == [task.task_id]
    assert client.get("/tasks?status=lost").status_code == 400
    assert "inputs" not in client.get("/tasks").content.decode()


def test_the_number_of_queries_does_not_grow_with_the_nodes(
    client: Client, ada: cast.Machine, django_assert_num_queries: Any
) -> None:
    for n in range(5):
        cast.machine(f"n{n}")
    with django_assert_num_queries(1):
        client.get("/nodes")


def test_dispatching_needs_a_key_that_may(client: Client, ada: cast.Machine, rita: User) -> None:
    before = rows()
    send = {"content_type": "application/json"}
    assert client.post("/dispatch", BODY, **send).json()["code"] == "api_key_required"
    wrong = {"headers": {"Authorization": "Bearer mk_wrong"}}
    answer = client.post("/dispatch", BODY, **send, **wrong)
    assert (answer.status_code, answer.json()["code"]) == (401, "api_key_invalid")
    assert rows() == before
    answer = client.post("/dispatch", BODY, **send, **bearer(rita, Scope.JOBS_READ))
    assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"task_type": "divination"}, "kind_unknown"),
        ({"data": []}, "input_refused"),
        ({"priority": 77}, "input_refused"),
        ({"requirements": {"min_memory_gb": 8}}, "input_refused"),
        ({"more": 1}, "input_refused"),
        ({"data": {"model": "none", "inputs": ["a"]}}, "model_unknown"),
    ],
)
def test_what_cannot_be_done_is_refused(
    client: Client, ada: cast.Machine, rita: User, change: dict[str, Any], code: str
) -> None:
    answer = client.post("/dispatch", {**BODY, **change}, content_type="application/json", **bearer(rita))
    assert answer.json()["code"] == code
    assert 400 <= answer.status_code < 500
    assert not Job.objects.exists()


def test_a_dispatched_task_is_done_and_read_by_its_own_requester_alone(
    client: Client, ada: cast.Machine, rita: User
) -> None:
    key = bearer(rita)
    asked = {**BODY, "requirements": {"gpu_type": "any"}}
    answer = client.post("/dispatch", asked, content_type="application/json", **key)
    task_id = answer.json()["task_id"]
    assert (answer.status_code, answer.json()["status"]) == (201, "queued")
    assert client.get(f"/results/{task_id}", **key).status_code == 202
    (task,) = ada.take(now=utcnow())
    speaker = Speaker(ada, client)
    speaker.send(f"/results/{task_id}", speaker.result(task))
    got = client.get(f"/results/{task_id}", **key)
    assert got.status_code == 200
    assert got.json()["status"] == "completed"
    assert len(got.json()["result"]["vectors"]) == 2
    assert client.get(f"/results/{task_id}").json()["code"] == "api_key_required"
    assert client.get(f"/results/{task_id}", **bearer(cast.user("mallory"))).json()["code"] == "task_unknown"
