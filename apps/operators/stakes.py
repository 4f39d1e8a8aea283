"""Locking a tier's stake."""

from datetime import datetime

from django.db import transaction

from apps.core import events
from apps.ledger import accounts
from apps.ledger.ids import named
from apps.ledger.models import authorised_by_platform
from apps.ledger.posting import NewTransfer, post_all
from apps.operators import tiers
from apps.operators.errors import StakeLocked
from apps.operators.models import Operator, Stake


@transaction.atomic(durable=True)
def lock(operator: Operator, now: datetime) -> Stake:
    """Move the tier's stake from the operator's wallet to their stake account, once.

    Raises StakeLocked, or InsufficientFunds where the wallet does not hold it.
    """
    # Locked, so that two clicks lock one stake.
    operator = Operator.objects.locked(operator.pk)
    if operator.has_stake:
        raise StakeLocked
    amount = tiers.stake_of(operator.tier)
    transfer = NewTransfer(
        id=named("stake", operator.pk, str(operator.stakes.count())),
        debit=accounts.wallet(operator.user).pk,
        credit=accounts.stake(operator.user).pk,
        amount=amount,
        kind="stake.lock",
        authorisation=authorised_by_platform(f"stake:{operator.pk}", user=operator.user_id),
        memo=operator.tier,
    )
    post_all([transfer], now=now)
    stake = Stake.objects.create(id=transfer.id, operator=operator, amount=amount, locked_at=now)
    data = {"amount": str(amount), "tier": operator.tier}
    events.emit(
        "stake.locked",
        subject=operator.pk,
        topics=[f"user.{operator.user_id}"],
        data=data,
        now=now,
        actor=operator.user,
    )
    return stake
