"""Merkle trees as RFC 6962 defines them: SHA-256, 0x00 before leaves, 0x01 before nodes."""

from collections.abc import Iterable, Sequence
from hashlib import sha256


def leaf_hash(leaf: bytes) -> bytes:
    """The hash of a leaf's bytes."""
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two children."""
    return sha256(b"\x01" + left + right).digest()


def _levels(leaves: Sequence[bytes]) -> list[list[bytes]]:
    """All levels from the leaves up; an odd last node moves up unchanged, which is RFC 6962's tree."""
    level = [leaf_hash(leaf) for leaf in leaves]
    levels = [level]
    while len(level) > 1:
        paired = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = paired + ([level[-1]] if len(level) % 2 else [])
        levels.append(level)
    return levels


def root(leaves: Iterable[bytes]) -> bytes:
    """32 bytes; the root of no leaves is the hash of nothing. Holds one leaf and log n hashes at a time."""
    peaks: list[tuple[int, bytes]] = []  # Complete subtrees from left to right, each larger than the next.
    for leaf in leaves:
        size, value = 1, leaf_hash(leaf)
        while peaks and peaks[-1][0] == size:
            size, value = 2 * size, node_hash(peaks.pop()[1], value)
        peaks.append((size, value))
    if not peaks:
        return sha256(b"").digest()
    value = peaks.pop()[1]
    while peaks:
        value = node_hash(peaks.pop()[1], value)
    return value


def inclusion_proofs(leaves: Sequence[bytes], indexes: Sequence[int]) -> list[list[bytes]]:
    """The siblings from each leaf up to the root, the tree being built once. Raises IndexError."""
    if any(not 0 <= index < len(leaves) for index in indexes):
        raise IndexError(indexes)
    levels = _levels(leaves)[:-1] if leaves else []
    return [_siblings(levels, index) for index in indexes]


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The siblings from a leaf up to the root. Raises IndexError."""
    return inclusion_proofs(leaves, [index])[0]


def _siblings(levels: list[list[bytes]], index: int) -> list[bytes]:
    proof = []
    for level in levels:
        sibling = index ^ 1
        if sibling < len(level):
            proof.append(level[sibling])
        index //= 2
    return proof


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], expected: bytes) -> bool:
    """RFC 9162 2.1.3.2: whether the leaf stands at `index` of the tree of `size` leaves with that root."""
    if not 0 <= index < size:
        return False
    node, last, value = index, size - 1, leaf_hash(leaf)
    for sibling in proof:
        if last == 0:
            return False
        if node % 2 or node == last:
            value = node_hash(sibling, value)
            while node % 2 == 0 and node:
                node, last = node // 2, last // 2
        else:
            value = node_hash(value, sibling)
        node, last = node // 2, last // 2
    return last == 0 and value == expected
