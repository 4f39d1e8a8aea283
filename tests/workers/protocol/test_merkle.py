"""Merkle trees: RFC 6962's known roots and paths, and pymerkle as an oracle."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymerkle import InmemoryTree

from workers.protocol import merkle
from workers.protocol.blocks import HEADER_FIELDS, block_hash, transfer_leaf

# The leaves and roots of the reference implementation's own tests (Certificate Transparency, RFC 6962).
LEAVES = [
    bytes.fromhex(leaf)
    for leaf in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
TREES = st.lists(st.binary(max_size=20), min_size=1, max_size=40)


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_are_those_of_rfc_6962(size: int) -> None:
    assert merkle.root(LEAVES[:size]).hex() == ROOTS[size - 1]


def test_the_root_of_nothing_is_the_hash_of_nothing() -> None:
    assert merkle.root([]) == sha256(b"").digest()


def test_leaves_and_nodes_are_hashed_apart() -> None:
    assert merkle.leaf_hash(b"x") == sha256(b"\x00x").digest()
    assert merkle.node_hash(b"l", b"r") == sha256(b"\x01lr").digest()


def test_the_path_of_the_sixth_of_eight_is_the_references() -> None:
    assert [step.hex() for step in merkle.inclusion_proof(LEAVES, 5)] == [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]


@given(TREES, st.data())
def test_roots_and_paths_are_pymerkles(leaves: list[bytes], data: st.DataObject) -> None:
    oracle = InmemoryTree.init_from_entries(leaves, algorithm="sha256")
    assert merkle.root(leaves) == oracle.get_root(len(leaves))
    index = data.draw(st.integers(0, len(leaves) - 1))
    path = oracle.prove_inclusion(index + 1, len(leaves)).path
    assert sorted(path) == sorted([merkle.leaf_hash(leaves[index]), *merkle.inclusion_proof(leaves, index)])


@given(TREES)
def test_every_leaf_is_proven(leaves: list[bytes]) -> None:
    root, size = merkle.root(leaves), len(leaves)
    proofs = merkle.inclusion_proofs(leaves, range(size))
    for index, (leaf, proof) in enumerate(zip(leaves, proofs, strict=True)):
        assert proof == merkle.inclusion_proof(leaves, index)
        assert merkle.verify_inclusion(leaf, index, size, proof, root)


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=40, unique=True), st.data())
def test_no_leaf_is_proven_elsewhere_or_otherwise(leaves: list[bytes], data: st.DataObject) -> None:
    root, size = merkle.root(leaves), len(leaves)
    index = data.draw(st.integers(0, size - 1))
    leaf, proof = leaves[index], merkle.inclusion_proof(leaves, index)
    other = data.draw(st.integers(-2, size + 2).filter(lambda n: n != index))
    assert not merkle.verify_inclusion(leaf, other, size, proof, root)
    assert not merkle.verify_inclusion(leaf + b"x", index, size, proof, root)
    assert not merkle.verify_inclusion(leaf, index, size, [*proof, root], root)
    assert not merkle.verify_inclusion(leaf, index, size, proof, sha256(root).digest())
    for step in range(len(proof)):
        assert not merkle.verify_inclusion(leaf, index, size, proof[:step] + proof[step + 1 :], root)
        changed = [*proof[:step], sha256(proof[step]).digest(), *proof[step + 1 :]]
        assert not merkle.verify_inclusion(leaf, index, size, changed, root)


def test_an_inner_node_is_no_leaf() -> None:
    left, right = merkle.leaf_hash(LEAVES[0]), merkle.leaf_hash(LEAVES[1])
    assert not merkle.verify_inclusion(left + right, 0, 1, [], merkle.root(LEAVES[:2]))


@pytest.mark.parametrize("index", [-1, 8])
def test_there_is_no_path_for_a_leaf_that_is_not_there(index: int) -> None:
    with pytest.raises(IndexError):
        merkle.inclusion_proof(LEAVES, index)


def test_a_blocks_hash_covers_every_field_of_its_header() -> None:
    header = {name: f"{name} of block 1" for name in HEADER_FIELDS}
    hashes = {block_hash({**header, name: "another"}) for name in HEADER_FIELDS}
    assert len(hashes | {block_hash(header)}) == len(HEADER_FIELDS) + 1
    with pytest.raises(KeyError):
        block_hash({"height": 1})


def test_a_transfers_leaf_does_not_depend_on_the_order_of_its_fields() -> None:
    assert transfer_leaf({"b": 1, "a": 2}) == transfer_leaf({"a": 2, "b": 1}) == b'{"a":2,"b":1}'
