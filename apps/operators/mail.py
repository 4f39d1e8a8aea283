"""Mail to operators, sent by a worker after commit."""

from functools import partial
from typing import Any

from django.conf import settings
from django.db import transaction
from django.template.loader import render_to_string

from apps.core.models import User
from apps.operators.tasks import send_mail_to

SUBJECTS = {
    "received": "We have your application",
    "approved": "You are approved: stake and install your node",
    "rejected": "Your application needs a change",
    "node_registered": "Your node is enrolled",
    "node_offline": "Your node is offline",
}


def send(user: User, name: str, context: dict[str, Any]) -> None:
    """Render `operators/mail/<name>.txt` now and hand it to the mail queue after commit."""
    body = render_to_string(f"operators/mail/{name}.txt", {"user": user, "site": settings.SITE_URL, **context})
    transaction.on_commit(partial(send_mail_to.delay, user.email, f"[Meshwork] {SUBJECTS[name]}", body))
