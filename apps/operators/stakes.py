"""An operator's stake: locking a tier's, topping it up, taking it back, and what becomes of one that is too small.

The money is the ledger's (`apps.ledger.staking`); the row of `Stake` says how it stands with the tier. Whoever changes
one locks the operator first, then the accounts; before both the user, where the account must not be deleted meanwhile.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from django.db import transaction
from django.db.models import BigIntegerField, CharField, F, OuterRef, Subquery, Sum, Value
from django.db.models.functions import Cast, Coalesce, Concat
from django.utils.translation import gettext as _

from apps.core import events, parameters
from apps.core.models import User
from apps.ledger import accounts, amounts, orders, staking
from apps.ledger.errors import StakeExceeded
from apps.ledger.ids import named
from apps.ledger.models import Account, AccountKind, Transfer, Unbonding, authorised_by_platform
from apps.ledger.retries import retried
from apps.operators import mail, places, tiers
from apps.operators.account_errors import AccountGone
from apps.operators.errors import NodesEnrolled, NotApproved, StakeBelowTier, StakeLocked
from apps.operators.models import Operator, ShardHost, Stake, Tier

PURPOSE_STAKE = "stake"
PURPOSE_UNSTAKE = "unstake"
ORDER_FIELDS = {"amount": str}


@retried
@transaction.atomic(durable=True)
def lock(operator: Operator, now: datetime) -> Stake:
    """Move what the tier's stake lacks from the operator's wallet to their stake account.

    Raises StakeLocked, NotApproved, TierFull where somebody who comes back finds no place, or InsufficientFunds where
    the wallet does not hold it.
    """
    # Locked, so that two clicks lock one stake.
    operator = Operator.objects.locked(operator.pk)
    # Asked after the lock, which the deletion of an account holds too.
    if not User.objects.filter(pk=operator.user_id, is_active=True).exists():
        raise NotApproved
    if operator.stakes.live().exists():
        raise StakeLocked
    transfer_id = named("stake", operator.pk, str(operator.stakes.count()))
    missing = tiers.stake_of(operator.tier) - staking.bonded(operator.user)
    if missing > 0:
        by = authorised_by_platform(f"stake:{operator.pk}", user=operator.user_id)
        staking.stake(operator.user, missing, id=transfer_id, authorisation=by, now=now)
    review(operator, now)
    return operator.stakes.live().get()


@retried
def add(user: User, amount: int, now: datetime, *, request: UUID | None = None) -> Transfer:
    """Put more at stake, on the word of a signed-in user. A `request` that comes again adds nothing again.

    Raises AccountGone, TierFull, InsufficientFunds or PostingRefused.
    """
    transfer_id = request or uuid4()
    by = authorised_by_platform(f"stake:{transfer_id}", user=user.pk)
    return _add(user, amount, named("stake", accounts.owner_of(user), str(transfer_id)), by, now)


@retried
def take_back(user: User, amount: int, now: datetime, *, request: UUID | None = None) -> Unbonding:
    """Begin to take stake back, on the word of a signed-in user. Raises what `obey_unstake` raises of the amount."""
    unbonding_id = request or uuid4()
    by = authorised_by_platform(f"unstake:{unbonding_id}", user=user.pk)
    return _take_back(user, amount, named("unstake", accounts.owner_of(user), str(unbonding_id)), by, now)


@retried
def obey_stake(user: User, document: Any, signature: str, now: datetime) -> Transfer:
    """Put at stake what a wallet's signed order says (`amount` in MESH).

    Raises what `orders.read` and `orders.use` raise, AmountMalformed, AccountGone, InsufficientFunds or
    PostingRefused.
    """
    order = orders.read(document, signature, purpose=PURPOSE_STAKE, fields=ORDER_FIELDS, user=user)
    units = amounts.parse_signed(document["amount"])
    with transaction.atomic():
        _lock_user(user)
        locked(user)
        last = orders.lock(order)
        if not Transfer.objects.filter(pk=order.id).exists():
            orders.use(order, last, now)
        return _add(user, units, order.id, order.authorisation, now)


@retried
def obey_unstake(user: User, document: Any, signature: str, now: datetime) -> Unbonding:
    """Begin to take back what a wallet's signed order says (`amount` in MESH).

    Raises what `orders.read` and `orders.use` raise, AmountMalformed, StakeExceeded, StakeBelowTier or NodesEnrolled.
    """
    order = orders.read(document, signature, purpose=PURPOSE_UNSTAKE, fields=ORDER_FIELDS, user=user)
    units = amounts.parse_signed(document["amount"])
    with transaction.atomic():
        locked(user)
        last = orders.lock(order)
        if begun := Unbonding.objects.filter(pk=order.id, amount=units).first():
            return begun
        orders.use(order, last, now)
        return _take_back(user, units, order.id, order.authorisation, now)


@retried
@transaction.atomic
def cancel(user: User, unbonding_id: UUID, now: datetime) -> Unbonding:
    """Leave at stake what was asked back. Raises UnbondingUnknown, UnbondingOver or TierFull."""
    operator = locked(user)
    kept = staking.cancel(user, unbonding_id, now=now)
    if operator:
        review(operator, now)
    return kept


@transaction.atomic
def _add(user: User, amount: int, transfer_id: UUID, authorisation: dict[str, Any], now: datetime) -> Transfer:
    _lock_user(user)
    operator = locked(user)
    moved = staking.stake(user, amount, id=transfer_id, authorisation=authorisation, now=now)
    if operator:
        review(operator, now)
    return moved


@transaction.atomic
def _take_back(user: User, amount: int, unbonding_id: UUID, authorisation: dict[str, Any], now: datetime) -> Unbonding:
    operator = locked(user)
    # A host of shards that joins at this moment locks it too: one of the two sees the other.
    accounts.lock(accounts.stake(user))
    if not Unbonding.objects.filter(pk=unbonding_id).exists():
        _check_may_leave(user, operator, amount)
    begun = staking.unstake(user, amount, id=unbonding_id, authorisation=authorisation, now=now)
    if operator:
        review(operator, now)
    return begun


def _check_may_leave(user: User, operator: Operator | None, amount: int) -> None:
    """What stands behind machines stays while they are there: the tier's stake, or a host of shards' own."""
    bonded = staking.bonded(user)
    if amount > bonded:
        raise StakeExceeded
    needed = _needed(user, operator)
    if bonded - amount >= needed:
        return
    if amount == bonded:
        raise NodesEnrolled
    shown = amounts.show(max(0, bonded - needed))
    raise StakeBelowTier(
        f"{amounts.show(needed)} MESH stand behind your machines: take back up to {shown} MESH,"
        " or revoke them and take back everything."
    )


def _needed(user: User, operator: Operator | None) -> int:
    """Base units that the user's machines need at stake."""
    hosts = ShardHost.objects.filter(user=user, status=ShardHost.Status.ACTIVE).exists()
    nodes = operator is not None and operator.nodes.not_revoked().exists()
    tier = tiers.stake_of(operator.tier) if operator and nodes else 0
    return max(tier, int(parameters.get("operators.host_stake")) if hosts else 0)


