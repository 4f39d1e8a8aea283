"""The ONNX graph of Gemma 3 with a key-value cache, written from the weights of a GGUF file.

Inputs: `input_ids` int64 (tokens,), and for each block `past.<i>.key` and `past.<i>.value`, float32 (heads, seen, 256).
Outputs: `tokens` int64 and `logits` float32, both (1024,): the likeliest next tokens, in no promised order; and
`present.<i>.key`, `present.<i>.value`, float32 (heads, seen + tokens, 256). All arithmetic is float32.

The vocabulary is searched in two passes: 8-bit products choose 1024 candidates, whose logits are then computed from the
same weights in float32. One pass in float32 would read 671 MB for every token.

Source of the architecture: Gemma 3 technical report (2025); rotary halves, local windows and norms as in llama.cpp.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from workers.engines.gguf_weights import BLOCK, MIDDLE, GgufFile
from workers.engines.graph import CONTRIB, Graph, serialized

CANDIDATES = 1024
GLOBAL_EVERY = 6
LOCAL_BASE = 10_000.0
NEVER = np.float32(-1e30)


@dataclass(frozen=True)
class Shape:
    """The sizes of a Gemma 3 model; `context` is the number of positions that its tables hold."""

    blocks: int
    hidden: int
    heads: int
    kv_heads: int
    size: int
    window: int
    base: float
    epsilon: float
    context: int

    @classmethod
    def of(cls, file: GgufFile, context: int) -> "Shape":
        """As the file's metadata says."""
        if file.field("general.architecture") != "gemma3":
            raise ValueError("The file does not hold a Gemma 3 model.")
        if file.field("gemma3.attention.head_count_kv") != 1:
            raise ValueError("Only models whose heads share one key and value are written.")
        return cls(
            blocks=file.field("gemma3.block_count"),
            hidden=file.field("gemma3.embedding_length"),
            heads=file.field("gemma3.attention.head_count"),
            kv_heads=file.field("gemma3.attention.head_count_kv"),
            size=file.field("gemma3.attention.key_length"),
            window=file.field("gemma3.attention.sliding_window"),
            base=file.field("gemma3.rope.freq_base"),
            epsilon=file.field("gemma3.attention.layer_norm_rms_epsilon"),
            context=context,
        )

    def is_global(self, block: int) -> bool:
        """Every sixth block sees the whole text, the others a window."""
        return block % GLOBAL_EVERY == GLOBAL_EVERY - 1


