"""What nodes did, as rewards ask for it: time online from their histories, quality from their attempts."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from django.db.models import Count, Q

from apps.core import parameters
from apps.core.models import User
from apps.ledger.accounts import owner_of
from apps.ledger.rewards import PPM, Work
from apps.operators import tiers
from apps.operators.models import Node, NodeEvent, NodeStatus, Operator, Stake
from apps.pool.models import Attempt, AttemptStatus, Purpose, Result

# A tenth of the reward is lost for each hundredth of errors.
ERROR_WEIGHT = 10


def work_between(start: datetime, end: datetime) -> Sequence[Work]:
    """A row for each node that was there and whose operator may work and has the tier's stake."""
    there = Node.objects.filter(enrolled_at__lt=end).filter(Q(revoked_at=None) | Q(revoked_at__gt=start))
    staked = Stake.objects.holding().values("operator")
    rows = there.filter(operator__status=Operator.Status.ACTIVE, operator__in=staked).order_by("pk")
    nodes = list(rows.select_related("operator__user"))
    of_owner = Counter(node.operator_id for node in nodes)
    online = online_time((node.pk for node in nodes), start, end)
    quality = quality_of((node.pk for node in nodes), start, end)
    new_from = end - timedelta(seconds=parameters.get("rewards.new_node_s"))
    return [
        Work(
            node=node.pk,
            owner=owner_of(node.operator.user),
            tier=tiers.terms(node.operator.tier).multiplier,
            uptime_ppm=online[node.pk] * PPM // (end - start),
            quality_ppm=quality.get(node.pk, PPM),
            nodes=of_owner[node.operator_id],
            is_new=node.enrolled_at > new_from,
        )
        for node in nodes
    ]


def online_time(node_ids: Iterable[str], start: datetime, end: datetime) -> defaultdict[str, timedelta]:
    """How long each node was online between two moments, by its history."""
    events = NodeEvent.objects.filter(node__in=list(node_ids), at__lt=end)
    before = events.filter(at__lt=start).order_by("node_id", "-id").distinct("node_id")
    since = {node: start for node, new in before.values_list("node_id", "new") if new == NodeStatus.ONLINE}
    total: defaultdict[str, timedelta] = defaultdict(timedelta)
    for node, at, new in events.filter(at__gte=start).order_by("id").values_list("node_id", "at", "new"):
        if node in since:
            total[node] += max(at - since.pop(node), timedelta())
        if new == NodeStatus.ONLINE:
            since[node] = at
    for node, at in since.items():
        total[node] += end - at
    return total


def quality_of(node_ids: Iterable[str], start: datetime, end: datetime) -> dict[str, int]:
    """Millionths of each node with attempts that ended between two moments: 1 - 10 x errors / attempts, at least 0."""
    ended = Attempt.objects.filter(node__in=list(node_ids), ended_at__gte=start, ended_at__lt=end)
    counts = ended.values_list("node_id").annotate(
        good=Count("pk", filter=Q(status=AttemptStatus.COMPLETED)), bad=Count("pk", filter=Q(counted=True))
    )
    return {
        node: max(0, PPM - ERROR_WEIGHT * PPM * bad // (good + bad))
        for node, good, bad in counts.order_by()
        if good + bad
    }


def first_inference_missing(user: User, now: datetime) -> str:
    """Empty once a node of the user's was paid for a chunk."""
    paid = Result.objects.filter(node__operator__user=user, task__job__purpose=Purpose.REQUEST)
    return "" if paid.exists() else "No node of yours has delivered a chunk of a job yet."


def uptime_missing(user: User, now: datetime) -> str:
    """Empty once one node of the user's was online for a day, all its times together."""
    needed = timedelta(seconds=parameters.get("faucet.uptime_s"))
    nodes = Node.objects.filter(operator__user=user)
    oldest = nodes.order_by("enrolled_at").values_list("enrolled_at", flat=True).first()
    longest = timedelta()
    if oldest is not None:
        longest = max(online_time(nodes.values_list("pk", flat=True), oldest, now).values(), default=longest)
    if longest >= needed:
        return ""
    hours, whole = longest.total_seconds() / 3600, needed.total_seconds() / 3600
    return f"No node of yours was online for {whole:g} hours yet; the best one has {hours:.1f}."
