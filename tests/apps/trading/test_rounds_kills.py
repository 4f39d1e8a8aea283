"""kill -9 of oracles and of the relaying process at every step of a round: it certifies, and nobody signs twice."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from django.db import connection
from redis import Redis

from apps.core import parameters, platform_keys
from apps.core.models import Event, FaultEvidence
from apps.pool.node_api.keys import directory
from apps.trading import rounds
from apps.trading.models import Round, RoundMessage
from tests.apps.trading import oracles
from workers.consensus import certificate as certificates
from workers.protocol.clock import utcnow

pytestmark = [pytest.mark.long, pytest.mark.django_db(transaction=True)]
STEPS = ("commit", "reveal", "prevote", "precommit")


@pytest.fixture(autouse=True)
def stage(nodes_broker: Redis, platform_redis: Redis, transactional_db: None) -> Iterator[None]:
    platform_keys.create(utcnow())
    for cache in (parameters.forget_cached, rounds.committee_of.cache_clear, directory.forget):
        cache()
    yield
    parameters.forget_cached()


class Relay:
    """The node API in a process of its own, as the platform runs it."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "relay.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        database = urlsplit(os.environ["MESH_DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}")
        environment = {**os.environ, "MESH_DATABASE_URL": database.geturl(), "MESH_PROCESS": "node_api"}
        server = ["granian", "--host", "127.0.0.1", "--port", str(self.port), "--interface", "wsgi", "--no-ws"]
        command = [
            sys.executable,
            "-m",
            *server,
            "--workers",
            "1",
            "--blocking-threads",
            "8",
            "meshwork.wsgi:application",
        ]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env=environment, start_new_session=True, cwd=self.log.parent
            )
        oracles.until(self.answers, 40)

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def kill(self) -> None:
        """kill -9 of the server and its workers."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@contextmanager
def relay(folder: Path) -> Iterator[Relay]:
    made = Relay(folder)
    try:
        made.start()
        yield made
    finally:
        made.kill()


def begin() -> Round:
    return rounds.start(None, oracles.SUBJECT, oracles.measurements(), utcnow())


def reached(row: Round, step: str, nodes: int = 1) -> bool:
    return RoundMessage.objects.filter(round=row, step=step).values("node").distinct().count() >= nodes


def certified(row: Round, lanes: list[oracles.SideLane]) -> None:
    """The round certifies, its certificate holds, and nobody is accused."""
    row = oracles.ended(row, 58)
    assert row.status == "CERTIFIED", (row.reason, [lane.log()[-3000:] for lane in lanes])
    assert certificates.verify(row.certificate, pinned_block_hash=row.block_hash).ok
    assert not FaultEvidence.objects.exists()
    assert Event.objects.filter(kind="round.certified", subject=row.pk).count() == 1


def test_oracles_killed_at_each_step_come_back_and_agree(tmp_path: Path) -> None:
    machines = [oracles.oracle(name) for name in oracles.NAMES]
    with relay(tmp_path) as relaying, oracles.side_lanes(machines, tmp_path, relaying.url) as lanes:
        certified(begin(), lanes)
        for step in STEPS:
            row = begin()
            oracles.until(lambda row=row, step=step: reached(row, step))
            for lane in lanes[:2]:
                lane.kill()
            for lane in lanes[:2]:
                lane.start()
            certified(row, lanes)


def test_all_oracles_killed_at_once_take_the_round_up_again(tmp_path: Path) -> None:
    machines = [oracles.oracle(name) for name in oracles.NAMES[:4]]
    with relay(tmp_path) as relaying, oracles.side_lanes(machines, tmp_path, relaying.url) as lanes:
        certified(begin(), lanes)
        for step in STEPS[:3]:
            row = begin()
            oracles.until(lambda row=row, step=step: reached(row, step))
            for lane in lanes:
                lane.kill()
            for lane in lanes:
                lane.start()
            certified(row, lanes)


def test_the_relay_killed_at_each_step_loses_nothing(tmp_path: Path) -> None:
    machines = [oracles.oracle(name) for name in oracles.NAMES]
    with relay(tmp_path) as relaying, oracles.side_lanes(machines, tmp_path, relaying.url) as lanes:
        certified(begin(), lanes)
        for step in STEPS:
            row = begin()
            oracles.until(lambda row=row, step=step: reached(row, step))
            relaying.kill()
            relaying.start()
            rounds.sweep(oracles.soon(3))
            certified(row, lanes)
