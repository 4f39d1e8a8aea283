"""A small GGUF file with Gemma 3's architecture, random weights of a fixed seed and a vocabulary of its own."""

from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, quants

BLOCKS, HIDDEN, HEADS, SIZE, FED = 7, 64, 4, 32, 96
WINDOW, BASE = 8, 1_000_000.0
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6
WORDS = [
    "\u2581the",
    "the",
    "th",
    "he",
    "\u2581t",
    "in",
    "\u2581in",
    "er",
    "\u2581\u2581",
    "an",
    "and",
    "\u2581a",
    "nd",
]
SEED = 11


def vocabulary() -> tuple[list[str], list[int], list[float]]:
    """Tokens, their kinds and scores: control, line breaks, bytes, words, letters."""
    rows = [(name, CONTROL, -1000.0) for name in ("<pad>", "<eos>", "<bos>")] + [("<unk>", UNKNOWN, -1000.0)]
    rows += [("\n" * count, USER_DEFINED, -1000.0) for count in (1, 2)] + [("  ", USER_DEFINED, -1000.0)]
    rows += [(f"<0x{value:02X}>", BYTE, -1000.0) for value in range(256)]
    rows += [(word, NORMAL, -float(rank)) for rank, word in enumerate(WORDS)]
    letters = ["\u2581", *map(chr, range(33, 127))]
    rows += [(letter, NORMAL, -100.0 - rank) for rank, letter in enumerate(letters)]
    tokens, kinds, scores = zip(*rows, strict=True)
    return list(tokens), list(kinds), list(scores)


def weights(tokens: int) -> dict[str, np.ndarray]:
    """Every tensor, float32; dense layers (out, in)."""
    random = np.random.default_rng(SEED)

    def dense(out: int, into: int) -> np.ndarray:
        return random.normal(0, into**-0.5, (out, into)).astype(np.float32)

    def norm(size: int) -> np.ndarray:
        return random.normal(1, 0.2, size).astype(np.float32)

    found = {"token_embd": dense(tokens, HIDDEN), "output_norm": norm(HIDDEN)}
    for block in range(BLOCKS):
        b = f"blk.{block}"
        found |= {f"{b}.attn_q": dense(HEADS * SIZE, HIDDEN), f"{b}.attn_k": dense(SIZE, HIDDEN)}
        found |= {f"{b}.attn_v": dense(SIZE, HIDDEN), f"{b}.attn_output": dense(HIDDEN, HEADS * SIZE)}
        found |= {f"{b}.ffn_gate": dense(FED, HIDDEN), f"{b}.ffn_up": dense(FED, HIDDEN)}
        found |= {f"{b}.ffn_down": dense(HIDDEN, FED)}
        found |= {f"{b}.{name}": norm(SIZE) for name in ("attn_q_norm", "attn_k_norm")}
        names = ("attn_norm", "ffn_norm", "post_attention_norm", "post_ffw_norm")
        found |= {f"{b}.{name}": norm(HIDDEN) for name in names}
    return {f"{name}.weight": value for name, value in found.items()}


def write(path: Path, *, architecture: str = "gemma3", kv_heads: int = 1) -> None:
    """The table in Q8_0, as large models have it; half of the dense layers in Q5_0, the rest in float32."""
    tokens, kinds, scores = vocabulary()
    writer = GGUFWriter(path, architecture)
    writer.add_block_count(BLOCKS)
    writer.add_embedding_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(kv_heads)
    writer.add_key_length(SIZE)
    writer.add_sliding_window(WINDOW)
    writer.add_rope_freq_base(BASE)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_scores(scores)
    writer.add_bos_token_id(2)
    writer.add_eos_token_id(1)
    writer.add_unk_token_id(3)
    for name, value in weights(len(tokens)).items():
        kind = GGMLQuantizationType.F32
        if name.startswith("token_embd"):
            kind = GGMLQuantizationType.Q8_0
        elif "ffn_gate" in name or "attn_q.weight" in name:
            kind = GGMLQuantizationType.Q5_0
        data = value if kind == GGMLQuantizationType.F32 else quants.quantize(value, kind)
        writer.add_tensor(name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
