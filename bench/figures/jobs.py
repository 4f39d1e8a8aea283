"""Jobs from submission to settlement over HTTP, beside Celery no-ops on the same Valkey."""

import multiprocessing
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench.network import CLAIMED, platform, serve
from meshwork.local import demo_cast as cast
from meshwork.local.demo import MODEL, Play

JOBS = 300
NOOPS = 3_000
SUBMITTERS = 4


def measure() -> list[dict[str, Any]]:
    """One row each for 4 and 16 claiming clients."""
    with platform() as play:
        theirs = celery_noops(os.environ["MESH_REDIS_URL"])
        folder = str(play.nodes / play.operators[0].node)
        return [row(clients, jobs_per_second(play, folder, clients), theirs) for clients in (4, 16)]


def row(clients: int, ours: float, theirs: float | None) -> dict[str, Any]:
    """One line of the table."""
    return {
        "figure": f"jobs.{clients}",
        "ours": round(ours, 1),
        "unit": "jobs/s",
        "peer": "Celery no-op on the same Valkey (no hold, no seal, no settlement)",
        "theirs": round(theirs, 1) if theirs else None,
        "ratio": ours / theirs if theirs else None,
        "n": JOBS,
        "note": f"{clients} HTTP clients of one node, {SUBMITTERS} submitters, one-text jobs, fee held and settled",
    }


def jobs_per_second(play: Play, folder: str, clients: int) -> float:
    """Submit one-text jobs and wait until the last one is completed and paid."""
    from apps.operators.models import Node
    from apps.pool.models import Job, TaskStatus

    # As many slots as its clients claim at most, so that they do not wait for one another.
    for enrolled in Node.objects.all():
        Node.objects.filter(pk=enrolled.pk).update(lanes=dict.fromkeys(enrolled.lanes, clients * CLAIMED))
    node = multiprocessing.get_context("spawn").Process(target=serve, args=(folder, clients))
    node.start()
    try:
        cast.wait_for("the node", lambda: play.online(), 60, 0.1)
        before = Job.objects.requests().filter(status=TaskStatus.COMPLETED).count()
        start = time.perf_counter()
        with ThreadPoolExecutor(SUBMITTERS) as pool:
            list(pool.map(lambda n: submit(play, n), range(SUBMITTERS)))
        done = Job.objects.requests().filter(status=TaskStatus.COMPLETED)
        cast.wait_for("the jobs", lambda: done.count() - before >= JOBS, 300, 0.02)
        return JOBS / (time.perf_counter() - start)
    finally:
        node.kill()
        node.join()


def submit(play: Play, _number: int) -> None:
    """One submitter's share, on one connection."""

    def all_of_them(mesh: Any) -> None:
        for _ in range(JOBS // SUBMITTERS):
            mesh.embed(MODEL, ["the same short text"], chunk_size=1)

    play.api(all_of_them)


def celery_noops(broker: str) -> float | None:
    """No-op tasks a second with Celery's own worker, submission included."""
    script = Path(__file__).resolve().parents[1] / "celery_noop.py"
    environment = {**os.environ, "NOOP_BROKER": broker}
    done = subprocess.run(
        [sys.executable, str(script), str(NOOPS)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
        cwd=script.parent,
    )
    return float(done.stdout.split()[-1]) if done.returncode == 0 else None
