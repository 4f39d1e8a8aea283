"""What the pages of stakes, rewards, transfers and mandates show."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from django.db.models import Q, Sum
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.core import platform_keys
from apps.core.models import User
from apps.ledger import accounts, amounts, escrow, faucet, mandates, orders, staking
from apps.ledger.models import EpochShare, Mandate, Transfer, Unbonding
from apps.operators import slash_presentation, stakes, tiers
from apps.operators.models import Operator, Wallet
from workers.protocol.clock import unix_ms
from workers.protocol.ids import show_uuid

EPOCHS_SHOWN = 14
ROWS_SHOWN = 50
ORDER_LIFE = timedelta(minutes=15)
EARNED = ("fee.provider", "reward.epoch", "escrow.release")
OFFERS = {
    "wallet_connect": gettext_lazy("Your first wallet"),
    "shard_hosting": gettext_lazy("Hosting a shard"),
    "first_inference": gettext_lazy("A first paid chunk by your node"),
    "uptime_bonus": gettext_lazy("A day online"),
}


@dataclass(frozen=True)
class Standing:
    """An operator's stake against the tier's; amounts in base units."""

    tier: str
    required: int
    least: int
    status: str
    reason: str
    next_step: str


def standing(user: User) -> Standing | None:
    """How an operator's stake stands; None for somebody who is none."""
    operator = Operator.objects.filter(user=user).first()
    if operator is None:
        return None
    row = operator.stakes.live().first()
    required = tiers.stake_of(operator.tier)
    if row is None:
        words = _("Lock %(amount)s MESH; then you can enrol nodes.") % {"amount": amounts.show(required)}
        return Standing(operator.tier, required, stakes.least(operator.tier), "none", _("No stake is locked."), words)
    return Standing(operator.tier, required, stakes.least(operator.tier), row.status, row.reason, row.next_step)


def rewards_context(user: User, now: datetime) -> dict[str, Any]:
    """Stake and rewards: locked, unlocking, pending, settled, in escrow; the faucet."""
    stands = standing(user)
    owner = accounts.owner_of(user)
    waiting = escrow.waiting(owner)
    leaving = list(Unbonding.objects.waiting().filter(account__owner=owner, account__kind="stake")[:ROWS_SHOWN])
    bonded = staking.bonded(user)
    return {
        "standing": stands,
        "bonded_units": bonded,
        "missing_units": max(0, stands.required - bonded) if stands else 0,
        "balance_units": accounts.balance(user),
        "leaving": [{"id": show_uuid("unb", row.pk), "row": row, "due": row.release_at <= now} for row in leaving],
        "leaving_units": sum(row.remaining for row in leaving),
        "waiting": waiting,
        "escrow_units": sum(part.amount for part in waiting),
        "shares": [share_of(share) for share in EpochShare.objects.filter(owner=owner)[:EPOCHS_SHOWN]],
        "slashes": slash_presentation.slashes_of(user, now),
        "offers": [(offer, OFFERS[offer.name]) for offer in faucet.offers(user, now)],
        "faucet_units": faucet.left(),
        "request_id": uuid4(),
        **earned(user),
    }


def earned(user: User) -> dict[str, int]:
    """What a user was paid for work and in rewards, in base units: in sealed blocks, and not sealed yet."""
    paid = Transfer.objects.filter(credit__kind="wallet", credit__owner=accounts.owner_of(user), kind__in=EARNED)
    return paid.aggregate(
        settled_units=Sum("amount", default=0, filter=Q(sealing__isnull=False)),
        pending_units=Sum("amount", default=0, filter=Q(sealing__isnull=True)),
    )


def share_of(share: EpochShare) -> dict[str, Any]:
    """A node's part of an epoch, in percent and base units."""
    return {
        "day": share.epoch_id,
        "node": share.node,
        "tier": share.tier,
        "uptime": f"{share.uptime_ppm / 10_000:.1f}",
        "quality": f"{share.quality_ppm / 10_000:.1f}",
        "amount": share.amount,
        "escrowed": share.escrowed,
    }


def document(purpose: str, wallet: str, now: datetime, **fields: Any) -> dict[str, Any]:
    """The order that the wallet is asked to sign; it bears the next nonce and lives a quarter of an hour."""
    return {
        "net": platform_keys.network_id(),
        "purpose": purpose,
        "wallet": wallet,
        "nonce": orders.next_nonce(wallet),
        "deadline": unix_ms(now + ORDER_LIFE),
        "id": str(uuid4()),
        **fields,
    }


def signing_context(order: dict[str, Any], facts: list[tuple[str, Any]], command: str) -> dict[str, Any]:
    """The page on which an order is read, signed and handed in; or done by a command instead."""
    return {"document": json.dumps(order), "order": order, "facts": facts, "command": command}


def mandates_context(user: User, now: datetime) -> dict[str, Any]:
    """The mandates that one gave or may spend."""
    return {
        "rows": [mandate_of(mandate, user, now) for mandate in mandates.of(user)[:ROWS_SHOWN]],
        "has_wallet": Wallet.objects.bound().filter(user=user).exists(),
    }


def mandate_of(mandate: Mandate, user: User, now: datetime) -> dict[str, Any]:
    """A mandate as one of its two sides sees it."""
    ended = "revoked" if mandate.revoked_at else "expired" if mandate.expires_at <= now else ""
    used = mandates.used(mandate)
    return {
        "id": show_uuid(mandates.PREFIX, mandate.pk),
        "mandate": mandate,
        "used": used,
        "left": mandate.cap - used,
        "is_mine": mandate.payer.owner == accounts.owner_of(user),
        "status": ended or "active",
        "can_revoke": not ended and mandate.payer.owner == accounts.owner_of(user),
    }
