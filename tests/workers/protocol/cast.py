"""A small known cast: one network, its root and platform key, two nodes, a stranger."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from workers.protocol import canonical
from workers.protocol.clock import unix_ms
from workers.protocol.envelope import TYPE, KnownKey, pae
from workers.protocol.keylist import make_key_list
from workers.protocol.keys import SealingKey, SigningKey, b64, kid_of

NET = "meshwork-test"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROOT = SigningKey.from_bytes(b"r" * 32)
PLATFORM = SigningKey.from_bytes(b"p" * 32)
ALICE = SigningKey.from_bytes(b"a" * 32)
BOB = SigningKey.from_bytes(b"b" * 32)
MALLORY = SigningKey.from_bytes(b"m" * 32)
SEALING = SealingKey.from_bytes(b"s" * 32)
OWNERS = {PLATFORM: "platform", ALICE: "node_alice", BOB: "node_bob"}
KNOWN = {key.kid: KnownKey(key.public, owner) for key, owner in OWNERS.items()}


def resolve(kid: str) -> KnownKey | None:
    """The keys that this network knows; Mallory's is not among them."""
    return KNOWN.get(kid)


def dsse(data: bytes, key: SigningKey, kind: str) -> dict[str, Any]:
    """A correct signature over any bytes whatever."""
    payload_type = TYPE.format(kind)
    return {
        "payloadType": payload_type,
        "payload": b64(data),
        "signatures": [{"keyid": key.kid, "sig": b64(key.sign(pae(payload_type, data)))}],
    }


def resigned(payload: Mapping[str, Any], key: SigningKey) -> dict[str, Any]:
    """A payload as it is, signed correctly."""
    return dsse(canonical.dumps(dict(payload)), key, str(payload.get("kind")))


def listed(key: SigningKey | SealingKey, purpose: str, start: datetime = NOW, days: int = 365) -> dict[str, Any]:
    """An entry of a key list."""
    return {
        "kid": kid_of(key.public),
        "public": b64(key.public),
        "purpose": purpose,
        "not_before": unix_ms(start),
        "not_after": unix_ms(start + timedelta(days=days)),
    }


def key_list(version: int = 1, root: SigningKey = ROOT, net: str = NET) -> dict[str, Any]:
    """The network's list: its platform key and its sealing key, for a year."""
    return make_key_list(root, net, version, [listed(PLATFORM, "platform"), listed(SEALING, "seal")], NOW)
