"""Results that no answer came for: posted again together, dropped only once they are answered."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.workers.node.platform_double import Platform, platform_at_work
from workers.node import outbox
from workers.node.api import NodeApi
from workers.node.state import NodeState
from workers.protocol.keys import SigningKey


@pytest.fixture
def platform() -> Iterator[Platform]:
    with platform_at_work() as running:
        yield running


@pytest.fixture
def state(tmp_path: Path) -> NodeState:
    kept = NodeState(tmp_path)
    for number in range(250):
        kept.keep_result(f"tsk_{number:03}", 1, {"envelope": {}, "sealed": "AAAA"})
    return kept


def post(platform: Platform, state: NodeState, running: tuple[str, ...] = ()) -> list[list[dict[str, Any]]]:
    """The batches that reached the platform."""
    with NodeApi(platform.identity(), SigningKey.generate()) as api:
        outbox.post_kept(state, api, running)
    assert {path for path, _ in platform.received} <= {"/results"}
    return [body["results"] for _, body in platform.received]


def test_what_is_kept_is_posted_in_batches_of_a_hundred(platform: Platform, state: NodeState) -> None:
    assert [len(batch) for batch in post(platform, state)] == [100, 100, 50]
    assert state.kept_results() == []


def test_the_result_of_a_task_that_runs_is_left_to_it(platform: Platform, state: NodeState) -> None:
    assert sum(map(len, post(platform, state, ("tsk_007",)))) == 249
    assert [task for task, _, _ in state.kept_results()] == ["tsk_007"]


@pytest.mark.parametrize(("status", "left"), [(500, 250), (503, 250), (429, 250), (403, 0)])
def test_only_an_answer_settles_them(platform: Platform, state: NodeState, status: int, left: int) -> None:
    platform.answers["results"] = (status, {"code": "so", "detail": "so"})
    post(platform, state)
    assert len(state.kept_results()) == left


def test_large_results_go_in_smaller_batches(
    platform: Platform, state: NodeState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "MOST_CHARACTERS", 40)
    state.keep_result("tsk_005", 1, {"envelope": {}, "sealed": "A" * 100})
    sizes = [[len(one["sealed"]) for one in batch] for batch in post(platform, state)]
    assert max(map(sum, sizes)) == 100
    assert [sum(batch) for batch in sizes if 100 in batch] == [100], "a larger one goes alone"
    assert sum(map(len, sizes)) == 250
