"""Collecting the nodes and weights of an ONNX graph while it is written."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

OPSET = 20
IR_VERSION = 10
CONTRIB = "com.microsoft"


class Graph:
    """Collects nodes and weights; every method returns the name of its output."""

    def __init__(self, weights: Mapping[str, np.ndarray]) -> None:
        self.weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}

    def op(self, kind: str, *inputs: str, name: str, **attributes: Any) -> str:
        """Add one node."""
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, name: str, value: np.ndarray) -> str:
        """Add a tensor."""
        self.initializers.setdefault(name, numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def weight(self, name: str, *, transpose: bool = False) -> str:
        """A weight by its name in the file; dense layers are stored (out, in) and used (in, out)."""
        value = self.weights[name].astype(np.float32)
        return self.constant(f"{name}.T" if transpose else name, value.T if transpose else value)

    def dense(self, x: str, layer: str) -> str:
        """x @ W.T + b."""
        product = self.op("MatMul", x, self.weight(f"{layer}.weight", transpose=True), name=f"{layer}/matmul")
        return self.op("Add", product, self.weight(f"{layer}.bias"), name=f"{layer}/out")

    def norm(self, x: str, layer: str, epsilon: float) -> str:
        """Layer normalisation over the last axis."""
        scale, bias = self.weight(f"{layer}.weight"), self.weight(f"{layer}.bias")
        return self.op("LayerNormalization", x, scale, bias, name=f"{layer}/out", axis=-1, epsilon=epsilon)

    def model(
        self, name: str, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto]
    ) -> onnx.ModelProto:
        """The finished model, checked."""
        graph = helper.make_graph(self.nodes, name, list(inputs), list(outputs), list(self.initializers.values()))
        opsets = [helper.make_opsetid("", OPSET)]
        if any(node.domain == CONTRIB for node in self.nodes):
            opsets.append(helper.make_opsetid(CONTRIB, 1))
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
        model.producer_name = "meshwork"
        onnx.checker.check_model(model)
        return model


def serialized(model: onnx.ModelProto) -> bytes:
    """The same model gives the same bytes."""
    return bytes(model.SerializeToString(deterministic=True))
