"""Tensor frames: what is written is read again, and nothing else is."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from workers.protocol import canonical
from workers.protocol.errors import FrameMalformed
from workers.protocol.frames import DTYPES, LARGEST_HEAD, MAGIC, chunks, decode_tensors, encode_tensors

NAMES = st.text(min_size=1, max_size=8)
SHAPES = array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)
ARRAYS = st.dictionaries(
    NAMES, st.sampled_from(sorted(DTYPES)).flatmap(lambda dtype: arrays(dtype, SHAPES)), max_size=4
)
HEADERS = st.dictionaries(st.sampled_from(["kind", "model"]), st.text(max_size=10) | st.integers(0, 9))


def example() -> bytes:
    vectors = np.arange(12, dtype=np.float32).reshape(3, 4)
    return encode_tensors({"kind": "embed"}, {"vectors": vectors, "lengths": np.array([1, 2, 3], dtype=np.int8)})


def frame(head: Any, body: bytes = b"") -> bytes:
    """A frame with any header whatever, correctly framed."""
    data = canonical.dumps(head)
    start = -(-(8 + len(data)) // 64) * 64
    return (MAGIC + len(data).to_bytes(4, "big") + data).ljust(start, b"\x00") + body


def described(**changes: Any) -> dict[str, Any]:
    return {"name": "a", "dtype": "int8", "shape": [3], "offset": 0, "size": 3, **changes}


def one(**changes: Any) -> bytes:
    """A frame of one array of three bytes, with changes to its description."""
    return frame({"header": {}, "arrays": [described(**changes)]}, bytes(64))


@given(HEADERS, ARRAYS)
def test_what_is_written_is_read_again(header: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
    data = encode_tensors(header, tensors)
    read_header, read = decode_tensors(data)
    assert read_header == header
    assert list(read) == list(tensors)
    for name, array in tensors.items():
        assert read[name].dtype == array.dtype
        assert read[name].shape == array.shape
        assert read[name].tobytes() == np.ascontiguousarray(array).tobytes()
    assert encode_tensors(read_header, read) == data


def test_every_array_is_aligned_to_64_bytes() -> None:
    data = example()
    assert len(data) % 64 == 0
    for array in decode_tensors(data)[1].values():
        address = array.__array_interface__["data"][0] - np.frombuffer(data, np.uint8).__array_interface__["data"][0]
        assert address % 64 == 0


def test_arrays_in_any_memory_order_are_written_in_c_order() -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    for same in (np.asfortranarray(array), array[::1], np.repeat(array, 2, axis=0)[::2]):
        assert decode_tensors(encode_tensors({}, {"a": same}))[1]["a"].tolist() == array.tolist()


def test_what_is_read_cannot_be_written_to() -> None:
    _, read = decode_tensors(example())
    with pytest.raises(ValueError, match="read-only"):
        read["vectors"][0, 0] = 1


def test_a_socket_sends_pieces_of_64_kib() -> None:
    data = encode_tensors({}, {"a": np.zeros(50_000, dtype=np.float32)})
    pieces = list(chunks(data))
    assert [len(piece) for piece in pieces[:-1]] == [65536] * (len(pieces) - 1)
    assert b"".join(pieces) == data


@pytest.mark.parametrize("dtype", ["float64", "complex64", "uint8", "bool", ">f4", "O", "U3"])
def test_other_types_are_not_carried(dtype: str) -> None:
    with pytest.raises(FrameMalformed) as refusal:
        encode_tensors({}, {"a": np.zeros(3, dtype=dtype)})
    assert refusal.value.code == "frame_malformed"


def test_a_header_has_a_limit() -> None:
    with pytest.raises(FrameMalformed):
        encode_tensors({"note": "a" * LARGEST_HEAD}, {})
    with pytest.raises(FrameMalformed):
        decode_tensors(frame({"header": {"note": "a" * LARGEST_HEAD}, "arrays": []}))


def test_a_frame_has_the_limit_that_its_reader_sets() -> None:
    data = example()
    assert decode_tensors(data, largest=len(data))
    with pytest.raises(FrameMalformed):
        decode_tensors(data, largest=len(data) - 1)


def test_the_example_of_the_malformed_cases_is_whole() -> None:
    assert decode_tensors(one())[1]["a"].tolist() == [0, 0, 0]


MALFORMED: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "only magic": lambda: MAGIC,
    "other magic": lambda: b"MWT2" + example()[4:],
    "header longer than the frame": lambda: MAGIC + (2**32 - 1).to_bytes(4, "big") + bytes(56),
    "header of no length": lambda: MAGIC + bytes(60),
    "header no json": lambda: (MAGIC + (2).to_bytes(4, "big") + b"{]").ljust(64, b"\x00"),
    "header not canonical": lambda: (MAGIC + (26).to_bytes(4, "big") + b'{"header":{}, "arrays":[]}').ljust(
        64, b"\x00"
    ),
    "header a list": lambda: frame([]),
    "without arrays": lambda: frame({"header": {}}),
    "with more": lambda: frame({"header": {}, "arrays": [], "more": 1}),
    "header no object": lambda: frame({"header": [], "arrays": []}),
    "arrays no list": lambda: frame({"header": {}, "arrays": {}}),
    "array no object": lambda: frame({"header": {}, "arrays": ["a"]}),
    "array with more": lambda: one(more=1),
    "no name": lambda: one(name=None),
    "unknown type": lambda: one(dtype="float64"),
    "python type": lambda: one(dtype="O"),
    "type as number": lambda: one(dtype=5),
    "shape no list": lambda: one(shape=3),
    "shape of text": lambda: one(shape=["3"]),
    "shape of yes": lambda: one(shape=[True, 3]),
    "negative shape": lambda: one(shape=[-3]),
    "two negatives": lambda: one(shape=[-3, -1]),
    "larger shape": lambda: one(shape=[4]),
    "smaller shape": lambda: one(shape=[2]),
    "huge shape": lambda: one(shape=[2**52, 2**52]),
    "huge empty shape": lambda: one(shape=[0, 2**52, 2**52], size=0),
    "too many dimensions": lambda: one(shape=[1] * 100, size=1),
    "negative size": lambda: one(size=-3),
    "size as text": lambda: one(size="3"),
    "size past the end": lambda: one(shape=[100], size=100),
    "negative offset": lambda: one(offset=-64),
    "offset past the end": lambda: one(offset=64),
    "unaligned offset": lambda: one(offset=1),
    "offset true": lambda: one(offset=False),
    "one twice": lambda: frame({"header": {}, "arrays": [described(), described(offset=64)]}, bytes(128)),
    "arrays over each other": lambda: frame({"header": {}, "arrays": [described(), described(name="b")]}, bytes(64)),
    "a gap": lambda: frame({"header": {}, "arrays": [described(offset=64)]}, bytes(128)),
    "something after it": lambda: example() + bytes(64),
    "padding cut": lambda: example()[:-1],
    "something in the padding": lambda: example()[:-1] + b"\x01",
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_frame_is_refused(case: str) -> None:
    with pytest.raises(FrameMalformed) as refusal:
        decode_tensors(MALFORMED[case]())
    assert refusal.value.code == "frame_malformed"


def test_a_frame_cut_anywhere_is_refused() -> None:
    data = example()
    for end in range(len(data)):
        with pytest.raises(FrameMalformed):
            decode_tensors(data[:end])


@pytest.mark.parametrize("bit", range(8))
def test_a_flipped_bit_is_refused_or_another_value(bit: int) -> None:
    whole = example()
    for place in range(len(whole)):
        altered = bytearray(whole)
        altered[place] ^= 1 << bit
        try:
            header, read = decode_tensors(bytes(altered))
        except FrameMalformed:
            continue
        assert encode_tensors(header, read) == bytes(altered)


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_and_nothing_else_is_raised(data: bytes) -> None:
    for candidate in (data, MAGIC + data, MAGIC + len(data).to_bytes(4, "big") + data):
        with pytest.raises(FrameMalformed):
            decode_tensors(candidate)
