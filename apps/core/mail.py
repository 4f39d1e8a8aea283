"""A mail backend that keeps messages in the database, so that a network without a mail server can be tried."""

from collections.abc import Sequence

from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend

from apps.core.models import StoredMail


class StoredMailBackend(BaseEmailBackend):
    """Stores each message as a StoredMail row; `/dev/mail` shows them."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        rows = [StoredMail(to=", ".join(m.to), subject=str(m.subject), body=str(m.body)) for m in email_messages]
        StoredMail.objects.bulk_create(rows)
        return len(rows)
