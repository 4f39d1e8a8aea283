"""The node API's OpenAPI description is true: it names every address, and what is answered fits it."""

from typing import Any

import jsonschema
import pytest
from django.test import Client
from django.urls import resolve
from redis import Redis

from apps.core.models import User
from apps.pool import submission
from apps.pool.node_api import schema
from apps.pool.node_api.urls import urlpatterns
from tests.apps.pool import cast
from workers.protocol.clock import utcnow

pytestmark = [pytest.mark.urls("meshwork.node_urls"), pytest.mark.django_db]


@pytest.fixture
def description() -> dict[str, Any]:
    return schema.add_node_api({"openapi": "3.1.0"}, None, None, True)


def test_every_address_and_method_is_described(description: dict[str, Any]) -> None:
    served = {f"/{p.pattern}".replace("<str:", "{").replace(">", "}") for p in urlpatterns}
    assert {path.removeprefix(schema.PREFIX) for path in description["paths"]} == served
    for path in description["paths"]:
        assert resolve(path.format(node_id="x", task_id="x"))


def test_every_reference_leads_somewhere(description: dict[str, Any]) -> None:
    names = set(description["components"]["schemas"])

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            target = value.get("$ref")
            assert target is None or target.rpartition("/")[2] in names
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(description)
    assert {"NodeHeartbeat", "TaskResult", "NodeRegister"} <= names


@pytest.mark.parametrize("path", ["/health", "/status", "/nodes", "/tasks", "/nodes/{node_id}", "/results/{task_id}"])
def test_what_is_answered_fits_the_description(
    client: Client, ada: cast.Machine, rita: User, path: str, description: dict[str, Any], platform_redis: Redis
) -> None:
    job = submission.submit(rita, cast.embed("a", chunk_size=1), utcnow())
    task_id = job.tasks.get().pk
    answer = client.get(path.format(node_id=ada.node.pk, task_id=task_id))
    responses = description["paths"][f"{schema.PREFIX}{path}"]["get"]["responses"]
    code = str(answer.status_code) if answer.status_code < 400 else "4XX"
    (body,) = responses[code]["content"].values()
    jsonschema.validate(answer.json(), {**body["schema"], "components": description["components"]})
