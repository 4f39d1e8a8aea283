"""Reading a GGUF file: its metadata, its weights as float32, and 8-bit tables as they are stored."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, dequantize

BLOCK = 32
MIDDLE = 128


class GgufFile(Mapping[str, np.ndarray]):
    """Tensors by name, each dequantised to float32 when asked for; a dense layer is (out, in)."""

    def __init__(self, path: Path) -> None:
        self.reader = GGUFReader(path)
        self.tensors = {tensor.name: tensor for tensor in self.reader.tensors}

    def __getitem__(self, name: str) -> np.ndarray:
        tensor = self.tensors[name]
        return np.asarray(dequantize(tensor.data, tensor.tensor_type), np.float32)

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)

    def field(self, name: str) -> Any:
        """A value of the metadata; KeyError if the file lacks it."""
        return self.reader.fields[name].contents()

    def bytes_and_scales(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """A Q8_0 table in the form that `MatMulNBits` reads: uint8 (rows, blocks, 32) around 128, float32 scales.

        The values are the file's own, exactly: weight = (byte - 128) * scale.
        """
        tensor = self.tensors[name]
        if tensor.tensor_type != GGMLQuantizationType.Q8_0:
            raise ValueError(f"{name} is stored as {tensor.tensor_type.name}, not as Q8_0")
        rows = tensor.data.shape[0]
        blocks = np.ascontiguousarray(tensor.data).reshape(rows, -1, 2 + BLOCK)  # (rows, blocks, 34): scale, 32 values
        scales = np.ascontiguousarray(blocks[..., :2]).view(np.float16)[..., 0].astype(np.float32)
        values = blocks[..., 2:].view(np.int8).astype(np.int16) + MIDDLE
        return values.astype(np.uint8), scales
