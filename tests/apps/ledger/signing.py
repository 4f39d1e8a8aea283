"""Wallets that sign, for tests: what `mesh wallet` and the browser do."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from apps.core import platform_keys
from apps.core.models import User
from apps.ledger import accounts, orders, signers
from tests.apps.ledger.cast import NOW
from workers.protocol.canonical import dumps
from workers.protocol.clock import unix_ms
from workers.protocol.keys import SigningKey, b64, fingerprint

DEADLINE = unix_ms(NOW) + 60_000


@dataclass
class Hand:
    """A person and the wallet in their hand."""

    user: User
    key: SigningKey = field(default_factory=SigningKey.generate)

    @property
    def address(self) -> str:
        return fingerprint(self.key.public)

    @property
    def signer(self) -> signers.Signer:
        return signers.Signer(self.address, self.key.public, accounts.owner_of(self.user))

    def document(self, purpose: str, **fields: Any) -> dict[str, Any]:
        """An order that bears the wallet's next nonce, unless told otherwise."""
        common = {
            "net": platform_keys.network_id(),
            "purpose": purpose,
            "wallet": self.address,
            "nonce": orders.next_nonce(self.address),
            "deadline": DEADLINE,
            "id": "order-1",
        }
        return common | fields

    def sign(self, document: dict[str, Any]) -> str:
        return b64(self.key.sign(dumps(document)))


@contextmanager
def known(*hands: Hand) -> Iterator[None]:
    """The ledger asks these hands, and nobody else, whose a wallet is."""
    found = {hand.address: hand.signer for hand in hands}
    before = list(signers._lookups)
    signers.register(found.get)
    yield
    signers._lookups[:] = before
