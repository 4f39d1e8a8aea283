"""Risk's cast: a market of three pairs, signals, and what execution makes of them, as rows."""

from datetime import UTC, datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from itertools import count
from typing import Any

from apps.core import parameters
from apps.core.models import User
from apps.trading.models import (
    Candle,
    Decision,
    Direction,
    Outcome,
    Plan,
    PlanStatus,
    Position,
    Purpose,
    Round,
    RoundStatus,
    Side,
    Signal,
    SignalStatus,
    Source,
    StateChange,
)
from apps.trading.risk import exit_prices, limits
from workers.protocol.ids import new_id

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
BTC, ETH, SOL = PAIRS = ("BTC-USD", "ETH-USD", "SOL-USD")
PLAYBOOK, INSTITUTIONAL = (
    limits.of(profile, lambda name: parameters.PARAMETERS[name].default) for profile in ("playbook", "institutional")
)
FEE = Decimal("0.001")
_serial = count()


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def bar(pair: str, close: float, now: datetime, low: float | None = None) -> Candle:
    """The bar that is complete at `now`."""
    opened = now - timedelta(seconds=60)
    prices = {"open": close, "high": close, "low": low or close, "close": close, "volume": 1.0}
    keys = {"source": Source.LIVE, "venue": "paper", "pair": pair, "interval_s": 60, "opened_at": opened}
    return Candle.objects.update_or_create(**keys, defaults=prices)[0]


def market(now: datetime = NOW, close: float = 100.0) -> None:
    for pair in PAIRS:
        bar(pair, close, now)


def signal(confidence: float = 0.70, now: datetime = NOW, **more: Any) -> Signal:
    fields = {
        "id": new_id("sig", now),
        "digest": f"{next(_serial):064d}",
        "kind": "latency_anomaly",
        "pair": BTC,
        "direction": Direction.LONG,
        "confidence": confidence,
        "source": Source.LIVE,
        "market_at": now,
        "expires_at": now + timedelta(minutes=30),
        "created_at": now,
    }
    return Signal.objects.create(**fields | more)


def certified(of: Signal, now: datetime = NOW) -> Round:
    action = "BUY" if of.direction == Direction.LONG else "SELL"
    return Round.objects.create(
        id=new_id("rnd", now),
        signal=of,
        status=RoundStatus.CERTIFIED,
        subject={},
        members=[],
        weights_sha256="0" * 64,
        outcome={"action": action, "symbol": of.pair},
        certificate={},
        started_at=now,
        deadline_at=now + timedelta(seconds=60),
    )


def plan(of: Signal, decision: Decision, now: datetime = NOW, price: Decimal = Decimal(100)) -> Plan:
    """The entry of an allowed signal, bought at its limit price at the most."""
    assert decision.size_usd is not None
    row = Plan.objects.create(
        id=new_id("pln", now),
        purpose=Purpose.ENTRY,
        signal=of,
        round=certified(of, now),
        pair=of.pair,
        side=Side.BUY,
        quantity=(decision.size_usd / price).quantize(Decimal("1e-8"), ROUND_DOWN),
        limit_price=price,
        status=PlanStatus.RUNNING,
        starts_at=now,
        created_at=now,
    )
    Signal.objects.filter(pk=of.pk).update(status=SignalStatus.ACTED, reason="acted on", taken_at=now)
    return row


def buy(row: Plan, quantity: Decimal, price: Decimal, now: datetime) -> Position:
    """A fill of an entry plan."""
    usd = quantity * price
    Plan.objects.filter(pk=row.pk).update(
        filled_quantity=row.filled_quantity + quantity, filled_usd=row.filled_usd + usd
    )
    row.refresh_from_db()
    if row.filled_quantity == row.quantity:
        Plan.objects.filter(pk=row.pk).update(status=PlanStatus.DONE, finished_at=now)
    held = Position.objects.filter(signal=row.signal).first()
    if held is None:
        return position(row.pair, quantity, price, now, signal=row.signal)
    held.quantity += quantity
    held.cost_usd += usd
    held.fees_usd += usd * FEE
    held.save()
    return held


def position(pair: str = BTC, quantity: Any = "0.01", price: Any = 100, now: datetime = NOW, **more: Any) -> Position:
    quantity, price = Decimal(quantity), Decimal(price)
    profit, stop = exit_prices(price)
    fields = {
        "id": new_id("pos", now),
        "pair": pair,
        "quantity": quantity,
        "cost_usd": quantity * price,
        "fees_usd": quantity * price * FEE,
        "entry_price": price,
        "take_profit": profit,
        "stop_loss": stop,
        "opened_at": now,
    }
    return Position.objects.create(**fields | more)


def sell(held: Position, price: Any, now: datetime, reason: str = "test") -> Position:
    """All of a position, sold at one price."""
    proceeds = held.quantity * Decimal(price)
    held.fees_usd += proceeds * FEE
    held.proceeds_usd += proceeds
    held.quantity = Decimal(0)
    held.realised_pnl = held.proceeds_usd - held.cost_usd - held.fees_usd
    held.closed_at, held.exit_reason = now, reason
    held.save()
    return held


def lost(usd: Any, now: datetime = NOW, pair: str = SOL) -> Position:
    """A position that was closed with this result."""
    row = position(pair, 1, 100, now - timedelta(hours=3))
    row.quantity, row.realised_pnl, row.closed_at = Decimal(0), -Decimal(usd), now - timedelta(hours=2)
    row.save()
    return row


def exit_plan(of: Position, now: datetime, status: str = PlanStatus.RUNNING) -> Plan:
    return Plan.objects.create(
        id=new_id("pln", now),
        purpose=Purpose.EXIT,
        signal=of.signal,
        position=of,
        pair=of.pair,
        side=Side.SELL,
        quantity=of.quantity,
        limit_price=1,
        status=status,
        starts_at=now,
        created_at=now,
    )


def judged(right: int, wrong: int, at: datetime) -> None:
    for n in range(right + wrong):
        of = signal(now=at - timedelta(hours=1), status=SignalStatus.EXPIRED, reason="expired")
        Outcome.objects.create(
            signal=of, entry_price=1, exit_price=1, pnl=0, pnl_after_fees=0, correct=n < right, judged_at=at
        )


def staff(email: str = "stella@example.org") -> User:
    return User.objects.create_user(email, "secret", is_staff=True)


def changes() -> list[tuple[str, str, str]]:
    return [(one.old, one.new, one.rule) for one in StateChange.objects.order_by("pk")]
