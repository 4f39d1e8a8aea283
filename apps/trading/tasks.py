"""Periodic work of consensus rounds."""

from celery import shared_task

from apps.trading import rounds, rounds_silence
from workers.protocol.clock import utcnow


@shared_task
def sweep_rounds() -> int:
    """End rounds whose time is over, send again what was lost, judge who was silent; returns how many have ended."""
    ended = rounds.sweep(utcnow())
    rounds_silence.judge(utcnow())
    return ended
