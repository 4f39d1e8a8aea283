"""What of the ledger waits for staff."""

from datetime import datetime

from django.db.models import Max
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from apps.core.inbox import SHOWN, Item, Section
from apps.ledger.models import AuditRun


def failed_audits(now: datetime) -> Section:
    """Audits that found something wrong, since the last one that found nothing."""
    last_good = AuditRun.objects.filter(ok=True).aggregate(pk=Max("pk"))["pk"] or 0
    rows = AuditRun.objects.filter(ok=False, pk__gt=last_good).order_by("pk")
    items = [
        Item(str(row), reverse("admin:ledger_auditrun_change", args=[row.pk]), row.at, row.pk) for row in rows[:SHOWN]
    ]
    url = reverse("admin:ledger_auditrun_changelist")
    return Section(_("Failed audits"), rows.count(), url, "ledger.view_auditrun", items, AuditRun, ("again_row",))
