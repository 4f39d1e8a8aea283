"""The audit: every rule of the ledger, recomputed from its rows over one snapshot."""

from apps.ledger.audit.report import AuditReport, Check
from apps.ledger.audit.run import AUDITOR, run
from apps.ledger.audit.runs import Progress, begin, execute, progress_of, record

__all__ = [
    "AUDITOR",
    "AuditReport",
    "Check",
    "Progress",
    "begin",
    "execute",
    "progress_of",
    "record",
    "run",
]
