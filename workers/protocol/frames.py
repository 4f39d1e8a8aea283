"""Tensor frames: a length-prefixed canonical JSON header, then arrays aligned to 64 bytes."""

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

import msgspec
import numpy as np

from workers.protocol import canonical
from workers.protocol.errors import FrameMalformed, NotCanonical

MAGIC = b"MWT1"
ALIGN = 64
CHUNK = 64 * 1024
PREFIX = len(MAGIC) + 4
LARGEST = 2**31
LARGEST_HEAD = 2**20
DTYPES = {"float32": "<f4", "float16": "<f2", "int8": "|i1", "int32": "<i4", "int64": "<i8"}


def _padded(size: int) -> int:
    return -(-size // ALIGN) * ALIGN


def encode_tensors(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """One frame; arrays are written little-endian in C order. Raises FrameMalformed for what is not carried."""
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
    if PREFIX + len(head) > LARGEST_HEAD:
        raise FrameMalformed("The frame's header is longer than allowed.")
    start = _padded(PREFIX + len(head))
    prefix = MAGIC + len(head).to_bytes(4, "big") + head
    return prefix + bytes(start - len(prefix)) + b"".join(blobs)


class _Described(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    dtype: str
    shape: list[int]
    offset: int
    size: int


class _Head(msgspec.Struct, forbid_unknown_fields=True):
    header: dict[str, Any]
    arrays: list[_Described]


def decode_tensors(data: bytes, *, largest: int = LARGEST) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The header and read-only arrays. Raises FrameMalformed for anything that `encode_tensors` would not write."""
    if len(data) > largest or len(data) < PREFIX or data[: len(MAGIC)] != MAGIC:
        raise FrameMalformed
    end = PREFIX + int.from_bytes(data[len(MAGIC) : PREFIX], "big")
    if end > min(len(data), LARGEST_HEAD):
        raise FrameMalformed("The frame's header is longer than the frame or than allowed.")
    try:
        head = msgspec.convert(canonical.loads(data[PREFIX:end]), _Head)
        start = at = _past_padding(data, end)
        arrays = {}
        for item in head.arrays:
            if item.offset != at - start or item.name in arrays:
                raise FrameMalformed("The frame's arrays do not follow each other, or one stands twice.")
            arrays[item.name] = _array(data, at, item)
            at = _past_padding(data, at + item.size)
    except (NotCanonical, msgspec.ValidationError, ValueError) as error:
        raise FrameMalformed(f"The frame is malformed: {error}") from error
    if at != len(data):
        raise FrameMalformed
    return head.header, arrays


def _past_padding(data: bytes, at: int) -> int:
    """Where the next aligned part begins; what lies between is zeros."""
    after = _padded(at)
    if after > len(data) or any(data[at:after]):
        raise FrameMalformed
    return after


def _array(data: bytes, at: int, item: _Described) -> np.ndarray:
    """One array of the frame, its size checked against its shape."""
    if item.dtype not in DTYPES or any(n < 0 for n in item.shape):
        raise FrameMalformed
    dtype, count = np.dtype(DTYPES[item.dtype]), prod(item.shape)
    if count * dtype.itemsize != item.size or at + item.size > len(data):
        raise FrameMalformed
    return np.frombuffer(data, dtype, count, at).reshape(item.shape)


def chunks(data: bytes, size: int = CHUNK) -> Iterator[bytes]:
    """The frame in pieces for a socket."""
    for start in range(0, len(data), size):
        yield data[start : start + size]
