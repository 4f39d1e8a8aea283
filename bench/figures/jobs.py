"""Jobs from submission to settlement over HTTP, one by one and as chunks of one job, beside Celery no-ops."""

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.network import CLAIM_WAIT_S, platform, serve
from meshwork.local import demo_cast as cast
from meshwork.local.demo import MODEL, Play

JOBS = 300
NOOPS = 3_000
SUBMITTERS = 4
# Tasks that a client takes, and results that it posts, at a time where it does many.
AT_ONCE = 16


def measure() -> list[dict[str, Any]]:
    """One row each for 4 and 16 clients, which take one task at a time or many."""
    with platform() as play:
        theirs = celery_noops(os.environ["MESH_REDIS_URL"])
        folder = str(play.nodes / play.operators[0].node)
        found = []
        for clients in (4, 16):
            with serving(play, folder, clients, 1):
                found.append(row(f"jobs.{clients}", "jobs/s", clients, single(play), theirs))
            with serving(play, folder, clients, AT_ONCE):
                found.append(row(f"jobs_batched.{clients}", "tasks/s", clients, batched(play), theirs))
        return found


def row(figure: str, unit: str, clients: int, ours: float, theirs: float | None) -> dict[str, Any]:
    """One line of the table."""
    one_by_one = f"{SUBMITTERS} submitters, one-text jobs, one at a time"
    work = one_by_one if unit == "jobs/s" else f"one job of one-text chunks, {AT_ONCE} at a time"
    return {
        "figure": figure,
        "ours": round(ours, 1),
        "unit": unit,
        "peer": "Celery no-op on the same Valkey (no hold, no seal, no settlement)",
        "theirs": round(theirs, 1) if theirs else None,
        "ratio": ours / theirs if theirs else None,
        "n": JOBS,
        "note": f"{clients} HTTP clients of one node, {work}, fee held and settled; goal ≥ 300",
    }


@contextmanager
def serving(play: Play, folder: str, clients: int, at_once: int) -> Iterator[None]:
    """A process of node clients, online."""
    from apps.operators.models import Node

    # As many slots as its clients claim at most, so that they do not wait for one another.
    for enrolled in Node.objects.all():
        Node.objects.filter(pk=enrolled.pk).update(lanes=dict.fromkeys(enrolled.lanes, clients * at_once))
    node = multiprocessing.get_context("spawn").Process(target=serve, args=(folder, clients, at_once))
    node.start()
    try:
        cast.wait_for("the node", lambda: play.online(), 60, 0.1)
        yield
    finally:
        node.kill()
        node.join()
        # What its last claims, which may still wait, would take now would stay with nobody until the leases end.
        time.sleep(CLAIM_WAIT_S)


def single(play: Play) -> float:
    """Jobs a second: one-text jobs, from the first submission until the last one is completed and paid."""
    before, start = completed().count(), time.perf_counter()
    with ThreadPoolExecutor(SUBMITTERS) as pool:
        list(pool.map(lambda n: submit(play, n), range(SUBMITTERS)))
    cast.wait_for("the jobs", lambda: completed().count() - before >= JOBS, 300, 0.02)
    return JOBS / (time.perf_counter() - start)


def batched(play: Play) -> float:
    """Tasks a second: one job of as many chunks, until it is completed and paid."""
    before, start = completed().count(), time.perf_counter()
    play.api(lambda mesh: mesh.embed(MODEL, ["the same short text"] * JOBS, chunk_size=1))
    cast.wait_for("the job", lambda: completed().count() > before, 300, 0.02)
    return JOBS / (time.perf_counter() - start)


def completed() -> Any:
    """The requesters' jobs that are done."""
    from apps.pool.models import Job, TaskStatus

    return Job.objects.requests().filter(status=TaskStatus.COMPLETED)


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
