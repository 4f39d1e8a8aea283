"""A proven fault is punished: stake goes into escrow, the node stops, its score falls, its owner is told. Once.

Locks, in the house's order: the account, the operator, the node, the ledger's accounts.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from apps.core import parameters
from apps.core.models import FaultEvidence, User
from apps.ledger import slashing
from apps.ledger.amounts import show
from apps.ledger.models import Slash
from apps.operators import mail, nodes, reputation, stakes
from apps.operators.errors import OperatorError
from apps.operators.models import NODE_TRANSITIONS, Node, NodeStatus, Operator, ReputationKind, SlashCase
from apps.operators.slash_errors import FaultKnown


@dataclass(frozen=True)
class Fault:
    """What was proven: its name, the same for all evidence of it, who, when, and in words; `share` names the parameter
    that says how much of the stake it costs, in 1/10,000.
    """

    id: str
    node: Node
    at: datetime
    what: str
    share: str


@transaction.atomic
def punish(fault: Fault, evidence: FaultEvidence, now: datetime) -> SlashCase:
    """Slash the owner's stake for a fault that the caller has proven. Raises FaultKnown where that was done before."""
    # The account may be closed: its stake, if there is any, answers for it all the same.
    owner = User.objects.select_for_update(no_key=True).get(pk=fault.node.operator.user_id)
    operator = Operator.objects.locked(fault.node.operator_id)
    if Slash.objects.filter(fault=fault.id).exists():
        raise FaultKnown
    node = locked_node(fault.node.pk)
    known = SlashCase.objects.filter(node=node, slash__fault_at=fault.at).exists()
    slash = slashing.slash(owner, fault.id, parameters.get(fault.share), fault.at, now)
    case = SlashCase.objects.create(slash=slash, evidence=evidence, node=node, what=fault.what, at=now)
    look_again(operator, now)
    _stop(node, case, now)
    # Who signs twice at every step is told once, unless it costs more.
    if slash.amount or not known:
        bond = show(parameters.get("slashing.appeal_bond"))
        told = {"case": case, "slash": slash, "amount": show(slash.amount), "bond": bond}
        mail.notify(owner, "stake_slashed", told, now)
    return case


def look_again(operator: Operator, now: datetime) -> None:
    """Bring a locked operator's stake in line with the ledger.

    Where the network has no place for it any more, what is at stake stays so and is its owner's to take back.
    """
    with suppress(OperatorError), transaction.atomic():
        stakes.review(operator, now)


def locked_node(node_id: str) -> Node:
    """The node, locked: a heartbeat at this moment does not move it to another state."""
    rows = Node.objects.select_for_update(no_key=True, of=("self",)).select_related("operator__user")
    return rows.get(pk=node_id)


def score_key(case: SlashCase) -> str:
    """Under which key the node's score remembers the fault."""
    return f"slash:{case.slash_id}"


def _stop(node: Node, case: SlashCase, now: datetime) -> None:
    """Suspend a locked node, and charge its score; one that is suspended for another reason keeps that reason."""
    if NodeStatus.SUSPENDED in NODE_TRANSITIONS[NodeStatus(node.status)]:
        nodes.move(node, NodeStatus.SUSPENDED, case.node_reason, case.node_next_step, now)
    reputation.record(node.pk, ReputationKind.VIOLATION, now, case.what, score_key(case))
