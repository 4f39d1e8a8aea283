"""One task on a node: verified before anything else, run, signed, sealed, posted; nothing else leaves a trace."""

import json
import time
from collections.abc import Iterator, Mapping
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.workers.node.platform_double import NET, NODE, Platform, platform_at_work
from workers.engines import EngineResult, Engines, PayloadRefused
from workers.node.api import NodeApi
from workers.node.cache import ArtifactCache
from workers.node.runner import Runner
from workers.node.state import NodeState
from workers.protocol.clock import utcnow
from workers.protocol.envelope import KnownKey, SqliteReplayGuard, open_envelope
from workers.protocol.keys import SealingKey, SigningKey, unb64
from workers.protocol.sealing import job_info, open_sealed

PAYLOAD = json.dumps({"inputs": ["a", "b"]}).encode()


class Shouting:
    """A real engine of the smallest kind: upper case."""

    def run(self, kind: str, payload: bytes, params: Mapping[str, Any]) -> EngineResult:
        texts = json.loads(payload)["inputs"]
        if "fail" in params:
            raise PayloadRefused("told to fail")
        if "slow" in params:
            time.sleep(0.3)
        return EngineResult(json.dumps([t.upper() for t in texts]).encode(), len(texts), 2, 0)


@pytest.fixture
def platform() -> Iterator[Platform]:
    with platform_at_work() as running:
        yield running


@pytest.fixture
def node_key() -> SigningKey:
    return SigningKey.generate()


@pytest.fixture
def runner(platform: Platform, tmp_path: Path, node_key: SigningKey) -> Iterator[Runner]:
    identity = platform.identity()
    engines = Engines()
    engines._loaded["test-model", "1"] = Shouting()
    with NodeApi(identity, node_key) as api:
        yield Runner(
            identity=identity,
            sealing_key=SealingKey.generate(),
            api=api,
            state=NodeState(tmp_path),
            cache=ArtifactCache(tmp_path / "cache", max_bytes=10**9),
            engines=engines,
            replay=SqliteReplayGuard(tmp_path / "replay.sqlite3"),
            sleep=lambda seconds: None,
        )


def result_of(platform: Platform, key: SigningKey) -> tuple[dict[str, Any], bytes]:
    [(_, posted)] = [(path, body) for path, body in platform.received if path.startswith("/results/")]
    envelope = open_envelope(
        posted["envelope"],
        net=NET,
        to="platform",
        kinds={"task.result"},
        resolve=lambda kid: KnownKey(key.public, NODE) if kid == key.kid else None,
        now=utcnow(),
        replay=None,
    )
    return envelope.body, unb64(posted["sealed"])


def test_a_task_is_run_and_its_result_is_signed_and_sealed_to_the_platform(
    platform: Platform, runner: Runner, node_key: SigningKey
) -> None:
    assert runner.run(platform.task(runner.sealing_key.public, PAYLOAD)) == "running"
    body, sealed = result_of(platform, node_key)
    plain = open_sealed(platform.sealing, sealed, job_info(NET, "job_1", "tsk_1", 1, NODE))
    assert json.loads(plain) == ["A", "B"]
    assert body["result_sha256"] == sha256(plain).hexdigest()
    assert body["sealed_sha256"] == sha256(sealed).hexdigest()
    assert (body["ok"], body["usage"]["items"]) == (True, 2)
    assert [path for path, _ in platform.received] == ["/results/tsk_1"]
    assert runner.state.running() == []
    assert runner.state.kept_results() == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"key": SigningKey.generate()}, "unknown_key"),
        ({"to": "node_other"}, "wrong_recipient"),
        ({"net": "another-net"}, "wrong_network"),
        ({"now": utcnow() - timedelta(hours=1)}, "expired"),
        ({"now": utcnow() + timedelta(hours=1)}, "not_yet_valid"),
        ({"surprise": 1}, "unknown_field"),
        ({"lease_expires_at": 1}, "lease_expired"),
    ],
)
def test_what_is_forged_foreign_or_late_is_refused_before_anything_happens(
    platform: Platform, runner: Runner, changes: dict[str, Any], code: str
) -> None:
    assert runner.run(platform.task(runner.sealing_key.public, PAYLOAD, **changes)) == code
    assert platform.received == []
    assert runner.state.running() == []


def test_a_replayed_task_is_refused_also_after_a_restart(platform: Platform, runner: Runner, tmp_path: Path) -> None:
    raw = platform.task(runner.sealing_key.public, PAYLOAD)
    runner.run(raw)
    runner.replay = SqliteReplayGuard(tmp_path / "replay.sqlite3")
    assert runner.run(raw) == "replayed"
    assert len(platform.received) == 1


