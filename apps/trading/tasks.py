"""Periodic work of consensus rounds."""

from celery import shared_task

from apps.trading import rounds
from workers.protocol.clock import utcnow


@shared_task
def sweep_rounds() -> int:
    """End rounds whose time is over, and send again what was lost; returns how many have ended."""
    return rounds.sweep(utcnow())
