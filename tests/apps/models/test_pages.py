"""The catalogue's pages: everybody may read them, and they say what is missing."""

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from apps.core.models import User
from apps.models import presentation
from apps.models.models import Model, ModelVersion
from workers.protocol.clock import utcnow

pytestmark = pytest.mark.django_db
SHA = "ab" * 32


def offer(name: str = "tiny", *, active: bool = True, engine: str = "onnx-embed") -> ModelVersion:
    embeds = engine == "onnx-embed"
    now = utcnow()
    model = Model.objects.create(
        id=f"mdl_{name}", name=name, title=f"Title of {name}", family="F", task="embed" if embeds else "generate",
        parameters=22_713_216, licence="MIT", source="here", description="Said of it.", created_at=now,
    )  # fmt: skip
    manifest = {
        "engine": engine,
        "max_tokens": 256,
        "comparator": {"kind": "cosine", "min": "0.99"} if embeds else {"kind": "exact"},
        "files": [{"name": "model.onnx", "sha256": SHA, "size": 2**20}],
    }
    if embeds:
        manifest["dimensions"] = 384
    return ModelVersion.objects.create(
        id=f"mdv_{name}", model=model, version="v1", manifest=manifest, min_memory_mb=600, active=active, created_at=now
    )


def test_an_empty_catalogue_says_how_models_come(client: Client) -> None:
    page = client.get("/models").content.decode()
    assert "No models yet" in page
    assert "publish_models" in page


def test_the_catalogue_lists_what_serves(client: Client) -> None:
    offer("tiny")
    offer("old", active=False)
    page = client.get("/models").content.decode()
    assert "/models/tiny" in page
    assert "22.7 M" in page
    assert "/models/old" not in page


def test_a_model_has_its_facts_files_and_a_command(client: Client) -> None:
    offer("tiny")
    page = client.get("/models/tiny").content.decode()
    for text in ("22,713,216", "up to 256 tokens", "384 dimensions", f"/api/v1/artifacts/{SHA}", "--embed", "0.99"):
        assert text in page
    assert client.get("/models/mdl_tiny").status_code == 200


def test_a_model_that_writes_says_how_it_is_tested(client: Client) -> None:
    offer("writer", engine="onnx-generate")
    page = client.get("/models/writer").content.decode()
    assert "exactly the known text" in page
    assert "Once upon a time" in page


def test_a_model_without_an_active_version_says_so(client: Client) -> None:
    offer("old", active=False)
    assert "Not offered" in client.get("/models/old").content.decode()


def test_an_unknown_model_is_not_found(client: Client) -> None:
    assert client.get("/models/gpt-9").status_code == 404


def test_a_longer_catalogue_costs_no_more_queries(
    client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(5):
        offer(f"m{number}")
    with django_assert_max_num_queries(3):
        client.get("/models")


@pytest.mark.parametrize(
    ("number", "words"), [(12, "12"), (1_500, "1.5 K"), (268_098_176, "268.1 M"), (7 * 10**9, "7.0 B")]
)
def test_a_number_of_weights_is_said_as_people_say_it(number: int, words: str) -> None:
    assert presentation.count(number) == words


def test_the_admin_shows_the_catalogue_and_lets_nobody_change_it(client: Client) -> None:
    version = offer("tiny")
    client.force_login(User.objects.create_superuser("admin@example.org", "x", name="Ada"))
    for name in ("model", "modelversion", "artifact"):
        assert client.get(f"/admin/catalog/{name}/").status_code == 200
        assert client.get(f"/admin/catalog/{name}/add/").status_code == 403
    assert client.get(f"/admin/catalog/modelversion/{version.pk}/change/").status_code == 200
    assert client.post(f"/admin/catalog/modelversion/{version.pk}/change/", {"active": ""}).status_code == 403
