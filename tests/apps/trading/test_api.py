"""Scans and signals over HTTP: who may report, what is refused, and how pages are read."""

import json
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.core import parameters
from apps.core.models import User
from apps.operators.authentication import make_key
from apps.trading import market_time
from apps.trading.models import Scan, Signal
from tests.apps.pool.cast import operator, user
from tests.apps.trading.scan_cast import HOST, NOW, PATH, later, measured, signal
from workers.protocol.clock import utcnow

pytestmark = pytest.mark.django_db
SCAN = {"host": HOST, "hops": PATH, "total_rtt": 12.5}
SIGNAL = {"type": "latency_anomaly", "confidence": 0.72, "pair": "BTC-USD", "direction": "SHORT", "host": HOST}


@pytest.fixture(autouse=True)
def clean() -> None:
    cache.clear()
    parameters.forget_cached()


def bearer(person: User, *scopes: str) -> Client:
    _, text = make_key(person, "test", list(scopes), NOW)
    return Client(headers={"Authorization": f"Bearer {text}"})


@pytest.fixture
def opal() -> User:
    return operator("opal").user


@pytest.fixture
def api(opal: User) -> Client:
    return bearer(opal, "trading:write")


def post(client: Client, path: str, body: Any, **headers: str) -> Any:
    return client.post(path, json.dumps(body), content_type="application/json", headers=headers)


def code(answer: Any) -> tuple[int, str]:
    assert answer["Content-Type"] == "application/problem+json"
    return answer.status_code, answer.json()["code"]


def test_an_operator_reports_a_scan_and_reads_it_back(api: Client, opal: User) -> None:
    made = post(api, "/api/v1/scans", SCAN)
    assert made.status_code == 201
    body = made.json()
    assert (body["host"], body["total_rtt_ms"], body["source"]) == (HOST, 12.5, "api")
    assert (body["vantage"], body["region"]) == (f"reporter {opal.pk}", "eu")
    assert body["hops"][0] == {"hop": 1, "ip": None, "rtt_ms": 0.4, "masked": True}
    assert api.get(f"/api/v1/scans?host={HOST}").json()["results"] == [body]
    assert api.get("/api/v1/scans?host=coinbase.com").json()["results"] == []


def test_a_report_needs_the_scope_and_a_known_reporter(opal: User) -> None:
    assert code(post(bearer(opal, "jobs:write"), "/api/v1/scans", SCAN)) == (403, "scope_missing")
    assert code(post(bearer(user("eve"), "trading:write"), "/api/v1/scans", SCAN)) == (403, "reporter_refused")
    assert code(post(bearer(user("eva"), "trading:write"), "/api/v1/signals", SIGNAL)) == (403, "reporter_refused")
    assert post(bearer(user("stella", is_staff=True), "trading:write"), "/api/v1/scans", SCAN).status_code == 201
    assert Client().get("/api/v1/scans").status_code == 401


def test_a_session_may_read(opal: User) -> None:
    client = Client()
    client.force_login(opal)
    for path in ("/api/v1/scans", "/api/v1/signals", "/api/v1/signals/accuracy"):
        assert client.get(path).status_code == 200


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"host": "example.org"}, (404, "target_unknown")),
        ({"total_rtt": 3}, (400, "rtt_invalid")),
        ({"hops": [{"hop": 1, "rtt_ms": -1}]}, (400, "rtt_invalid")),
        ({"hops": [{"hop": 99}]}, (400, "invalid")),
        ({"geo": "here"}, (400, "invalid")),
        ({"measured_at": "2030-01-01T00:00:00Z"}, (400, "scan_from_future")),
        ({"measured_at": "2020-01-01T00:00:00Z"}, (400, "scan_too_old")),
        ({"hops": [], "total_rtt": None, "method": "tcp"}, (400, "invalid")),
    ],
)
def test_a_bad_scan_is_refused_with_its_code(api: Client, changes: dict[str, Any], expected: tuple[int, str]) -> None:
    assert code(post(api, "/api/v1/scans", {**SCAN, **changes})) == expected
    assert not Scan.objects.exists()


