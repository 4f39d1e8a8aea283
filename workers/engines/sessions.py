"""ONNX Runtime sessions: one thread each, since a node runs one session a slot; its faults are EngineErrors."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as state

from workers.engines.base import EngineError

# The runtime's exceptions have no base class of their own.
FAULTS = (
    state.EPFail,
    state.Fail,
    state.InvalidArgument,
    state.InvalidGraph,
    state.InvalidProtobuf,
    state.NoSuchFile,
    state.NotImplemented,
    state.RuntimeException,
)


@contextmanager
def faults() -> Iterator[None]:
    """What the runtime raises, as an EngineError."""
    try:
        yield
    except FAULTS as error:
        raise EngineError(f"ONNX Runtime: {error}") from error


def open_session(path: Path) -> onnxruntime.InferenceSession:
    """A session on the best provider of this host. Raises EngineError for a file that it cannot run."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    with faults():
        return onnxruntime.InferenceSession(str(path), options, providers=onnxruntime.get_available_providers())
