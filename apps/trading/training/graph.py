"""A fitted model as one ONNX file: features (n, 94) float32 → score (n, 1) float32."""

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, checker, helper, numpy_helper

from apps.trading.training.data import LIMIT
from apps.trading.training.fitting import Fitted

OPSET = 17


def write(fitted: Fitted) -> bytes:
    """The file's bytes; the same weights give the same bytes."""
    n = len(fitted.weights)
    constants = {
        "mean": fitted.scale.mean,
        "inverse": 1.0 / fitted.scale.spread,
        "low": np.array(-LIMIT),
        "high": np.array(LIMIT),
        "weights": fitted.weights[:, None],
        "bias": np.array([fitted.bias]),
    }
    nodes = [
        helper.make_node("Sub", ["features", "mean"], ["centred"]),
        helper.make_node("Mul", ["centred", "inverse"], ["scaled"]),
        helper.make_node("Clip", ["scaled", "low", "high"], ["clipped"]),
        helper.make_node("Gemm", ["clipped", "weights", "bias"], ["score"]),
    ]
    graph = helper.make_graph(
        nodes,
        "direction",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", n])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["n", 1])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    checker.check_model(model)
    return bytes(model.SerializeToString())


def parity(content: bytes, fitted: Fitted, features: NDArray[np.float64]) -> float:
    """The largest difference between ONNX Runtime and the float64 reference, relative to the scores' size."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    [got] = session.run(["score"], {"features": features.astype(np.float32)})
    wanted = fitted.score(features)
    return float(np.max(np.abs(got[:, 0] - wanted)) / max(float(np.max(np.abs(wanted))), 1e-12))
