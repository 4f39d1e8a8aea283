"""Audits as rows: asked for by the clock or by staff, one at a time, with progress, report and export kept."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.db import IntegrityError, connection, transaction

from apps.core import events
from apps.core.models import User
from apps.ledger.audit.report import AuditReport
from apps.ledger.audit.run import AUDITOR, Export, run, run_and_export, snapshot
from apps.ledger.errors import AuditRunning
from apps.ledger.models import AuditRun, Genesis

TOPIC = "ledger"
# Longer than a queue should keep anybody waiting; after that an audit that nobody works on is given up.
GIVEN_UP_AFTER = timedelta(minutes=10)
PROGRESS_S = 3_600
EXPORTS_KEPT = 3


@dataclass(frozen=True)
class Progress:
    """How far an audit is: its step, and done of total transfers. `started` is False while it waits in the queue."""

    step: str
    done: int
    total: int
    started: bool


def begin(now: datetime, by: User | None = None) -> AuditRun:
    """Ask for an audit. Raises AuditRunning while another one waits or runs."""
    with transaction.atomic():
        _give_up(now)
        try:
            with transaction.atomic():
                return AuditRun.objects.create(at=now, by=by)
        except IntegrityError:
            raise AuditRunning from None


def execute(run_id: int, now: datetime) -> AuditRun | None:
    """Carry out an audit that was asked for, and keep its report and the ledger's export.

    None where it was done or given up meanwhile, or where somebody is at work on an audit.
    """
    exports_folder().mkdir(parents=True, exist_ok=True)
    done = _carry_out(run_id, now, exports_folder() / f"ledger-{run_id}.zip" if Genesis.objects.exists() else None)
    _tidy_exports()
    return done


def record(now: datetime, *, by: User | None = None, export: Path | None = None) -> AuditReport:
    """Audit at once and keep the report; the ledger is exported where a file is named.

    Raises AuditRunning, GenesisMissing where there is nothing to export.
    """
    done = _carry_out(begin(now, by).pk, now, export)
    if done is None or done.report is None:
        raise AuditRunning
    return AuditReport.from_dict(done.report)


def _carry_out(run_id: int, now: datetime, export: Path | None) -> AuditRun | None:
    try:
        with snapshot():
            row = AuditRun.objects.open().filter(pk=run_id).first()
            if row is None or not _alone():
                return None
            watch = _Watch(run_id)
            if export is not None:
                report, written = run_and_export(now, export, watch=watch)
            else:
                report, written = run(now, watch=watch), None
            _finish(row, report, written, now)
    except Exception:
        # Stopped, not forgotten: the next one need not wait until this is given up.
        AuditRun.objects.open().filter(pk=run_id).update(finished_at=now)
        raise
    finally:
        cache.delete(_key(run_id))
    _publish("ledger.audited", {"ok": report.ok}, now)
    return row


def progress_of(run_id: int) -> Progress:
    """How far an open audit is."""
    kept: dict[str, Any] | None = cache.get(_key(run_id))
    return Progress(**kept, started=True) if kept else Progress("queued", 0, 0, started=False)


def exports_folder() -> Path:
    """Where exports lie."""
    return Path(settings.DATA_DIR) / "exports"


def export_path(row: AuditRun) -> Path | None:
    """The file of a run's export, while it is kept."""
    path = exports_folder() / str((row.export or {}).get("name", ""))
    return path if row.export and path.is_file() else None


class _Watch:
    """Notes progress where the page can read it before the audit's transaction ends."""

    def __init__(self, run_id: int) -> None:
        self.run_id = run_id
        self.shown = -1

    def __call__(self, step: str, done: int, total: int) -> None:
        cache.set(_key(self.run_id), {"step": step, "done": done, "total": total}, PROGRESS_S)
        percent = 100 * done // total if total else 0
        if percent // 5 != self.shown:
            self.shown = percent // 5
            _publish("ledger.auditing", {"percent": percent}, None)


def _finish(row: AuditRun, report: AuditReport, written: Export | None, now: datetime) -> None:
    row.finished_at, row.ok, row.report = now, report.ok, report.as_dict()
    if written is not None and written.path.parent == exports_folder():
        row.export = {"name": written.path.name, "bytes": written.size, "sha256": written.sha256}
    row.save(update_fields=["finished_at", "ok", "report", "export"])


def _give_up(now: datetime) -> None:
    """Close audits that nobody works on any more: their process died, or their message was lost."""
    lost = AuditRun.objects.open().filter(at__lt=now - GIVEN_UP_AFTER)
    if lost.exists() and _alone():
        lost.update(finished_at=now)


def _alone() -> bool:
    """Whether no other connection audits; the lock goes with the transaction."""
    with connection.cursor() as cursor:
        cursor.execute("select pg_try_advisory_xact_lock(%s)", [AUDITOR])
        return bool(cursor.fetchone()[0])


def _tidy_exports() -> None:
    kept = AuditRun.objects.exclude(export=None)[:EXPORTS_KEPT]
    names = {row.export["name"] for row in kept if row.export}
    for path in exports_folder().glob("ledger-*.zip*"):
        if path.name not in names:
            path.unlink(missing_ok=True)


def _key(run_id: int) -> str:
    return f"audit:{run_id}"


def _publish(kind: str, data: dict[str, Any], now: datetime | None) -> None:
    message = {"kind": kind, "subject": "ledger", "data": data, "at": now.isoformat() if now else ""}
    events.publish([TOPIC], message)
