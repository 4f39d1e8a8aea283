"""What the audit's pages show, prepared from rows."""

from typing import Any

from django.core.paginator import Paginator
from django.utils.translation import gettext as _

from apps.ledger import amounts, audit
from apps.ledger.audit.runs import export_path
from apps.ledger.models import AuditRun
from apps.ledger.presentation import root_fingerprint

PER_PAGE = 25


def page(number: str | None) -> dict[str, Any]:
    """The newest report, the audit under way, the export, and the history."""
    newest = AuditRun.objects.reported().first()
    history = Paginator(AuditRun.objects.select_related("by").defer("report"), PER_PAGE).get_page(number)
    return {**report(newest), **under_way(), "page_obj": history, "export": newest_export()}


def under_way() -> dict[str, Any]:
    """How far the open audit is."""
    running = AuditRun.objects.open().first()
    return {"running": running, "progress": audit.progress_of(running.pk) if running else None}


def report(run: AuditRun | None) -> dict[str, Any]:
    """What one audit found, in the reader's language."""
    if run is None or run.report is None:
        return {"run": run, "checks": []}
    said = run.report
    facts = [
        (_("Transfers"), said["transfers"]),
        (_("of them pending"), said.get("pending")),
        (_("Blocks"), said.get("blocks")),
        (_("Height"), said["height"]),
        (_("Minted"), f"{amounts.show(int(said['minted']))} MESH"),
        (_("Burnt"), f"{amounts.show(int(said['burned']))} MESH"),
    ]
    hashes = [(_("Last block"), said.get("head")), (_("Genesis"), said.get("genesis")), (_("State"), said.get("state"))]
    return {
        "run": run,
        "checks": [{**check, "detail": _(check["detail"])} for check in said["checks"]],
        "facts": [(label, value) for label, value in facts if value is not None],
        "hashes": [(label, value) for label, value in hashes if value],
    }


def newest_export() -> dict[str, Any] | None:
    """The newest export that is kept: its run, size, SHA-256, and the way to check it."""
    for run in AuditRun.objects.exclude(export=None).defer("report")[:3]:
        path = export_path(run)
        if path is not None and run.export:
            genesis = AuditRun.objects.filter(pk=run.pk).values_list("report__genesis", flat=True).first()
            command = f"mesh audit verify {path.name} --genesis {genesis} --root {root_fingerprint()}"
            return {"run": run, **run.export, "path": path, "command": command}
    return None
