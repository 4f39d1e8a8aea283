"""The root over a million leaves, beside pymerkle's tree in memory."""

import time
from collections.abc import Callable
from hashlib import sha256
from statistics import median
from typing import Any, TypeVar

T = TypeVar("T")
LEAVES = 1_000_000
ROUNDS = 3


def measure() -> list[dict[str, Any]]:
    """Medians of alternating rounds over the same leaves, as long as a transfer's form is; and one proof's time."""
    from workers.protocol import merkle

    leaves = [sha256(b"%d" % number).digest() * 10 for number in range(LEAVES)]
    theirs = pymerkle_root()
    ours_s: list[float] = []
    theirs_s: list[float] = []
    for _ in range(ROUNDS):
        seconds, root = timed(lambda: merkle.root(leaves))
        ours_s.append(seconds)
        if theirs is not None:
            seconds, other = timed(lambda: theirs(leaves))
            theirs_s.append(seconds)
            assert other == root
    hashes = [merkle.leaf_hash(leaf) for leaf in leaves]
    proof_s, [path] = timed(lambda: merkle.proofs_of_hashes(hashes, [LEAVES // 3]))
    assert merkle.verify_inclusion(leaves[LEAVES // 3], LEAVES // 3, LEAVES, path, root)
    ours, peer = median(ours_s), median(theirs_s) if theirs_s else None
    return [
        {
            "figure": "merkle",
            "ours": round(ours, 3),
            "unit": "s",
            "peer": "pymerkle InmemoryTree",
            "theirs": round(peer, 2) if peer else None,
            "ratio": peer / ours if peer else None,
            "n": LEAVES,
            "note": "seconds of one core; 320-byte leaves; the ratio is theirs through ours, the same root; goal < 1",
        },
        {
            "figure": "merkle_proof",
            "ours": round(proof_s, 3),
            "unit": "s",
            "peer": None,
            "theirs": None,
            "ratio": None,
            "n": 1,
            "note": f"one proof in a block of {LEAVES} kept leaf hashes",
        },
    ]


def pymerkle_root() -> Callable[[list[bytes]], bytes] | None:
    """Their root of leaves; None where it is not installed."""
    try:
        from pymerkle import InmemoryTree
    except ImportError:
        return None

    def root(leaves: list[bytes]) -> bytes:
        return bytes(InmemoryTree.init_from_entries(leaves, algorithm="sha256").get_root(len(leaves)))

    return root


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """Seconds of the core, whatever else runs on the machine, and what came out."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result
