"""Analyses as jobs of the pool: what is sealed into the task, and what a node answers."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import cache

from apps.core import parameters, platform_keys
from apps.core.models import User
from apps.models import catalog
from apps.pool import completion, kinds, results, sealing, submission, vault
from apps.pool.errors import InputRefused
from apps.pool.kinds import JobRequest
from apps.pool.models import Job, Payload
from apps.pool.node_api import asking
from apps.trading import kinds as analyses
from apps.trading.models import Outcome
from tests.apps.pool import cast as pool
from tests.apps.trading.scan_cast import HOST, later, measured, signal
from workers.engines import Engines
from workers.engines.base import PayloadRefused
from workers.engines.detectors import Detectors
from workers.protocol.clock import utcnow

pytestmark = pytest.mark.django_db
NOW = pool.NOW


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    platform_keys.create(utcnow())
    cache.clear()
    parameters.forget_cached()
    monkeypatch.setattr(analyses, "utcnow", lambda: later(0))
    assert analyses.offer(NOW)
    assert not analyses.offer(NOW)
    yield
    completion.manifest_of.cache_clear()
    sealing.files_of.cache_clear()
    parameters.forget_cached()


@pytest.fixture
def rita() -> User:
    return pool.requester("rita")


def request(kind: str, **given: Any) -> JobRequest:
    return JobRequest(kind, analyses.MODEL, prompt=json.dumps(given))


def run(rita: User, kind: str, **given: Any) -> dict[str, Any]:
    """Submit, have a node do it by the engine that it has built in, and read the job's result."""
    ada = pool.machine("ada")
    job = submission.submit(rita, request(kind, **given), NOW)
    (task,) = ada.take()
    assert task.model == analyses.MODEL
    payload = vault.open_payload(Payload.objects.get(pk=task.task_id))
    done = Engines().get(task.model, task.version, {}).run(task.kind, payload, {})
    envelope, sealed = ada.signed(task, done.payload)
    assert completion.complete(envelope, sealed, ada.node, NOW) == "completed"
    return dict(json.loads(results.text(Job.objects.get(pk=job.pk))))


def test_an_anomaly_is_found_in_one_scan_beside_the_earlier_ones(rita: User) -> None:
    measured([20.0 + 0.3 * (n % 5) for n in range(30)])
    told = run(rita, "anomaly_detection", host=HOST, rtt_ms=60.0, timestamp=later(60).timestamp(), hops=[])
    (found,) = told["signals"]
    assert (found["type"], found["direction"], found["host"]) == ("latency_anomaly", "SHORT", HOST)
    assert found["confidence"] >= 0.55


def test_a_batch_is_judged_host_by_host(rita: User) -> None:
    steady = [{"host": "a", "rtt_ms": 20.0 + 0.3 * (n % 5), "timestamp": n} for n in range(31)]
    spiking = [{**scan, "host": "b"} for scan in steady[:-1]] + [{"host": "b", "rtt_ms": 60.0, "timestamp": 30}]
    told = run(rita, "batch_analysis", scans=steady + spiking)
    assert (told["count"], told["hosts"]) == (1, 2)
    assert told["signals"][0]["host"] == "b"


def test_signals_are_asked_for_by_confidence(rita: User) -> None:
    strong = signal(confidence=0.8)
    signal(confidence=0.6)
    told = run(rita, "get_signals", min_confidence=0.7)
    assert [row["id"] for row in told["signals"]] == [strong.pk]


def test_accuracy_is_computed_from_the_rows_of_the_window(rita: User) -> None:
    for pnl, ago in [(0.02, 60), (0.01, 120), (-0.005, 180), (0.5, 9000)]:
        Outcome.objects.create(
            signal=signal(market_at=later(-ago)),
            entry_price=100,
            exit_price=100,
            pnl=pnl,
            pnl_after_fees=pnl,
            correct=pnl > 0,
            judged_at=later(0),
        )
    told = run(rita, "get_accuracy", hours=2)
    assert (told["judged"], told["accuracy"], told["total_pnl"]) == (3, pytest.approx(2 / 3), pytest.approx(0.025))


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("anomaly_detection", {"host": HOST, "rtt_ms": -1, "timestamp": 0}),
        ("anomaly_detection", {"host": HOST, "rtt_ms": 1}),
        ("anomaly_detection", {"host": 5, "rtt_ms": 1, "timestamp": 0}),
        ("anomaly_detection", {"host": "a\x00b", "rtt_ms": 1, "timestamp": 0}),
        ("anomaly_detection", {"host": "\ud800", "rtt_ms": 1, "timestamp": 0}),
        ("anomaly_detection", {"host": HOST, "rtt_ms": 10**400, "timestamp": 0}),
        ("batch_analysis", {"scans": []}),
        ("batch_analysis", {"scans": [{"host": "a", "rtt_ms": True, "timestamp": 0}]}),
        ("get_signals", {"min_confidence": 2}),
        ("get_signals", {"confidence": 0.5}),
        ("get_accuracy", {"hours": 0}),
    ],
)
def test_a_malformed_analysis_is_refused_before_it_costs(kind: str, given: dict[str, Any]) -> None:
    with pytest.raises(InputRefused):
        kinds.get(kind).split(request(kind, **given))


@pytest.mark.parametrize(
    "prompt", ["", "[]", "{", '{"hours": NaN}', "[" * 100_000], ids=["nothing", "list", "open", "nan", "deep"]
)
def test_a_prompt_is_an_object(prompt: str) -> None:
    with pytest.raises(InputRefused):
        kinds.get("get_accuracy").split(JobRequest("get_accuracy", analyses.MODEL, prompt=prompt))


def test_a_dispatch_carries_the_fields_of_its_kind() -> None:
    job = asking.asked({"task_type": "get_signals", "data": {"min_confidence": 0.6}})
    assert (job.model, json.loads(job.prompt)) == ("detectors", {"min_confidence": 0.6})


def test_the_model_has_no_files_and_the_engine_refuses_what_it_does_not_do() -> None:
    assert catalog.file_urls(catalog.active_version("detectors")) == []
    with pytest.raises(PayloadRefused, match="not embed"):
        Detectors().run("embed", b"{}", {})
    for payload in (b"", b"[]", b'{"scans": 5}', b'{"host": "a", "scans": [{"timestamp": 1, "rtt_ms": -5}]}'):
        with pytest.raises(PayloadRefused):
            Detectors().run("anomaly_detection", payload, {})
