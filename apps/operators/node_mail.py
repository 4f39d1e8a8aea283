"""Mail about nodes that stay away: one when the grace is over, and one when the node is back."""

from datetime import datetime, timedelta

from django.db import transaction

from apps.core import parameters
from apps.operators import mail
from apps.operators.models import Node, NodeStatus


def sweep(now: datetime) -> tuple[int, int]:
    """Tell of nodes offline for longer than the grace and of those that are back; returns how many of each.

    `offline_mailed_at` says that the one was told of and the other is due: repeated and parallel sweeps tell once.
    """
    since = now - timedelta(seconds=parameters.get("operators.offline_mail_s"))
    nodes = Node.objects.select_related("operator__user").order_by("pk")
    away = nodes.filter(status=NodeStatus.OFFLINE, status_at__lte=since, offline_mailed_at=None)
    back = nodes.filter(status=NodeStatus.ONLINE).exclude(offline_mailed_at=None)
    told = sum(_tell(node, "node_offline", now) for node in list(away))
    return told, sum(_tell(node, "node_back", now) for node in list(back))


@transaction.atomic(durable=True)
def _tell(node: Node, kind: str, now: datetime) -> bool:
    """Mail it, if the node is still as it was read and nobody else has."""
    is_offline = kind == "node_offline"
    same = Node.objects.filter(pk=node.pk, status=node.status, offline_mailed_at__isnull=is_offline)
    if same.update(offline_mailed_at=now if is_offline else None) != 1:
        return False
    mail.notify(node.operator.user, kind, {"node": node}, now)
    return True
