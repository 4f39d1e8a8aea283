"""What the `market` queue does for risk by the clock."""

from celery import shared_task
from django.db import transaction

from apps.trading.market_time import market_now
from apps.trading.risk import facts as reading
from apps.trading.risk import states
from apps.trading.risk.limits import current
from workers.protocol.clock import utcnow


@shared_task
def watch() -> str:
    """Keep the equity, halt where a rule says so and end a halt whose time is over, also when nobody trades."""
    wall = utcnow()
    now = market_now(wall)
    with transaction.atomic(durable=True):
        row = states.locked()
        limits = current()
        facts = reading.gather("", now, state=row, limits=limits)
        reading.record_equity(facts, limits)
        return str(states.watch(row, facts, limits, wall).state)
