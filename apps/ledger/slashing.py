"""Slashing: stake is taken for a fault, waits in escrow for an appeal, and is then burnt and given to the treasury.

An appeal keeps it in escrow until somebody decides: it goes back to the stake, or the way it would have gone.
"""

from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Sum

from apps.core import events, parameters
from apps.core.models import User
from apps.ledger import accounts
from apps.ledger.errors import FaultDiffers, SlashFinal
from apps.ledger.ids import named
from apps.ledger.models import (
    Account,
    AccountKind,
    Entry,
    Slash,
    SlashQuerySet,
    SlashStatus,
    Unbonding,
    UnbondingStatus,
    authorised_by_platform,
)
from apps.ledger.posting import NewTransfer, post_all
from apps.ledger.retries import retried

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
    due = list(Slash.objects.due(now).values_list("pk", flat=True)[:EXECUTE_AT_ONCE])
    return [row for key in due if (row := execute(key, now=now))]


@retried
@transaction.atomic
def execute(slash_id: UUID, *, now: datetime) -> Slash | None:
    """Execute one whose time to appeal is over; None for any other."""
    row = _locked(Slash.objects.due(now), slash_id)
    if row is not None:
        _execute(row, now)
    return row


@transaction.atomic
def keep(slash_id: UUID, *, now: datetime) -> Slash:
    """Keep the stake in escrow until `overturn` or `uphold`, for an appeal. Raises SlashFinal once its time is over."""
    row = _locked(Slash.objects.filter(status=SlashStatus.ESCROWED, final_at__gt=now), slash_id)
    if row is None or not row.move(SlashStatus.APPEALED, now):
        raise SlashFinal
    return row


@transaction.atomic
def overturn(slash_id: UUID, *, now: datetime) -> Slash:
    """Put the stake back on its account: the appeal was granted. Raises SlashFinal unless there is an open appeal."""
    row = _appealed(slash_id)
    row.move(SlashStatus.OVERTURNED, now)
    if row.amount:
        by = authorised_by_platform(f"slash:{row.fault}")
        back = named("slash", row.fault, "return")
        escrow = accounts.escrow(f"slash:{row.account.owner}").pk
        post_all([NewTransfer(back, escrow, row.account_id, row.amount, "slash.return", by, row.fault)], now=now)
    return row


@transaction.atomic
def uphold(slash_id: UUID, *, now: datetime) -> Slash:
    """Execute it: the appeal was turned down. Raises SlashFinal unless there is an open appeal."""
    row = _appealed(slash_id)
    _execute(row, now)
    return row


def _locked(rows: SlashQuerySet, slash_id: UUID) -> Slash | None:
    found = rows.select_related("account").select_for_update(of=("self",), no_key=True)
    return found.filter(pk=slash_id).first()


def _appealed(slash_id: UUID) -> Slash:
    row = _locked(Slash.objects.filter(status=SlashStatus.APPEALED), slash_id)
    if row is None:
        raise SlashFinal
    return row


def _execute(row: Slash, now: datetime) -> None:
    """Burn half of a locked slash, and give the rest to the treasury."""
    row.move(SlashStatus.EXECUTED, now)
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