def test_an_operator_reports_a_signal_once_a_key(api: Client) -> None:
    made = post(api, "/api/v1/signals", SIGNAL, **{"Idempotency-Key": "one"})
    again = post(api, "/api/v1/signals", SIGNAL, **{"Idempotency-Key": "one"})
    assert (made.status_code, again.status_code) == (201, 200)
    assert made.json() == again.json()
    body = made.json()
    assert (body["type"], body["band"], body["status"]) == ("latency_anomaly", "moderate", "ACTIVE")
    assert post(api, "/api/v1/signals", SIGNAL).status_code == 201
    assert Signal.objects.count() == 2


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"confidence": 0.54}, (422, "signal_weak")),
        ({"confidence": 0.96}, (400, "invalid")),
        ({"pair": "DOGE-USD"}, (404, "pair_unknown")),
        ({"pair": "SOL-USD"}, (404, "pair_unknown")),
        ({"host": "example.org"}, (404, "target_unknown")),
        ({"type": "hunch"}, (400, "invalid")),
    ],
)
def test_a_bad_signal_is_refused_with_its_code(api: Client, changes: dict[str, Any], expected: tuple[int, str]) -> None:
    assert code(post(api, "/api/v1/signals", {**SIGNAL, **changes})) == expected
    assert not Signal.objects.exists()


def test_nothing_is_reported_into_a_replay(api: Client) -> None:
    market_time.start_replay("A recording.", NOW, later(3600), utcnow())
    assert code(post(api, "/api/v1/scans", SCAN)) == (409, "replay_running")
    assert code(post(api, "/api/v1/signals", SIGNAL)) == (409, "replay_running")


def test_reports_are_throttled_by_the_governed_rate(api: Client) -> None:
    parameters.set_parameter("scans.api_per_minute", 1, actor=None, reason="test", now=NOW)
    parameters.forget_cached()
    assert post(api, "/api/v1/signals", SIGNAL).status_code == 201
    refused = post(api, "/api/v1/signals", SIGNAL)
    assert code(refused) == (429, "throttled")
    assert int(refused["Retry-After"]) > 0
    assert api.get("/api/v1/signals").status_code == 200


def test_signals_are_filtered_and_paged(api: Client) -> None:
    strong, fair = signal(confidence=0.8, pair="ETH-USD"), signal(confidence=0.6)
    page = api.get("/api/v1/signals?limit=1").json()
    assert (len(page["results"]), page["next"] is not None) == (1, True)
    assert {row["id"] for row in [*page["results"], *api.get(page["next"]).json()["results"]]} == {strong.pk, fair.pk}
    for query, expected in [("min_confidence=0.7", [strong.pk]), ("pair=BTC-USD", [fair.pk]), ("active=true", [])]:
        assert [row["id"] for row in api.get(f"/api/v1/signals?{query}").json()["results"]] == expected
    assert api.get("/api/v1/signals?min_confidence=much").status_code == 400


def test_a_page_costs_the_same_however_many_rows_there_are(api: Client) -> None:
    def queries(path: str) -> int:
        with CaptureQueriesContext(connection) as seen:
            assert api.get(path).status_code == 200
        return len(seen)

    signal()
    measured([1.0])
    queries("/api/v1/signals")  # the key's first use is noted
    few = [queries("/api/v1/signals"), queries("/api/v1/scans")]
    for _ in range(5):
        signal()
    measured([1.0] * 9, "probe 2")
    assert [queries("/api/v1/signals"), queries("/api/v1/scans")] == few


def test_accuracy_says_when_there_is_nothing_to_say(api: Client) -> None:
    body = api.get("/api/v1/signals/accuracy?hours=48").json()
    assert (body["hours"], body["judged"], body["accuracy"], body["quality"]) == (48.0, 0, None, "too few")
    assert body["break_even"] == 0.625
    assert api.get("/api/v1/signals/accuracy?hours=0").status_code == 400
