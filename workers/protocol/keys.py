"""Ed25519 signing keys and X25519 sealing keys, apart, as raw 32-byte values."""

import base64
import binascii
from hashlib import sha256
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from workers.protocol.errors import EnvelopeMalformed

KEY_BYTES = 32
KID_DIGITS = 16
# The points of small order, sign bit aside: under such a key, one signature fits many messages.
SMALL_ORDER = {
    bytes.fromhex(point)
    for point in (
        "00" * 32,
        "01" + "00" * 31,
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ec" + "ff" * 30 + "7f",
        "ed" + "ff" * 30 + "7f",
        "ee" + "ff" * 30 + "7f",
    )
}


def b64(data: bytes) -> str:
    """Standard base64 with padding."""
    return base64.b64encode(data).decode("ascii")


def unb64(text: str) -> bytes:
    """Strict standard base64; raises EnvelopeMalformed."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError, AttributeError) as error:
        raise EnvelopeMalformed("Not base64.") from error
    # The last letter has bits that decode to nothing; with them set, one signature would have several spellings.
    if b64(data) != text:
        raise EnvelopeMalformed("Not base64 in its one form.")
    return data


def fingerprint(public: bytes) -> str:
    """SHA-256 of a public key, 64 hex digits."""
    return sha256(public).hexdigest()


def kid_of(public: bytes) -> str:
    """The short name of a key: the first 16 digits of its fingerprint."""
    return fingerprint(public)[:KID_DIGITS]


class SigningKey:
    """An Ed25519 key pair."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public: bytes = private.public_key().public_bytes_raw()
        self.kid = kid_of(self.public)

    @classmethod
    def generate(cls) -> Self:
        """A new random key."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_bytes(cls, private: bytes) -> Self:
        """From the 32 private bytes."""
        return cls(Ed25519PrivateKey.from_private_bytes(private))

    @property
    def private_bytes(self) -> bytes:
        """The 32 private bytes, for storing."""
        return self._private.private_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        """64 bytes of signature."""
        return self._private.sign(message)


def _is_small(public: bytes) -> bool:
    return len(public) == KEY_BYTES and public[:-1] + bytes([public[-1] & 0x7F]) in SMALL_ORDER


def verify(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether the signature over the message is the key's; False for anything malformed."""
    if _is_small(public):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


class SealingKey:
    """An X25519 key pair."""

    def __init__(self, private: X25519PrivateKey) -> None:
        self.private = private
        self.public: bytes = private.public_key().public_bytes_raw()

    @classmethod
    def generate(cls) -> Self:
        """A new random key."""
        return cls(X25519PrivateKey.generate())

    @classmethod
    def from_bytes(cls, private: bytes) -> Self:
        """From the 32 private bytes."""
        return cls(X25519PrivateKey.from_private_bytes(private))

    @property
    def private_bytes(self) -> bytes:
        """The 32 private bytes, for storing."""
        return self.private.private_bytes_raw()
