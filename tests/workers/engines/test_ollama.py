"""The client and the engine of Ollama, against a server that speaks its protocol."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.workers.engines.ollama_double import Ollama, ollama_at_work
from workers.engines import Engines, PayloadRefused
from workers.engines.ollama import OllamaClient, OllamaError, OllamaGenerate, OllamaModelMissing, OllamaUnreachable


@pytest.fixture
def ollama() -> Iterator[Ollama]:
    with ollama_at_work() as running:
        yield running


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def client(ollama: Ollama, pauses: list[float]) -> OllamaClient:
    return OllamaClient(port=ollama.port, timeout_s=5, sleep=pauses.append)


def unused_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_a_client_has_the_defaults() -> None:
    client = OllamaClient()
    assert (client.host, client.port, client.timeout_s) == ("127.0.0.1", 11434, 120)
    assert (client.attempts, client.delay_s) == (3, 1)


def test_a_client_is_built_step_by_step() -> None:
    client = OllamaClient().with_host("ollama.test").with_port(80).with_timeout(3).with_retry(5, 0.5)
    assert (client.base_url, client.timeout_s) == ("http://ollama.test:80", 3)
    assert (client.attempts, client.delay_s) == (5, 0.5)


@pytest.mark.parametrize(
    ("address", "url"),
    [("gpu:1", "http://gpu:1"), ("gpu", "http://gpu:11434"), ("", "http://127.0.0.1:11434")],
)
def test_an_address_names_host_and_port(address: str, url: str) -> None:
    assert OllamaClient.at(address).base_url == url


def test_a_prompt_is_answered(client: OllamaClient, ollama: Ollama) -> None:
    answer = client.generate("llama3.2:1b", "one two three", options={"num_predict": 2})
    assert (answer["response"], answer["eval_count"]) == ("one two", 2)
    [(request, body)] = ollama.asked
    assert request == "POST /api/generate"
    assert body["stream"] is False


def test_a_cut_connection_is_tried_again_with_growing_pauses(
    client: OllamaClient, ollama: Ollama, pauses: list[float]
) -> None:
    ollama.faults = ["cut", "503"]
    assert client.generate("llama3.2:1b", "hello")["response"] == "hello"
    assert pauses == [1, 2]


def test_a_refused_connection_is_tried_again_until_the_server_is_there() -> None:
    port = unused_port()
    with ExitStack() as stack:
        client = OllamaClient(port=port, sleep=lambda _: stack.enter_context(ollama_at_work(port)) and None)
        assert client.generate("llama3.2:1b", "hello")["response"] == "hello"


def test_after_the_last_attempt_the_error_says_where(pauses: list[float]) -> None:
    port = unused_port()
    with pytest.raises(OllamaUnreachable, match=str(port)):
        OllamaClient(port=port, sleep=pauses.append).list_models()
    assert pauses == [1, 2]


def test_an_answer_that_takes_too_long_is_an_error(client: OllamaClient, ollama: Ollama) -> None:
    ollama.slow_s = 1
    start = time.perf_counter()
    with pytest.raises(OllamaUnreachable):
        client.with_timeout(0.2).with_retry(1, 0).generate("llama3.2:1b", "hello")
    assert time.perf_counter() - start < 0.9


def test_models_are_listed_and_looked_up(client: OllamaClient) -> None:
    assert client.list_models() == ["llama3.2:1b", "gemma3:latest"]
    assert client.has_model("gemma3")
    assert not client.has_model("llama3.2")


def test_a_model_is_pulled(client: OllamaClient) -> None:
    client.pull_model("phi4")
    assert client.has_model("phi4")
    with pytest.raises(OllamaError, match="does not exist"):
        client.pull_model("gpt-9")


def test_a_server_that_is_down_is_not_available(client: OllamaClient) -> None:
    assert client.is_available()
    assert not OllamaClient(port=unused_port()).is_available()


def test_an_unknown_model_is_an_error_at_once(client: OllamaClient, ollama: Ollama, pauses: list[float]) -> None:
    with pytest.raises(OllamaModelMissing, match="gpt-9"):
        client.generate("gpt-9", "hello")
    assert (len(ollama.asked), pauses) == (1, [])


def test_an_answer_that_is_no_json_is_an_error(client: OllamaClient, ollama: Ollama) -> None:
    ollama.answer = lambda path, body: (200, "not json")  # type: ignore[method-assign]
    with pytest.raises(OllamaError, match="JSON"):
        client.list_models()


def test_a_task_runs_with_its_options_and_greedily_unless_told(ollama: Ollama) -> None:
    engine = Engines(engine_address=f"127.0.0.1:{ollama.port}").get("llama3.2:1b", "ollama", {})
    payload = {"prompt": "one two three", "num_predict": 2, "system": "Be short.", "format": "json"}
    result = engine.run("generate", json.dumps(payload).encode(), {})
    assert json.loads(result.payload)["response"] == "one two"
    assert (result.items, result.tokens_in, result.tokens_out) == (1, 3, 2)
    [(_, body)] = ollama.asked
    assert body["options"] == {"temperature": 0, "num_predict": 2}
    assert (body["system"], body["format"]) == ("Be short.", "json")


@pytest.mark.parametrize("payload", [b"", b"[1]", b"{}", b'{"prompt": ""}', b'{"prompt": 3}'])
def test_a_payload_without_a_prompt_is_refused(client: OllamaClient, payload: bytes) -> None:
    with pytest.raises(PayloadRefused):
        OllamaGenerate("llama3.2:1b", client).run("generate", payload, {})
