"""Slashing: stake is taken for a fault, waits in escrow for an appeal, and is then burnt and given to the treasury."""

from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Sum

from apps.core import events, parameters
from apps.core.models import User
from apps.ledger import accounts
from apps.ledger.errors import FaultDiffers
from apps.ledger.ids import named
from apps.ledger.models import (
    Account,
    AccountKind,
    Entry,
    Slash,
    SlashStatus,
    Unbonding,
    UnbondingStatus,
    authorised_by_platform,
)
from apps.ledger.posting import NewTransfer, post_all

WHOLE_BP = 10_000
EXECUTE_AT_ONCE = 200


@transaction.atomic
def slash(user: User, fault_id: str, share_bp: int, at_fault: datetime, now: datetime) -> Slash:
    """Take `share_bp` (1/10,000) of what the owner had at stake at the fault, as far as it is still there, into escrow.

    Once per fault: the same call again returns what it did. What is unbonding counts and is taken last. Raises
    FaultDiffers where the fault was slashed of somebody else or at another share.
    """
    with connection.cursor() as cursor:
        # One after another by fault, too: two owners' slashes for one fault lock no account in common.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"slash {fault_id}"])
    account = accounts.stake(user)
    escrow = accounts.escrow(f"slash:{account.owner}")
    account, _ = accounts.lock(account, escrow)
    if known := Slash.objects.filter(fault=fault_id).first():
        if (known.account_id, known.share_bp, known.fault_at) != (account.pk, share_bp, at_fault):
            raise FaultDiffers
        return known
    at_stake = stake_at(account, at_fault)
    amount = min(at_stake * share_bp // WHOLE_BP, account.balance)
    row = Slash.objects.create(
        id=named("slash", fault_id),
        fault=fault_id,
        account=account,
        at_stake=at_stake,
        share_bp=share_bp,
        amount=amount,
        fault_at=at_fault,
        at=now,
        final_at=now + timedelta(seconds=parameters.get("slashing.appeal_s")),
    )
    if amount:
        by = authorised_by_platform(f"slash:{fault_id}", user=user.pk)
        post_all([NewTransfer(row.pk, account.pk, escrow.pk, amount, "slash.escrow", by, memo=fault_id)], now=now)
        _take_from_leaving(account, amount, now)
    data = {"amount": str(amount), "fault": fault_id, "final_at": row.final_at.isoformat()}
    events.emit("stake.slashed", subject=fault_id, topics=[f"user.{user.pk}", "admin"], data=data, now=now)
    return row


def stake_at(account: Account, moment: datetime) -> int:
    """What a stake account held at a moment, in base units."""
    entries = Entry.objects.filter(account=account, transfer__at__lte=moment)
    return int(entries.aggregate(units=Sum("amount"))["units"] or 0)


def _take_from_leaving(account: Account, amount: int, now: datetime) -> None:
    """Charge what the bonded part did not cover to the stakes on their way out, those that have longest to go first.

    `account` is as it was before `amount` was taken.
    """
    rows = list(Unbonding.objects.waiting().filter(account=account).order_by("-release_at", "-id"))
    missing = amount - (account.balance - sum(row.remaining for row in rows))
    for row in rows:
        taken = min(max(missing, 0), row.remaining)
        missing -= taken
        row.slashed += taken
        if taken and not row.remaining:
            row.status, row.ended_at = UnbondingStatus.SLASHED, now
    Unbonding.objects.bulk_update(rows, ["slashed", "status", "ended_at"])


def execute_due(*, now: datetime) -> list[Slash]:
    """Burn half of what nobody's appeal has kept, and give the other half to the treasury; at most 200."""
    due = list(Slash.objects.filter(status=SlashStatus.ESCROWED, final_at__lte=now).values_list("pk", flat=True))
    return [row for key in due[:EXECUTE_AT_ONCE] if (row := _execute(key, now))]


@transaction.atomic
def _execute(slash_id: UUID, now: datetime) -> Slash | None:
    waiting = Slash.objects.select_related("account").filter(pk=slash_id, status=SlashStatus.ESCROWED)
    row = waiting.select_for_update(of=("self",), no_key=True).first()
    if row is None:
        return None
    row.status, row.ended_at = SlashStatus.EXECUTED, now
    row.save(update_fields=["status", "ended_at"])
    burnt = row.amount // 2
    escrow = accounts.escrow(f"slash:{row.account.owner}").pk
    parts = (("burn", AccountKind.BURN, burnt), ("treasury", AccountKind.TREASURY, row.amount - burnt))
    by = authorised_by_platform(f"slash:{row.fault}")
    moved = [
        NewTransfer(
            named("slash", row.fault, name), escrow, accounts.system(kind).pk, units, f"slash.{name}", by, row.fault
        )
        for name, kind, units in parts
        if units
    ]
    if moved:
        post_all(moved, now=now)
    return row
