"""Taking a wallet or an Ethereum address off an account: from then on it opens nothing and signs nothing."""

from datetime import datetime

from django.db import transaction

from apps.core import events
from apps.core.models import User
from apps.ledger.money_models import Mandate
from apps.operators import mail
from apps.operators.account_errors import AccountGone
from apps.operators.models import EthereumAddress, NodeBinding, Wallet
from apps.operators.wallet_errors import WalletLast, WalletUnknown


@transaction.atomic(durable=True)
def remove(user: User, address: str, now: datetime) -> None:
    """Remove it, end the mandates that it signed, and take it off its nodes; orders that it signed before stand.

    Binding it again is possible, for the same account. Raises AccountGone, WalletUnknown, or WalletLast.
    """
    # Two removals of the last two wallets come one after the other.
    person = User.objects.locked(user.pk)
    if person is None:
        raise AccountGone
    wallets = Wallet.objects.bound().filter(user=person)
    ethereum = EthereumAddress.objects.bound().filter(user=person)
    found = wallets.filter(address=address).update(removed_at=now) or ethereum.filter(pk=address).update(removed_at=now)
    if not found:
        raise WalletUnknown
    if not person.email and not wallets.exists() and not ethereum.exists():
        raise WalletLast
    Mandate.objects.filter(wallet=address, revoked_at=None).update(revoked_at=now)
    NodeBinding.objects.filter(address=address).delete()
    topics, data = [f"user.{person.pk}"], {"address": address}
    events.emit("wallet.removed", subject=f"user:{person.pk}", topics=topics, data=data, now=now, actor=person)
    mail.notify(person, "wallet_removed", data, now)
