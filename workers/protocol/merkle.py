"""Merkle trees as RFC 6962 defines them: SHA-256, 0x00 before leaves, 0x01 before nodes."""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from itertools import islice

# A power of two, so that whole pieces are subtrees of RFC 6962's tree.
PIECE = 4096


def leaf_hash(leaf: bytes) -> bytes:
    """The hash of a leaf's bytes."""
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two children."""
    return sha256(b"\x01" + left + right).digest()


def _parents(level: list[bytes]) -> list[bytes]:
    """The level above; an odd last node moves up unchanged, which is RFC 6962's tree."""
    nodes = iter(level)
    paired = [sha256(b"\x01" + left + right).digest() for left, right in zip(nodes, nodes, strict=False)]
    return paired + ([level[-1]] if len(level) % 2 else [])


def _top(level: list[bytes]) -> bytes:
    """The root of the tree over one or more hashes."""
    while len(level) > 1:
        level = _parents(level)
    return level[0]


def _levels(hashes: Sequence[bytes]) -> list[list[bytes]]:
    """All levels from the leaves' hashes up."""
    levels = [list(hashes)]
    while len(levels[-1]) > 1:
        levels.append(_parents(levels[-1]))
    return levels


def root(leaves: Iterable[bytes]) -> bytes:
    """32 bytes; the root of no leaves is the hash of nothing. Holds a few thousand leaves at a time."""
    return root_of_hashes(sha256(b"\x00" + leaf).digest() for leaf in leaves)


def root_of_hashes(hashes: Iterable[bytes]) -> bytes:
    """The root over leaves of which only the hashes are known."""
    tree, pieces = Accumulator(), iter(hashes)
    while piece := list(islice(pieces, PIECE)):
        tree.extend(piece)
    return tree.root()


class Accumulator:
    """A tree that grows leaf by leaf. Holds a few thousand hashes, however many were added."""

    def __init__(self) -> None:
        self._piece: list[bytes] = []
        # Complete subtrees from left to right, each larger than the next.
        self._peaks: list[tuple[int, bytes]] = []

    def add(self, leaf_hash: bytes) -> None:
        """The next leaf, by its hash."""
        self._piece.append(leaf_hash)
        if len(self._piece) == PIECE:
            self._grow()

    def extend(self, hashes: list[bytes]) -> None:
        """The next leaves, PIECE of them unless they are the last."""
        self._piece = hashes
        if len(hashes) == PIECE:
            self._grow()

    def root(self) -> bytes:
        """The root of what was added so far."""
        tops = [value for _, value in self._peaks] + ([_top(self._piece)] if self._piece else [])
        if not tops:
            return sha256(b"").digest()
        value = tops.pop()
        while tops:
            value = node_hash(tops.pop(), value)
        return value

    def _grow(self) -> None:
        size, value = PIECE, _top(self._piece)
        while self._peaks and self._peaks[-1][0] == size:
            size, value = 2 * size, node_hash(self._peaks.pop()[1], value)
        self._peaks.append((size, value))
        self._piece = []


def inclusion_proofs(leaves: Sequence[bytes], indexes: Sequence[int]) -> list[list[bytes]]:
    """The siblings from each leaf up to the root, the tree being built once. Raises IndexError."""
    return proofs_of_hashes([leaf_hash(leaf) for leaf in leaves], indexes)


def proofs_of_hashes(hashes: Sequence[bytes], indexes: Sequence[int]) -> list[list[bytes]]:
    """The same over leaves of which only the hashes are known."""
    if any(not 0 <= index < len(hashes) for index in indexes):
        raise IndexError(indexes)
    levels = _levels(hashes)[:-1] if hashes else []
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
