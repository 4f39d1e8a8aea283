"""`meshwork local`: a local network's services and processes, before Django is configured.

up     services, database and the platform's processes, until Ctrl-C
exec   one command with the services up and the environment set
demo   a whole network with nodes, and a job played through it
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from types import FrameType

from meshwork.local import directory, stack
from meshwork.local.errors import LocalError
from meshwork.local.reload import Watcher, source_roots
from meshwork.local.supervisor import die_with, say

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(KeyboardInterrupt):
    """We were asked to stop, by this signal."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.signal = signal.Signals(number)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; its exit status, 1 with a message where the stack cannot run."""
    options = parser().parse_args(argv)
    for number in STOPPING:
        signal.signal(number, _stop_once)
    try:
        return int(options.command(options))
    except LocalError as error:
        say(f"meshwork: {error}")
        return 1
    except Stopped as stopped:
        return 0 if options.command in {up, play} else 128 + stopped.signal


def _stop_once(number: int, frame: FrameType | None) -> None:
    """The first signal stops us; further ones must not interrupt the stopping."""
    for each in STOPPING:
        signal.signal(each, signal.SIG_IGN)
    say("Stopping…")
    raise Stopped(number)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="meshwork local", description=__doc__.partition("\n")[0] if __doc__ else "")
    commands = made.add_subparsers(required=True)
    up_command = commands.add_parser("up", help="run the platform here until Ctrl-C")
    up_command.add_argument("--reload", action="store_true", help="restart its processes when a source file changes")
    up_command.set_defaults(command=up)
    exec_command = commands.add_parser("exec", help="run a command with the services up: exec -- COMMAND …")
    exec_command.add_argument("--fresh", action="store_true", help="in a new data directory, removed afterwards")
    exec_command.add_argument("argv", nargs="+", metavar="COMMAND")
    exec_command.set_defaults(command=execute)
    demo_command = commands.add_parser("demo", help="start a whole network and play a job through it")
    demo_command.add_argument("--once", action="store_true", help="in a fresh data directory; exit when played")
    demo_command.set_defaults(command=play)
    return made


def up(options: argparse.Namespace) -> int:
    """Services, database, platform; then wait, and with --reload watch the sources."""
    with stack.services_up() as running:
        say(f"Data directory {running.directory.path}")
        running.prepare()
        names = running.start_platform(mount_static=not options.reload)
        say(f"Site      {running.urls['site']}")
        say(f"Node API  {running.urls['node_api']}")
        say(f"Logs      {running.directory.logs}")
        say("Ctrl-C stops everything.")
        watcher = Watcher(source_roots()) if options.reload else None
        while True:
            time.sleep(1)
            changed = watcher.changes() if watcher else []
            if changed:
                say(f"{changed[0].name} changed: restarting")
                running.supervisor.restart(names)


def play(options: argparse.Namespace) -> int:
    """The demo."""
    from meshwork.local.demo import demo

    return demo(once=options.once)


def execute(options: argparse.Namespace) -> int:
    """One command; it joins the stack that is already running in the data directory, if there is one."""
    with ExitStack() as exits:
        path = exits.enter_context(stack.fresh_directory()) if options.fresh else directory.default_path()
        joined = directory.running_environment(path)
        environment = exits.enter_context(stack.services_up(path)).environment if joined is None else joined
        return _run(options.argv, {**os.environ, **environment})


def _run(argv: Sequence[str], environment: dict[str, str]) -> int:
    """The command in our own terminal: Ctrl-C reaches it from there, other signals through us."""
    try:
        child = subprocess.Popen(  # noqa: S603
            argv, env=environment, preexec_fn=die_with(os.getpid(), signal.SIGTERM)
        )
    except OSError as error:
        say(f"meshwork: {argv[0]} cannot be run: {error}")
        return 127
    try:
        code = child.wait()
    except Stopped as stopped:
        if stopped.signal != signal.SIGINT:
            child.send_signal(stopped.signal)
        try:
            child.wait(timeout=15)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        raise
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
