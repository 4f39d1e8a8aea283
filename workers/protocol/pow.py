"""A light proof-of-work: SHA-256 of "challenge:key:nonce" begins with zeros. The server recomputes it.

The key is the one that the work is for, as it is sent (base64), so that nobody else can use what was found.
"""

from hashlib import sha256
from itertools import count

LONGEST_NONCE = 64


def check(challenge: str, key: str, nonce: str, zeros: int) -> bool:
    """Whether the nonce solves the challenge for that key."""
    if len(nonce) > LONGEST_NONCE:
        return False
    return sha256(f"{challenge}:{key}:{nonce}".encode()).hexdigest().startswith("0" * zeros)


def solve(challenge: str, key: str, zeros: int = 4) -> str:
    """The first decimal nonce that does; about 16^zeros hashes."""
    return next(str(n) for n in count() if check(challenge, key, str(n), zeros))
