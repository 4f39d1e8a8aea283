"""Appeals against slashes: the owner says once what speaks against it, with a bond; staff answer.

While an appeal waits, the stake stays in escrow. Granted, stake and bond go back; turned down, the slash is executed
and the bond is the treasury's.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction

from apps.core import events, parameters
from apps.core.models import User
from apps.ledger import accounts, holds, slashing
from apps.ledger.amounts import show
from apps.ledger.ids import named
from apps.ledger.models import AccountKind, Hold, Slash, SlashStatus, authorised_by_platform
from apps.ledger.retries import retried
from apps.operators import bans, mail, nodes, reputation
from apps.operators.account_errors import AccountGone
from apps.operators.errors import ReasonMissing
from apps.operators.models import Node, NodeStatus, Operator, SlashAppeal, SlashCase
from apps.operators.slash_errors import (
    SelfAppeal,
    SlashAppealClosed,
    SlashAppealed,
    SlashAppealMissing,
    SlashUnknown,
)
from apps.operators.slashes import locked_node, look_again, score_key
from workers.protocol.ids import new_id

PURPOSE = "slash.bond"
# The hold is kept as long as its appeal waits; this is when it goes back if nobody ever asked.
LONGEST = timedelta(days=365)
OVERTURNED = "The slash was overturned; waiting for it to connect."
RUN = "Run `mesh node run` on the machine."


def in_use(hold_ids: Collection[UUID]) -> set[UUID]:
    """Bonds whose appeals wait for an answer."""
    return set(SlashAppeal.objects.open().filter(hold__in=hold_ids).values_list("hold", flat=True))


@retried
@transaction.atomic(durable=True)
def appeal(case_id: UUID, by: User, text: str, now: datetime) -> SlashAppeal:
    """Say what speaks against a slash of one's own stake, within the window, once.

    Raises SlashUnknown, SlashAppealMissing, SlashAppealed, SlashFinal, AccountGone, or InsufficientFunds where the
    wallet does not hold the bond.
    """
    if User.objects.locked(by.pk) is None:
        raise AccountGone
    case = SlashCase.objects.whole().of(by).filter(pk=case_id).first()
    if case is None:
        raise SlashUnknown
    if not text.strip():
        raise SlashAppealMissing
    if SlashAppeal.objects.filter(case=case).exists():
        raise SlashAppealed
    slash = slashing.keep(case_id, now=now)
    bond = parameters.get("slashing.appeal_bond")
    made = SlashAppeal.objects.create(
        id=new_id("apl", now),
        case=case,
        by=by,
        text=text.strip(),
        at=now,
        bond=bond,
        hold=_held(by, slash.fault, bond, now) if bond else None,
    )
    data = {"appeal": made.pk, "fault": slash.fault, "bond": str(bond)}
    events.emit("slash.appealed", subject=slash.fault, topics=_topics(by), data=data, now=now, actor=by)
    return made


def _held(by: User, fault: str, bond: int, now: datetime) -> Hold:
    return holds.place(
        id=named("slash", fault, "appeal"),
        payer=accounts.wallet(by),
        amount=bond,
        purpose=PURPOSE,
        authorisation=authorised_by_platform(f"slash:{fault}", user=by.pk),
        expires_at=now + LONGEST,
        now=now,
    )


@retried
@transaction.atomic(durable=True)
def answer(made: SlashAppeal, actor: User, text: str, now: datetime, *, granted: bool) -> None:
    """Grant an appeal, which gives the stake back, or turn it down, which executes the slash; either with words.

    Raises ReasonMissing, SelfAppeal, or SlashAppealClosed where somebody was faster.
    """
    if not text.strip():
        raise ReasonMissing
    if actor.pk == made.by_id:
        raise SelfAppeal
    owner = User.objects.select_for_update(no_key=True).get(pk=made.by_id)
    operator, node = Operator.objects.locked(made.case.node.operator_id), locked_node(made.case.node_id)
    answered = {"granted": granted, "answer": text.strip(), "answered_at": now, "answered_by": actor}
    if SlashAppeal.objects.open().filter(pk=made.pk).update(**answered) != 1:
        raise SlashAppealClosed
    for name, value in answered.items():
        setattr(made, name, value)
    slash = slashing.overturn(made.case_id, now=now) if granted else slashing.uphold(made.case_id, now=now)
    _end_bond(made, slash.fault, now)
    look_again(operator, now)
    if granted:
        _let_back(node, made.case, now)
    data = {"appeal": made.pk, "fault": slash.fault, "granted": granted, "answer": made.answer}
    events.emit("slash.appeal_answered", subject=slash.fault, topics=_topics(owner), data=data, now=now, actor=actor)
    told = {"appeal": made, "case": made.case, "amount": show(slash.amount), "bond": show(made.bond)}
    mail.notify(owner, "slash_appeal_answered", told, now)


def _end_bond(made: SlashAppeal, fault: str, now: datetime) -> None:
    """Give the bond back, or give it to the treasury."""
    if made.hold_id is None:
        return
    if made.granted:
        holds.void(made.hold_id, now=now)
        return
    treasury = accounts.system(AccountKind.TREASURY).pk
    holds.settle(
        made.hold_id, [holds.Leg(named("slash", fault, "bond"), treasury, made.bond, "slash.bond", fault)], now=now
    )


def _let_back(node: Node, case: SlashCase, now: datetime) -> None:
    """Give a locked node its points back, and let it connect if it was this slash that stopped it, unless banned."""
    reputation.take_back(node.pk, score_key(case), now, f"The slash {case.public_id} was overturned.")
    if node.status != NodeStatus.SUSPENDED or node.reason != case.node_reason:
        return
    banned = bans.refused(now, user=node.operator.user, node_id=node.pk)
    if banned is not None:
        reason = f"Banned ({banned.ban}): {banned.reason}"
        Node.objects.filter(pk=node.pk, reason=case.node_reason).update(reason=reason, next_step=bans.NEXT_STEP)
        return
    other = SlashCase.objects.standing().filter(node=node, at__gte=case.at).exclude(pk=case.pk).first()
    if other is not None:
        Node.objects.filter(pk=node.pk, reason=case.node_reason).update(reason=other.node_reason)
        return
    nodes.move(node, NodeStatus.OFFLINE, OVERTURNED, RUN, now)


def can_appeal(slash: Slash, now: datetime) -> bool:
    """Whether its owner can still say something against it."""
    return slash.status == SlashStatus.ESCROWED and slash.final_at > now


def _topics(owner: User) -> list[str]:
    return ["admin", f"user.{owner.pk}"]