class Writer:
    """Writes the graph part by part."""

    def __init__(self, file: GgufFile, shape: Shape) -> None:
        self.g, self.file, self.shape = Graph(file), file, shape
        self.vocabulary = file.tensors["token_embd.weight"].data.shape[0]
        self.candidates = min(CANDIDATES, self.vocabulary)

    def norm(self, x: str, weight: str) -> str:
        """x / sqrt(mean(x²) + ε) · w over the last axis."""
        g = self.g
        square = g.op("Mul", x, x, name=f"{weight}/square")
        mean = g.op("ReduceMean", square, self.ints("last", -1), name=f"{weight}/mean")
        safe = g.op("Add", mean, g.constant("epsilon", np.array(self.shape.epsilon, np.float32)), name=f"{weight}/safe")
        unit = g.op("Div", x, g.op("Sqrt", safe, name=f"{weight}/root"), name=f"{weight}/unit")
        return g.op("Mul", unit, g.weight(f"{weight}.weight"), name=f"{weight}/out")

    def dense(self, x: str, layer: str) -> str:
        """x @ W.T"""
        return self.g.op("MatMul", x, self.g.weight(f"{layer}.weight", transpose=True), name=f"{layer}/out")

    def ints(self, name: str, *values: int) -> str:
        """A constant of integers."""
        return self.g.constant(name, np.array(values, np.int64))

    def rows(self, ids: str, name: str) -> str:
        """Rows of the vocabulary's table in float32; (ids, hidden)."""
        g = self.g
        stored = g.op("Gather", "table", ids, name=f"{name}/stored")  # (ids, blocks, 32) uint8
        floats = g.op("Cast", stored, name=f"{name}/float", to=TensorProto.FLOAT)
        centred = g.op("Sub", floats, g.constant("middle", np.array(MIDDLE, np.float32)), name=f"{name}/centred")
        scales = g.op("Gather", "table.scales", ids, name=f"{name}/scales")  # (ids, blocks)
        wide = g.op("Unsqueeze", scales, self.ints("last", -1), name=f"{name}/wide")
        values = g.op("Mul", centred, wide, name=f"{name}/values")
        return g.op("Reshape", values, self.ints("to_hidden", -1, self.shape.hidden), name=f"{name}/rows")

    def positions(self) -> None:
        """Where the new tokens stand: the rows of the rotary tables and the masks, sliced from fixed tables."""
        g, shape = self.g, self.shape
        seen = g.op("Shape", "past.0.key", name="seen", start=1, end=2)
        new = g.op("Shape", "input_ids", name="new", start=0, end=1)
        total = g.op("Add", seen, new, name="total")
        zero = self.ints("zero", 0)
        order = g.constant("order", np.arange(shape.context, dtype=np.int64))
        columns = g.op("Slice", order, zero, total, name="columns")
        own = g.op("Slice", order, seen, total, name="own")
        rows = g.op("Unsqueeze", own, self.ints("one", 1), name="own/column")
        distance = g.op("Sub", rows, columns, name="distance")  # (new, total)
        past = g.op("GreaterOrEqual", distance, zero, name="past")
        near = g.op("Less", distance, self.ints("window", shape.window), name="near")
        windowed = g.op("And", past, near, name="windowed")
        allow, deny = g.constant("allow", np.array(0, np.float32)), g.constant("deny", np.array(NEVER))
        g.op("Where", past, allow, deny, name="mask.global")
        g.op("Where", windowed, allow, deny, name="mask.local")
        for kind, base in (("global", shape.base), ("local", LOCAL_BASE)):
            frequencies = 1.0 / base ** (np.arange(0, shape.size, 2) / shape.size)
            angles = np.arange(shape.context)[:, None] * frequencies  # (context, size / 2) radians
            for name, function in (("cos", np.cos), ("sin", np.sin)):
                table = g.constant(f"{name}.{kind}.table", function(angles).astype(np.float32))
                g.op("Slice", table, seen, total, zero, name=f"{name}.{kind}")

    def rotated(self, x: str, kind: str) -> str:
        """Rotary embedding over halves; (heads, tokens, size)."""
        g = self.g
        g.nodes.append(helper.make_node("Split", [x], [f"{x}/a", f"{x}/b"], name=f"{x}/halves", axis=-1, num_outputs=2))
        a, b, cos, sin = f"{x}/a", f"{x}/b", f"cos.{kind}", f"sin.{kind}"
        first = g.op("Sub", g.op("Mul", a, cos, name=f"{x}/ac"), g.op("Mul", b, sin, name=f"{x}/bs"), name=f"{x}/first")
        second = g.op(
            "Add", g.op("Mul", b, cos, name=f"{x}/bc"), g.op("Mul", a, sin, name=f"{x}/as"), name=f"{x}/second"
        )
        return g.op("Concat", first, second, name=f"{x}/rotated", axis=-1)

    def split(self, x: str, heads: int) -> str:
        """(tokens, heads · size) → (tokens, heads, size)"""
        return self.g.op("Reshape", x, self.ints(f"split{heads}", -1, heads, self.shape.size), name=f"{x}/split")

    def by_head(self, x: str) -> str:
        """(tokens, heads, size) → (heads, tokens, size)"""
        return self.g.op("Transpose", x, name=f"{x}/by_head", perm=[1, 0, 2])

    def attention(self, x: str, block: int) -> str:
        """Grouped attention over the cache and the new tokens; (tokens, hidden)."""
        g, shape, b = self.g, self.shape, f"blk.{block}"
        kind = "global" if shape.is_global(block) else "local"
        query = self.norm(self.split(self.dense(x, f"{b}.attn_q"), shape.heads), f"{b}.attn_q_norm")
        key = self.norm(self.split(self.dense(x, f"{b}.attn_k"), shape.kv_heads), f"{b}.attn_k_norm")
        value = self.split(self.dense(x, f"{b}.attn_v"), shape.kv_heads)
        query, key = self.rotated(self.by_head(query), kind), self.rotated(self.by_head(key), kind)
        keys = g.op("Concat", f"past.{block}.key", key, name=f"present.{block}.key", axis=1)
        values = g.op("Concat", f"past.{block}.value", self.by_head(value), name=f"present.{block}.value", axis=1)
        turned = g.op("Transpose", keys, name=f"{b}/keys", perm=[0, 2, 1])
        scale = g.constant("scale", np.array(shape.size**-0.5, np.float32))
        scores = g.op("Mul", g.op("MatMul", query, turned, name=f"{b}/scores"), scale, name=f"{b}/scaled")
        weights = g.op("Softmax", g.op("Add", scores, f"mask.{kind}", name=f"{b}/masked"), name=f"{b}/weights", axis=-1)
        mixed = self.by_head(g.op("MatMul", weights, values, name=f"{b}/mixed"))
        joined = g.op("Reshape", mixed, self.ints("join", -1, shape.heads * shape.size), name=f"{b}/joined")
        return self.dense(joined, f"{b}.attn_output")

    def block(self, x: str, block: int) -> str:
        """Attention and gated feed-forward, each normalised before and after and added to its input."""
        g, b = self.g, f"blk.{block}"
        attended = self.norm(self.attention(self.norm(x, f"{b}.attn_norm"), block), f"{b}.post_attention_norm")
        x = g.op("Add", x, attended, name=f"{b}/residual1")
        h = self.norm(x, f"{b}.ffn_norm")
        gate = g.op("Gelu", self.dense(h, f"{b}.ffn_gate"), name=f"{b}/gate", approximate="tanh")
        fed = g.op("Mul", gate, self.dense(h, f"{b}.ffn_up"), name=f"{b}/gated")
        return g.op("Add", x, self.norm(self.dense(fed, f"{b}.ffn_down"), f"{b}.post_ffw_norm"), name=f"{b}/residual2")

    def head(self, x: str) -> None:
        """The likeliest tokens after the last one: chosen in 8 bits, computed in float32."""
        g = self.g
        last = g.op("Slice", x, self.ints("minus1", -1), self.ints("far", 2**62), self.ints("zero", 0), name="last/row")
        state = self.norm(last, "output_norm")  # (1, hidden)
        sizes = {"K": self.shape.hidden, "N": self.vocabulary, "bits": 8, "block_size": BLOCK, "accuracy_level": 4}
        g.nodes.append(
            helper.make_node("MatMulNBits", [state, "table", "table.scales"], ["rough"], domain=CONTRIB, **sizes)
        )
        g.nodes.append(
            helper.make_node("TopK", ["rough", self.ints("k", self.candidates)], ["best", "best/ids"], axis=-1)
        )
        g.op("Reshape", "best/ids", self.ints("flat", -1), name="tokens")
        turned = g.op("Transpose", self.rows("tokens", "candidates"), name="candidates/turned", perm=[1, 0])
        g.op("Reshape", g.op("MatMul", state, turned, name="exact"), self.ints("flat", -1), name="logits")

    def write(self) -> onnx.ModelProto:
        """The whole model."""
        g, shape = self.g, self.shape
        table, scales = self.file.bytes_and_scales("token_embd.weight")
        g.constant("table", table)
        g.constant("table.scales", scales)
        self.positions()
        root = g.constant("root", np.array(np.sqrt(shape.hidden), np.float32))
        x = g.op("Mul", self.rows("input_ids", "words"), root, name="words/scaled")
        for block in range(shape.blocks):
            x = self.block(x, block)
        self.head(x)
        return g.model("gemma3", self.inputs(), self.outputs())

    def cache(self, when: str, length: str) -> list[onnx.ValueInfoProto]:
        """The cache's tensors."""
        dims: list[str | int | None] = [self.shape.kv_heads, length, self.shape.size]
        return [
            helper.make_tensor_value_info(f"{when}.{block}.{part}", TensorProto.FLOAT, dims)
            for block in range(self.shape.blocks)
            for part in ("key", "value")
        ]

    def inputs(self) -> list[onnx.ValueInfoProto]:
        """What the graph reads."""
        ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["tokens"])
        return [ids, *self.cache("past", "seen")]

    def outputs(self) -> list[onnx.ValueInfoProto]:
        """What the graph gives."""
        tokens = helper.make_tensor_value_info("tokens", TensorProto.INT64, [self.candidates])
        logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [self.candidates])
        return [tokens, logits, *self.cache("present", "total")]


def write(file: GgufFile, target: Path, context: int) -> Shape:
    """Read the weights, write the ONNX file; returns the model's sizes."""
    shape = Shape.of(file, context)
    target.write_bytes(serialized(Writer(file, shape).write()))
    return shape
