"""Tokens that a test network gives away; a mainnet gives none."""

from collections.abc import Callable
from dataclasses import dataclass
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
    RewardNotEarned,
    RewardUnknown,
    ShardNotHosted,
)
from apps.ledger.ids import named
from apps.ledger.models import Account, AccountKind, Transfer, authorised_by_platform
from apps.ledger.posting import NewTransfer, post_all
from apps.ledger.retries import retried

CLOSED = "This account is closed."
REWARDS = {name: f"faucet.{name}" for name in ("wallet_connect", "shard_hosting", "first_inference", "uptime_bonus")}
# Who may claim a reward is known by the rooms above; until one says so, nobody may. Empty: it is earned.
Missing = Callable[[User, datetime], str]
_missing: dict[str, Missing] = {"wallet_connect": lambda user, now: ""}


@dataclass(frozen=True)
class Offer:
    """A reward as a user sees it: base units, and what became of it or what is missing."""

    name: str
    amount: int
    given: bool
    missing: str

    @property
    def open(self) -> bool:
        """Whether it can be claimed now."""
        return not self.given and not self.missing


def earned_by(reward: str, missing: Missing) -> None:
    """Say how a reward is earned: `missing(user, now)` says what is missing, or nothing."""
    _missing[reward] = missing


def missing_for(user: User, reward: str, now: datetime) -> str:
    """What keeps a user from a reward, as a sentence; empty where it is earned."""
    found = _missing.get(reward)
    return found(user, now) if found else (ShardNotHosted.__doc__ or "").strip()


def offers(user: User, now: datetime) -> list[Offer]:
    """All rewards as they stand with a user; none on a mainnet."""
    if not settings.IS_TESTNET:
        return []
    owner = accounts.owner_of(user)
    ids = {name: named("faucet", name, owner) for name in REWARDS}
    given = set(Transfer.objects.filter(pk__in=ids.values()).values_list("pk", flat=True))
    return [
        Offer(
            name, parameters.get(value), ids[name] in given, "" if ids[name] in given else missing_for(user, name, now)
        )
        for name, value in REWARDS.items()
    ]


def left() -> int:
    """Base units that the faucet can still give."""
    found = Account.objects.filter(kind=AccountKind.FAUCET, owner=accounts.SYSTEM).values_list("balance", flat=True)
    return found.first() or 0


@retried
@transaction.atomic
def claim(user: User, reward: str, now: datetime) -> Transfer:
    """Give a user a reward of the faucet, once.

    Raises FaucetClosed on a mainnet, RewardUnknown, FaucetClaimed the second time, RewardNotEarned (ShardNotHosted
    for the one of shards; for a closed account any), FaucetEmpty.
    """
    if not settings.IS_TESTNET:
        raise FaucetClosed
    if reward not in REWARDS:
        raise RewardUnknown
    # The account's deletion waits, or is found done.
    if User.objects.locked(user.pk) is None:
        raise RewardNotEarned(CLOSED)
    # Only the user and the reward make the id, so a changed amount cannot be claimed again either.
    transfer_id = named("faucet", reward, accounts.owner_of(user))
    if Transfer.objects.filter(pk=transfer_id).exists():
        raise FaucetClaimed
    if missing := missing_for(user, reward, now):
        raise (ShardNotHosted if reward == "shard_hosting" else RewardNotEarned)(missing)
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


@retried
@transaction.atomic
def treasury_grant(
    user: User, amount: int, actor: User, reason: str, now: datetime, *, request: UUID | None = None
) -> Transfer:
    """Give a user of a test network base units from the treasury, on a staff member's word.

    A `request` that comes again gives nothing again. Raises GrantRefused (for a closed account too), InsufficientFunds
    or PostingRefused.
    """
    if not (settings.IS_TESTNET and actor.is_active and actor.is_staff):
        raise GrantRefused
    if User.objects.locked(user.pk) is None:
        raise GrantRefused(CLOSED)
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
