"""What a node is sent: a signed envelope with the payload sealed to that node for that attempt."""

from datetime import datetime
from functools import lru_cache
from typing import Any

from apps.core import platform_keys
from apps.models import catalog
from apps.operators.models import Node
from apps.pool import vault
from apps.pool.models import Payload
from apps.pool.take import Assignment
from workers.protocol.clock import unix_ms
from workers.protocol.envelope import sign_envelope
from workers.protocol.keylist import PLATFORM
from workers.protocol.keys import b64, unb64
from workers.protocol.sealing import job_info, seal

LONGEST_TTL_S = 600


@lru_cache(maxsize=256)
def files_of(model: str, version: str) -> list[dict[str, Any]]:
    """A version's files with their addresses; a version never changes."""
    return catalog.file_urls(catalog.version_of(model, version))


def task_envelope(assignment: Assignment, node: Node, now: datetime) -> dict[str, Any]:
    """The task.run envelope of an assignment; it expires with the lease, after ten minutes at the latest."""
    payload = Payload.objects.get(pk=assignment.task_id)
    net = platform_keys.network_id()
    info = job_info(net, assignment.job_id, assignment.task_id, assignment.attempt, node.pk)
    lease_s = int((assignment.lease_expires_at - now).total_seconds())
    body = {
        "job": assignment.job_id,
        "task": assignment.task_id,
        "attempt": assignment.attempt,
        "kind": assignment.kind,
        "lane": assignment.lane,
        "model": assignment.model,
        "version": assignment.version,
        "files": files_of(assignment.model, assignment.version),
        "params": {},
        "payload_sha256": payload.sha256,
        "sealed": b64(seal(unb64(node.seal_public), vault.open_payload(payload), info)),
        "lease_expires_at": unix_ms(assignment.lease_expires_at),
        "deadline": unix_ms(assignment.deadline),
    }
    return sign_envelope(
        "task.run",
        body,
        key=platform_keys.signing_key(),
        net=net,
        sender=PLATFORM,
        to=node.pk,
        now=now,
        ttl_s=max(1, min(lease_s, LONGEST_TTL_S)),
    )