def test_a_payload_sealed_to_another_node_is_reported_as_a_failure(
    platform: Platform, runner: Runner, node_key: SigningKey
) -> None:
    runner.run(platform.task(SealingKey.generate().public, PAYLOAD))
    body, sealed = result_of(platform, node_key)
    assert (body["ok"], body["error"]["code"], sealed) == (False, "seal_broken", b"")


def test_a_payload_that_is_not_the_announced_one_is_reported(
    platform: Platform, runner: Runner, node_key: SigningKey
) -> None:
    runner.run(platform.task(runner.sealing_key.public, PAYLOAD, payload_sha256="0" * 64))
    assert result_of(platform, node_key)[0]["error"]["code"] == "payload_mismatch"


def test_an_engines_error_is_reported_with_its_code(platform: Platform, runner: Runner, node_key: SigningKey) -> None:
    runner.run(platform.task(runner.sealing_key.public, PAYLOAD, params={"fail": 1}))
    assert result_of(platform, node_key)[0]["error"] == {"code": "payload_refused", "detail": "told to fail"}


def test_a_model_that_nobody_here_runs_is_reported(platform: Platform, runner: Runner, node_key: SigningKey) -> None:
    platform.files["/weights"] = b"weights"
    file = {"name": "weights", "sha256": sha256(b"weights").hexdigest(), "size": 7, "url": f"{platform.url}/weights"}
    runner.run(platform.task(runner.sealing_key.public, PAYLOAD, model="unheard-of", files=[file]))
    assert result_of(platform, node_key)[0]["error"]["code"] == "model_not_served"


def test_a_cancelled_task_is_not_run(platform: Platform, runner: Runner) -> None:
    runner.state.cancel(["tsk_1"])
    assert runner.run(platform.task(runner.sealing_key.public, PAYLOAD)) == "cancelled"
    assert platform.received == []


def test_a_task_that_comes_while_a_limit_holds_is_given_back_unbegun(platform: Platform, runner: Runner) -> None:
    runner.state.set_fact("held", ["quiet_hours"])
    assert runner.run(platform.task(runner.sealing_key.public, PAYLOAD)) == "held"
    assert [path for path, _ in platform.received] == ["/handback"]
    assert (runner.state.running(), runner.state.counts()) == ([], {})


def test_outcomes_are_counted_across_processes(platform: Platform, runner: Runner, tmp_path: Path) -> None:
    platform.answers["/results/tsk_1"] = (200, {"status": "completed"})
    for _ in range(2):
        runner.run(platform.task(runner.sealing_key.public, PAYLOAD))
    assert NodeState(tmp_path).counts() == {"completed": 2}


def test_a_generation_that_was_taken_back_is_not_run(platform: Platform, runner: Runner) -> None:
    platform.answers["started"] = (200, {"status": "superseded"})
    assert runner.run(platform.task(runner.sealing_key.public, PAYLOAD, kind="generate")) == "superseded"
    assert [path for path, _ in platform.received] == ["/tasks/tsk_1/started"]


def test_work_that_takes_a_while_is_announced_while_it_runs(platform: Platform, runner: Runner) -> None:
    assert runner.run(platform.task(runner.sealing_key.public, PAYLOAD, params={"slow": 1})) == "running"
    assert [path for path, _ in platform.received] == ["/tasks/tsk_1/started", "/results/tsk_1"]


def test_the_result_of_work_that_was_taken_back_meanwhile_is_not_posted(platform: Platform, runner: Runner) -> None:
    platform.answers["started"] = (200, {"status": "cancelled"})
    assert runner.run(platform.task(runner.sealing_key.public, PAYLOAD, params={"slow": 1})) == "cancelled"
    assert [path for path, _ in platform.received] == ["/tasks/tsk_1/started"]


def test_a_result_that_no_answer_comes_for_is_kept(platform: Platform, runner: Runner) -> None:
    platform.answers["/results/tsk_1"] = (503, {"code": "unavailable", "detail": "later"})
    platform.answers["tsk_1"] = (503, {"code": "unavailable", "detail": "later"})
    assert runner.run(platform.task(runner.sealing_key.public, PAYLOAD)) == "kept"
    [(task, attempt, body)] = runner.state.kept_results()
    assert (task, attempt) == ("tsk_1", 1)
    assert "envelope" in body


def test_a_result_that_is_refused_for_good_is_dropped(platform: Platform, runner: Runner) -> None:
    platform.answers["tsk_1"] = (409, {"code": "task_superseded", "detail": "no"})
    assert runner.run(platform.task(runner.sealing_key.public, PAYLOAD)) == "task_superseded"
    assert runner.state.kept_results() == []
