"""The network's limits on submission, and a count of what was refused."""

from datetime import datetime

from django.core.cache import cache
from django.db import connection

from apps.core import parameters
from apps.core.errors import MeshError
from apps.core.models import User
from apps.pool.errors import QueueFull, TooManyJobs
from apps.pool.models import Task

COUNT_SECONDS = 2
WINDOWS = (("a minute", 60, "pool.jobs_per_minute"), ("an hour", 3600, "pool.jobs_per_hour"))
_REFUSED = """
INSERT INTO pool_refusal (day, model, code, count, detail) VALUES (%s, %s, %s, 1, %s)
ON CONFLICT (day, model, code) DO UPDATE SET count = pool_refusal.count + 1, detail = excluded.detail
"""


def check_queue(more: int) -> None:
    """Raise QueueFull where `more` tasks would fill the queue beyond its limit; its length is read every 2 seconds."""
    waiting = cache.get_or_set("pool:pending", Task.objects.pending().count, COUNT_SECONDS) or 0
    limit = parameters.get("pool.queue_limit")
    if waiting + more > limit:
        raise QueueFull(f"{waiting} tasks wait, {more} more would pass the network's limit of {limit}.")


def check_rate(user: User, now: datetime) -> None:
    """Count a submission; raise TooManyJobs beyond the network's number in this minute or this hour."""
    for name, seconds, parameter in WINDOWS:
        window, into = divmod(int(now.timestamp()), seconds)
        key, limit = f"pool:jobs:{user.pk}:{seconds}:{window}", parameters.get(parameter)
        cache.add(key, 0, seconds + 5)
        if cache.incr(key) > limit:
            raise TooManyJobs(
                f"The network takes {limit} jobs in {name} from one requester.", retry_after=seconds - into
            )


def count_refusal(model: str, refusal: MeshError, now: datetime) -> None:
    """Add one to the day's count of that refusal."""
    with connection.cursor() as cursor:
        cursor.execute(_REFUSED, [now.date(), model[:120], refusal.code[:60], refusal.detail])
