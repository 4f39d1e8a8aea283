"""The platform's keys, in a list signed by an offline root whose fingerprint nodes pin."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import msgspec

from workers.protocol.clock import unix_ms, utcnow
from workers.protocol.envelope import KnownKey, open_document, sign_document, unverified_payload
from workers.protocol.errors import KeyListRefused, ProtocolError
from workers.protocol.keys import SigningKey, b64, fingerprint, kid_of, unb64
from workers.protocol.messages import Count

KIND = "platform.keys"
PLATFORM = "platform"


class _Key(msgspec.Struct, forbid_unknown_fields=True):
    kid: str
    public: str
    purpose: Literal["platform", "seal"]
    not_before: Count
    not_after: Count


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    version: Count
    root_public: str
    keys: list[_Key]


@dataclass(frozen=True)
class PlatformKey:
    """One key of the list; times in unix milliseconds."""

    kid: str
    public: bytes
    purpose: str
    not_before: int
    not_after: int


@dataclass(frozen=True)
class KeyList:
    """An opened list."""

    network: str
    version: int
    root_fingerprint: str
    keys: tuple[PlatformKey, ...]

    def resolve(self, kid: str, at_ms: int | None = None) -> KnownKey | None:
        """The platform's signing key of that id, valid at the time given (now unless told otherwise)."""
        moment = unix_ms(utcnow()) if at_ms is None else at_ms
        for key in self.keys:
            if key.kid == kid and key.purpose == PLATFORM and key.not_before <= moment <= key.not_after:
                return KnownKey(key.public, PLATFORM)
        return None

    @property
    def sealing_public(self) -> bytes:
        """The key that results are sealed to: the newest for that purpose."""
        sealing = [key for key in self.keys if key.purpose == "seal"]
        if not sealing:
            raise KeyListRefused("The list has no sealing key.")
        return max(sealing, key=lambda key: key.not_before).public


def make_key_list(
    root: SigningKey, net: str, version: int, keys: Sequence[Mapping[str, Any]], now: datetime
) -> dict[str, Any]:
    """Sign a list; each key is {kid, public (base64), purpose, not_before, not_after}."""
    body = {"version": version, "root_public": b64(root.public), "keys": [dict(key) for key in keys]}
    return sign_document(KIND, body, key=root, net=net, now=now)


def open_key_list(document: Mapping[str, Any], root: str | bytes) -> KeyList:
    """Check a list against the pinned root: its fingerprint (64 hex digits) or its public key (32 bytes)."""
    pinned = fingerprint(root) if isinstance(root, bytes) else root
    public = root if isinstance(root, bytes) else _claimed_root(document)
    if fingerprint(public) != pinned:
        raise KeyListRefused
    known = KnownKey(public, "root")
    try:
        opened = open_document(document, kind=KIND, resolve=lambda kid: known if kid == kid_of(public) else None)
        body = msgspec.convert(opened.body, _Body)
        keys = tuple(PlatformKey(k.kid, unb64(k.public), k.purpose, k.not_before, k.not_after) for k in body.keys)
        claimed = unb64(body.root_public)
    except (ProtocolError, msgspec.ValidationError) as error:
        raise KeyListRefused(f"The key list is refused: {error}") from error
    if claimed != public:
        raise KeyListRefused
    if any(key.kid != kid_of(key.public) for key in keys):
        raise KeyListRefused("A key's id is not derived from the key.")
    return KeyList(unverified_payload(document)["net"], body.version, pinned, keys)


def _claimed_root(document: Mapping[str, Any]) -> bytes:
    """The root key that the list says it has; trusted only once its fingerprint is the pinned one."""
    try:
        return unb64(unverified_payload(document)["body"]["root_public"])
    except (ProtocolError, KeyError, TypeError) as error:
        raise KeyListRefused(f"The key list is refused: {error}") from error


__all__ = ["KeyList", "PlatformKey", "fingerprint", "make_key_list", "open_key_list"]
