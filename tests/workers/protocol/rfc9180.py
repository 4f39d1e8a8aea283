"""RFC 9180 base mode with X25519 and HKDF-SHA256, written from its text: an oracle independent of the library's."""

import hmac
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEM_SUITE = b"KEM" + (0x20).to_bytes(2, "big")
AES_128, AES_256 = 1, 2
KEY_BYTES = {AES_128: 16, AES_256: 32}


def extract(suite: bytes, salt: bytes, label: bytes, material: bytes) -> bytes:
    """LabeledExtract."""
    return hmac.digest(salt, b"HPKE-v1" + suite + label + material, sha256)


def expand(suite: bytes, secret: bytes, label: bytes, info: bytes, length: int) -> bytes:
    """LabeledExpand; one block of HKDF is enough for every length here."""
    labelled = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    return hmac.digest(secret, labelled + b"\x01", sha256)[:length]


def schedule(aead: int, ephemeral: bytes, public: bytes, info: bytes) -> tuple[bytes, bytes, bytes]:
    """Encapsulated key, AEAD key and base nonce for an ephemeral private key and the recipient's public key."""
    private = X25519PrivateKey.from_private_bytes(ephemeral)
    encapsulated = private.public_key().public_bytes_raw()
    shared = private.exchange(X25519PublicKey.from_public_bytes(public))
    secret = expand(KEM_SUITE, extract(KEM_SUITE, b"", b"eae_prk", shared), b"shared_secret", encapsulated + public, 32)
    suite = b"HPKE" + b"".join(n.to_bytes(2, "big") for n in (0x20, 1, aead))
    hashes = [extract(suite, b"", label, value) for label, value in ((b"psk_id_hash", b""), (b"info_hash", info))]
    context = b"\x00" + b"".join(hashes)
    secret = extract(suite, secret, b"secret", b"")
    return (
        encapsulated,
        expand(suite, secret, b"key", context, KEY_BYTES[aead]),
        expand(suite, secret, b"base_nonce", context, 12),
    )


def seal(ephemeral: bytes, public: bytes, plaintext: bytes, info: bytes) -> bytes:
    """Single-shot seal with AES-256-GCM and no additional data: encapsulated key, then ciphertext."""
    encapsulated, key, nonce = schedule(AES_256, ephemeral, public, info)
    return encapsulated + AESGCM(key).encrypt(nonce, plaintext, b"")
