"""Rows of trading for the tests of its pages: a market, oracles, a plan and paths, as few as a page needs."""

import hashlib
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from apps.core.models import FaultEvidence, FaultStatus
from apps.trading import market_time
from apps.trading.models import (
    Candle,
    CandleFault,
    Decision,
    EquityMark,
    Fill,
    Order,
    Outcome,
    Plan,
    Position,
    Prediction,
    Round,
    RoundMessage,
    Scan,
    ScanTarget,
    Signal,
    TrainedModel,
)
from workers.consensus import evidence as proofs
from workers.protocol.canonical import dumps
from workers.protocol.envelope import sign_document
from workers.protocol.ids import new_id
from workers.protocol.keys import SigningKey, b64

WALL = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
NOW = datetime(2020, 10, 2, 11, 59, tzinfo=UTC)
LABEL = (
    "Replay: RIPE Atlas pings of 2020 beside Bitcoin candles of 2019. "
    "Recordings of different days are joined to show the machinery; the P&L means nothing."
)
MINUTE = timedelta(minutes=1)
OWNERS = ("ada", "bert", "cleo", "dora", "emil")
KEYS = {name: SigningKey.generate() for name in OWNERS}
STEPS = ("commit", "reveal", "prevote", "precommit")
SEEN = {"symbol": "BTC-USD", "action": "BUY", "horizon_s": 900, "confidence_bp": 7100, "price": str(10_700 * 10**8)}


def replay() -> None:
    """The market's time is a recording's, at NOW."""
    market_time.start_replay(LABEL, NOW, NOW + timedelta(hours=8), WALL)


def candles(count: int = 90, pair: str = "BTC-USD", until: datetime = NOW, leave_out: set[int] | None = None) -> None:
    """Bars that end at `until`; those numbered in `leave_out` are missing."""
    bars = []
    for index in range(count):
        if index in (leave_out or set()):
            continue
        base = 10_700 + 25 * ((index * 7919) % 13 - 6) / 6 + index / 3
        bars.append(
            Candle(
                source="replay",
                venue="bitfinex",
                pair=pair,
                opened_at=until - (count - index) * MINUTE,
                open=base,
                high=base + 6,
                low=base - 5,
                close=base + (3 if index % 2 else -3),
                volume=1 + index % 5,
            )
        )
    Candle.objects.bulk_create(bars)


def target(
    host: str = "api.coinbase.com", pairs: tuple[str, ...] = ("BTC-USD",), category: str = "exchange"
) -> ScanTarget:
    return ScanTarget.objects.create(host=host, category=category, pairs=list(pairs))


def path(route: int = 0, rtt: float | None = 21.5) -> list[dict[str, Any]]:
    """Five hops: a masked one, a silent one, and three that answer; `route` moves the fourth."""
    return [
        {"hop": 1, "ip": None, "rtt_ms": 0.6, "masked": True},
        {"hop": 2, "ip": "198.51.100.1", "rtt_ms": 4.25, "masked": False},
        {"hop": 3, "ip": None, "rtt_ms": None, "masked": False},
        {"hop": 4, "ip": f"203.0.113.{10 + route}", "rtt_ms": 12.5, "masked": False},
        {"hop": 5, "ip": "192.0.2.9", "rtt_ms": rtt, "masked": False},
    ]


def scan(host: ScanTarget, at: datetime, rtt: float | None = 21.5, route: int = 0, vantage: str = "probe 6031") -> Scan:
    hops = path(route, rtt)
    return Scan.objects.create(
        id=new_id("scn", at),
        target=host,
        source="replay",
        vantage=vantage,
        region="fra",
        measured_at=at,
        received_at=WALL,
        total_rtt_ms=rtt,
        hops=hops,
        route_sha256=hashlib.sha256(str(route).encode()).hexdigest(),
        recording="RIPE Atlas 23449934",
    )


def signal(at: datetime = NOW, pair: str = "BTC-USD", **fields: Any) -> Signal:
    identity = new_id("sig", at)
    known = {"kind": "latency_anomaly", "direction": "LONG", "confidence": 0.71, "source": "replay"}
    return Signal.objects.create(
        id=identity,
        digest=hashlib.sha256(identity.encode()).hexdigest(),
        pair=pair,
        market_at=at,
        expires_at=at + timedelta(minutes=30),
        created_at=WALL,
        **(known | fields),
    )


def outcome(of: Signal, pnl: float) -> Outcome:
    return Outcome.objects.create(
        signal=of,
        entry_price=10_700,
        exit_price=10_700 * (1 + pnl),
        pnl=pnl,
        pnl_after_fees=pnl - 0.002,
        correct=pnl > 0,
        judged_at=NOW,
    )


