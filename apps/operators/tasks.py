"""What the `mail` queue does."""

import logging
from datetime import datetime

from celery import shared_task
from django.core.mail import send_mail
from django.db.models import F

from apps.operators.models import Notification
from workers.protocol.clock import utcnow

logger = logging.getLogger(__name__)
SWEEP_AT_ONCE = 200


@shared_task
def send_notification(notification_id: int) -> None:
    """Send one message, unless somebody else does."""
    deliver(notification_id, utcnow())


@shared_task
def sweep_notifications() -> None:
    """Send what a lost hint or a mail server that was away has left behind."""
    now = utcnow()
    for notification_id in Notification.objects.due(now).order_by("pk").values_list("pk", flat=True)[:SWEEP_AT_ONCE]:
        deliver(notification_id, now)


def deliver(notification_id: int, now: datetime) -> bool:
    """Take the message by compare-and-set and send it; False where it is gone, sent, tried just now, or refused."""
    taken = Notification.objects.due(now).filter(pk=notification_id)
    if taken.update(tried_at=now, attempts=F("attempts") + 1) != 1:
        return False
    row = Notification.objects.select_related("user").get(pk=notification_id)
    try:
        send_mail(row.subject, row.body, None, [row.user.email] if row.user.email else [])
    except OSError as error:
        logger.warning("A mail was not taken", extra={"notification": row.pk, "error": str(error)})
        return False
    Notification.objects.filter(pk=row.pk).update(sent_at=now)
    return True
