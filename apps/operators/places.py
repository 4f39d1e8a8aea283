"""How many operators a tier has room for, and who holds a place.

A place is held from the approval on. It is free again once its operator has gone: nothing at stake any more and no
machine, or the account closed before anything was. Who comes back with a stake needs a place again.
"""

from dataclasses import dataclass

from django.db import connection
from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from apps.core import parameters
from apps.operators import tiers
from apps.operators.errors import TierFull
from apps.operators.models import Node, Operator, Stake, Tier


@dataclass(frozen=True)
class Places:
    """A tier's places; above the most where the network has lowered it since."""

    tier: str
    taken: int
    most: int

    @property
    def is_full(self) -> bool:
        """Whether nobody can be approved for the tier now."""
        return self.taken >= self.most


def holders() -> QuerySet[Operator]:
    """The operators that hold a place."""
    stakes, nodes = Stake.objects.filter(operator=OuterRef("pk")), Node.objects.not_revoked()
    never_staked = Q(user__is_active=True) & ~Exists(stakes)
    return Operator.objects.filter(
        never_staked
        | Exists(stakes.exclude(status=Stake.Status.RELEASED))
        | Exists(nodes.filter(operator=OuterRef("pk")))
    )


def of_tiers() -> dict[str, Places]:
    """Every tier's places, in one query."""
    taken = dict(holders().order_by().values_list("tier").annotate(Count("pk")))
    return {
        tier: Places(tier, taken.get(tier, 0), int(parameters.get(f"operators.most_{tier.lower()}")))
        for tier in Tier.values
    }


def table() -> list[tuple[tiers.TierTerms, Places]]:
    """All tiers with their places, the smallest first."""
    found = of_tiers()
    return [(terms, found[terms.tier]) for terms in tiers.table()]


def take(operator: Operator) -> None:
    """Hold a place for an operator, until commit against everybody who wants one too. Raises TierFull."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"places of tier {operator.tier}"])
    most = int(parameters.get(f"operators.most_{operator.tier.lower()}"))
    if holders().filter(tier=operator.tier).exclude(pk=operator.pk).count() >= most:
        raise TierFull(
            f"Tier {operator.tier} has as many operators as the network allows ({most})."
            " Wait until one leaves, or choose another tier."
        )
