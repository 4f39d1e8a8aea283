"""Milliseconds from a round's start to its certificate: five oracles, each its own process on this machine."""

import time
from typing import Any

from bench.network import platform

ORACLES = 5
WARM_UP = 5
ROUNDS = 60
LIMIT_S = 60
NOTE = f"{ORACLES} oracles, one of which signs twice; they and the platform share this machine's cores"


def measure() -> list[dict[str, Any]]:
    """Percentiles over rounds one after another, by way of PostgreSQL, the node API and the nodes' broker."""
    with platform(ORACLES):
        # The first rounds import and compile on every node.
        times = sorted([one_round() for _ in range(WARM_UP + ROUNDS)][WARM_UP:])
    return [
        {
            "figure": f"consensus_p{percent}",
            "ours": round(times[min(len(times) - 1, len(times) * percent // 100)], 0),
            "unit": "ms",
            "n": len(times),
            "note": f"{NOTE}; goal < {goal} ms",
        }
        for percent, goal in ((50, 50), (99, 200))
    ]


def one_round() -> float:
    """Milliseconds of one round; raises RuntimeError where it did not certify."""
    from apps.trading import rounds
    from workers.protocol.clock import utcnow

    row = rounds.start(None, {"symbol": "BTC-USD", "horizon_s": 900}, measurements(), utcnow())
    end = time.monotonic() + LIMIT_S
    while row.status == "OPEN" and time.monotonic() < end:
        time.sleep(0.01)
        row.refresh_from_db(fields=["status", "finished_at", "reason"])
    if row.status != "CERTIFIED" or row.finished_at is None:
        raise RuntimeError(f"A round is {row.status}: {row.reason}")
    return (row.finished_at - row.started_at).total_seconds() * 1000


def measurements() -> dict[str, Any]:
    """A path that became faster by half, and 300 bars, as a signal brings them."""
    calm = [f"{20 + (i * 7 % 5) / 10:.1f}" for i in range(50)]
    return {
        "signal": {"kind": "latency_anomaly", "direction": "LONG", "confidence_bp": 9000, "pair": "BTC-USD"},
        "series": {
            "rtts": [*calm, "10.0"],
            "times_s": [900 * i for i in range(51)],
            "hops_now": [],
            "hops_before": [],
        },
        "candles": [[60_000 * i, "10690.0", "10710.0", "10680.0", "10700.0", "1.5"] for i in range(300)],
        "model": None,
        "horizon_s": 900,
    }
