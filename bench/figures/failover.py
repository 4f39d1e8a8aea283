"""A node is killed while it runs a chunk: seconds until the same chunk runs on another node."""

from statistics import median
from typing import Any

from bench.network import platform
from meshwork.local import demo_cast as cast
from meshwork.local.demo import MODEL
from meshwork.local.demo_search import passages

RUNS = 3


def measure() -> dict[str, Any]:
    """The median of three kills with SIGKILL, three nodes, real work."""
    times: list[float] = []
    texts = [passage.text for passage in passages()][:160]
    with platform(nodes=3) as play:
        for _ in range(RUNS):
            cast.wait_for("all nodes", lambda: len(play.online()) == 3, 60, 0.2)
            job = play.api(lambda mesh: mesh.embed(MODEL, texts, chunk_size=8))
            play.kill_one(job["id"])
            times.append(float(play.facts["recovered_s"]))
            cast.wait_for("the job", lambda job=job: play.final(job["id"]), 240, 0.2)
    return {
        "figure": "failover",
        "ours": round(median(times), 2),
        "unit": "s",
        "peer": None,
        "theirs": None,
        "ratio": None,
        "n": RUNS,
        "note": f"SIGKILL of the agent → the same chunk elsewhere; goal < 5 s; all runs: {sorted(times)}",
    }
