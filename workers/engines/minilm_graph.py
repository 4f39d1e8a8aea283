"""The ONNX graph of a BERT sentence encoder (all-MiniLM-L6-v2), written from its safetensors weights.

Inputs `input_ids` and `attention_mask`, int64 (batch, tokens); output `vectors`, float32 (batch, 384): mean pooling
over the tokens that the mask keeps, then L2 normalisation. The same weights give the same bytes.

Source of the architecture: Devlin et al. 2019 (BERT, post-norm); Reimers and Gurevych 2019 (mean pooling).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper
from safetensors.numpy import load_file

from workers.engines.graph import Graph, serialized

LARGE_NEGATIVE = np.float32(-1e9)


def embeddings(g: Graph, epsilon: float) -> str:
    """Word + position + type 0; (batch, tokens, hidden)."""
    words = g.op("Gather", g.weight("embeddings.word_embeddings.weight"), "input_ids", name="embeddings/words")
    shape = g.op("Shape", "input_ids", name="embeddings/shape", start=1, end=2)
    zero = g.constant("zero", np.array([0], np.int64))
    # The table is sliced: a Range feeding a Gather brought the runtime down.
    table = g.weight("embeddings.position_embeddings.weight")
    positions = g.op("Slice", table, zero, shape, zero, name="embeddings/positions")
    kind = g.constant("embeddings.type", g.weights["embeddings.token_type_embeddings.weight"][0].astype(np.float32))
    placed = g.op("Add", words, positions, name="embeddings/placed")
    return g.norm(g.op("Add", placed, kind, name="embeddings/typed"), "embeddings.LayerNorm", epsilon)


def attention(g: Graph, x: str, layer: str, heads: int, hidden: int, mask: str) -> str:
    """Multi-head self-attention with an additive mask; (batch, tokens, hidden)."""
    split = g.constant("split", np.array([0, 0, heads, hidden // heads], np.int64))
    merge = g.constant("merge", np.array([0, 0, hidden], np.int64))
    scale = g.constant("scale", np.array((hidden // heads) ** -0.5, np.float32))
    parts = {}
    for part, order in (("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3])):
        name = f"{layer}.self.{part}"
        shaped = g.op("Reshape", g.dense(x, name), split, name=f"{name}/split")
        parts[part] = g.op("Transpose", shaped, name=f"{name}/heads", perm=order)
    scores = g.op("MatMul", parts["query"], parts["key"], name=f"{layer}/scores")
    masked = g.op("Add", g.op("Mul", scores, scale, name=f"{layer}/scaled"), mask, name=f"{layer}/masked")
    weights = g.op("Softmax", masked, name=f"{layer}/weights", axis=-1)
    mixed = g.op("MatMul", weights, parts["value"], name=f"{layer}/mixed")
    back = g.op("Transpose", mixed, name=f"{layer}/back", perm=[0, 2, 1, 3])
    return g.dense(g.op("Reshape", back, merge, name=f"{layer}/merged"), f"{layer}.output.dense")


def encoder_layer(g: Graph, x: str, index: int, config: Mapping[str, Any], mask: str) -> str:
    """Attention and feed-forward, each added to its input and normalised after."""
    base, epsilon = f"encoder.layer.{index}", float(config["layer_norm_eps"])
    heads, hidden = config["num_attention_heads"], config["hidden_size"]
    attended = attention(g, x, f"{base}.attention", heads, hidden, mask)
    x = g.norm(g.op("Add", attended, x, name=f"{base}/residual1"), f"{base}.attention.output.LayerNorm", epsilon)
    inner = g.op("Gelu", g.dense(x, f"{base}.intermediate.dense"), name=f"{base}/gelu")
    fed = g.dense(inner, f"{base}.output.dense")
    return g.norm(g.op("Add", fed, x, name=f"{base}/residual2"), f"{base}.output.LayerNorm", epsilon)


def additive_mask(g: Graph) -> str:
    """0 where a token counts, -1e9 where it is padding; (batch, 1, 1, tokens)."""
    floats = g.op("Cast", "attention_mask", name="mask/float", to=TensorProto.FLOAT)
    wide = g.op("Unsqueeze", floats, g.constant("axes12", np.array([1, 2], np.int64)), name="mask/wide")
    inverted = g.op("Sub", g.constant("one", np.array(1, np.float32)), wide, name="mask/inverted")
    return g.op("Mul", inverted, g.constant("negative", np.array(LARGE_NEGATIVE)), name="mask/additive")


def pooled(g: Graph, x: str) -> None:
    """Mean over kept tokens, then unit length; writes the graph's output."""
    axis1, axis2 = g.constant("axis1", np.array([1], np.int64)), g.constant("axis2", np.array([2], np.int64))
    kept = g.op("Unsqueeze", "mask/float", axis2, name="pool/kept")
    total = g.op("ReduceSum", g.op("Mul", x, kept, name="pool/masked"), axis1, name="pool/sum", keepdims=0)
    count = g.op("ReduceSum", "mask/float", axis1, name="pool/count", keepdims=1)
    mean = g.op("Div", total, count, name="pool/mean")
    length = g.op("ReduceL2", mean, axis1, name="pool/length", keepdims=1)
    floor = g.constant("floor", np.array(1e-12, np.float32))
    g.op("Div", mean, g.op("Max", length, floor, name="pool/safe"), name="vectors")


def build(weights: Mapping[str, np.ndarray], config: Mapping[str, Any]) -> onnx.ModelProto:
    """The whole model."""
    g = Graph(weights)
    mask = additive_mask(g)
    x = embeddings(g, float(config["layer_norm_eps"]))
    for index in range(config["num_hidden_layers"]):
        x = encoder_layer(g, x, index, config, mask)
    pooled(g, x)
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"])
        for name in ("input_ids", "attention_mask")
    ]
    output = helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["batch", config["hidden_size"]])
    return g.model("sentence-encoder", inputs, [output])


def write(weights_path: Path, config: Mapping[str, Any], target: Path) -> None:
    """Read the weights, write the ONNX file."""
    model = build(load_file(weights_path), config)
    target.write_bytes(serialized(model))
