"""Sealing to one recipient (HPKE, RFC 9180: X25519, HKDF-SHA256, AES-256-GCM) and encryption at rest (AES-256-GCM)."""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from workers.protocol import canonical
from workers.protocol.errors import SealBroken
from workers.protocol.keys import SealingKey

SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
NONCE_BYTES = 12


def job_info(net: str, job: str, task: str, attempt: int, node: str) -> bytes:
    """The context that a sealed payload or result is bound to."""
    return canonical.dumps({"net": net, "job": job, "task": task, "attempt": attempt, "node": node})


def seal(public: bytes, plaintext: bytes, info: bytes) -> bytes:
    """Encrypt to the holder of the X25519 key; 48 bytes longer. Raises SealBroken where nobody can hold the key."""
    try:
        return SUITE.encrypt(plaintext, X25519PublicKey.from_public_bytes(public), info)
    except (InvalidTag, ValueError) as error:
        raise SealBroken("Nothing can be sealed to this key.") from error


def open_sealed(key: SealingKey, sealed: bytes, info: bytes) -> bytes:
    """Decrypt; raises SealBroken for another key, another context or altered bytes."""
    try:
        return SUITE.decrypt(sealed, key.private, info)
    except (InvalidTag, ValueError) as error:
        raise SealBroken from error


def encrypt_at_rest(key: bytes, plaintext: bytes, aad: bytes) -> bytes:
    """Nonce and AES-256-GCM ciphertext; `aad` names the row that it belongs to."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plaintext, aad)


def decrypt_at_rest(key: bytes, data: bytes, aad: bytes) -> bytes:
    """The plaintext; raises SealBroken."""
    try:
        return AESGCM(key).decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], aad)
    except (InvalidTag, ValueError) as error:
        raise SealBroken from error
