"""A process that is killed between two statements of what it does."""

import os
import signal
from collections.abc import Callable
from typing import Any, NoReturn

from django.db import connection

FIRST_COMMIT = -1


def killed_before(number: int, act: Callable[[], object]) -> bool:
    """Another process acts, and is killed before its statement of that number, commits counted like statements.

    Or before its first commit. False where it came to an end: then it was done.
    """
    child = os.fork()
    if child == 0:
        _act_and_die(number, act)
    status = os.waitpid(child, 0)[1]
    if not os.WIFSIGNALED(status):
        assert os.WEXITSTATUS(status) == 0
        return False
    return os.WTERMSIG(status) == signal.SIGKILL


def _act_and_die(number: int, act: Callable[[], object]) -> NoReturn:
    code = 1
    try:
        # The parent goes on with its own connection: this process neither uses it nor, by forgetting it, closes it.
        inherited, connection.connection = connection.connection, None
        left = number
        commit = connection._commit

        def count(execute: Callable[..., Any], *said: Any) -> Any:
            nonlocal left
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            return execute(*said)

        def count_commit() -> None:
            nonlocal left
            left = 0 if number == FIRST_COMMIT else left
            count(commit)

        connection._commit = count_commit  # type: ignore[method-assign]
        with connection.execute_wrapper(count):
            act()
        assert inherited is not None
        code = 0
    finally:
        os._exit(code)
