"""Periodic work of consensus rounds and of what is proven against their members."""

from celery import shared_task

from apps.trading import faults, rounds, rounds_silence
from workers.protocol.clock import utcnow


@shared_task
def sweep_rounds() -> int:
    """End rounds whose time is over, send again what was lost, judge silence and votes; returns how many have ended."""
    ended = rounds.sweep(utcnow())
    rounds_silence.judge(utcnow())
    rounds_silence.praise(utcnow())
    return ended


@shared_task
def judge_faults() -> int:
    """Slash for the evidence that is pending, or refuse it; returns how many were decided."""
    return faults.sweep(utcnow())
