"""Kill -9 of any process, again and again, while jobs run: nothing is lost, nothing is paid twice."""

import json
import random
import subprocess
import sys
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import psutil
import pytest

from meshwork.local.demo_cast import REQUESTER, wait_for
from meshwork.local.directory import running_environment
from workers.client.client import MeshClient
from workers.client.errors import ClientError

MODEL = "all-MiniLM-L6-v2"
SEED = 20260101
JOBS = 6
CHUNKS = 12
KILLS = 25


def key_of(network: Any) -> str:
    stored = network.directory / "requester" / "meshwork" / "credentials.json"
    return str(json.loads(Path(stored).read_text())["key"])


def victims(network: Any) -> dict[str, psutil.Process]:
    """The processes that the demo's supervisor started itself, by what they are."""
    found = {}
    for child in psutil.Process(network.pid).children():
        line = " ".join(child.cmdline())
        words = {
            "granian --host": "http",
            "run_dispatcher": "dispatcher",
            "meshwork.celery worker": "worker",
            "node run": "node",
            "postgres": "postgres",
            "valkey": "valkey",
        }
        kind = next((name for part, name in words.items() if part in line), None)
        if kind:
            found[f"{kind}-{child.pid}"] = child
    return found


def patiently(call: Any, timeout_s: float = 120.0) -> Any:
    """Ask again while the platform is being restarted."""
    end = time.monotonic() + timeout_s
    while True:
        try:
            return call()
        except ClientError as error:
            status = getattr(error, "status", 503)
            if time.monotonic() > end or status < 500:
                raise
            time.sleep(0.5)


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_jobs_survive_the_kill_of_any_process(network: Any) -> None:
    dice = random.Random(SEED)
    killed: Counter[str] = Counter()
    command(network, "demo_setup", "grant", REQUESTER, "100")
    with MeshClient(network.site, key_of(network)) as mesh:
        jobs = []
        for n in range(JOBS):
            body = {"kind": "embed", "model": MODEL, "inputs": [f"text {n} {i} " * 40 for i in range(CHUNKS * 2)]}
            body["chunk_size"] = 2
            job = patiently(lambda body=body, n=n: mesh.submit(body, idempotency_key=f"chaos-{SEED}-{n}"))
            jobs.append(job["id"])
        for _ in range(KILLS):
            name, process = dice.choice(sorted(victims(network).items()))
            process.kill()
            killed[name.split("-")[0]] += 1
            time.sleep(dice.uniform(0.5, 3.0))
        finals = [
            wait_for(
                f"job {job_id}",
                lambda job_id=job_id: (
                    (found := patiently(lambda: mesh.job(job_id)))["status"] in {"COMPLETED", "FAILED", "CANCELLED"}
                    and found
                ),
                600,
                1.0,
            )
            for job_id in jobs
        ]
        tasks = {job_id: patiently(lambda job_id=job_id: mesh.tasks(job_id)) for job_id in jobs}
        results = {job["id"]: patiently(lambda job=job: mesh.result(job["id"])) for job in finals}
        held = patiently(mesh.me)["held"]
    assert len(killed) >= 4, killed
    for job in finals:
        assert job["status"] == "COMPLETED", (job, killed)
        assert [t["status"] for t in tasks[job["id"]]] == ["COMPLETED"] * CHUNKS
        assert results[job["id"]]["count"] == CHUNKS * 2
    assert Decimal(held) == 0
    audit(network)


def command(network: Any, *arguments: str) -> str:
    """A management command of the running network, by its owner."""
    environment = {**network.environment, **(running_environment(network.directory) or {})}
    line = [sys.executable, "-m", "meshwork", *arguments]
    return subprocess.run(line, env=environment, capture_output=True, text=True, check=False).stdout


def audit(network: Any) -> None:
    """The ledger's own audit."""
    printed = command(network, "audit", "--json")
    report = json.loads(printed[printed.index("{") :])
    assert report["ok"], report
