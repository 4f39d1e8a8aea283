"""What of the pool waits for staff."""

from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from apps.core import parameters
from apps.core.inbox import SHOWN, Item, Section
from apps.pool.models import FINAL, Attempt, Job


def stuck_jobs(now: datetime) -> Section:
    """Open jobs of requesters at which nobody has begun anything for a while."""
    since = now - timedelta(seconds=parameters.get("pool.stuck_s"))
    lately = Attempt.objects.filter(task__job=OuterRef("pk"), claimed_at__gt=since)
    rows = Job.objects.open().requests().exclude(status__in=FINAL).filter(~Exists(lately), created_at__lte=since)
    rows = rows.order_by("created_at")
    items = [
        Item(f"{row.pk} · {row.model}", reverse("admin:pool_job_change", args=[row.pk]), row.created_at, row.pk)
        for row in rows[:SHOWN]
    ]
    url = f"{reverse('admin:pool_job_changelist')}?status__exact=PENDING"
    return Section(_("Stuck jobs"), rows.count(), url, "pool.view_job", items, Job, ("cancel_row",))
