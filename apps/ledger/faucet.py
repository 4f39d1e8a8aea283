"""Tokens that a test network gives away; a mainnet gives none."""

from datetime import datetime
from uuid import UUID, uuid4

from django.conf import settings
from django.db import transaction

from apps.core import events, parameters
from apps.core.models import User
from apps.ledger import accounts
from apps.ledger.errors import (
    FaucetClaimed,
    FaucetClosed,
    FaucetEmpty,
    GrantRefused,
    InsufficientFunds,
    RewardUnknown,
)
from apps.ledger.ids import named
from apps.ledger.models import AccountKind, Transfer, authorised_by_platform
from apps.ledger.posting import NewTransfer, post_all

REWARDS = {"wallet_connect": "faucet.wallet_connect"}


@transaction.atomic
def claim(user: User, reward: str, now: datetime) -> Transfer:
    """Give a user a reward of the faucet, once.

    Raises FaucetClosed on a mainnet, RewardUnknown, FaucetClaimed the second time, FaucetEmpty.
    """
    if not settings.IS_TESTNET:
        raise FaucetClosed
    if reward not in REWARDS:
        raise RewardUnknown
    # Only the user and the reward make the id, so a changed amount cannot be claimed again either.
    transfer_id = named("faucet", reward, accounts.owner_of(user))
    if Transfer.objects.filter(pk=transfer_id).exists():
        raise FaucetClaimed
    moved = NewTransfer(
        id=transfer_id,
        debit=accounts.system(AccountKind.FAUCET).pk,
        credit=accounts.wallet(user).pk,
        amount=parameters.get(REWARDS[reward]),
        kind=f"faucet.{reward}",
        authorisation=authorised_by_platform(f"faucet:{reward}", user=user.pk),
    )
    try:
        [result] = post_all([moved], now=now)
    except InsufficientFunds:
        raise FaucetEmpty from None
    if result.code == "exists":
        raise FaucetClaimed
    return _given(moved, user, now)


@transaction.atomic
def grant_tier_stake(user: User, tier: str, now: datetime) -> Transfer:
    """Give an approved operator of a test network the stake of the tier from the treasury; once, whatever the tier.

    A second call returns the first grant. Raises GrantRefused on a mainnet.
    """
    if not settings.IS_TESTNET:
        raise GrantRefused
    transfer_id = named("stake-grant", accounts.owner_of(user))
    if given := Transfer.objects.filter(pk=transfer_id).first():
        return given
    moved = NewTransfer(
        id=transfer_id,
        debit=accounts.system(AccountKind.TREASURY).pk,
        credit=accounts.wallet(user).pk,
        amount=parameters.get(f"stake.{tier.lower()}"),
        kind="grant.stake",
        authorisation=authorised_by_platform(f"stake-grant:{tier}", user=user.pk),
    )
    post_all([moved], now=now)
    return _given(moved, user, now)


@transaction.atomic
def treasury_grant(
    user: User, amount: int, actor: User, reason: str, now: datetime, *, request: UUID | None = None
) -> Transfer:
    """Give a user of a test network base units from the treasury, on a staff member's word.

    A `request` that comes again gives nothing again. Raises GrantRefused, InsufficientFunds or PostingRefused.
    """
    if not (settings.IS_TESTNET and actor.is_active and actor.is_staff):
        raise GrantRefused
    transfer_id = request or uuid4()
    moved = NewTransfer(
        id=transfer_id,
        debit=accounts.system(AccountKind.TREASURY).pk,
        credit=accounts.wallet(user).pk,
        amount=amount,
        kind="grant.treasury",
        authorisation=authorised_by_platform(f"grant:{transfer_id}", user=actor.pk),
        memo=reason[:200],
    )
    [result] = post_all([moved], now=now)
    return _given(moved, user, now, actor) if result.code == "created" else Transfer.objects.get(pk=transfer_id)


def _given(moved: NewTransfer, user: User, now: datetime, actor: User | None = None) -> Transfer:
    events.emit(
        "tokens.granted",
        subject=str(moved.id),
        topics=[f"user.{user.pk}"],
        data={"kind": moved.kind, "amount": moved.amount, "reason": moved.memo},
        now=now,
        actor=actor or user,
    )
    return Transfer.objects.get(pk=moved.id)
