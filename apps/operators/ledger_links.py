"""What the ledger asks of the rows of this room: whose a wallet is."""

from apps.ledger.accounts import owner_of
from apps.ledger.signers import Signer
from apps.operators.models import Wallet
from workers.protocol.keys import unb64


def signer_of(address: str) -> Signer | None:
    """The bound wallet of that address, of somebody who is still there."""
    bound = Wallet.objects.bound().select_related("user")
    wallet = bound.filter(address=address, user__is_active=True).first()
    return Signer(wallet.address, unb64(wallet.public), owner_of(wallet.user)) if wallet else None
