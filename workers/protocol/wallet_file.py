"""A wallet as a file that a passphrase opens; the site's pages and the `mesh` command line write and read the same.

A JSON object of ten fields, all of them texts but the two numbers, and nothing else:

| field        | meaning                                                                            |
|--------------|------------------------------------------------------------------------------------|
| `format`     | `mesh-wallet`                                                                      |
| `version`    | 1                                                                                  |
| `address`    | SHA-256 of the public key, 64 hex digits                                           |
| `public`     | the Ed25519 public key, 32 bytes in base64                                         |
| `label`      | what its owner calls it; may be empty                                              |
| `kdf`        | `PBKDF2-HMAC-SHA256`, over the passphrase in UTF-8 after NFKC                      |
| `iterations` | its rounds: 600,000 to 10,000,000 are read                                         |
| `salt`       | 16 bytes in base64                                                                 |
| `nonce`      | 12 bytes in base64                                                                 |
| `sealed`     | AES-256-GCM of the 32 private bytes, with its tag: 48 bytes in base64              |

The canonical JSON of the other nine fields is the cipher's associated data, so that no word of a file can be changed.
"""

import os
import unicodedata
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from workers.protocol import canonical
from workers.protocol.errors import PassphraseTooShort, PassphraseWrong, ProtocolError, WalletFileMalformed
from workers.protocol.keys import KEY_BYTES, SigningKey, b64, fingerprint, unb64

FORMAT = "mesh-wallet"
VERSION = 1
KDF = "PBKDF2-HMAC-SHA256"
ITERATIONS = 600_000
MOST_ITERATIONS = 10_000_000
SALT_BYTES, NONCE_BYTES, TAG_BYTES = 16, 12, 16
LONGEST_LABEL = 80
SHORTEST_PASSPHRASE = 10
LARGEST = 4096
FIELDS = {
    "format": str, "version": int, "address": str, "public": str, "label": str,
    "kdf": str, "iterations": int, "salt": str, "nonce": str, "sealed": str,
}  # fmt: skip


@dataclass(frozen=True)
class OpenedWallet:
    """What a file held."""

    key: SigningKey
    label: str


def write(key: SigningKey, passphrase: str, label: str = "") -> bytes:
    """The file of a wallet; raises PassphraseTooShort, or WalletFileMalformed for a label that is too long."""
    if len(passphrase) < SHORTEST_PASSPHRASE:
        raise PassphraseTooShort
    if len(label) > LONGEST_LABEL:
        raise WalletFileMalformed(f"A label has up to {LONGEST_LABEL} characters.")
    salt, nonce = os.urandom(SALT_BYTES), os.urandom(NONCE_BYTES)
    header = {
        "format": FORMAT,
        "version": VERSION,
        "address": fingerprint(key.public),
        "public": b64(key.public),
        "label": label,
        "kdf": KDF,
        "iterations": ITERATIONS,
        "salt": b64(salt),
        "nonce": b64(nonce),
    }
    cipher = AESGCM(_derived(passphrase, salt, ITERATIONS))
    sealed = cipher.encrypt(nonce, key.private_bytes, canonical.dumps(header))
    return canonical.dumps({**header, "sealed": b64(sealed)})


def read(data: bytes, passphrase: str) -> OpenedWallet:
    """The wallet in a file; raises WalletFileMalformed, or PassphraseWrong for a wrong passphrase or altered bytes."""
    if len(data) > LARGEST:
        raise WalletFileMalformed
    try:
        document = canonical.parse(data)
        _check(document)
        salt, nonce, sealed = (unb64(document[name]) for name in ("salt", "nonce", "sealed"))
        public = unb64(document["public"])
        header = canonical.dumps({name: value for name, value in document.items() if name != "sealed"})
    except ProtocolError as error:
        raise WalletFileMalformed(str(error)) from error
    if (len(salt), len(nonce), len(sealed)) != (SALT_BYTES, NONCE_BYTES, KEY_BYTES + TAG_BYTES):
        raise WalletFileMalformed
    cipher = AESGCM(_derived(passphrase, salt, document["iterations"]))
    try:
        key = SigningKey.from_bytes(cipher.decrypt(nonce, sealed, header))
    except InvalidTag as error:
        raise PassphraseWrong from error
    if (key.public, fingerprint(public)) != (public, document["address"]):
        raise WalletFileMalformed("The file names another key than it holds.")
    return OpenedWallet(key, document["label"])


def _check(document: Any) -> None:
    """Ten fields of the right types, of this format, with rounds that take neither no time nor forever."""
    if not isinstance(document, dict) or set(document) != set(FIELDS):
        raise WalletFileMalformed
    # A bool is an int to Python.
    if any(type(document[name]) is not kind for name, kind in FIELDS.items()):
        raise WalletFileMalformed
    if (document["format"], document["version"], document["kdf"]) != (FORMAT, VERSION, KDF):
        raise WalletFileMalformed("The file is of a format or version that is not known here.")
    if not ITERATIONS <= document["iterations"] <= MOST_ITERATIONS or len(document["label"]) > LONGEST_LABEL:
        raise WalletFileMalformed


def _derived(passphrase: str, salt: bytes, iterations: int) -> bytes:
    """32 bytes of key. The same letters typed on another keyboard may be other code points, hence NFKC."""
    try:
        secret = unicodedata.normalize("NFKC", passphrase).encode()
    except UnicodeEncodeError as error:
        raise PassphraseWrong from error
    return PBKDF2HMAC(SHA256(), 32, salt, iterations).derive(secret)
