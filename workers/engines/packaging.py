"""Makes a servable version out of packaged weights: `python -m workers.engines.packaging TARGET SOURCE…`.

The SOURCE folders hold either a sentence encoder's safetensors weights, config and tokenizer, or a GGUF file in parts.
TARGET receives `model.onnx`, `tokenizer.json`, `engine.json`, the terms that go with the weights where the package has
them, and `version.json`, which names these files and holds the known answers that nodes are tested with.
"""

import json
import shutil
import sys
from collections.abc import Sequence
from hashlib import file_digest
from pathlib import Path
from typing import Any

from workers.engines.onnx_embed import MAX_TOKENS, OnnxEmbed
from workers.protocol.frames import encode_tensors
from workers.protocol.keys import b64

SELF_TEST = (
    "The quick brown fox jumps over the lazy dog.",
    "Each node proves with known answers that it computes what it should.",
    "Ein Satz in einer anderen Sprache, mit Umlauten: äöüß.",
)
GENERATE_SELF_TEST = "The capital of France is"
GENERATE_TOKENS = 12
LEAST_COSINE = "0.9995"
EMBED_MEMORY_MB, GENERATE_MEMORY_MB = 600, 1600
CONTEXT = 8192
FILES = ("model.onnx", "tokenizer.json", "engine.json")
TERMS = "GEMMA_TERMS.html"
CHANGED = """
The network converted the weights from the GGUF file named above to ONNX; the vocabulary's table keeps its 8 bits, all
else is float32. Gemma is provided under and subject to the Gemma Terms of Use, which are beside this file.
"""


def find(sources: Sequence[Path], pattern: str) -> list[Path]:
    """The files below the folders, by name; raises FileNotFoundError for none."""
    found = [path for source in sources for path in source.rglob(pattern) if path.parent.name != "1_Pooling"]
    if not found:
        raise FileNotFoundError(f"{', '.join(map(str, sources))}: no {pattern}")
    return sorted(found, key=lambda path: path.name)


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def joined(sources: Sequence[Path], target: Path) -> Path:
    """The GGUF file, put together from its parts and checked against the package's own sum."""
    with target.open("wb") as whole:
        for part in find(sources, "*.gguf.part*"):
            with part.open("rb") as file:
                shutil.copyfileobj(file, whole, 2**20)
    expected = find(sources, "SHA256SUMS")[0].read_text().split()[0]
    if digest(target) != expected:
        raise ValueError("The parts do not make the file that SHA256SUMS names.")
    return target


def terms(sources: Sequence[Path], target: Path) -> list[str]:
    """Copy the terms of the weights and say what was changed; the names of the files, none for a package without."""
    if not any(path for source in sources for path in source.rglob(TERMS)):
        return []
    shutil.copyfile(find(sources, TERMS)[0], target / TERMS)
    (target / "NOTICE.md").write_text(find(sources, "NOTICE.md")[0].read_text().rstrip() + "\n" + CHANGED)
    return [TERMS, "NOTICE.md"]


def package_embed(sources: Sequence[Path], target: Path) -> dict[str, Any]:
    """A sentence encoder."""
    from workers.engines.minilm_graph import write

    config = json.loads(find(sources, "config.json")[0].read_text())
    write(find(sources, "model.safetensors")[0], config, target / "model.onnx")
    shutil.copyfile(find(sources, "tokenizer.json")[0], target / "tokenizer.json")
    (target / "engine.json").write_text(json.dumps({"engine": "onnx-embed", "max_tokens": MAX_TOKENS}))
    vectors, _ = OnnxEmbed("self-test", {name: target / name for name in FILES}).vectors(SELF_TEST)
    return {
        "engine": "onnx-embed",
        "task": "embed",
        "dimensions": int(vectors.shape[1]),
        "max_tokens": MAX_TOKENS,
        "min_memory_mb": EMBED_MEMORY_MB,
        "comparator": {"kind": "cosine", "min": LEAST_COSINE},
        "self_test": {
            "kind": "embed",
            "inputs": list(SELF_TEST),
            "expected": b64(encode_tensors({"kind": "embed"}, {"vectors": vectors})),
        },
    }


def package_generate(sources: Sequence[Path], target: Path) -> dict[str, Any]:
    """A Gemma 3 model from its GGUF file."""
    from workers.engines.gemma_graph import write
    from workers.engines.gguf_tokenizer import tokenizer_of
    from workers.engines.gguf_weights import GgufFile
    from workers.engines.onnx_generate import OnnxGenerate

    whole = joined(sources, target / "model.gguf")
    file = GgufFile(whole)
    write(file, target / "model.onnx", CONTEXT)
    tokenizer_of(file).save(str(target / "tokenizer.json"), pretty=False)
    end = int(file.field("tokenizer.ggml.eos_token_id"))
    (target / "engine.json").write_text(json.dumps({"engine": "onnx-generate", "max_tokens": CONTEXT, "end": end}))
    engine = OnnxGenerate("self-test", {name: target / name for name in FILES}, context=CONTEXT, end=end)
    known = {"prompt": GENERATE_SELF_TEST, "options": {"num_predict": GENERATE_TOKENS}}
    payload = json.dumps({"prompt": GENERATE_SELF_TEST, "num_predict": GENERATE_TOKENS}).encode()
    return {
        "engine": "onnx-generate",
        "task": "generate",
        "max_tokens": CONTEXT,
        "min_memory_mb": GENERATE_MEMORY_MB,
        "comparator": {"kind": "exact"},
        "self_test": {"kind": "generate", **known, "expected": b64(engine.run("generate", payload, {}).payload)},
    }


def package(sources: Sequence[Path], target: Path) -> dict[str, Any]:
    """Write the version's files; returns what the catalogue needs to know of it."""
    target.mkdir(parents=True, exist_ok=True)
    parts = [path for source in sources for path in source.rglob("*.gguf.part*")]
    described = (package_generate if parts else package_embed)(sources, target)
    described["files"] = [*FILES, *terms(sources, target)]
    described["version"] = digest(target / "model.onnx")[:12]
    (target / "version.json").write_text(json.dumps(described))
    return described


def main() -> None:
    """Entry of `python -m workers.engines.packaging`."""
    package([Path(source) for source in sys.argv[2:]], Path(sys.argv[1]))


if __name__ == "__main__":
    main()
