"""Waiting for somebody who waits, for tests of locks."""

import time

from django.db import connection


def until_somebody_waits_for_me() -> None:
    """Return once another connection waits for a lock that this one holds."""
    for _ in range(500):
        with connection.cursor() as cursor:
            cursor.execute("select 1 from pg_locks where not granted and pg_backend_pid() = any(pg_blocking_pids(pid))")
            if cursor.fetchone():
                return
        time.sleep(0.02)
    raise AssertionError("nobody waits")
