"""Signed envelopes, DSSE style: the signature covers type and exact payload bytes and is checked before parsing."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from workers.protocol import canonical
from workers.protocol.clock import unix_ms
from workers.protocol.errors import (
    BadSignature,
    EnvelopeMalformed,
    EnvelopeTooLarge,
    Expired,
    NotCanonical,
    NotYetValid,
    Replayed,
    UnknownField,
    UnknownKey,
    UnsupportedVersion,
    WrongKind,
    WrongNetwork,
    WrongRecipient,
    WrongSender,
)
from workers.protocol.ids import message_id
from workers.protocol.keys import SigningKey, b64, unb64, verify
from workers.protocol.replay import MemoryReplayGuard, ReplayGuard, SqliteReplayGuard

VERSION = 1
SKEW_MS = 30_000
LONGEST_LIFE_MS = 600_000
MAX_BYTES = 32 * 2**20
MAX_WORD = 200
MESSAGE_ID = re.compile(r"[0-9a-f]{32}")
TYPE = "application/vnd.meshwork.{}+json"
FIELDS = {"v", "net", "kid", "kind", "id", "from", "to", "issued_at", "expires_at", "body"}
DOCUMENT_FIELDS = {"v", "net", "kid", "kind", "issued_at", "body"}


@dataclass(frozen=True)
class KnownKey:
    """A public key (32 bytes) and who holds it."""

    public: bytes
    owner: str


@dataclass(frozen=True)
class Envelope:
    """An opened message: its signature, addresses and times were checked."""

    kind: str
    id: str
    sender: str
    to: str
    kid: str
    issued_at: int
    expires_at: int
    body: dict[str, Any]
    raw: dict[str, Any]


Resolve = Callable[[str], KnownKey | None]


def pae(payload_type: str, payload: bytes) -> bytes:
    """DSSE v1 pre-authentication encoding: what is signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def _sign(kind: str, payload: dict[str, Any], key: SigningKey) -> dict[str, Any]:
    data, payload_type = canonical.dumps(payload), TYPE.format(kind)
    signature = key.sign(pae(payload_type, data))
    return {
        "payloadType": payload_type,
        "payload": b64(data),
        "signatures": [{"keyid": key.kid, "sig": b64(signature)}],
    }


def sign_envelope(
    kind: str,
    body: Mapping[str, Any],
    *,
    key: SigningKey,
    net: str,
    sender: str,
    to: str,
    now: datetime,
    ttl_s: int = 300,
) -> dict[str, Any]:
    """A message that expires, with a random id as its replay guard."""
    issued = unix_ms(now)
    payload = {
        "v": VERSION,
        "net": net,
        "kid": key.kid,
        "kind": kind,
        "id": message_id(),
        "from": sender,
        "to": to,
        "issued_at": issued,
        "expires_at": issued + ttl_s * 1000,
        "body": dict(body),
    }
    return _sign(kind, payload, key)


def sign_document(kind: str, body: Mapping[str, Any], *, key: SigningKey, net: str, now: datetime) -> dict[str, Any]:
    """A statement without recipient or expiry: a receipt, a block, a key list."""
    payload = {"v": VERSION, "net": net, "kid": key.kid, "kind": kind, "issued_at": unix_ms(now), "body": dict(body)}
    return _sign(kind, payload, key)


def _shape(raw: Mapping[str, Any] | bytes, max_bytes: int) -> tuple[dict[str, Any], str, bytes, str, bytes]:
    """The parts of a DSSE envelope; nothing in them is trusted yet."""
    if isinstance(raw, bytes | bytearray):
        if len(raw) > max_bytes:
            raise EnvelopeTooLarge
        try:
            raw = canonical.parse(bytes(raw))
        except NotCanonical as error:
            raise EnvelopeMalformed from error
    if not isinstance(raw, Mapping) or set(raw) != {"payloadType", "payload", "signatures"}:
        raise EnvelopeMalformed
    kind, text, signatures = raw["payloadType"], raw["payload"], raw["signatures"]
    if not isinstance(kind, str) or not isinstance(text, str) or not isinstance(signatures, list):
        raise EnvelopeMalformed
    if len(text) > max_bytes or len(kind) > MAX_WORD:
        raise EnvelopeTooLarge
    one = signatures[0] if len(signatures) == 1 else None
    if (
        not isinstance(one, Mapping)
        or set(one) != {"keyid", "sig"}
        or not all(isinstance(v, str) and len(v) <= MAX_WORD for v in one.values())
    ):
        raise EnvelopeMalformed("An envelope has exactly one signature.")
    return dict(raw), kind, unb64(text), one["keyid"], unb64(one["sig"])


