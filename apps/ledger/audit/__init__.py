"""The audit: every rule of the ledger, recomputed from its rows over one snapshot."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from django.db import connection, transaction

from apps.core import platform_keys
from apps.ledger import blocks
from apps.ledger.audit import chain, rows
from apps.ledger.audit.report import AuditReport, Check
from apps.ledger.models import AuditRun, Block, Transfer

__all__ = ["AuditReport", "Check", "record", "run"]


def run(now: datetime) -> AuditReport:
    """Check everything. Reads only; posting and sealing go on meanwhile."""
    with _snapshot():
        minted, burned = blocks.supply()
        last = Block.objects.first()
        return AuditReport(
            at=now,
            network=platform_keys.network_id(),
            transfers=Transfer.objects.count(),
            height=last.height if last else -1,
            minted=minted,
            burned=burned,
            checks=[*rows.checks(), *chain.checks()],
        )


def record(now: datetime) -> AuditReport:
    """Check everything and keep the report."""
    report = run(now)
    AuditRun.objects.create(at=now, ok=report.ok, report=report.as_dict())
    return report


@contextmanager
def _snapshot() -> Iterator[None]:
    """One state of the database for all questions; inside somebody's transaction, theirs."""
    nested = connection.in_atomic_block
    with transaction.atomic():
        if not nested:
            with connection.cursor() as cursor:
                cursor.execute("set transaction isolation level repeatable read")
        yield
