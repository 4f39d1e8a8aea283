"""Work of the operators' room that a Celery worker does."""

from celery import shared_task
from django.core.mail import send_mail


@shared_task(queue="mail", autoretry_for=(OSError,), retry_backoff=5, max_retries=8)
def send_mail_to(address: str, subject: str, body: str) -> None:
    """Send one message; tried again while the mail server is away."""
    send_mail(subject, body, None, [address])
