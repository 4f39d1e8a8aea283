"""Makes a servable version out of a packaged model: `python -m workers.engines.packaging SOURCE TARGET`.

SOURCE is a folder with a sentence encoder's safetensors weights, config and tokenizer. TARGET receives `model.onnx`,
`tokenizer.json`, `engine.json` and `version.json`, which holds the known answers that nodes are tested with.
"""

import json
import shutil
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

from workers.engines.minilm_graph import write
from workers.engines.onnx_embed import MAX_TOKENS, OnnxEmbed
from workers.protocol.frames import encode_tensors
from workers.protocol.keys import b64

SELF_TEST = (
    "The quick brown fox jumps over the lazy dog.",
    "Each node proves with known answers that it computes what it should.",
    "Ein Satz in einer anderen Sprache, mit Umlauten: äöüß.",
)
LEAST_COSINE = "0.9995"
MEMORY_MB = 600


def find(source: Path, name: str) -> Path:
    """The one file of that name below the folder."""
    found = sorted(path for path in source.rglob(name) if path.parent.name != "1_Pooling")
    if not found:
        raise FileNotFoundError(f"{source} has no {name}")
    return found[0]


def package(source: Path, target: Path) -> dict[str, Any]:
    """Write the version's files; returns what the catalogue needs to know of it."""
    target.mkdir(parents=True, exist_ok=True)
    config = json.loads(find(source, "config.json").read_text())
    write(find(source, "model.safetensors"), config, target / "model.onnx")
    shutil.copyfile(find(source, "tokenizer.json"), target / "tokenizer.json")
    (target / "engine.json").write_text(json.dumps({"engine": "onnx-embed", "max_tokens": MAX_TOKENS}))
    files = {name: target / name for name in ("model.onnx", "tokenizer.json", "engine.json")}
    vectors, _ = OnnxEmbed("self-test", files).vectors(SELF_TEST)
    described = {
        "engine": "onnx-embed",
        "task": "embed",
        "dimensions": int(vectors.shape[1]),
        "max_tokens": MAX_TOKENS,
        "min_memory_mb": MEMORY_MB,
        "comparator": {"kind": "cosine", "min": LEAST_COSINE},
        "self_test": {
            "kind": "embed",
            "inputs": list(SELF_TEST),
            "expected": b64(encode_tensors({"kind": "embed"}, {"vectors": vectors})),
        },
        "version": sha256(files["model.onnx"].read_bytes()).hexdigest()[:12],
    }
    (target / "version.json").write_text(json.dumps(described))
    return described


def main() -> None:
    """Entry of `python -m workers.engines.packaging`."""
    package(Path(sys.argv[1]), Path(sys.argv[2]))


if __name__ == "__main__":
    main()
