"""Tensor frames: a length-prefixed canonical JSON header, then arrays aligned to 64 bytes."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from workers.protocol import canonical
from workers.protocol.errors import FrameMalformed, NotCanonical

MAGIC = b"MWT1"
ALIGN = 64
CHUNK = 64 * 1024
LARGEST = 2**31
DTYPES = {"float32": "<f4", "float16": "<f2", "int8": "|i1", "int32": "<i4", "int64": "<i8"}


def _padded(size: int) -> int:
    return -(-size // ALIGN) * ALIGN


def encode_tensors(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """One frame; arrays are written little-endian in C order. Raises FrameMalformed for a type that is not carried."""
    described, blobs, offset = [], [], 0
    for name, array in arrays.items():
        dtype = str(array.dtype)
        if dtype not in DTYPES:
            raise FrameMalformed(f"Arrays of {dtype} are not carried.")
        blob = np.ascontiguousarray(array).astype(DTYPES[dtype], copy=False).tobytes()
        described.append(
            {"name": name, "dtype": dtype, "shape": list(array.shape), "offset": offset, "size": len(blob)}
        )
        blobs.append(blob + bytes(_padded(len(blob)) - len(blob)))
        offset += len(blobs[-1])
    head = canonical.dumps({"header": dict(header), "arrays": described})
    start = _padded(len(MAGIC) + 4 + len(head))
    prefix = MAGIC + len(head).to_bytes(4, "big") + head
    return prefix + bytes(start - len(prefix)) + b"".join(blobs)


def decode_tensors(data: bytes, *, largest: int = LARGEST) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The header and read-only arrays. Raises FrameMalformed for anything that is not exactly one frame."""
    if len(data) > largest or len(data) < 8 or data[:4] != MAGIC:
        raise FrameMalformed
    length = int.from_bytes(data[4:8], "big")
    if 8 + length > len(data):
        raise FrameMalformed
    try:
        head = canonical.loads(data[8 : 8 + length])
        start, arrays, end = _padded(8 + length), {}, 0
        for item in head["arrays"]:
            end = _padded(item["offset"] + item["size"])
            arrays[item["name"]] = _array(data, start, item)
    except (NotCanonical, KeyError, TypeError, ValueError) as error:
        raise FrameMalformed(f"The frame is malformed: {error}") from error
    if start + end != len(data) or not isinstance(head.get("header"), dict):
        raise FrameMalformed
    return head["header"], arrays


def _array(data: bytes, start: int, item: Mapping[str, Any]) -> np.ndarray:
    """One array of the frame, its size checked against its shape."""
    dtype, shape = np.dtype(DTYPES[item["dtype"]]), tuple(item["shape"])
    if any(not isinstance(n, int) or n < 0 for n in shape) or item["offset"] < 0 or item["offset"] % ALIGN:
        raise FrameMalformed
    count = 1
    for n in shape:
        count *= n
    at = start + item["offset"]
    if count * dtype.itemsize != item["size"] or at + item["size"] > len(data):
        raise FrameMalformed
    return np.frombuffer(data, dtype, count, at).reshape(shape)


def chunks(data: bytes, size: int = CHUNK) -> Iterator[bytes]:
    """The frame in pieces for a socket."""
    for start in range(0, len(data), size):
        yield data[start : start + size]
