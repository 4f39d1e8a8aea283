"""A small supervisor: starts processes, restarts the ones that die, stops them all, touches nothing else.

One thread owns every child, because the kernel's parent-death signal follows the thread that forked. A child that has
exited stays unreaped until its process group is gone, so its number cannot be anyone else's when the group is killed.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from meshwork.local import logs
from meshwork.local.errors import ServiceFailedError
from meshwork.local.files import Account

TICK_S: Final = 0.1
FIRST_DELAY_S: Final = 0.2
LONGEST_DELAY_S: Final = 30.0
QUICK_S: Final = 10.0  # a process that lived shorter than this died quickly
QUICK_DEATHS: Final = 5  # this many in a row are reported with the end of the log
ROTATE_EVERY_S: Final = 5.0
PR_SET_PDEATHSIG: Final = 1

_libc = ctypes.CDLL(None)


def say(line: str) -> None:
    """One line on the terminal."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def die_with(parent: int, sent: signal.Signals) -> Callable[[], None]:
    """To be called between fork and exec: the kernel sends `sent` to this process when its parent ends."""

    def apply() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, int(sent))
        if os.getppid() != parent:
            os._exit(1)

    return apply


@dataclass(frozen=True)
class Process:
    """What to run. Those of a higher `stage` are stopped first; `before` runs ahead of each start; `ready` tells when
    it serves; `env` is the whole environment."""

    name: str
    argv: tuple[str, ...]
    log: Path
    env: Mapping[str, str]
    cwd: Path | None = None
    account: Account | None = None
    stage: int = 1
    stop_signal: signal.Signals = signal.SIGTERM
    grace_s: float = 10.0
    before: Callable[[], None] | None = None
    ready: Callable[[], bool] | None = None


@dataclass
class _Child:
    process: Process
    wanted: bool = True
    popen: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_at: float = 0.0
    stop_sent_at: float | None = None
    killed: bool = False
    starts: int = 0
    quick_deaths: int = 0
    rotated_at: float = field(default_factory=time.monotonic)


