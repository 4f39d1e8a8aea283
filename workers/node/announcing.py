"""Telling the platform that an attempt runs: beforehand where it will take long, else only once it has."""

import logging
import threading
from types import TracebackType
from typing import Self

from workers.node.api import NodeApi
from workers.node.errors import NodeError, PlatformRefused, PlatformUnreachable
from workers.protocol.messages import TaskRun

logger = logging.getLogger("node.announcing")
# A generation takes seconds to minutes: it is worth a question whether it is still wanted.
CONFIRMED_FIRST = {"generate"}
AFTER_S = 0.1


class Announcement:
    """Around a computation: says that it runs after a tenth of a second. A shorter one is announced by its result."""

    def __init__(self, api: NodeApi, task: TaskRun) -> None:
        self.api = api
        self.task = task
        self.over = threading.Event()
        self.status = "running"
        self.thread = threading.Thread(target=self.later, name="announcement", daemon=True)

    def confirmed(self) -> str:
        """Whether to begin: `running`, or why not."""
        return self.say() if self.task.kind in CONFIRMED_FIRST else "running"

    def __enter__(self) -> Self:
        if self.task.kind not in CONFIRMED_FIRST:
            self.thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.over.set()
        if self.thread.is_alive():
            self.thread.join()

    def later(self) -> None:
        """The thread: one word to the platform if the work is still under way."""
        if not self.over.wait(AFTER_S):
            self.status = self.say()

    def say(self) -> str:
        """Ask the platform. Where it does not answer the lease decides: a result posted within it still counts."""
        try:
            return str(self.api.started(self.task.task, self.task.attempt).get("status", "running"))
        except PlatformRefused as error:
            return error.code if error.status < 500 else "running"
        except PlatformUnreachable:
            return "running"
        except NodeError as error:
            logger.warning("The start was not announced", extra={"task": self.task.task, "code": error.code})
            return "running"
