"""The OpenAI-style API, driven by OpenAI's own client against a live server while a node works."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import openai
import pytest
from django.db import connection
from pytest_django.live_server_helper import LiveServer

from apps.core.models import User
from apps.models.models import ModelVersion
from apps.operators.authentication import make_key
from apps.pool import openai_api
from apps.pool.models import Job
from tests.apps.pool import cast
from tests.apps.pool.cast import EMBEDDER, NOW, Machine, vector
from workers.protocol.clock import utcnow

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def working(node: Machine) -> Iterator[None]:
    """The node works by itself meanwhile."""
    stop, faults = threading.Event(), []

    def work() -> None:
        try:
            while not stop.wait(0.02):
                node.work(utcnow())
        except Exception as error:  # noqa: BLE001  shown by the test
            faults.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert faults == []


@pytest.fixture
def client(rita: User, live_server: LiveServer) -> Iterator[openai.OpenAI]:
    _, key = make_key(rita, "test", ["jobs:read", "jobs:write"], NOW)
    with openai.OpenAI(api_key=key, base_url=f"{live_server.url}/v1", max_retries=0) as client:
        yield client


@pytest.fixture
def node(embedder: ModelVersion) -> Iterator[Machine]:
    node = cast.machine("ada")
    with working(node):
        yield node


def test_one_text_is_embedded(client: openai.OpenAI, node: Machine) -> None:
    answer = client.embeddings.create(model=EMBEDDER, input="hello")
    assert answer.data[0].embedding == pytest.approx(vector("hello"))
    assert (answer.model, answer.object, answer.data[0].index) == (EMBEDDER, "list", 0)
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (2, 2)


def test_a_list_is_embedded_in_order(client: openai.OpenAI, node: Machine) -> None:
    texts = [f"text {i}" for i in range(70)]
    answer = client.embeddings.create(model=EMBEDDER, input=texts, encoding_format="float")
    assert [item.index for item in answer.data] == list(range(70))
    assert np.allclose([item.embedding for item in answer.data], [vector(text) for text in texts])
    assert Job.objects.get().tasks_total == 3


def test_base64_is_float32(client: openai.OpenAI, node: Machine) -> None:
    raw = client.embeddings.with_raw_response.create(model=EMBEDDER, input="hello", encoding_format="base64")
    assert '"embedding":"' in raw.text.replace(" ", "")
    assert raw.headers["x-job-id"] == Job.objects.get().pk


def test_models_are_listed_and_found(client: openai.OpenAI, embedder: ModelVersion) -> None:
    assert [model.id for model in client.models.list()] == [EMBEDDER]
    assert client.models.retrieve(EMBEDDER).object == "model"


def test_an_unknown_model_is_that_apis_not_found(client: openai.OpenAI, embedder: ModelVersion) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        client.embeddings.create(model="no-such-model", input="x")
    assert (refused.value.code, refused.value.param, refused.value.type) == (
        "model_not_found",
        "model",
        "not_found_error",
    )
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("no-such-model")


@pytest.mark.parametrize(
    ("given", "param", "message"),
    [
        ({"input": [1, 2, 3]}, "input", "Token arrays"),
        ({"input": [[1, 2], [3]]}, "input", "Token arrays"),
        ({"input": []}, "input", "1 to 2048"),
        ({"input": ""}, "inputs/0", "characters"),
        ({"input": "x", "dimensions": 2}, "dimensions", "fixed dimensions"),
    ],
)
def test_what_is_not_offered_is_refused_clearly(
    client: openai.OpenAI, node: Machine, given: dict[str, object], param: str, message: str
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.embeddings.create(model=EMBEDDER, **given)  # type: ignore[arg-type]
    assert refused.value.param == param
    assert message in refused.value.message
    assert refused.value.type == "invalid_request_error"


def test_a_missing_field_is_named(client: openai.OpenAI, node: Machine) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.post("/embeddings", body={"model": EMBEDDER}, cast_to=object)
    assert (refused.value.param, refused.value.code) == ("input", "invalid_value")


def test_a_wrong_key_is_an_authentication_error(live_server: LiveServer, embedder: ModelVersion) -> None:
    stranger = openai.OpenAI(api_key="mk_wrong", base_url=f"{live_server.url}/v1", max_retries=0)
    with stranger, pytest.raises(openai.AuthenticationError) as refused:
        stranger.embeddings.create(model=EMBEDDER, input="x")
    assert refused.value.code == "api_key_invalid"


def test_no_node_is_a_conflict_that_says_why(client: openai.OpenAI, embedder: ModelVersion) -> None:
    with pytest.raises(openai.ConflictError) as refused:
        client.embeddings.create(model=EMBEDDER, input="x")
    assert refused.value.code == "no_node_fits"
    assert "The network has no nodes yet." in refused.value.message


def test_an_answer_that_does_not_come_is_a_timeout_and_costs_nothing(
    client: openai.OpenAI, embedder: ModelVersion, rita: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datetime import timedelta

    from apps.ledger import accounts

    cast.machine("idle")
    monkeypatch.setattr(openai_api, "LONGEST_WAIT", timedelta(seconds=0))
    with pytest.raises(openai.APIStatusError) as refused:
        client.embeddings.create(model=EMBEDDER, input="x")
    assert (refused.value.status_code, refused.value.code) == (504, "timeout")
    assert Job.objects.get().status == "CANCELLED"
    assert accounts.held(rita) == 0
