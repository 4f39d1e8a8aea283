"""Celery no-ops on one broker: `python celery_noop.py COUNT` prints tasks a second, submission included."""

import os
import subprocess
import sys
import time

from celery import Celery

app = Celery("celery_noop", broker=os.environ["NOOP_BROKER"])
app.conf.update(
    broker_transport_options={"global_keyprefix": "noop:"}, task_ignore_result=True, worker_prefetch_multiplier=64
)


@app.task(name="noop.count")
def count() -> None:
    """Counts itself in the broker, the least that shows it ran."""
    client().incr("noop:done")


_client = None


def client():
    """One connection a process."""
    global _client
    if _client is None:
        import redis

        _client = redis.Redis.from_url(os.environ["NOOP_BROKER"])
    return _client


def main(total: int) -> None:
    """Start a worker, send, wait for the last."""
    worker = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "celery",
            "-A",
            "celery_noop",
            "worker",
            "-c",
            "2",
            "--without-gossip",
            "--without-mingle",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        count.delay()
        while int(client().get("noop:done") or 0) < 1:
            time.sleep(0.05)
        start = time.perf_counter()
        for _ in range(total):
            count.delay()
        while int(client().get("noop:done")) < total + 1:
            time.sleep(0.01)
        print(total / (time.perf_counter() - start))
    finally:
        worker.terminate()
        worker.wait()


if __name__ == "__main__":
    main(int(sys.argv[1]))
