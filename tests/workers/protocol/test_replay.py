"""Replay guards: once, whatever happens in between."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.workers.protocol.cast import ALICE, NET, NOW, resolve
from workers.protocol.envelope import open_envelope, sign_envelope
from workers.protocol.errors import Replayed
from workers.protocol.replay import MemoryReplayGuard, ReplayGuard, SqliteReplayGuard

LATER = int(time.time() * 1000) + 3_600_000
LONG_AGO = 1000

ACCEPT_AND_DIE = """
import os, signal, sys
from pathlib import Path
from workers.protocol.replay import SqliteReplayGuard
assert not SqliteReplayGuard(Path(sys.argv[1])).seen("node_alice", "id-1", int(sys.argv[2]))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(params=["memory", "sqlite"])
def guard(request: pytest.FixtureRequest, tmp_path: Path) -> ReplayGuard:
    return MemoryReplayGuard() if request.param == "memory" else SqliteReplayGuard(tmp_path / "seen.db")


def test_a_message_is_new_once(guard: ReplayGuard) -> None:
    assert [guard.seen("node_alice", "id-1", LATER) for _ in range(3)] == [False, True, True]


def test_the_same_id_of_another_sender_is_another_message(guard: ReplayGuard) -> None:
    assert not guard.seen("node_alice", "id-1", LATER)
    assert not guard.seen("node_bob", "id-1", LATER)


def test_an_envelope_opens_once(guard: ReplayGuard) -> None:
    raw = sign_envelope("task.claim", {}, key=ALICE, net=NET, sender="node_alice", to="platform", now=NOW)

    def receive() -> str:
        return open_envelope(
            raw, net=NET, to="platform", kinds={"task.claim"}, resolve=resolve, now=NOW, replay=guard
        ).sender

    assert receive() == "node_alice"
    with pytest.raises(Replayed) as refusal:
        receive()
    assert refusal.value.code == "replayed"


def test_of_many_at_once_one_is_the_first(guard: ReplayGuard) -> None:
    answers: list[bool] = []
    ready = threading.Barrier(8)

    def receive() -> None:
        ready.wait()
        answers.append(guard.seen("node_alice", "id-1", LATER))

    threads = [threading.Thread(target=receive) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [False] + [True] * 7


def test_a_message_accepted_before_a_restart_is_refused_after_it(tmp_path: Path) -> None:
    assert not SqliteReplayGuard(tmp_path / "seen.db").seen("node_alice", "id-1", LATER)
    assert SqliteReplayGuard(tmp_path / "seen.db").seen("node_alice", "id-1", LATER)


def test_a_message_accepted_before_a_kill_is_refused_after_it(tmp_path: Path) -> None:
    path = tmp_path / "seen.db"
    died = subprocess.run([sys.executable, "-c", ACCEPT_AND_DIE, str(path), str(LATER)], check=False)
    assert died.returncode == -signal.SIGKILL
    assert SqliteReplayGuard(path).seen("node_alice", "id-1", LATER)


def test_processes_of_one_node_share_what_they_saw(tmp_path: Path) -> None:
    first, second = SqliteReplayGuard(tmp_path / "seen.db"), SqliteReplayGuard(tmp_path / "seen.db")
    assert not first.seen("node_alice", "id-1", LATER)
    assert second.seen("node_alice", "id-1", LATER)


def test_a_file_forgets_what_has_expired_and_only_that(tmp_path: Path) -> None:
    path = tmp_path / "seen.db"
    before = SqliteReplayGuard(path)
    before.seen("node_alice", "live", LATER)
    before.seen("node_alice", "dead", LONG_AGO)
    after = SqliteReplayGuard(path)
    after.seen("node_alice", "another", LATER)
    assert after.seen("node_alice", "live", LATER)
    assert not after.seen("node_alice", "dead", LATER)


def test_memory_forgets_what_has_expired_and_only_that() -> None:
    guard = MemoryReplayGuard()
    guard.seen("node_alice", "live", LATER)
    for n in range(MemoryReplayGuard.PRUNE_AT):
        guard.seen("node_alice", f"dead-{n}", LONG_AGO)
    assert guard.seen("node_alice", "live", LATER)
    assert not guard.seen("node_alice", "dead-0", LATER)


def test_memory_keeps_all_that_is_alive_at_a_steady_cost() -> None:
    guard = MemoryReplayGuard()
    ids = [f"live-{n}" for n in range(3 * MemoryReplayGuard.PRUNE_AT)]
    assert not any(guard.seen("node_alice", one, LATER) for one in ids)
    assert all(guard.seen("node_alice", one, LATER) for one in ids)
