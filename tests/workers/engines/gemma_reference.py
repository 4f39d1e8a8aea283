"""Gemma 3 once more, written apart from the engine: NumPy in float64 without a cache, and SentencePiece's joining."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np


class Reference:
    """One forward pass over a whole text; a token at a time, head by head, so that no mask can hide a mistake."""

    def __init__(self, weights: Mapping[str, np.ndarray], *, blocks: int, window: int, base: float) -> None:
        self.w = {name: value.astype(np.float64) for name, value in weights.items()}
        self.blocks, self.window, self.base = blocks, window, base

    @staticmethod
    def norm(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
        return x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + 1e-6) * weight

    @staticmethod
    def turn(x: np.ndarray, base: float) -> np.ndarray:
        """Rotate the pairs (j, j + size/2) of row t by t · base^(-2j/size), as complex numbers."""
        half = x.shape[-1] // 2
        angle = np.arange(len(x))[:, None] / base ** (np.arange(half) / half)
        turned = (x[:, :half] + 1j * x[:, half:]) * np.exp(1j * angle)
        return np.concatenate([turned.real, turned.imag], -1)

    def attention(self, x: np.ndarray, block: int) -> np.ndarray:
        w = lambda name: self.w[f"blk.{block}.{name}.weight"]  # noqa: E731
        far = block % 6 == 5
        base = self.base if far else 10_000.0
        size = w("attn_k").shape[0]
        key = self.turn(self.norm(x @ w("attn_k").T, w("attn_k_norm")), base)
        value = x @ w("attn_v").T
        heads = []
        for start in range(0, w("attn_q").shape[0], size):
            query = self.norm(x @ w("attn_q")[start : start + size].T, w("attn_q_norm"))
            query = self.turn(query, base)
            rows = []
            for t in range(len(x)):
                first = 0 if far else max(0, t - self.window + 1)
                scores = key[first : t + 1] @ query[t] / math.sqrt(size)
                weights = np.exp(scores - scores.max())
                rows.append(weights / weights.sum() @ value[first : t + 1])
            heads.append(np.stack(rows))
        return np.concatenate(heads, -1) @ w("attn_output").T

    def logits(self, ids: Sequence[int]) -> np.ndarray:
        """float64 (vocabulary,): what follows the text."""
        table = self.w["token_embd.weight"]
        x = table[list(ids)] * math.sqrt(table.shape[1])
        for block in range(self.blocks):
            w = lambda name, b=block: self.w[f"blk.{b}.{name}.weight"]  # noqa: E731
            attended = self.attention(self.norm(x, w("attn_norm")), block)
            x = x + self.norm(attended, w("post_attention_norm"))
            h = self.norm(x, w("ffn_norm"))
            gate = h @ w("ffn_gate").T
            gate = 0.5 * gate * (1 + np.tanh(math.sqrt(2 / math.pi) * (gate + 0.044715 * gate**3)))
            x = x + self.norm((gate * (h @ w("ffn_up").T)) @ w("ffn_down").T, w("post_ffw_norm"))
        return table @ self.norm(x[-1], self.w["output_norm.weight"])


def pieces(text: str, scores: Mapping[str, float]) -> list[str]:
    """Join the pair of neighbours whose union scores best, the leftmost of equals, until none is a piece."""
    parts = list(text.replace(" ", "\u2581"))
    while True:
        unions = [(-scores[a + b], at) for at, (a, b) in enumerate(pairwise(parts)) if a + b in scores]
        if not unions:
            return parts
        _, at = min(unions)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