def decision(rule: str, verdict: str = "REFUSE", **fields: Any) -> Decision:
    known = {
        "stage": "signal",
        "pair": "BTC-USD",
        "reason": f"The rule {rule} said so.",
        "inputs": {"price_usd": "10700", "slots": 0},
        "thresholds": {"max_open": 3},
        "checks": [
            {"rule": "pair", "ok": True, "reason": "BTC-USD may be entered.", "inputs": {}, "thresholds": {}},
            {"rule": rule, "ok": verdict == "ALLOW", "reason": "So it is.", "inputs": {"n": 1}, "thresholds": {"n": 2}},
        ],
    }
    return Decision.objects.create(
        id=new_id("dec", WALL),
        verdict=verdict,
        rule=rule,
        profile="playbook",
        inputs_sha256="ab" * 32,
        market_at=NOW,
        created_at=WALL,
        **(known | fields),
    )


def document(kind: str, body: dict[str, Any]) -> dict[str, Any]:
    """A message in the form in which it is stored; its signature is nobody's business here."""
    payload = {"v": 1, "net": "test", "kid": "k", "kind": kind, "issued_at": 0, "body": body}
    return {"payloadType": kind, "payload": b64(dumps(payload)), "signatures": [{"keyid": "k", "sig": "c2ln"}]}


def a_round(of: Signal | None = None, **fields: Any) -> Round:
    members = [
        {
            "owner": f"op_{name}",
            "node": f"node_{name}",
            "kid": KEYS[name].kid,
            "public": b64(KEYS[name].public),
            "weight": 5000 * (40 + 5 * place),
        }
        for place, name in enumerate(OWNERS)
    ]
    return Round.objects.create(
        id=new_id("rnd", WALL),
        signal=of,
        subject={"symbol": "BTC-USD"},
        members=members,
        weights_sha256="cd" * 32,
        started_at=WALL,
        deadline_at=WALL + MINUTE,
        **fields,
    )


def says(of: Round, name: str, step: str, **body: Any) -> RoundMessage:
    """One message of an oracle; a step that differs in its body is another message."""
    full: dict[str, Any] = {"round": of.pk, "view": 0, "step": step, "signer": f"op_{name}"} | body
    envelope = document(f"consensus.{step}", full)
    return RoundMessage.objects.create(
        round=of,
        signer=f"op_{name}",
        step=step,
        view=full["view"],
        digest=hashlib.sha256(dumps(full)).hexdigest(),
        envelope=envelope,
        received_at=WALL,
    )


def votes(of: Round, names: tuple[str, ...] = OWNERS, steps: tuple[str, ...] = STEPS) -> None:
    """Those oracles go through those steps and agree to buy."""
    for name in names:
        for step in steps:
            body: dict[str, Any] = {"observation": SEEN} if step == "reveal" else {"value": "ef" * 32}
            says(of, name, step, **(body | ({"commitment": name * 8} if step == "commit" else {})))


def certified(of: Signal | None = None) -> Round:
    found = {
        "symbol": "BTC-USD",
        "action": "BUY",
        "horizon_s": 900,
        "confidence_bp": 7100,
        "price": str(10_700 * 10**8),
    }
    row = a_round(
        of, status="CERTIFIED", outcome=found, certificate={"net": "test", "outcome": found}, finished_at=WALL
    )
    votes(row)
    return row


def signed_twice(of: Round, name: str) -> FaultEvidence:
    """A case with true signatures, as it is filed; nothing is judged here."""
    first = says(of, name, "prevote", value="00" * 32)
    place = {"round": of.pk, "signer": f"op_{name}", "step": "prevote", "view": 0}
    both = [
        sign_document("consensus.prevote", {**place, "value": value * 32}, key=KEYS[name], net="test", now=WALL)
        for value in ("00", "ef")
    ]
    return FaultEvidence.objects.create(
        kind="consensus.equivocation",
        accused=f"op_{name}",
        evidence=proofs.make(*both),
        digest=first.digest,
        at=WALL + MINUTE,
        status=FaultStatus.PENDING,
    )


def prediction(of: Round, **fields: Any) -> Prediction:
    known = {"action": "BUY", "confidence": 0.71, "price": 10_700.0, "target_price": 10_753.5, "stop_loss": None}
    return Prediction.objects.create(
        id=new_id("prd", WALL),
        round=of,
        symbol="BTC-USD",
        horizon_s=900,
        features_sha256="aa" * 32,
        model="btc-direction",
        version="1",
        reasoning="The baseline serves.",
        market_at=NOW,
        **(known | fields),
    )


def plan(of: Signal | None = None, **fields: Any) -> Plan:
    known = {"purpose": "ENTRY", "side": "BUY", "status": "RUNNING", "slices": 3}
    return Plan.objects.create(
        id=new_id("pln", WALL),
        signal=of,
        pair="BTC-USD",
        quantity=Decimal("0.0003"),
        limit_price=Decimal("10710"),
        filled_quantity=Decimal("0.0001"),
        filled_usd=Decimal("1.0702"),
        fees_usd=Decimal("0.0011"),
        starts_at=NOW,
        created_at=WALL,
        **(known | fields),
    )


