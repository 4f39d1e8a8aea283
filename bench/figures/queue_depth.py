"""What one claim costs with 1,000, 100,000 and 1,000,000 tasks queued, half of them of a model the node lacks."""

import time
from statistics import median
from typing import Any

from bench.network import database

DEPTHS = (1_000, 100_000, 1_000_000)
CLAIMS = 200
ROUNDS = 3


def measure() -> list[dict[str, Any]]:
    """Median milliseconds of a claim at each depth, rounds alternating, and the dearest beside the cheapest."""
    with database():
        found: dict[int, list[float]] = {depth: [] for depth in DEPTHS}
        setting = prepare()
        for _ in range(ROUNDS):
            for depth in DEPTHS:
                found[depth].append(claims(depth, *setting))
    ours = {depth: median(times) for depth, times in found.items()}
    rows = [row(f"queue_depth_{depth}", round(ours[depth], 3), "ms", "one task, one node") for depth in DEPTHS]
    ratio = round(ours[DEPTHS[-1]] / ours[DEPTHS[0]], 2)
    return [*rows, row("queue_depth", ratio, "x", "1,000,000 queued beside 1,000; goal ≤ 1.3")]


def prepare() -> tuple[Any, Any, str]:
    """Two classes of tasks, and a node that serves the first."""
    from bench import pool_rows

    served, lacked = pool_rows.requirement("served"), pool_rows.requirement("lacked")
    return served, lacked, pool_rows.node(pool_rows.operator(), served)


def claims(depth: int, served: Any, lacked: Any, node: str) -> float:
    """Median milliseconds of a claim."""
    from apps.pool.take import take
    from bench import pool_rows
    from workers.protocol.clock import utcnow

    pool_rows.empty()
    pool_rows.queue(lacked, depth // 2, utcnow())
    pool_rows.queue(served, depth // 2, utcnow())
    times = []
    for _ in range(CLAIMS):
        start = time.perf_counter()
        taken = take(node, pool_rows.LANE, 1, utcnow())
        times.append(1000 * (time.perf_counter() - start))
        assert len(taken) == 1
    return median(times)


def row(figure: str, ours: float, unit: str, note: str) -> dict[str, Any]:
    """One line of the table; there is no peer but itself."""
    return {"figure": figure, "ours": ours, "unit": unit, "n": CLAIMS * ROUNDS, "note": note}
