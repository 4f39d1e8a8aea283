"""The audit of a million transfers, the export of the same ledger, and its verification with no database."""

import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from bench.ledger_rows import make
from bench.network import database

TRANSFERS = int(os.environ.get("BENCH_TRANSFERS", "1000000"))


class Cost(NamedTuple):
    """Seconds on the wall, seconds of a core in the process itself, and its most memory at once in MiB."""

    seconds: float
    core: float
    memory: float


def measure() -> list[dict[str, Any]]:
    """Each in a process of its own, so that its memory is its own; the platform's signing key made the network."""
    with database(), TemporaryDirectory() as folder:
        make(TRANSFERS)
        target = Path(folder) / "ledger.zip"
        audited = run([sys.executable, "-W", "ignore", "-m", "meshwork", "audit"])
        exported = run([sys.executable, "-W", "ignore", "-m", "meshwork", "audit", "--export", str(target)])
        verified = run([sys.executable, "-m", "workers.client.cli", "audit", "verify", str(target)])
        size = target.stat().st_size / 1e6
        return [
            row("audit", audited.seconds, "s", f"{audited.core:.0f} s of a core beside PostgreSQL; goal < 60"),
            row("audit_memory", audited.memory, "MiB", "most at once, of the auditing process; goal < 500"),
            row(
                "audit_export",
                exported.seconds,
                "s",
                f"with a file of {size:.0f} MB; {exported.core:.0f} s of a core",
            ),
            row(
                "audit_verify",
                verified.seconds,
                "s",
                f"without database; {verified.core:.0f} s of a core",
            ),
            row("audit_verify_memory", verified.memory, "MiB", "most at once"),
        ]


def row(figure: str, ours: float, unit: str, note: str) -> dict[str, Any]:
    """One figure; nobody else's ledger has one to compare with."""
    return {
        "figure": figure,
        "ours": round(ours, 1),
        "unit": unit,
        "peer": None,
        "theirs": None,
        "ratio": None,
        "n": TRANSFERS,
        "note": note,
    }


def run(command: list[str]) -> Cost:
    """Run a command to its end."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
