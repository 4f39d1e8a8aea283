"""Changing a node's keys: new ones in place of those that vouch for them, which are refused from then on."""

from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import Q

from apps.core import events
from apps.operators.errors import KeyInUse
from apps.operators.models import Node, NodeStatus, RetiredKey, ShardHost
from apps.operators.node_errors import NodeEnded
from workers.protocol.keys import b64, kid_of

ENDED = {NodeStatus.SUSPENDED, NodeStatus.REVOKED}


@transaction.atomic
def rotate(node: Node, kid: str, sign_public: bytes, seal_public: bytes, broker_sha256: str, now: datetime) -> bool:
    """Put new keys (32 bytes each) and a new broker digest in place of the ones that `kid` belongs to.

    The same keys again only renew the broker's secret. False where the keys were changed meanwhile. Raises KeyInUse
    for a key that some machine has or had, NodeEnded; then nothing has changed.
    """
    if node.status in ENDED:
        raise NodeEnded
    public = b64(sign_public)
    row = Node.objects.filter(pk=node.pk, kid=kid).exclude(status__in=ENDED)
    if public == node.sign_public:
        return row.filter(seal_public=b64(seal_public)).update(broker_sha256=broker_sha256) == 1
    taken = Q(sign_public=public) | Q(seal_public=b64(seal_public))
    retired = RetiredKey.objects.filter(sign_public=public)
    if retired.exists() or Node.objects.filter(taken).exists() or ShardHost.objects.filter(taken).exists():
        raise KeyInUse
    new = {"sign_public": public, "seal_public": b64(seal_public), "kid": kid_of(sign_public)}
    try:
        with transaction.atomic():
            if row.update(**new, broker_sha256=broker_sha256) != 1:
                return False
            RetiredKey.objects.create(kid=kid, node=node, sign_public=node.sign_public, retired_at=now)
    except IntegrityError as error:
        raise KeyInUse from error
    topics = [f"node.{node.pk}", f"user.{node.operator.user_id}"]
    data = {"name": node.name, "old": kid, "new": new["kid"]}
    events.emit("node.keys_rotated", subject=node.pk, topics=topics, data=data, now=now)
    return True
