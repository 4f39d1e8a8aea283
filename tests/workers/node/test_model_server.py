"""The model server: healthy once every model that fits is whole here and works, and honest until then."""

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.workers.engines.test_generate import packaged, source
from tests.workers.node.platform_double import Platform, platform_at_work
from workers.engines.packaging import FILES
from workers.node.config import NodeConfig
from workers.node.model_server import ModelServer

__all__ = ["packaged", "source"]


@pytest.fixture
def platform() -> Iterator[Platform]:
    with platform_at_work() as running:
        yield running


def offer(platform: Platform, folder: Path, **changes: Any) -> None:
    """The catalogue offers the packaged model."""
    files = []
    for name in FILES:
        content = (folder / name).read_bytes()
        digest = sha256(content).hexdigest()
        platform.files[f"/api/v1/artifacts/{digest}"] = content
        files.append({"name": name, "sha256": digest, "size": len(content)})
    model = {"name": "tiny", "version": "1", "task": "generate", "min_memory_mb": 10, "files": files, **changes}
    built_in = {"name": "detectors", "version": "1", "task": "detect", "min_memory_mb": 1, "files": []}
    platform.files["/api/v1/models"] = json.dumps({"next": None, "results": [model, built_in]}).encode()


def server(platform: Platform, folder: Path, **settings: Any) -> ModelServer:
    return ModelServer(NodeConfig(directory=folder, platform_url=platform.url, **settings), lambda: 1000)


def told(found: ModelServer) -> tuple[int, dict[str, Any]]:
    answer = found.health()
    return answer.status, json.loads(answer.body)


def test_it_is_healthy_once_every_model_works(platform: Platform, packaged: Path, tmp_path: Path) -> None:
    offer(platform, packaged)
    made = server(platform, tmp_path)
    assert told(made)[0] == 503
    made.look()
    status, body = told(made)
    assert (status, body["status"]) == (200, "ok")
    assert [(model["name"], model["state"]) for model in body["models"]] == [("tiny", "ready")]
    assert 'mesh_models{state="ready"} 1' in made.metrics().body.decode()


def test_a_model_that_is_too_big_is_no_fault(platform: Platform, packaged: Path, tmp_path: Path) -> None:
    offer(platform, packaged, min_memory_mb=1001)
    made = server(platform, tmp_path)
    made.look()
    assert [(model.state, bool(model.detail)) for model in made.models] == [("too_big", True)]
    assert told(made)[0] == 200


def test_a_model_that_nobody_asked_for_is_left_alone(platform: Platform, packaged: Path, tmp_path: Path) -> None:
    offer(platform, packaged)
    made = server(platform, tmp_path, models=["another"])
    made.look()
    assert made.models == []


def test_a_damaged_model_is_named_and_looked_at_again(platform: Platform, packaged: Path, tmp_path: Path) -> None:
    offer(platform, packaged)
    [address] = [path for path, content in platform.files.items() if content == (packaged / "model.onnx").read_bytes()]
    good = platform.files[address]
    platform.files[address] = b"x" * len(good)
    made = server(platform, tmp_path)
    made.look()
    status, body = told(made)
    assert (status, body["models"][0]["state"]) == (503, "failed")
    assert "tiny" in body["reason"]
    platform.files[address] = good
    made.look()
    assert told(made)[0] == 200


def test_a_platform_that_is_away_is_said(tmp_path: Path) -> None:
    made = ModelServer(NodeConfig(directory=tmp_path, platform_url="http://127.0.0.1:1"))
    made.look()
    assert told(made)[0] == 503
    assert "did not answer" in told(made)[1]["reason"]
