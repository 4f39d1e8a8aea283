"""Sentence embeddings in ONNX Runtime: text in, unit vectors out, in the order of the inputs."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from workers.engines.base import EngineResult, PayloadRefused
from workers.engines.sessions import faults, open_session
from workers.protocol.frames import encode_tensors

BATCH = 16
MAX_TOKENS = 256


class OnnxEmbed:
    """all-MiniLM-L6-v2 and encoders with the same inputs."""

    def __init__(self, model: str, files: Mapping[str, Path], max_tokens: int = MAX_TOKENS) -> None:
        self.model = model
        self.tokenizer = Tokenizer.from_file(str(files["tokenizer.json"]))
        # The file asks for padding to 128 and truncation at 128.
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(max_tokens)
        self.session = open_session(files["model.onnx"])

    def vectors(self, texts: Sequence[str]) -> tuple[np.ndarray, int]:
        """float32 (texts, dimensions) and the number of tokens read. Texts of like length share a batch."""
        encoded = [encoding.ids for encoding in self.tokenizer.encode_batch(list(texts))]
        order = sorted(range(len(encoded)), key=lambda i: len(encoded[i]))
        rows: list[np.ndarray | None] = [None] * len(encoded)
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            width = max(len(encoded[i]) for i in chosen)
            ids = np.zeros((len(chosen), width), np.int64)
            mask = np.zeros_like(ids)
            for row, i in enumerate(chosen):
                ids[row, : len(encoded[i])] = encoded[i]
                mask[row, : len(encoded[i])] = 1
            with faults():
                output = self.session.run(["vectors"], {"input_ids": ids, "attention_mask": mask})[0]
            for row, i in enumerate(chosen):
                rows[i] = output[row]
        return np.stack(rows).astype(np.float32), sum(map(len, encoded))  # type: ignore[arg-type]

    def run(self, kind: str, payload: bytes, params: Mapping[str, Any]) -> EngineResult:
        """`{"inputs": [text, …]}` → a tensor frame with `vectors`."""
        texts = inputs_of(kind, payload)
        vectors, tokens = self.vectors(texts)
        frame = encode_tensors({"kind": "embed", "model": self.model, "count": len(texts)}, {"vectors": vectors})
        return EngineResult(frame, items=len(texts), tokens_in=tokens, tokens_out=0)


def inputs_of(kind: str, payload: bytes) -> list[str]:
    """The texts of an embed task; raises PayloadRefused."""
    if kind != "embed":
        raise PayloadRefused(f"This engine runs embed tasks, not {kind}.")
    try:
        texts = json.loads(payload)["inputs"]
    except (ValueError, KeyError, TypeError) as error:
        raise PayloadRefused("The payload has no inputs.") from error
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise PayloadRefused("inputs must be a list of texts, at least one.")
    return texts
