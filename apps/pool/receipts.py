"""Receipts: what a closed job did, who did it and what was paid, signed by the platform and checked offline."""

import logging
from datetime import datetime
from typing import Any

from django.db import transaction

from apps.core import events, platform_keys
from apps.ledger import proofs
from apps.ledger.accounts import owner_of
from apps.ledger.models import Block, Transfer
from apps.models import catalog
from apps.pool.errors import ReceiptPending
from apps.pool.models import Job, Receipt, Result
from workers.protocol.envelope import sign_document
from workers.protocol.receipts import KIND

logger = logging.getLogger(__name__)
AT_ONCE = 50


def receipt(job: Job) -> dict[str, Any]:
    """The job's receipt (DSSE); raises ReceiptPending."""
    found = Receipt.objects.filter(job=job).first()
    if found is None:
        raise ReceiptPending
    return dict(found.document)


def issue_due(now: datetime) -> int:
    """Issue the receipts of closed jobs whose transfers are all sealed; returns how many."""
    return sum(issue(job, now) for job in Job.objects.receipt_due().order_by("closed_at")[:AT_ONCE])


@transaction.atomic
def issue(job: Job, now: datetime) -> bool:
    """Issue one job's receipt; False while one of its transfers is pending, or if it was issued before."""
    moved = list(Transfer.objects.filter(hold=job.hold_id).values_list("pk", flat=True))
    proven = proofs.transfer_proofs(moved)
    if not proven:
        return False
    document = sign_document(
        KIND, body(job, proven), key=platform_keys.signing_key(), net=platform_keys.network_id(), now=now
    )
    _, created = Receipt.objects.get_or_create(job=job, defaults={"document": document, "issued_at": now})
    Job.objects.filter(pk=job.pk, receipt_at=None).update(receipt_at=now)
    if created:
        topics = [f"job.{job.pk}", f"user.{job.requester_id}"]
        events.emit("job.receipt", subject=job.pk, topics=topics, data={}, now=now)
    return created


def body(job: Job, proven: list[dict[str, Any]]) -> dict[str, Any]:
    """What the receipt says; amounts are decimal strings of base units."""
    assert job.requester is not None  # noqa: S101  only requests have receipts
    version = catalog.version_of(job.model, job.version)
    results = Result.objects.filter(task__job=job).select_related("task").order_by("task__index")
    blocks = Block.objects.filter(pk__in={item["block"] for item in proven}).order_by("pk")
    return {
        "job": job.pk,
        "kind": job.kind,
        "model": job.model,
        "version": job.version,
        "artifacts": [{"name": file["name"], "sha256": file["sha256"]} for file in version.files],
        "status": job.status,
        "requester": owner_of(job.requester),
        "price": str(job.price),
        "chunks": [_chunk(result) for result in results],
        "transfers": proven,
        "blocks": [proofs.block_form(block) for block in blocks],
        "key_list": platform_keys.key_list(),
    }


def _chunk(result: Result) -> dict[str, Any]:
    return {
        "task": result.task_id,
        "index": result.task.index,
        "attempt": result.attempt,
        "node": result.node_id,
        "node_public": result.node_public,
        "items": result.items,
        "result_sha256": result.sha256,
        "envelope": result.envelope,
        "validation": result.validation,
        "fee": str(result.fee),
    }