class Supervisor:
    """Keeps its processes running until it is stopped. Safe to call from any thread."""

    def __init__(self, say: Callable[[str], None] = say) -> None:
        self._say = say
        self._changed = threading.Condition()
        self._children: dict[str, _Child] = {}
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)
        self._thread.start()

    def add(self, process: Process) -> None:
        """Start `process` and keep it running. A name can be used again once its process was removed."""
        with self._changed:
            if self._closing or process.name in self._children:
                raise ServiceFailedError(f"{process.name} cannot be started: the name is taken or all is stopping.")
            self._children[process.name] = _Child(process)
            self._changed.notify_all()

    def remove(self, name: str) -> None:
        """Stop the process (SIGTERM, after its grace SIGKILL to its whole group) and forget it."""
        self._stop({name})
        with self._changed:
            self._children.pop(name, None)

    def restart(self, names: Iterable[str]) -> None:
        """Stop these processes together and start them again; no death is counted."""
        chosen = set(names)
        self._stop(chosen)
        with self._changed:
            for child in (self._children[name] for name in chosen):
                child.wanted, child.start_at, child.quick_deaths = True, 0.0, 0
            self._changed.notify_all()

    def stop(self) -> None:
        """Stop everything, the highest stage first, and wait for it. Calling it again does nothing."""
        with self._changed:
            stages = sorted({child.process.stage for child in self._children.values()}, reverse=True)
        for stage in stages:
            self._stop({name for name, child in self._children.items() if child.process.stage == stage})
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def pid(self, name: str) -> int | None:
        """The running process's number, or None while it is down."""
        with self._changed:
            popen = self._children[name].popen
            return popen.pid if popen else None

    def starts(self, name: str) -> int:
        """How often the process was started."""
        with self._changed:
            return self._children[name].starts

    def names(self) -> list[str]:
        """The processes under this supervisor, in the order they were added."""
        with self._changed:
            return list(self._children)

    def wait_ready(self, names: Iterable[str], timeout_s: float = 60.0) -> None:
        """Return when each is ready; raise ServiceFailedError when one keeps dying or the time is over."""
        deadline = time.monotonic() + timeout_s
        for name in names:
            while not self._is_ready(name):
                with self._changed:
                    child = self._children[name]
                    if child.quick_deaths >= QUICK_DEATHS:
                        raise ServiceFailedError(_failure(child, "keeps dying"))
                    if time.monotonic() > deadline:
                        raise ServiceFailedError(_failure(child, f"was not ready after {timeout_s:g} s"))
                time.sleep(0.02)

    def _is_ready(self, name: str) -> bool:
        with self._changed:
            child = self._children[name]
            alive = child.popen is not None
        return alive and (child.process.ready is None or child.process.ready())

    def _stop(self, names: set[str]) -> None:
        with self._changed:
            chosen = [child for name, child in self._children.items() if name in names]
            for child in chosen:
                child.wanted = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: all(child.popen is None for child in chosen))

    def _run(self) -> None:
        with self._changed:
            while not self._closing:
                now = time.monotonic()
                for child in list(self._children.values()):
                    self._step(child, now)
                self._changed.notify_all()
                self._changed.wait(TICK_S)

    def _step(self, child: _Child, now: float) -> None:
        if child.popen is None:
            if child.wanted and now >= child.start_at:
                self._start(child, now)
        elif _has_exited(child.popen.pid):
            self._bury(child, now)
        elif not child.wanted:
            self._end(child, now)
        elif now - child.rotated_at > ROTATE_EVERY_S:
            child.rotated_at = now
            logs.rotate(child.process.log)

    def _start(self, child: _Child, now: float) -> None:
        process = child.process
        child.started_at, child.stop_sent_at, child.killed = now, None, False
        try:
            if process.before:
                process.before()
            logs.rotate(process.log)
            child.popen = _spawn(process)
        except OSError as error:
            self._count_death(child, now, f"could not be started: {error}")
            return
        child.starts += 1
        if child.quick_deaths:
            self._say(f"{process.name}: running again (pid {child.popen.pid})")

    def _bury(self, child: _Child, now: float) -> None:
        assert child.popen is not None  # noqa: S101
        _kill_group(child.popen.pid)
        code = child.popen.wait()
        child.popen = None
        if child.wanted:
            cause = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
            self._count_death(child, now, f"died ({cause}) after {now - child.started_at:.1f} s")

    def _count_death(self, child: _Child, now: float, what: str) -> None:
        lived_long = now - child.started_at >= QUICK_S
        child.quick_deaths = 1 if lived_long else child.quick_deaths + 1
        delay = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** (child.quick_deaths - 1))
        child.start_at = now + delay
        self._say(f"{child.process.name}: {what}; restarting in {delay:g} s")
        if child.quick_deaths == QUICK_DEATHS:
            self._say(_failure(child, f"died {QUICK_DEATHS} times in a row, each within {QUICK_S:g} s"))

    def _end(self, child: _Child, now: float) -> None:
        assert child.popen is not None  # noqa: S101
        if child.stop_sent_at is None:
            child.stop_sent_at = now
            child.popen.send_signal(child.process.stop_signal)  # to the leader alone: it ends its own in order
        elif not child.killed and now - child.stop_sent_at > child.process.grace_s:
            child.killed = True
            self._say(f"{child.process.name}: did not stop within {child.process.grace_s:g} s and is killed")
            _kill_group(child.popen.pid)


def _spawn(process: Process) -> subprocess.Popen[bytes]:
    """Start it in a session of its own, appending its output to its log, as its account."""
    process.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    account = process.account
    log = os.open(process.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        return subprocess.Popen(  # noqa: S603
            process.argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=dict(process.env),
            cwd=process.cwd,
            start_new_session=True,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            preexec_fn=die_with(os.getpid(), process.stop_signal),
        )
    except subprocess.SubprocessError as error:
        raise OSError(str(error)) from error
    finally:
        os.close(log)


def _has_exited(pid: int) -> bool:
    """Whether our child `pid` has ended; it is left unreaped."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _kill_group(leader: int) -> None:
    """SIGKILL to the group that our unreaped child leads."""
    os.killpg(leader, signal.SIGKILL)


def _failure(child: _Child, what: str) -> str:
    log = child.process.log
    return f"{child.process.name} {what}. The end of {log}:\n{logs.tail(log)}"
