"""Seeing what other processes do."""

import time
from collections.abc import Callable
from pathlib import Path

import psutil


def until(condition: Callable[[], object], timeout_s: float = 60.0) -> None:
    """Return as soon as `condition` holds; fail when it does not within the time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "this did not happen in time"
        time.sleep(0.02)


def servers_of(directory: Path) -> list[psutil.Process]:
    """The PostgreSQL and Valkey servers that work in this data directory (each PostgreSQL counts once)."""
    found = []
    for process in psutil.process_iter(["cwd", "name", "ppid"]):
        home = process.info["cwd"]
        if home and Path(home).is_relative_to(directory) and process.info["name"] in {"postgres", "valkey-server"}:
            found.append(process)
    pids = {process.pid for process in found}
    return [process for process in found if process.info["ppid"] not in pids]