def _lock_user(user: User) -> None:
    """Until commit: its deletion waits, and finds the stake. Raises AccountGone where it was faster."""
    if User.objects.locked(user.pk) is None:
        raise AccountGone


def locked(user: User) -> Operator | None:
    """The user's operator, locked until commit; None for somebody who is none."""
    operator_id = Operator.objects.filter(user=user).values_list("pk", flat=True).first()
    return Operator.objects.locked(operator_id) if operator_id else None


def release_due(now: datetime) -> list[Unbonding]:
    """Pay out the stakes whose time is over, and write to their owners."""
    released = staking.release_due(now=now)
    for row in released:
        if user := accounts.user_of(row.account):
            with transaction.atomic():
                mail.notify(user, "unstake_ready", {"amount": amounts.show(row.remaining)}, now)
    return released


def sweep(now: datetime) -> int:
    """Look again at stakes that a slash, a changed parameter or time may have moved; returns how many have changed."""
    live = Stake.objects.live().select_related("operator").order_by("pk")
    bonded = dict(live.values_list("pk", bonded_of("operator__user_id")))
    least_of = {tier: least(tier) for tier in Tier.values}
    moved = [stake for stake in live if _has_moved(stake, bonded.get(stake.pk, 0), least_of[stake.operator.tier], now)]
    return sum(_swept(stake, now) for stake in moved)


def bonded_of(user: str) -> Coalesce:
    """`staking.bonded` of the user that a column names, in a query."""
    owner = Concat(Value("user:"), Cast(OuterRef(user), CharField()))
    leaving = Unbonding.objects.waiting().filter(account=OuterRef("pk")).order_by().values("account")
    left = leaving.annotate(units=Sum(F("amount") - F("slashed"))).values("units")
    held = Account.objects.filter(kind=AccountKind.STAKE, owner=owner)
    units = held.annotate(bonded=F("balance") - Coalesce(Subquery(left), Value(0), output_field=BigIntegerField()))
    return Coalesce(Subquery(units.values("bonded")), Value(0), output_field=BigIntegerField())


def _has_moved(stake: Stake, bonded: int, enough: int, now: datetime) -> bool:
    """Whether the row may not be what it should be; looked at without a lock."""
    is_short = bonded < enough
    late = stake.status == Stake.Status.SHORT and stake.short_until is not None and stake.short_until <= now
    return bonded != stake.amount or is_short != (stake.status != Stake.Status.LOCKED) or late


