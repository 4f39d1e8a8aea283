"""A network for measuring: a stack in a directory of its own, real nodes, or node clients that answer from memory."""

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import django

from meshwork.local import demo_cast, stack
from meshwork.local.demo import Play
from meshwork.local.demo_setup import prepare_demo

GRANT = "5000"
CLAIM_WAIT_S = 2.0


@contextmanager
def platform(nodes: int = 0) -> Iterator[Play]:
    """The platform's processes and that many real node agents, enrolled through the pages; Django is set up here."""
    with ExitStack() as exits:
        path = exits.enter_context(stack.fresh_directory())
        os.environ["MESH_ENV"] = "demo"
        os.environ["MESH_BLOCK_SECONDS"] = "10"
        running = exits.enter_context(stack.services_up(path, report=lambda line: None))
        running.prepare()
        prepare_demo(running, "setup")
        running.start_platform()
        os.environ.update({k: v for k, v in running.environment.items() if k.startswith("MESH_")})
        os.environ["DJANGO_SETTINGS_MODULE"] = "meshwork.settings"
        django.setup()
        play = Play(running, demo_cast.OPERATORS[: max(nodes, 1)])
        play.people()
        if nodes:
            play.start_nodes()
        play.fund()
        prepare_demo(running, "grant", demo_cast.REQUESTER, GRANT)
        yield play


@contextmanager
def database() -> Iterator[None]:
    """PostgreSQL and the Valkeys alone, migrated, with Django set up on them."""
    with stack.fresh_directory() as path, stack.services_up(path, report=lambda line: None) as running:
        running.prepare()
        os.environ.update({k: v for k, v in running.environment.items() if k.startswith("MESH_")})
        os.environ["DJANGO_SETTINGS_MODULE"] = "meshwork.settings"
        django.setup()
        yield


class Memory:
    """Engines whose answers are remembered by payload, so that the pool is measured and not the model."""

    def __init__(self, folder: Path) -> None:
        from workers.engines import Engines

        self.engines = Engines()
        self.answers: dict[str, Any] = {}
        self.lock = threading.Lock()

    def get(self, model: str, version: str, files: Mapping[str, Path]) -> "Memory":
        """Stands for the engine of that version."""
        self.wanted = (model, version, files)
        return self

    def run(self, kind: str, payload: bytes, params: Mapping[str, Any]) -> Any:
        """The answer, computed by the real engine the first time."""
        key = sha256(payload).hexdigest()
        with self.lock:
            if key not in self.answers:
                self.answers[key] = self.engines.get(*self.wanted).run(kind, payload, params)
        return self.answers[key]


def serve(directory: str, threads: int, at_once: int) -> None:
    """A process of node clients: one enrolled node over HTTP, `threads` claims at a time. Ends with its parent.

    Each client takes up to `at_once` tasks, and posts what came of them together where that is more than one.
    """
    from workers.node.api import NodeApi
    from workers.node.config import load_config
    from workers.node.lane import make_runner
    from workers.node.parent import die_with_parent
    from workers.node.polling import LEAST_WAIT_S

    die_with_parent()
    folder = Path(directory)
    memory = Memory(folder)
    runner = make_runner(load_config(directory=folder))
    runner.engines = memory  # type: ignore[assignment]
    lane = next(iter(runner.identity.lanes))
    beat = {
        "load": 0,
        "slots": {lane: threads * at_once},
        "memory_free_mb": 8000,
        "running": [],
        "draining": False,
        "models": [],
    }

    def beats() -> None:
        from workers.protocol.clock import unix_ms, utcnow

        while True:
            runner.api.heartbeat({**beat, "sent_at": unix_ms(utcnow())})
            threading.Event().wait(3)

    def work() -> None:
        # A connection of its own; the node's files are open once for all, since SQLite has one writer.
        mine = replace(runner, api=NodeApi(runner.identity, runner.api.key))
        while True:
            asked = time.monotonic()
            tasks = mine.api.claim(lane, at_once, CLAIM_WAIT_S)
            (run_together if at_once > 1 else run_each)(mine, tasks)
            # As a polling node does where the platform has too many callers to let all of them wait.
            if not tasks and time.monotonic() - asked < LEAST_WAIT_S:
                time.sleep(LEAST_WAIT_S)

    for target in (beats, *([work] * threads)):
        threading.Thread(target=target, daemon=True).start()
    threading.Event().wait()


def run_each(runner: Any, tasks: list[dict[str, Any]]) -> None:
    """Run tasks as a node does."""
    for envelope in tasks:
        runner.run(envelope)


def run_together(runner: Any, tasks: list[dict[str, Any]]) -> None:
    """Run tasks one after another and post their results in one request; kept until then, as a node keeps them."""
    made: list[tuple[Any, dict[str, Any]]] = []

    def keep(task: Any, body: dict[str, Any]) -> str:
        runner.state.keep_result(task.task, task.attempt, body)
        made.append((task, body))
        return "kept"

    runner.post = keep
    run_each(runner, tasks)
    if made:
        runner.api.results([body for _, body in made])
    for task, _ in made:
        runner.state.drop_result(task.task, task.attempt)
