"""The platform's keys: an offline root that signs a list, a signing key, a sealing key, and the key for data at rest.

They are files under `<data>/keys`, readable by the platform's user alone. `create` writes them once, at genesis; the
root's private half can be moved off the machine afterwards, since only a change of the list needs it.
"""

import json
import os
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from django.conf import settings

from apps.core.errors import KeysMissing
from workers.protocol.keylist import fingerprint, make_key_list
from workers.protocol.keys import SealingKey, SigningKey, b64

VALID_FOR = timedelta(days=3650)


def folder() -> Path:
    """Where the keys lie."""
    return Path(settings.DATA_DIR) / "keys"


def write_secret(path: Path, content: bytes) -> None:
    """Write a new file that only its owner may read; refuses to replace one."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def create(now: datetime) -> bool:
    """Make all keys and the signed key list unless they exist; True if they were made now."""
    home = folder()
    if (home / "key_list.json").exists():
        return False
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Left by a creation that was killed: nothing has been signed with these.
    for half_made in ("root.key", "signing.key", "sealing.key", "data.key"):
        (home / half_made).unlink(missing_ok=True)
    root, signing, sealing = SigningKey.generate(), SigningKey.generate(), SealingKey.generate()
    keys = [
        {"kid": signing.kid, "public": b64(signing.public), "purpose": "platform"},
        {"kid": fingerprint(sealing.public)[:16], "public": b64(sealing.public), "purpose": "seal"},
    ]
    start, end = int(now.timestamp() * 1000) - 60_000, int((now + VALID_FOR).timestamp() * 1000)
    dated = [{**key, "not_before": start, "not_after": end} for key in keys]
    write_secret(home / "root.key", root.private_bytes)
    write_secret(home / "signing.key", signing.private_bytes)
    write_secret(home / "sealing.key", sealing.private_bytes)
    write_secret(home / "data.key", os.urandom(32))
    (home / "root.pub").write_bytes(root.public)
    # Last, since its presence says that the others are whole.
    (home / "key_list.json").write_text(json.dumps(make_key_list(root, settings.NETWORK, 1, dated, now)))
    forget_cached()
    return True


def _read(name: str) -> bytes:
    try:
        return (folder() / name).read_bytes()
    except FileNotFoundError:
        raise KeysMissing from None


def root_key() -> SigningKey:
    """The network's root, which signs key lists and the genesis document; needed for nothing else, and not kept."""
    return SigningKey.from_bytes(_read("root.key"))


@lru_cache(maxsize=1)
def signing_key() -> SigningKey:
    """The key that signs envelopes, blocks and receipts."""
    return SigningKey.from_bytes(_read("signing.key"))


@lru_cache(maxsize=1)
def sealing_key() -> SealingKey:
    """The key that results are sealed to."""
    return SealingKey.from_bytes(_read("sealing.key"))


@lru_cache(maxsize=1)
def data_key() -> bytes:
    """32 bytes; encrypts payloads and results at rest."""
    return _read("data.key")


@lru_cache(maxsize=1)
def root_public() -> bytes:
    """The root's public half, 32 bytes."""
    return _read("root.pub")


def root_fingerprint() -> str:
    """What nodes pin: SHA-256 of the root's public half, 64 hex digits."""
    return fingerprint(root_public())


@lru_cache(maxsize=1)
def key_list() -> dict[str, Any]:
    """The signed list of the platform's keys, as a DSSE document."""
    return cast(dict[str, Any], json.loads(_read("key_list.json")))


def network_id() -> str:
    """The name that every signature binds."""
    return str(settings.NETWORK)


def forget_cached() -> None:
    """Read the files afresh; for after `create`, and between tests."""
    for cached in (signing_key, sealing_key, data_key, root_public, key_list):
        cached.cache_clear()
