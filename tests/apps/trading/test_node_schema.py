"""Every address of trading's node API is in the OpenAPI description that the site serves."""

from typing import Any

import pytest
from django.test import Client
from django.urls import resolve

from apps.pool.node_api.schema import PREFIX
from apps.trading import node_schema
from apps.trading.node_urls import urlpatterns


def test_every_address_is_described() -> None:
    served = {f"/{p.pattern}".replace("<str:", "{").replace(">", "}") for p in urlpatterns}
    assert set(node_schema.paths()) == served
    for path in served:
        assert resolve(f"{PREFIX}{path.format(round_id='x')}", urlconf="meshwork.node_urls")


@pytest.mark.django_db
def test_the_served_description_has_them_and_leads_nowhere_that_is_not(client: Client) -> None:
    described = client.get("/api/v1/schema", headers={"Accept": "application/json"}).json()
    for path in node_schema.paths():
        assert described["paths"][f"{PREFIX}{path}"]["post"]["operationId"]
    names = set(described["components"]["schemas"])

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            target = value.get("$ref")
            assert target is None or target.rpartition("/")[2] in names
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(described)
