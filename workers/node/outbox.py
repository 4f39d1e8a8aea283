"""Results that no answer came for, posted again, many at once."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from workers.node.api import NodeApi
from workers.node.errors import PlatformRefused
from workers.node.state import NodeState

Kept = tuple[str, int, dict[str, Any]]
MOST = 100
# Well below the 32 MiB that the node API reads of a request; a larger result goes alone.
MOST_CHARACTERS = 16 * 2**20


def post_kept(state: NodeState, api: NodeApi, running: Collection[str]) -> None:
    """Post what is kept of tasks that do not run now; an answer of any kind settles it. Raises PlatformUnreachable."""
    for portion in portions([kept for kept in state.kept_results() if kept[0] not in running]):
        try:
            api.results([body for _, _, body in portion])
        except PlatformRefused as refusal:
            if refusal.status >= 500 or refusal.status == 429:
                continue
        for task, attempt, _ in portion:
            state.drop_result(task, attempt)


def portions(kept: Sequence[Kept]) -> Iterator[list[Kept]]:
    """In their order, as many at once as a request may hold."""
    portion: list[Kept] = []
    size = 0
    for one in kept:
        length = len(one[2].get("sealed", ""))
        if portion and (len(portion) == MOST or size + length > MOST_CHARACTERS):
            yield portion
            portion, size = [], 0
        portion.append(one)
        size += length
    if portion:
        yield portion
