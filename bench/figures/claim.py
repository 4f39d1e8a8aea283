"""How long a claim takes while 16 nodes claim as fast as they can."""

import threading
import time
from typing import Any

from bench.network import database

CLIENTS = 16
CLAIMS = 100


def measure() -> list[dict[str, Any]]:
    """Percentiles of the milliseconds of a claim of one task, 16 nodes side by side in one process."""
    with database():
        times = sorted(run())
    return [
        {
            "figure": f"claim_p{percent}",
            "ours": round(times[min(len(times) - 1, len(times) * percent // 100)], 2),
            "unit": "ms",
            "n": len(times),
            "note": f"{CLIENTS} nodes at once, without HTTP" + ("; goal < 50 ms" if percent == 95 else ""),
        }
        for percent in (50, 95, 99)
    ]


def run() -> list[float]:
    """Every claim's milliseconds."""
    from bench import pool_rows
    from workers.protocol.clock import utcnow

    needs, owner = pool_rows.requirement("served"), pool_rows.operator()
    nodes = [pool_rows.node(owner, needs) for _ in range(CLIENTS)]
    pool_rows.queue(needs, 2 * CLIENTS * CLAIMS, utcnow())
    times: list[float] = []
    tasks: list[str] = []
    ready = threading.Barrier(CLIENTS)

    def client(node: str) -> None:
        from django.db import connection

        from apps.pool.take import take

        ready.wait()
        for _ in range(CLAIMS):
            start = time.perf_counter()
            taken = take(node, pool_rows.LANE, 1, utcnow())
            times.append(1000 * (time.perf_counter() - start))
            tasks.extend(task.task_id for task in taken)
        connection.close()

    threads = [threading.Thread(target=client, args=(node,)) for node in nodes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tasks) == len(set(tasks)) == CLIENTS * CLAIMS
    return times