def order(of: Plan, number: int = 0, at: datetime = NOW - 5 * MINUTE, price: str = "10702") -> Order:
    row = Order.objects.create(
        id=hashlib.sha256(f"{of.pk}{number}".encode()).hexdigest(),
        plan=of,
        slice=number,
        side=of.side,
        quantity=Decimal("0.0001"),
        limit_price=Decimal("10710"),
        status="FILLED",
        venue_order_id=f"paper-{number}",
        filled_quantity=Decimal("0.0001"),
        filled_usd=Decimal(price) / 10_000,
        fee_usd=Decimal("0.0011"),
        market_at=at,
        prepared_at=WALL,
    )
    Fill.objects.create(
        order=row,
        venue_fill_id=f"{row.pk[:12]}-1",
        quantity=Decimal("0.0001"),
        price=Decimal(price),
        fee_usd=Decimal("0.0011"),
        market_at=at,
    )
    return row


def position(of: Signal | None = None, **fields: Any) -> Position:
    known = {"quantity": Decimal("0.0001"), "cost_usd": Decimal("1.07"), "opened_at": NOW - 10 * MINUTE}
    return Position.objects.create(
        id=new_id("pos", WALL),
        pair="BTC-USD",
        signal=of,
        entry_price=Decimal("10700"),
        take_profit=Decimal("10753.5"),
        stop_loss=Decimal("10667.9"),
        **(known | fields),
    )


def closed(pnl: str) -> Position:
    return position(quantity=Decimal(0), closed_at=NOW - MINUTE, realised_pnl=Decimal(pnl), exit_reason="take_profit")


def equity(count: int = 20) -> None:
    EquityMark.objects.bulk_create(
        EquityMark(
            market_at=NOW - (count - index) * MINUTE,
            equity_usd=Decimal(13) + Decimal(index) / 1000,
            pnl_usd=Decimal(index) / 1000,
            exposure_usd=Decimal(1),
        )
        for index in range(count)
    )


def fault(pair: str = "BTC-USD", bars: int = 3) -> CandleFault:
    return CandleFault.objects.create(
        source="replay",
        venue="bitfinex",
        pair=pair,
        fault="gap",
        opened_at=NOW - 30 * MINUTE,
        bars=bars,
        detail=f"{bars} bars are missing.",
        seen_at=WALL,
    )


def model(objective: str = "semivariance", sharpe: float = 0.31, **fields: Any) -> TrainedModel:
    known = {"reason": "It does not beat its baseline out of sample.", "serving": False}
    return TrainedModel.objects.create(
        id=new_id("tmd", WALL),
        name="btc-direction",
        objective=objective,
        pair="BTC-USD",
        horizon_s=900,
        sha256="aa" * 32,
        size=10,
        metrics={"sharpe": sharpe, "hit_rate": 0.51},
        baseline={"sharpe": 0.4, "hit_rate": 0.5},
        permutation_p=0.4,
        parity=0.0,
        confidence_bp=5000,
        data_label="Bitfinex BTC-USD, 1-minute bars",
        data_sha256="bb" * 32,
        rows=1382,
        seed=7,
        trained_at=WALL,
        **(known | fields),
    )


def full_stage() -> dict[str, Any]:
    """Everything once: what a page shows when there is something of all."""
    replay()
    candles()
    host = target()
    target("api.kraken.com", ("BTC-USD", "ETH-USD"))
    for index in range(40):
        scan(host, NOW - (40 - index) * 15 * MINUTE, 21.5 + index % 7 if index % 9 else None, route=int(index > 30))
    seen = signal(
        target=host, vantage="probe 6031", details={"z": "3.1", "window": 50}, status="ACTED", reason="Bought."
    )
    weak = signal(
        NOW - MINUTE, kind="route_change", direction="SHORT", confidence=0.58, status="PASSED", reason="no trade"
    )
    signal(NOW - 2 * MINUTE, "ETH-USD", kind="composite", confidence=0.93)
    outcome(weak, 0.004)
    agreed = certified(seen)
    case = signed_twice(agreed, "emil")
    buying = plan(seen, round=agreed)
    order(buying)
    order(buying, 1, NOW - 3 * MINUTE, "10704")
    allowed = decision("allowed", "ALLOW", signal=seen, size_usd=Decimal(1))
    decision("no_short", signal=weak)
    position(seen)
    closed("0.004")
    closed("-0.003")
    equity()
    fault()
    model("baseline", 0.4, serving=True, reason="No model beats it, so that the baseline serves.")
    model()
    return {"signal": seen, "round": agreed, "plan": buying, "decision": allowed, "target": host, "evidence": case}
