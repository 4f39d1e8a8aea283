"""A process that is killed between two statements of what it does."""

import os
import signal
from collections.abc import Callable
from typing import Any, NoReturn

from django.db import connection

FIRST_COMMIT, SECOND_COMMIT = -1, -2


def killed_before(number: int, act: Callable[[], object]) -> bool:
    """Another process acts, and is killed before its statement of that number, commits counted like statements.

    Or before its first or second commit. False where it came to an end: then it was done.
    """
    child = os.fork()
    if child == 0:
        _act_and_die(number, act)
    status = os.waitpid(child, 0)[1]
    if not os.WIFSIGNALED(status):
        assert os.WEXITSTATUS(status) == 0
        return False
    return os.WTERMSIG(status) == signal.SIGKILL


def kill_and_end(act: Callable[[], object], state: Callable[[], object]) -> None:
    """Kill a process early in the act, and one before its commit: nothing of it is left. Another one ends it.

    That one has committed once, so that there is no moment at which half of it is done.
    """
    before = state()
    for place in (2, FIRST_COMMIT):
        assert killed_before(place, act)
        assert state() == before
    assert not killed_before(SECOND_COMMIT, act)
    assert state() != before


def kill_everywhere(act: Callable[[], object], state: Callable[[], object]) -> None:
    """Kill a process before each statement of the act in turn; then let it end.

    What a kill leaves is nothing of it; after its commit, when there is still something to read, all of it.
    """
    before, found = state(), []
    while killed_before(len(found), act):
        found.append(state())
    after = state()
    assert len(found) > 3
    assert found[0] == before != after
    assert all(left in (before, after) for left in found)


def _act_and_die(number: int, act: Callable[[], object]) -> NoReturn:
    code = 1
    try:
        # The parent goes on with its own connection: this process neither uses it nor, by forgetting it, closes it.
        inherited, connection.connection = connection.connection, None
        left, commits = number, 0
        commit = connection._commit

        def go_on(*, commits_now: bool) -> None:
            nonlocal left, commits
            commits += commits_now
            if left == 0 or (commits_now and number == -commits):
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1

        def count(execute: Callable[..., Any], sql: str, *said: Any) -> Any:
            # Outside a transaction a statement that writes is one.
            go_on(commits_now=not (connection.in_atomic_block or sql.startswith("SELECT")))
            return execute(sql, *said)

        def count_commit() -> None:
            go_on(commits_now=True)
            commit()

        connection._commit = count_commit  # type: ignore[method-assign]
        with connection.execute_wrapper(count):
            act()
        assert inherited is not None
        code = 0
    finally:
        os._exit(code)
