"""Scenarios of the consensus simulator a second, on one core: partitions, loss, delay, crashes, twins and liars."""

import time
from statistics import median
from typing import Any

from workers.consensus.simulator import run

ROUNDS = 5
SCENARIOS = 2_000
FIRST = 5_000_000


def measure() -> dict[str, Any]:
    """The median of five runs of two thousand scenarios, each other seeds; a violation would end the run."""
    rates: list[float] = []
    for number in range(ROUNDS):
        first = FIRST + number * SCENARIOS
        start = time.perf_counter()
        for seed in range(first, first + SCENARIOS):
            report = run(seed)
            assert not report.violations, report
        rates.append(SCENARIOS / (time.perf_counter() - start))
    rate = median(rates)
    return {
        "figure": "bft_sim",
        "ours": round(rate),
        "unit": "scenarios/s",
        "peer": None,
        "theirs": None,
        "ratio": None,
        "n": ROUNDS * SCENARIOS,
        "note": f"one core; a million takes {1_000_000 / rate / 60:.0f} minutes; goal: a million in make test-long",
    }
