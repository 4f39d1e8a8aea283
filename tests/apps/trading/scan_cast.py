"""The cast of scans and signals: a node that measures, a path that spikes, and a market of bars."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import count
from threading import Barrier
from typing import Any

from django.db import connection

from apps.core import platform_keys
from apps.trading import scans, targets
from apps.trading.models import Candle, Direction, Scan, ScanTarget, Signal, Source
from apps.trading.scans import ScanReport
from tests.apps.pool.cast import Machine
from workers.protocol.clock import unix_ms
from workers.protocol.envelope import Envelope, KnownKey, open_envelope, sign_envelope
from workers.protocol.ids import new_id

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOST = "api.kraken.com"
BTC = "BTC-USD"
_serial = count()
PATH: list[dict[str, Any]] = [
    {"hop": 1, "ip": "192.168.1.1", "rtt_ms": 0.4},
    {"hop": 2, "ip": None, "rtt_ms": None},
    {"hop": 3, "ip": "9.9.9.1", "rtt_ms": 5.0},
    {"hop": 4, "ip": "9.9.9.2", "rtt_ms": 10.0},
    {"hop": 5, "ip": "1.1.1.1", "rtt_ms": 12.5},
]


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def target(host: str = HOST) -> ScanTarget:
    found = targets.find(host)
    assert found is not None
    return found


def report(**changes: Any) -> ScanReport:
    fields = {
        "host": HOST,
        "vantage": "probe 1",
        "region": "eu",
        "measured_at": NOW,
        "hops": PATH,
        "total_rtt_ms": 12.5,
        **changes,
    }
    return ScanReport(**fields)


def measured(rtts: Sequence[float | None], vantage: str = "probe 1", step_s: int = 60, hops: Any = ()) -> list[Scan]:
    """A series of scans, the last one at NOW."""
    found = []
    for index, rtt in enumerate(rtts):
        at = later(-step_s * (len(rtts) - 1 - index))
        one = report(vantage=vantage, measured_at=at, hops=hops, total_rtt_ms=rtt, method="icmp")
        found.append(scans.ingest(one, Source.LIVE, at))
    return found


def spike(vantage: str = "probe 1") -> list[Scan]:
    """A steady path whose newest scan took far longer."""
    return measured([20.0 + 0.3 * (n % 5) for n in range(30)] + [60.0], vantage)


def signal(**changes: Any) -> Signal:
    fields = {
        "id": new_id("sig", NOW),
        "digest": f"{next(_serial):064d}",
        "kind": "latency_anomaly",
        "pair": BTC,
        "direction": Direction.SHORT,
        "confidence": 0.7,
        "source": Source.LIVE,
        "market_at": NOW,
        "expires_at": later(1800),
        "created_at": NOW,
        **changes,
    }
    return Signal.objects.create(**fields)


def price(at: datetime, close: float, pair: str = BTC, source: str = Source.LIVE) -> Candle:
    """The bar that is complete at `at`."""
    prices = {"open": close, "high": close, "low": close, "close": close, "volume": 1.0}
    keys = {"source": source, "venue": "coinbase", "pair": pair, "opened_at": at - timedelta(seconds=60)}
    return Candle.objects.create(interval_s=60, **keys, **prices)


def text(rtt: float | None) -> str | None:
    return None if rtt is None else f"{rtt:.3f}"


def result_body(scan: str, now: datetime, **changes: Any) -> dict[str, Any]:
    """The body of a node's scan.result."""
    return {
        "scan": scan,
        "host": HOST,
        "method": "udp",
        "address": "1.1.1.1",
        "measured_at": unix_ms(now),
        "hops": [{"hop": h["hop"], "ip": h["ip"], "rtt_ms": text(h["rtt_ms"]), "masked": False} for h in PATH],
        "total_rtt_ms": "12.500",
        "error": None,
        **changes,
    }


def signed(machine: Machine, body: dict[str, Any], now: datetime) -> Envelope:
    """A node's message as the platform has opened it."""
    net = platform_keys.network_id()
    raw = sign_envelope(
        "scan.result", body, key=machine.signing, net=net, sender=machine.node.pk, to="platform", now=now
    )
    known = KnownKey(machine.signing.public, machine.node.pk)
    return open_envelope(
        raw, net=net, to="platform", kinds={"scan.result"}, resolve=lambda _: known, now=now, replay=None
    )


def together(*calls: Callable[[], Any]) -> list[Any]:
    """Every call in a thread of its own, begun at one moment."""
    ready = Barrier(len(calls))

    def one(call: Callable[[], Any]) -> Any:
        try:
            ready.wait()
            return call()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(one, calls))
