"""Execution's cast: a market of minutes, an agreed signal, and the books of both sides."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

from django.db import transaction
from django.db.models import Sum

from apps.core import parameters
from apps.core.models import User
from apps.trading import execution
from apps.trading.models import (
    Candle,
    Decision,
    Direction,
    Fill,
    Order,
    Plan,
    PlanStatus,
    Position,
    Purpose,
    Round,
    RoundStatus,
    Side,
    Signal,
    Source,
    VenueAccount,
    VenueFill,
    VenueOrder,
    Verdict,
)
from apps.trading.risk import decide_signal
from workers.protocol.ids import new_id

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
BTC, ETH = "BTC-USD", "ETH-USD"
MINUTE = timedelta(minutes=1)
_serial = count()


def at(minutes: float) -> datetime:
    return NOW + timedelta(minutes=minutes)


def bars(pair: str = BTC, first: int = -5, last: int = 30, close: float = 4000.0, **more: float) -> None:
    """Minutes that are complete from `first` to `last` after NOW: two dollars of range and 50 coins each."""
    values = {"open": close, "high": close + 1, "low": close - 1, "close": close, "volume": 50.0} | more
    Candle.objects.bulk_create(
        [
            Candle(source=Source.LIVE, venue="coinbase", pair=pair, interval_s=60, opened_at=at(n) - MINUTE, **values)
            for n in range(first, last + 1)
        ],
        update_conflicts=True,
        unique_fields=["source", "venue", "pair", "interval_s", "opened_at"],
        update_fields=["open", "high", "low", "close", "volume"],
    )


def govern(**values: Any) -> None:
    """Set parameters by their names: risk__capital_cents=3000."""
    for name, value in values.items():
        parameters.set_parameter(name.replace("__", "."), value, actor=None, reason="test", now=NOW)
    parameters.forget_cached()


def signal(now: datetime = NOW, pair: str = BTC, confidence: float = 0.8) -> Signal:
    return Signal.objects.create(
        id=new_id("sig", now),
        digest=f"{next(_serial):064d}",
        kind="latency_anomaly",
        pair=pair,
        direction=Direction.LONG,
        confidence=confidence,
        source=Source.LIVE,
        market_at=now,
        expires_at=now + timedelta(minutes=30),
        created_at=now,
    )


def certified(of: Signal, now: datetime = NOW) -> Round:
    return Round.objects.create(
        id=new_id("rnd", now),
        signal=of,
        status=RoundStatus.CERTIFIED,
        subject={},
        members=[],
        weights_sha256="0" * 64,
        outcome={"action": "BUY", "symbol": of.pair},
        certificate={},
        started_at=now,
        deadline_at=now + MINUTE,
    )


def agreed(usd: Any = None, now: datetime = NOW, pair: str = BTC) -> tuple[Signal, Round, Decimal]:
    """A signal that risk allowed and the oracles certified, and its size; `usd` makes the playbook's size that."""
    if usd is not None:
        cents = int(Decimal(usd) * 100)
        govern(risk__min_trade_cents=cents, risk__playbook__max_trade_cents=cents)
    found = signal(now, pair)
    decision = decide_signal(found, now, now)
    assert decision.verdict == Verdict.ALLOW, decision.reason
    assert decision.size_usd is not None
    return found, certified(found, now), decision.size_usd


def entry(usd: Any = None, price: Any = 4000, now: datetime = NOW, pair: str = BTC) -> Plan:
    """A plan to buy."""
    signal, round_, size = agreed(usd, now, pair)
    return execution.open_entry(signal, round_, size, Side.BUY, Decimal(price), now, now)


def run(minutes: int, first: int = 0) -> None:
    """Let the executor look once a minute."""
    for minute in range(first, first + minutes):
        execution.advance(at(minute), at(minute))


def held(usd: Any = None, price: Any = 4000) -> Position:
    """A position that an entry of one to four minutes bought."""
    plan = entry(usd, price)
    minutes = plan.slices
    run(minutes)
    plan.refresh_from_db()
    assert plan.status == PlanStatus.DONE, plan.reason
    assert plan.position is not None
    return plan.position


def staff() -> User:
    return User.objects.create_user("stella@example.org", "secret", is_staff=True)


def sandbox() -> Iterator[None]:
    """What happens inside is undone, in one connection."""
    outer: Any = transaction.atomic()
    outer._from_testcase = True
    with outer:
        yield
        transaction.set_rollback(True)
    parameters.forget_cached()


def balance(currency: str = "USD") -> Decimal:
    row = VenueAccount.objects.filter(currency=currency).first()
    return row.total if row else Decimal(0)


def check_books() -> None:
    """What must hold after everything, by sums of its own: nothing twice, nothing lost, nothing from nowhere."""
    assert not Order.objects.filter(status__in=["PREPARED", "UNKNOWN", "OPEN"]).exists()
    sent = {row.client_id: row for row in VenueOrder.objects.all()}
    ours = {row.pk: row for row in Order.objects.all()}
    assert sent.keys() <= ours.keys(), "an order that nobody knows of"
    for client_id, row in ours.items():
        there = sent[client_id].filled if client_id in sent else Decimal(0)
        assert row.filled_quantity == there <= row.quantity, "an order filled twice, or a fill lost"
    assert Fill.objects.count() == VenueFill.objects.count()
    for plan in Plan.objects.all():
        total = plan.orders.aggregate(total=Sum("filled_quantity"))["total"] or Decimal(0)
        assert plan.filled_quantity == total <= plan.quantity
    signed = {Side.BUY: 1, Side.SELL: -1}
    coins, spent = dict.fromkeys((BTC, ETH), Decimal(0)), Decimal(0)
    for fill in Fill.objects.select_related("order__plan"):
        sign = signed[Side(fill.order.side)]
        coins[fill.order.plan.pair] += sign * fill.quantity
        spent += sign * fill.quantity * fill.price + fill.fee_usd
    for pair, total in coins.items():
        open_ = Position.objects.filter(pair=pair).aggregate(total=Sum("quantity"))["total"] or Decimal(0)
        assert total == open_ == balance(pair.partition("-")[0]), "coins from nowhere"
    capital = Decimal(parameters.get("risk.capital_cents")) / 100
    if VenueAccount.objects.filter(currency="USD").exists():
        assert abs(balance() - (capital - spent)) < Decimal("1e-9"), "dollars from nowhere"
    bought = Plan.objects.filter(purpose=Purpose.ENTRY)
    for plan in bought:
        allowed = Decision.objects.get(stage="signal", signal=plan.signal).size_usd
        assert allowed is not None
        assert plan.filled_usd <= allowed, "more than was allowed"
