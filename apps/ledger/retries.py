"""Deadlocks and lost races of PostgreSQL are tried again, so that nobody who uses the ledger meets them."""

import random
import time
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from django.db import OperationalError, connection

P = ParamSpec("P")
R = TypeVar("R")
ATTEMPTS = 8
PAUSE_S = 0.01
# deadlock_detected, serialization_failure
AGAIN = {"40P01", "40001"}


def retried(work: Callable[P, R]) -> Callable[P, R]:
    """Run `work`, a whole transaction, again where PostgreSQL ended it in favour of another.

    Inside somebody's transaction there is nothing to run again: the error is theirs.
    """

    @wraps(work)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        for attempt in range(1, ATTEMPTS):
            try:
                return work(*args, **kwargs)
            except OperationalError as error:
                if connection.in_atomic_block or getattr(error.__cause__, "sqlstate", None) not in AGAIN:
                    raise
                # Longer each time and never the same, so that two that met do not meet again.
                time.sleep(PAUSE_S * attempt * (1 + random.random()))  # noqa: S311
        return work(*args, **kwargs)

    return run
