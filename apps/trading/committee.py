"""Who sits in a consensus round: one seat per ORACLE owner with locked stake, on the best of their nodes online."""

from django.db.models import Exists, OuterRef

from apps.ledger.models import Block
from apps.operators import tiers
from apps.operators.models import Node, Operator, Stake, Tier
from workers.consensus.committee import Member

UNITS = 10**8


def frozen() -> tuple[Member, ...]:
    """The members of a round that starts now, in the order of their owners.

    A seat's weight is the tier's stake in whole MESH times the node's reputation (0…100): stake beyond the tier's adds
    nothing, and a node without reputation has no seat. An owner's other nodes stand by.
    """
    stake = tiers.stake_of(Tier.ORACLE) // UNITS
    locked = Stake.objects.filter(operator=OuterRef("operator"), status=Stake.Status.LOCKED)
    nodes = Node.objects.online().filter(
        Exists(locked),
        operator__tier=Tier.ORACLE,
        operator__status=Operator.Status.ACTIVE,
        operator__user__is_active=True,
        # Rounds travel over the broker.
        transport=Node.Transport.CELERY,
        reputation__gt=0,
    )
    seats: dict[str, Node] = {}
    for node in nodes.order_by("operator", "-reputation", "pk"):
        seats.setdefault(node.operator_id, node)
    return tuple(
        Member(owner=owner, node=node.pk, kid=node.kid, public=node.sign_public, weight=stake * node.reputation)
        for owner, node in seats.items()
    )


def sealed_block() -> tuple[int, str]:
    """Height and hash of the newest sealed block, under which the weights are frozen; (0, "") before the first."""
    return Block.objects.order_by("-height").values_list("height", "hash").first() or (0, "")
