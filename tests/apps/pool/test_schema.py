"""The description of the API is true and complete."""

import warnings

import pytest
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator


def test_the_pools_part_of_the_schema_has_no_warnings() -> None:
    GENERATOR_STATS.reset()
    with warnings.catch_warnings(), GENERATOR_STATS.silence():
        schema = SchemaGenerator().get_schema(request=None, public=True)
    told = [*GENERATOR_STATS._warn_cache, *GENERATOR_STATS._error_cache]
    assert [line for line in told if "pool" in str(line)] == []
    paths = schema["paths"]
    assert {"202"} == set(paths["/api/v1/jobs"]["post"]["responses"])
    assert "/v1/embeddings" in paths
    parameters = {p["name"]: p["in"] for p in paths["/api/v1/jobs"]["post"]["parameters"]}
    assert parameters == {"Idempotency-Key": "header"}


@pytest.mark.parametrize(
    "path", ["/api/v1/jobs/{job_id}", "/api/v1/jobs/{job_id}/result", "/api/v1/jobs/quote", "/v1/models"]
)
def test_every_address_is_described(path: str) -> None:
    with GENERATOR_STATS.silence():
        assert path in SchemaGenerator().get_schema(request=None, public=True)["paths"]
