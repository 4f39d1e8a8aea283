"""Whose wallet is that? Answered by the room that binds wallets to accounts, which is above this one."""

from collections.abc import Callable
from dataclasses import dataclass

from apps.ledger.errors import SignerUnknown


@dataclass(frozen=True, slots=True)
class Signer:
    """A bound wallet: its address (64 hex digits), its Ed25519 public key (32 bytes), its owner (`user:7`)."""

    address: str
    public: bytes
    owner: str


Lookup = Callable[[str], Signer | None]
_lookups: list[Lookup] = []


def register(lookup: Lookup) -> None:
    """Say who knows wallets by their address."""
    _lookups[:] = [lookup]


def find(address: str) -> Signer | None:
    """The bound wallet of that address."""
    return next((signer for lookup in _lookups if (signer := lookup(address))), None)


def get(address: str) -> Signer:
    """The same; raises SignerUnknown."""
    signer = find(address)
    if signer is None:
        raise SignerUnknown
    return signer
