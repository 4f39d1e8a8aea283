"""An operator whose node signed twice, and whose stake lies in escrow for it."""

from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from apps.core.models import FaultEvidence, FaultStatus
from apps.ledger import accounts
from apps.ledger.amounts import MESH
from apps.ledger.models import AccountKind
from apps.operators import enrolment, slashes
from apps.operators.models import Node, NodeStatus, Operator, SlashCase
from tests.apps.operators.test_enrolment import prepared
from workers.protocol.clock import utcnow

STAKE = 5_000 * MESH
BOND = 10 * MESH
WHAT = "It signed two different messages of step prevote in view 0 of round rnd_1."


def enrolled(operator: Operator) -> Node:
    """A node of theirs that is online."""
    node = enrolment.enrol(prepared(operator), utcnow())
    for status in (NodeStatus.SELF_TEST, NodeStatus.ONLINE):
        node.move(status, "", "", utcnow())
    return node


def slashed(node: Node, now: datetime | None = None) -> SlashCase:
    """What is done once evidence against the node has been proven."""
    now = now or utcnow()
    said = {"net": "n", "round": "rnd_1", "view": 0, "step": "prevote", "signer": node.operator_id}
    evidence = FaultEvidence.objects.create(
        kind="consensus.equivocation",
        accused=node.operator_id,
        evidence={**said, "first": {}, "second": {}},
        digest=uuid4().hex * 2,
        at=now,
        status=FaultStatus.PENDING,
    )
    evidence.decide(FaultStatus.SLASHED, now)
    fault = slashes.Fault(f"equivocation:{evidence.digest}", node, now, WHAT, "slashing.equivocation_bp")
    return slashes.punish(fault, evidence, now)


@dataclass(frozen=True)
class Money:
    """In base units, of one owner and of the network."""

    wallet: int
    held: int
    stake: int
    escrow: int
    burnt: int
    treasury: int

    @classmethod
    def of(cls, operator: Operator) -> "Money":
        user = operator.user
        return cls(
            accounts.balance(user),
            accounts.held(user),
            accounts.stake(user).balance,
            accounts.escrow(f"slash:{accounts.owner_of(user)}").balance,
            accounts.system(AccountKind.BURN).balance,
            accounts.system(AccountKind.TREASURY).balance,
        )