@retried
@transaction.atomic
def _swept(stake: Stake, now: datetime) -> bool:
    return review(Operator.objects.locked(stake.operator_id), now)


def least(tier: str) -> int:
    """Base units below which a tier's stake has to be topped up."""
    return tiers.stake_of(tier) * int(parameters.get("stake.least_percent")) // 100


def review(operator: Operator, now: datetime) -> bool:
    """Bring the row of a locked operator's stake in line with the ledger; says whether it has changed."""
    row = operator.stakes.live().first()
    bonded = staking.bonded(operator.user)
    if row is None:
        return bonded >= tiers.stake_of(operator.tier) and _begin(operator, bonded, now)
    old = (row.status, row.amount)
    if bonded == 0:
        _end(operator, row)
    else:
        row.amount = bonded
        _judge(operator, row, now)
    row.save(update_fields=["status", "amount", "reason", "next_step", "short_until"])
    if (row.status, row.amount) == old:
        return False
    if row.status != old[0]:
        _tell(operator, row, now)
    return True


def _begin(operator: Operator, bonded: int, now: datetime) -> bool:
    last = operator.stakes.first()
    if last:
        # Who had taken everything back had no place meanwhile.
        places.take(operator)
    if last and _has_suspended(last, operator):
        operator.move(Operator.Status.ACTIVE, "")
    made = named("stake-row", operator.pk, str(operator.stakes.count()))
    Stake.objects.create(id=made, operator=operator, amount=bonded, locked_at=now)
    return True


def _end(operator: Operator, row: Stake) -> None:
    """Nothing is left: taken back by somebody without nodes, or slashed, which suspends whoever still has some."""
    is_ours = _has_suspended(row, operator)
    row.status, row.reason, row.next_step = Stake.Status.RELEASED, "", ""
    if operator.nodes.not_revoked().exists():
        missing = amounts.show(tiers.stake_of(operator.tier))
        row.reason = _("Nothing of tier %(tier)s's stake is left.") % {"tier": operator.tier}
        row.next_step = _("Lock %(missing)s MESH; your nodes may then work again.") % {"missing": missing}
        _suspend(operator, row, is_ours=is_ours)
    elif is_ours:
        # Whoever comes back begins anew; until then the missing stake keeps nodes out.
        operator.move(Operator.Status.ACTIVE, "")


def _has_suspended(row: Stake, operator: Operator) -> bool:
    """Whether the row suspended its operator; an admin's suspension has words of its own, and stays."""
    ended = row.status in {Stake.Status.OVERDUE, Stake.Status.RELEASED}
    return ended and operator.status == Operator.Status.SUSPENDED and operator.reason == row.reason


def _suspend(operator: Operator, row: Stake, *, is_ours: bool) -> None:
    if is_ours:
        Operator.objects.filter(pk=operator.pk).update(reason=row.reason)
    elif operator.status == Operator.Status.ACTIVE:
        operator.move(Operator.Status.SUSPENDED, row.reason)


def _judge(operator: Operator, row: Stake, now: datetime) -> None:
    """Locked, short for a while, or overdue; an overdue stake suspends its operator until it is topped up."""
    is_ours = _has_suspended(row, operator)
    if row.amount >= least(operator.tier):
        if is_ours:
            operator.move(Operator.Status.ACTIVE, "")
        row.status, row.reason, row.next_step, row.short_until = Stake.Status.LOCKED, "", "", None
        return
    missing = amounts.show(tiers.stake_of(operator.tier) - row.amount)
    if row.status == Stake.Status.LOCKED:
        row.status, row.short_until = Stake.Status.SHORT, now + timedelta(seconds=parameters.get("stake.topup_s"))
    if row.short_until is None:
        return
    until = f"{row.short_until:%Y-%m-%d %H:%M} UTC"
    row.reason = _("Less than %(percent)s %% of tier %(tier)s's stake is left: %(amount)s MESH.") % {
        "percent": parameters.get("stake.least_percent"),
        "tier": operator.tier,
        "amount": amounts.show(row.amount),
    }
    row.next_step = _("Top it up by %(missing)s MESH until %(until)s.") % {"missing": missing, "until": until}
    if row.short_until <= now:
        row.next_step = _("Top it up by %(missing)s MESH; your nodes may then work again.") % {"missing": missing}
        row.status = Stake.Status.OVERDUE
        _suspend(operator, row, is_ours=is_ours)


def _tell(operator: Operator, row: Stake, now: datetime) -> None:
    topics = [f"user.{operator.user_id}", "admin"]
    data = {"amount": str(row.amount), "tier": operator.tier, "reason": row.reason}
    events.emit(f"stake.{row.status}", subject=operator.pk, topics=topics, data=data, now=now, actor=operator.user)
    if row.reason:
        mail.notify(operator.user, "stake_short", {"stake": row, "amount": amounts.show(row.amount)}, now)
