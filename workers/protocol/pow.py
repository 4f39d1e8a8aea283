"""A light proof-of-work: SHA-256(challenge + nonce) begins with zeros. The server recomputes it."""

from hashlib import sha256
from itertools import count


def check(challenge: str, nonce: str, zeros: int) -> bool:
    """Whether the nonce solves the challenge."""
    return len(nonce) <= 64 and sha256(f"{challenge}{nonce}".encode()).hexdigest().startswith("0" * zeros)


def solve(challenge: str, zeros: int = 4) -> str:
    """The first decimal nonce that does; about 16^zeros hashes."""
    return next(str(n) for n in count() if check(challenge, str(n), zeros))
