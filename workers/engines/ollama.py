"""A client of the Ollama REST API, and the engine that runs tasks on a local Ollama.

OllamaError
├── OllamaUnreachable
└── OllamaModelMissing
"""

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import httpx

from workers.engines.base import EngineError, EngineResult
from workers.engines.prompts import prompt_of

logger = logging.getLogger("engines.ollama")
OK, NOT_FOUND = 200, 404
BESIDE_OPTIONS = ("system", "format")


class OllamaError(EngineError):
    """Ollama answered with an error."""

    code = "ollama_error"


class OllamaUnreachable(OllamaError):
    """Ollama does not answer."""

    code = "engine_unavailable"


class OllamaModelMissing(OllamaError):
    """Ollama has no model of that name."""

    code = "model_not_served"


@dataclass(frozen=True)
class OllamaClient:
    """Immutable settings; every `with_…` gives a changed client."""

    host: str = "127.0.0.1"
    port: int = 11434
    timeout_s: float = 120.0
    attempts: int = 3
    delay_s: float = 1.0
    sleep: Callable[[float], None] = time.sleep

    @classmethod
    def at(cls, address: str) -> "OllamaClient":
        """A client for `host:port`; a part that is left out has its default."""
        host, _, port = address.partition(":")
        return cls(host=host or cls.host, port=int(port or cls.port))

    def with_host(self, host: str) -> "OllamaClient":
        """Another host."""
        return replace(self, host=host)

    def with_port(self, port: int) -> "OllamaClient":
        """Another port."""
        return replace(self, port=port)

    def with_timeout(self, seconds: float) -> "OllamaClient":
        """How long one attempt may take."""
        return replace(self, timeout_s=seconds)

    def with_retry(self, attempts: int, delay_s: float) -> "OllamaClient":
        """How often a request is tried, and the first pause; each pause is twice the one before."""
        return replace(self, attempts=attempts, delay_s=delay_s)

    @property
    def base_url(self) -> str:
        """Where Ollama listens."""
        return f"http://{self.host}:{self.port}"

    def generate(self, model: str, prompt: str, **fields: Any) -> dict[str, Any]:
        """Ollama's whole answer; `fields` are those of its API, such as `options`. Raises OllamaError."""
        return self._json("POST", "/api/generate", {"model": model, "prompt": prompt, "stream": False, **fields})

    def list_models(self) -> list[str]:
        """Names of the models that Ollama holds. Raises OllamaError."""
        return [str(model["name"]) for model in self._json("GET", "/api/tags").get("models", [])]

    def has_model(self, name: str) -> bool:
        """Whether Ollama holds the model; a name without a tag means `latest`. Raises OllamaError."""
        return (name if ":" in name else f"{name}:latest") in self.list_models()

    def pull_model(self, name: str) -> None:
        """Have Ollama fetch a model; returns once it holds it. Raises OllamaError."""
        answer = self._json("POST", "/api/pull", {"model": name, "stream": False})
        if answer.get("status") != "success":
            raise OllamaError(f"Ollama could not pull {name}: {answer.get('error') or answer.get('status')}")

    def is_available(self) -> bool:
        """Whether Ollama answers, asked once."""
        try:
            return httpx.get(self.base_url, timeout=min(self.timeout_s, 5.0)).status_code == OK
        except httpx.HTTPError:
            return False

    def _json(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """One request, tried again after connection errors, timeouts and faults of the server."""
        fault: OllamaError = OllamaUnreachable()
        for attempt in range(self.attempts):
            if attempt:
                self.sleep(self.delay_s * 2 ** (attempt - 1))
            logger.debug("Asking Ollama", extra={"method": method, "path": path, "attempt": attempt})
            try:
                response = httpx.request(method, self.base_url + path, json=body, timeout=self.timeout_s)
            except httpx.HTTPError as error:
                fault = OllamaUnreachable(f"{self.base_url}{path}: {str(error) or type(error).__name__}")
                continue
            if response.status_code < httpx.codes.INTERNAL_SERVER_ERROR:
                return answered(response)
            fault = OllamaError(f"{path}: {response.status_code} {error_in(response)}")
        logger.error("Ollama failed", extra={"path": path, "detail": str(fault)})
        raise fault


def error_in(response: httpx.Response) -> str:
    """What Ollama says went wrong."""
    try:
        return str(response.json()["error"])
    except (ValueError, KeyError, TypeError):
        return response.text[:200]


def answered(response: httpx.Response) -> dict[str, Any]:
    """The answer as an object; raises OllamaError, at once for a model that is not there."""
    if response.status_code == NOT_FOUND:
        logger.error("Ollama lacks the model", extra={"detail": error_in(response)})
        raise OllamaModelMissing(error_in(response))
    if response.status_code != OK:
        logger.error("Ollama refused", extra={"status": response.status_code})
        raise OllamaError(f"{response.status_code} {error_in(response)}")
    try:
        answer = response.json()
    except ValueError as error:
        raise OllamaError("Ollama's answer is not JSON.") from error
    if not isinstance(answer, dict):
        raise OllamaError("Ollama's answer is not an object.")
    return answer


@dataclass(frozen=True)
class OllamaGenerate:
    """Runs generate tasks on the Ollama of this host."""

    model: str
    client: OllamaClient

    def run(self, kind: str, payload: bytes, params: Mapping[str, Any]) -> EngineResult:
        """`{"prompt": text, …options}` → JSON `{response, done_reason, eval_count, prompt_eval_count, model}`."""
        prompt, options = prompt_of(kind, payload)
        beside = {name: options.pop(name) for name in BESIDE_OPTIONS if name in options}
        answer = self.client.generate(self.model, prompt, options={"temperature": 0, **options}, **beside)
        counts = {name: int(answer.get(name, 0)) for name in ("eval_count", "prompt_eval_count")}
        result = {
            **counts,
            "response": str(answer.get("response", "")),
            "done_reason": str(answer.get("done_reason", "stop")),
            "model": self.model,
        }
        return EngineResult(
            json.dumps(result, sort_keys=True).encode(),
            items=1,
            tokens_in=counts["prompt_eval_count"],
            tokens_out=counts["eval_count"],
        )
