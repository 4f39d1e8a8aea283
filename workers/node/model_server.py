"""`mesh model-server`: has the network's models here, whole and working, and says so on a local port.

It fetches every model that the network offers and this machine can hold into the node's cache, verifies it, opens it
and has it work once. It takes no tasks: the node's lanes do, from the same cache.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import httpx
import psutil

from workers.engines import EngineError, Engines
from workers.node.api import TIMEOUT, answer_of
from workers.node.cache import ArtifactCache
from workers.node.config import NodeConfig
from workers.node.errors import NodeError, PlatformUnreachable
from workers.node.local_http import METRICS, Answer, LocalHttp, as_json
from workers.protocol import canonical

logger = logging.getLogger("node.model_server")
AGAIN_S = 300.0
FAILED_AGAIN_S = 15.0
MB = 2**20
SAMPLES = {
    "embed": canonical.dumps({"inputs": ["ready"]}),
    "generate": canonical.dumps({"prompt": "ready", "num_predict": 1}),
}


@dataclass(frozen=True)
class Model:
    """One model as it stands here: ready, failed or too_big; milliseconds of its sample."""

    name: str
    version: str
    state: str
    detail: str = ""
    sample_ms: int = 0


class ModelServer:
    """Looks after the models, again and again; /health and /metrics tell."""

    def __init__(self, config: NodeConfig, memory_mb: Callable[[], int] | None = None) -> None:
        self.config = config
        self.cache = ArtifactCache(config.directory / "cache", max_bytes=config.cache_mb * MB)
        self.memory_mb = memory_mb or (lambda: psutil.virtual_memory().total // MB)
        self.models: list[Model] = []
        self.fault = "It has not looked at the models yet."
        self.stopping = threading.Event()

    def offered(self) -> list[dict[str, Any]]:
        """The catalogue of the network. Raises PlatformUnreachable or PlatformRefused."""
        found: list[dict[str, Any]] = []
        url: str | None = f"{self.config.platform_url}/api/v1/models"
        while url:
            try:
                page = answer_of(httpx.get(url, timeout=TIMEOUT))
            except httpx.HTTPError as error:
                raise PlatformUnreachable(f"{self.config.platform_url} did not answer: {error}") from error
            found += page["results"]
            url = page.get("next")
        wanted = self.config.models
        return [model for model in found if model["files"] and (not wanted or model["name"] in wanted)]

    def look(self) -> None:
        """Once through all models."""
        try:
            offered = self.offered()
        except NodeError as error:
            self.fault = str(error)
            return
        self.models = [self.one(model) for model in offered]
        failed = [model for model in self.models if model.state == "failed"]
        self.fault = "; ".join(f"{model.name}: {model.detail}" for model in failed)

    def one(self, model: dict[str, Any]) -> Model:
        """Fetch, verify, open and try one model."""
        name, version, task = (str(model[field]) for field in ("name", "version", "task"))
        if int(model["min_memory_mb"]) > self.memory_mb():
            return Model(name, version, "too_big", f"It needs {model['min_memory_mb']} MiB of memory.")
        try:
            files = {str(file["name"]): self.fetch(file) for file in model["files"]}
            # A set of engines for each, so that only one model is in memory.
            engine = Engines(self.config.engine_address).get(name, version, files)
            if task not in SAMPLES:
                return Model(name, version, "ready", f"Fetched and opened; there is no sample of the kind {task}.")
            begun = time.perf_counter()
            engine.run(task, SAMPLES[task], {})
        except (NodeError, EngineError) as error:
            logger.warning("A model does not work here", extra={"model": name, "error": str(error)[:300]})
            return Model(name, version, "failed", str(error)[:300])
        return Model(name, version, "ready", "", int(1000 * (time.perf_counter() - begun)))

    def fetch(self, file: dict[str, Any]) -> Any:
        """One verified file in the cache."""
        url = f"{self.config.platform_url}/api/v1/artifacts/{file['sha256']}"
        return self.cache.fetch(url, str(file["sha256"]), int(file["size"]))

    def health(self) -> Answer:
        """200 once every model that fits is whole and works; 503 with the reason until then."""
        ready = not self.fault
        body = {
            "status": "ok" if ready else "starting",
            "reason": self.fault,
            "models": [asdict(m) for m in self.models],
        }
        return as_json(body, 200 if ready else 503)

    def metrics(self) -> Answer:
        """The same for Prometheus."""
        lines = ["# HELP mesh_models Models by state.", "# TYPE mesh_models gauge"]
        states = [model.state for model in self.models]
        lines += [f'mesh_models{{state="{state}"}} {states.count(state)}' for state in ("ready", "failed", "too_big")]
        lines += ["# HELP mesh_model_sample_seconds Time of one sample.", "# TYPE mesh_model_sample_seconds gauge"]
        for model in self.models:
            if model.sample_ms:
                lines.append(f'mesh_model_sample_seconds{{model="{model.name}"}} {model.sample_ms / 1000}')
        return Answer("\n".join(lines) + "\n", METRICS)

    def serve(self, listen: str) -> None:
        """Look after the models until stopped. Raises ListenRefused."""
        local = LocalHttp(listen, {"/health": self.health, "/metrics": self.metrics})
        logger.info("Listening", extra={"port": local.port})
        while not self.stopping.is_set():
            self.look()
            logger.info("Looked after the models", extra={"models": len(self.models), "fault": self.fault or "none"})
            self.stopping.wait(FAILED_AGAIN_S if self.fault else AGAIN_S)
        local.stop()
