"""What a node is likely to earn, with the formula and its inputs, and what it did earn, from the ledger."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import IntegerField, Sum
from django.db.models.fields.json import KT
from django.db.models.functions import Cast

from apps.ledger import accounts
from apps.ledger.models import Epoch, EpochShare, Transfer
from apps.operators import tiers
from apps.operators.models import Node, Operator

WEEK = timedelta(days=7)
PPM = 1_000_000
PROVIDER = "fee.provider"


@dataclass(frozen=True)
class Estimate:
    """Base units a day, as far as there is data: None says that there is none yet."""

    fees_week: int
    gflops: int
    gflops_online: int
    epoch_pool: int
    weight: int
    weight_all: int
    epoch_day: str

    @property
    def fees(self) -> int | None:
        """Fees of the last seven days, a day's part, shared by measured speed."""
        if not self.fees_week or not self.gflops:
            return None
        return self.fees_week * self.gflops // (7 * max(self.gflops_online, self.gflops))

    @property
    def epoch(self) -> int | None:
        """The last settled day's emission, shared by weight."""
        return self.epoch_pool * self.weight // self.weight_all if self.epoch_pool and self.weight_all else None

    @property
    def day(self) -> int | None:
        """Both together."""
        known = [units for units in (self.fees, self.epoch) if units is not None]
        return sum(known) if known else None


def estimate(operator: Operator, node: Node | None, now: datetime) -> Estimate:
    """What a day would bring to a node, or to an average one before there is one."""
    paid = Transfer.objects.filter(kind=PROVIDER, at__gte=now - WEEK).aggregate(units=Sum("amount", default=0))["units"]
    online = Node.objects.online()
    speeds = online.annotate(speed=Cast(KT("probe__gflops"), IntegerField())).values_list("pk", "speed")
    others = {pk: int(found or 0) for pk, found in speeds}
    average = sum(others.values()) // len(others) if others else 0
    mine = node.gflops if node else average
    total = sum(others.values()) + (0 if node and node.pk in others else mine)
    return Estimate(int(paid), mine, total, *_epoch(operator, node))


def _epoch(operator: Operator, node: Node | None) -> tuple[int, int, int, str]:
    """Pool, this node's weight, all weights, and the day, of the last day that was shared out."""
    last = Epoch.objects.filter(minted__gt=0).order_by("-day").first()
    if last is None:
        return 0, 0, 0, ""
    shares = EpochShare.objects.filter(epoch=last)
    total = int(shares.aggregate(units=Sum("weight", default=0))["units"])
    own = shares.filter(node=node.pk).first() if node else None
    if own is not None:
        return last.minted, int(own.weight), total, last.day.isoformat()
    # Not in it: as if it had been, online and without a fault all day.
    machines = max(1, operator.nodes.not_revoked().count())
    weight = tiers.terms(operator.tier).multiplier * PPM * PPM // machines
    return last.minted, weight, total + weight, last.day.isoformat()


def actual(node: Node, now: datetime) -> list[dict[str, Any]]:
    """What the node earned in a day, a week and a month, in base units: fees of its tasks, its part of epochs."""
    wallet = accounts.wallet(node.operator.user)
    tasks = node.results.values("task_id")
    rows = []
    for days in (1, 7, 30):
        since = now - timedelta(days=days)
        fees = Transfer.objects.filter(kind=PROVIDER, credit=wallet, at__gte=since, memo__in=tasks)
        shares = EpochShare.objects.filter(node=node.pk, epoch__at__gte=since)
        epoch = shares.aggregate(units=Sum("amount", default=0), held=Sum("escrowed", default=0))
        paid = int(fees.aggregate(units=Sum("amount", default=0))["units"])
        rows.append(
            {"days": days, "fees": paid, "epoch": int(epoch["units"]), "escrowed": int(epoch["held"]),
             "total": paid + int(epoch["units"])}
        )  # fmt: skip
    return rows
