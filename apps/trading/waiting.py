"""What of trading waits for staff."""

from datetime import datetime, timedelta

from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from apps.core.inbox import SHOWN, Item, Section
from apps.core.models import FaultEvidence, FaultStatus

# Evidence is judged within seconds; what is older cannot be, for a reason that the log names.
LATE = timedelta(minutes=5)


def unjudged(now: datetime) -> Section:
    """Evidence that could not be judged so far."""
    rows = FaultEvidence.objects.filter(status=FaultStatus.PENDING, at__lte=now - LATE).order_by("at")
    items = [Item(str(row), reverse("admin:core_faultevidence_change", args=[row.pk]), row.at) for row in rows[:SHOWN]]
    url = f"{reverse('admin:core_faultevidence_changelist')}?status__exact={FaultStatus.PENDING}"
    return Section(_("Evidence that could not be judged"), rows.count(), url, "core.view_faultevidence", items)
