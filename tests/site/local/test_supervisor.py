"""The supervisor keeps its processes running, says what it does, and touches nothing else."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from meshwork.local import logs
from meshwork.local.errors import ServiceFailedError
from meshwork.local.supervisor import Process, Supervisor
from tests.site.local.seeing import until

FOREVER = ("sleep", "300")


class Terminal(list[str]):
    """What was said."""

    @property
    def text(self) -> str:
        return "\n".join(self)


@pytest.fixture
def terminal() -> Terminal:
    return Terminal()


@pytest.fixture
def supervisor(terminal: Terminal) -> Iterator[Supervisor]:
    running = Supervisor(terminal.append)
    yield running
    running.stop()


def process(tmp_path: Path, argv: tuple[str, ...] = FOREVER, name: str = "worker", **more: object) -> Process:
    return Process(name=name, argv=argv, log=tmp_path / f"{name}.log", env=dict(os.environ), **more)  # type: ignore[arg-type]


def pid_of(supervisor: Supervisor, name: str = "worker") -> int:
    until(lambda: supervisor.pid(name))
    pid = supervisor.pid(name)
    assert pid is not None
    return pid


def has_text(log: Path) -> bool:
    return log.exists() and bool(log.read_text())


def is_running(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_a_killed_process_is_restarted_and_the_terminal_says_so(
    supervisor: Supervisor, terminal: Terminal, tmp_path: Path
) -> None:
    supervisor.add(process(tmp_path))
    first = pid_of(supervisor)
    os.kill(first, signal.SIGKILL)
    until(lambda: supervisor.starts("worker") == 2)
    assert pid_of(supervisor) != first
    assert "worker: died (killed by SIGKILL)" in terminal[0]
    until(lambda: f"worker: running again (pid {supervisor.pid('worker')})" in terminal)


def test_a_process_that_keeps_dying_is_reported_with_the_end_of_its_log(
    supervisor: Supervisor, terminal: Terminal, tmp_path: Path
) -> None:
    supervisor.add(process(tmp_path, ("sh", "-c", "echo the reason is this; exit 3"), ready=lambda: False))
    with pytest.raises(ServiceFailedError, match="the reason is this"):
        supervisor.wait_ready(["worker"], timeout_s=20)
    assert "worker died 5 times in a row" in terminal.text
    assert str(tmp_path / "worker.log") in terminal.text
    assert "the reason is this" in terminal.text


def test_a_program_that_does_not_exist_is_reported(supervisor: Supervisor, terminal: Terminal, tmp_path: Path) -> None:
    supervisor.add(process(tmp_path, ("/nowhere/program",)))
    until(lambda: "worker: could not be started" in terminal.text)


def test_waits_between_restarts_grow(supervisor: Supervisor, terminal: Terminal, tmp_path: Path) -> None:
    supervisor.add(process(tmp_path, ("false",)))
    until(lambda: "restarting in 0.8 s" in terminal.text)
    waits = [line.rpartition("restarting in ")[2] for line in terminal if "restarting in" in line]
    assert waits[:3] == ["0.2 s", "0.4 s", "0.8 s"]


def test_a_restart_on_request_is_no_death(supervisor: Supervisor, terminal: Terminal, tmp_path: Path) -> None:
    supervisor.add(process(tmp_path))
    first = pid_of(supervisor)
    supervisor.restart(["worker"])
    until(lambda: supervisor.starts("worker") == 2)
    assert not is_running(first)
    assert terminal == []


def test_what_ignores_sigterm_is_killed_after_its_grace_with_its_children(
    supervisor: Supervisor, terminal: Terminal, tmp_path: Path
) -> None:
    supervisor.add(process(tmp_path, ("sh", "-c", "trap '' TERM; sleep 300 & echo $!; wait; sleep 300"), grace_s=0.3))
    leader = pid_of(supervisor)
    until(lambda: (tmp_path / "worker.log").read_text().strip())
    child = int((tmp_path / "worker.log").read_text())
    supervisor.remove("worker")
    assert "did not stop within 0.3 s and is killed" in terminal.text
    assert not is_running(leader)
    until(lambda: not is_running(child))


def test_children_left_behind_by_a_killed_process_are_ended_before_it_is_restarted(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    supervisor.add(process(tmp_path, ("sh", "-c", "sleep 300 & echo $!; wait")))
    leader = pid_of(supervisor)
    until(lambda: (tmp_path / "worker.log").read_text().strip())
    child = int((tmp_path / "worker.log").read_text().split()[0])
    os.kill(leader, signal.SIGKILL)
    until(lambda: supervisor.starts("worker") == 2)
    until(lambda: not is_running(child))


def test_a_process_of_someone_else_is_never_touched(supervisor: Supervisor, tmp_path: Path) -> None:
    with subprocess.Popen(FOREVER) as foreign:
        supervisor.add(process(tmp_path))
        os.kill(pid_of(supervisor), signal.SIGKILL)
        until(lambda: supervisor.starts("worker") == 2)
        supervisor.stop()
        assert foreign.poll() is None
        foreign.kill()


def test_higher_stages_are_stopped_first(supervisor: Supervisor, tmp_path: Path) -> None:
    order = tmp_path / "order"
    for name, stage in (("service", 0), ("node", 2), ("site", 1)):
        script = f"trap 'echo {name} >> {order}; exit' TERM; echo up; while :; do sleep 0.05; done"
        supervisor.add(process(tmp_path, ("sh", "-c", script), name, stage=stage))
    for name in supervisor.names():
        until(partial(has_text, tmp_path / f"{name}.log"))
    supervisor.stop()
    assert order.read_text().split() == ["node", "site", "service"]


def test_children_end_when_the_supervisor_itself_is_killed(tmp_path: Path) -> None:
    script = f"""
import os, pathlib, time
from meshwork.local.supervisor import Process, Supervisor
s = Supervisor()
s.add(Process("worker", ("sleep", "300"), pathlib.Path({str(tmp_path)!r}, "w.log"), dict(os.environ)))
s.wait_ready(["worker"])
print(s.pid("worker"), flush=True)
time.sleep(300)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        child = int(owner.stdout.readline())
        assert is_running(child)
        owner.kill()
    until(lambda: not is_running(child))


def test_a_name_is_used_once_and_free_again_after_removal(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.add(process(tmp_path))
    with pytest.raises(ServiceFailedError, match="taken"):
        supervisor.add(process(tmp_path))
    supervisor.remove("worker")
    supervisor.add(process(tmp_path))
    pid_of(supervisor)


def test_a_log_over_its_size_is_rotated_while_its_process_keeps_writing(supervisor: Supervisor, tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    supervisor.add(process(tmp_path, ("sh", "-c", "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.01; done")))
    until(lambda: log.exists() and log.stat().st_size > 100)
    assert logs.rotate(log, max_bytes=100)
    assert (tmp_path / "worker.log.1").read_text().startswith("line 1\n")
    until(lambda: log.read_text().startswith("line "))


def test_three_old_logs_are_kept(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    for number in range(6):
        log.write_text(f"{number}" * 10)
        assert logs.rotate(log, max_bytes=5)
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept == ["worker.log", "worker.log.1", "worker.log.2", "worker.log.3"]
    assert (tmp_path / "worker.log.3").read_text() == "3" * 10
