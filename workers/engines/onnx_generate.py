"""Text generation in ONNX Runtime with a key-value cache: a prompt in, its continuation out."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from workers.engines.base import EngineResult, PayloadRefused
from workers.engines.prompts import prompt_of
from workers.engines.sampling import Options, choose
from workers.engines.sessions import faults, open_session

PIECE = 256


class Cache:
    """The keys and values of the tokens that were read so far: `past.<block>.<part>` float32 (heads, seen, size)."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        inputs = [given for given in session.get_inputs() if given.name.startswith("past.")]
        self.names = [given.name for given in inputs]
        self.values = [
            onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros((given.shape[0], 0, given.shape[2]), np.float32))
            for given in inputs
        ]
        self.outputs = ["tokens", "logits", *(name.replace("past.", "present.", 1) for name in self.names)]

    def read(self, session: onnxruntime.InferenceSession, ids: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Read tokens; the candidates for the next one, (tokens, logits). A long text is read piece by piece."""
        for start in range(0, len(ids), PIECE):
            piece = np.asarray(ids[start : start + PIECE], np.int64)
            feeds = {"input_ids": onnxruntime.OrtValue.ortvalue_from_numpy(piece)}
            feeds.update(zip(self.names, self.values, strict=True))
            with faults():
                tokens, logits, *self.values = session.run_with_ort_values(self.outputs, feeds)
        return tokens.numpy(), logits.numpy()


class OnnxGenerate:
    """Gemma 3 and models with the same inputs."""

    def __init__(self, model: str, files: Mapping[str, Path], *, context: int, end: int) -> None:
        self.model, self.context, self.end = model, context, end
        self.tokenizer = Tokenizer.from_file(str(files["tokenizer.json"]))
        # A prompt that names a control token means its letters.
        self.tokenizer.encode_special_tokens = True
        self.session = open_session(files["model.onnx"])

    def tokens(self, ids: Sequence[int], options: Options) -> Iterator[int]:
        """The tokens that follow `ids`: `num_predict` of them, or fewer where the context is full."""
        cache = Cache(self.session)
        random = np.random.default_rng(options.seed)
        unread: Sequence[int] = ids
        for _ in range(min(options.num_predict, self.context - len(ids))):
            token = choose(*cache.read(self.session, unread), options, random)
            yield token
            unread = [token]

    def generate(self, prompt: str, options: Options) -> dict[str, Any]:
        """{response, done_reason: stop or length, eval_count, prompt_eval_count}. Raises PayloadRefused."""
        ids = self.tokenizer.encode(prompt).ids
        if len(ids) >= self.context:
            raise PayloadRefused(f"The prompt has {len(ids)} tokens; {self.model} reads fewer than {self.context}.")
        written: list[int] = []
        text, reason = "", "length"
        for token in self.tokens(ids, options):
            if token == self.end:
                reason = "stop"
                break
            written.append(token)
            text = self.tokenizer.decode(written)
            cut = min((at for at in map(text.find, options.stop) if at >= 0), default=-1)
            if cut >= 0:
                text, reason = text[:cut], "stop"
                break
        return {
            "response": text,
            "done_reason": reason,
            "eval_count": len(written),
            "prompt_eval_count": len(ids),
        }

    def run(self, kind: str, payload: bytes, params: Mapping[str, Any]) -> EngineResult:
        """`{"prompt": text, …options}` → JSON `{response, done_reason, eval_count, prompt_eval_count, model}`."""
        prompt, options = prompt_of(kind, payload)
        if options.get("format"):
            raise PayloadRefused(f"{self.model} cannot be held to a format.")
        system = options.get("system", "")
        answer = self.generate(f"{system}\n\n{prompt}" if system else prompt, Options.of(options))
        return EngineResult(
            json.dumps({**answer, "model": self.model}, sort_keys=True).encode(),
            items=1,
            tokens_in=answer["prompt_eval_count"],
            tokens_out=answer["eval_count"],
        )