def _verified(
    raw: Mapping[str, Any] | bytes, resolve: Resolve, max_bytes: int
) -> tuple[dict[str, Any], Any, KnownKey, str]:
    """Check the signature over the exact bytes, then parse them."""
    envelope, payload_type, data, kid, signature = _shape(raw, max_bytes)
    known = resolve(kid)
    if known is None:
        raise UnknownKey
    if not verify(known.public, signature, pae(payload_type, data)):
        raise BadSignature
    payload = canonical.loads(data)
    if not isinstance(payload, dict):
        raise EnvelopeMalformed
    if payload.get("v") != VERSION:
        raise UnsupportedVersion
    if payload.get("kid") != kid:
        raise UnknownKey("The payload names another key than its signature.")
    if payload_type != TYPE.format(payload.get("kind")):
        raise WrongKind("Type and kind disagree.")
    return envelope, payload, known, kid


def _typed(payload: dict[str, Any], fields: set[str]) -> None:
    """Every field there, none more, each of its type."""
    if set(payload) != fields:
        raise UnknownField
    for name, value in payload.items():
        wanted: type = dict if name == "body" else int if name in {"v", "issued_at", "expires_at"} else str
        if not isinstance(value, wanted) or isinstance(value, bool):
            raise EnvelopeMalformed(f"{name} has the wrong type.")
    if "id" in fields and not MESSAGE_ID.fullmatch(payload["id"]):
        raise EnvelopeMalformed("An id is 32 hex digits.")


def open_envelope(
    raw: Mapping[str, Any] | bytes,
    *,
    net: str,
    to: str,
    kinds: set[str],
    resolve: Resolve,
    now: datetime,
    replay: ReplayGuard | None,
    max_bytes: int = MAX_BYTES,
) -> Envelope:
    """Check everything and return the message. Raises the ProtocolError of the first thing that is wrong."""
    envelope, payload, known, kid = _verified(raw, resolve, max_bytes)
    _typed(payload, FIELDS)
    if payload["net"] != net:
        raise WrongNetwork
    if payload["kind"] not in kinds:
        raise WrongKind
    if payload["from"] != known.owner:
        raise WrongSender
    if payload["to"] != to:
        raise WrongRecipient
    _check_times(payload["issued_at"], payload["expires_at"], unix_ms(now))
    if replay is not None and replay.seen(payload["from"], payload["id"], payload["expires_at"] + SKEW_MS):
        raise Replayed
    return Envelope(
        kind=payload["kind"],
        id=payload["id"],
        sender=payload["from"],
        to=payload["to"],
        kid=kid,
        issued_at=payload["issued_at"],
        expires_at=payload["expires_at"],
        body=payload["body"],
        raw=envelope,
    )


def _check_times(issued: int, expires: int, now: int) -> None:
    """Within its life, give or take the clocks' skew; a life is at most ten minutes."""
    if issued > now + SKEW_MS or expires - issued > LONGEST_LIFE_MS:
        raise NotYetValid
    if expires < now - SKEW_MS or expires < issued:
        raise Expired


def open_document(raw: Mapping[str, Any] | bytes, *, kind: str, resolve: Resolve, net: str | None = None) -> Envelope:
    """Open a statement that has no recipient and no expiry."""
    envelope, payload, known, kid = _verified(raw, resolve, MAX_BYTES)
    _typed(payload, DOCUMENT_FIELDS)
    if payload["kind"] != kind:
        raise WrongKind
    if net is not None and payload["net"] != net:
        raise WrongNetwork
    return Envelope(kind, "", known.owner, "", kid, payload["issued_at"], 0, payload["body"], envelope)


def check_signature(raw: Mapping[str, Any] | bytes, resolve: Resolve) -> None:
    """Raise unless the envelope is well formed and signed by a key that `resolve` knows; age and address stay open."""
    _verified(raw, resolve, MAX_BYTES)


def unverified_payload(raw: Mapping[str, Any] | bytes) -> dict[str, Any]:
    """What an envelope claims, unverified: only to find the key that it must then be verified with."""
    payload = canonical.loads(_shape(raw, MAX_BYTES)[2])
    if not isinstance(payload, dict):
        raise EnvelopeMalformed
    return payload


__all__ = [
    "Envelope",
    "KnownKey",
    "MemoryReplayGuard",
    "ReplayGuard",
    "SqliteReplayGuard",
    "check_signature",
    "open_document",
    "open_envelope",
    "sign_document",
    "sign_envelope",
    "unverified_payload",
]
