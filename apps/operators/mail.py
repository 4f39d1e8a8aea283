"""Mail to people, written as a row with the change that it tells of, and sent by a worker after commit."""

import logging
from datetime import datetime
from functools import partial
from typing import Any

from django.conf import settings
from django.db import transaction
from django.template.loader import render_to_string
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from kombu.exceptions import OperationalError

from apps.core import events
from apps.core.models import User
from apps.operators.models import Notification
from apps.operators.tasks import send_notification

logger = logging.getLogger(__name__)

SUBJECTS = {
    "application_received": gettext_lazy("We have your application"),
    "application_approved": gettext_lazy("You are approved: lock your stake and install your node"),
    "application_rejected": gettext_lazy("Your application needs a change"),
    "credentials_issued": gettext_lazy("A new credential was made for your account"),
    "wallet_bound": gettext_lazy("A wallet was bound to your account"),
    "wallet_removed": gettext_lazy("A wallet was removed from your account"),
    "node_registered": gettext_lazy("Your node is enrolled"),
    "node_offline": gettext_lazy("Your node is offline"),
    "node_back": gettext_lazy("Your node is back"),
    "node_trust_lost": gettext_lazy("Your node's reputation has fallen"),
    "unstake_ready": gettext_lazy("Your stake is free"),
    "stake_short": gettext_lazy("Your stake has to be topped up"),
    "banned": gettext_lazy("Something of yours was banned"),
    "ban_lifted": gettext_lazy("A ban was lifted"),
    "appeal_answered": gettext_lazy("Your appeal was answered"),
    "stake_slashed": gettext_lazy("Your stake was slashed"),
    "slash_appeal_answered": gettext_lazy("Your appeal against a slash was answered"),
}


def notify(user: User, kind: str, context: dict[str, Any], now: datetime) -> Notification | None:
    """Write `operators/mail/<kind>.txt` as a row now; it leaves after commit. Needs an open transaction.

    None for an account without an address.
    """
    if not user.email:
        return None
    body = render_to_string(f"operators/mail/{kind}.txt", {"user": user, "site": settings.SITE_URL, **context})
    subject = f"[Meshwork] {_(str(SUBJECTS[kind]))}"
    row = Notification.objects.create(user=user, kind=kind, subject=subject, body=body, created_at=now)
    transaction.on_commit(partial(hint, row.pk))
    return row


@transaction.atomic(durable=True)
def send_again(row: Notification, *, actor: User, now: datetime) -> bool:
    """Let a message that was given up be tried anew; False where it was not given up, or somebody was faster."""
    if Notification.objects.given_up().filter(pk=row.pk).update(attempts=0, tried_at=None) != 1:
        return False
    subject, data = f"mail:{row.pk}", {"mail": row.kind}
    events.emit("mail.sent_again", subject=subject, topics=["admin"], data=data, now=now, actor=actor)
    transaction.on_commit(partial(hint, row.pk))
    return True


def hint(notification_id: int) -> None:
    """Ask a worker to send it now; where the broker is away, the sweep finds the row."""
    try:
        send_notification.delay(notification_id)
    except OperationalError as error:
        logger.warning("A mail waits for the sweep", extra={"notification": notification_id, "error": str(error)})
