"""Our books beside the venue's: at start and from time to time. What differs is told and reduces trading; neither side
is bent to fit the other, and an order that is not ours is never taken for a cancelled one."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import Sum

from apps.core import events, parameters
from apps.trading import execution, positions
from apps.trading.exchange import port
from apps.trading.models import Order, OrderStatus, Position, Reconciliation
from apps.trading.risk import states

RULE = "reconciliation"
NEXT = "Compare the venue's orders with ours; entries go on when the books agree."
CENT = Decimal("0.01")
# Amounts come through floats at most venues: half a unit of the eighth place is no difference.
SAME = Decimal("0.000000005")
LATEST = 1_000


def run(now: datetime, wall: datetime) -> Reconciliation:
    """Ask for undecided orders, then compare orders and balances. A venue that is away is a finding, too."""
    with execution.alone():
        exchange = port.paper(now)
        execution.resolve(exchange, now, wall)
        looked, findings = 0, []
        unknown = Order.objects.filter(status=OrderStatus.UNKNOWN).count()
        if unknown:
            findings.append(f"The outcome of {unknown} orders is unknown.")
        try:
            looked, strange = _orders(exchange)
            findings += strange + ([] if unknown else _balances(exchange))
        except port.errors() as error:
            findings.append(f"The venue cannot be asked: {error}"[:300])
        return _store(exchange.id, looked, findings, now, wall)


def _orders(exchange: Any) -> tuple[int, list[str]]:
    """How many orders the venue has, and which of them, or of their fills, are not in our books."""
    said = {str(order["clientOrderId"]): order for order in exchange.fetch_orders(None, None, LATEST)}
    ours = {row.pk: row for row in Order.objects.filter(pk__in=list(said))}
    findings = []
    for client_id, order in said.items():
        row = ours.get(client_id)
        if row is None:
            findings.append(f"The venue has an order {client_id} that is not ours.")
            continue
        filled = sum((trade.quantity for trade in port.read(order).fills), Decimal(0))
        if filled != row.filled_quantity and row.status not in execution.UNDECIDED:
            findings.append(f"Order {client_id} filled {filled} at the venue and {row.filled_quantity} in our books.")
    return len(said), findings


def _balances(exchange: Any) -> list[str]:
    """Which balances are not what our fills make them."""
    found = exchange.fetch_balance()
    held = Position.objects.filter(closed_at=None).values_list("pair").annotate(total=Sum("quantity"))
    expected = {pair.partition("-")[0]: total for pair, total in held} | {"USD": _cash()}
    findings = []
    for currency in sorted(expected.keys() | found["total"].keys()):
        there = Decimal((found.get("info") or {}).get(currency) or repr(found["total"].get(currency) or 0.0))
        here = expected.get(currency, Decimal(0))
        if abs(there - here) > SAME:
            findings.append(f"The venue holds {there:f} {currency}, our books {here:f}.")
    return findings


def _cash() -> Decimal:
    """Dollars that the venue should hold: the capital, closed results, less what open positions have cost."""
    closed = Position.objects.filter(closed_at__isnull=False).aggregate(usd=Sum("realised_pnl"))["usd"] or Decimal(0)
    return positions.cash(parameters.get("risk.capital_cents") * CENT + closed)


@transaction.atomic(durable=True)
def _store(venue: str, orders: int, findings: list[str], now: datetime, wall: datetime) -> Reconciliation:
    """The record, and what it does to trading. The lock on the state comes first."""
    if findings:
        states.reduce(RULE, f"Our books and the venue's differ: {findings[0]}"[:300], now, wall, NEXT)
    else:
        states.relieve(RULE, "Our books and the venue's agree.", now, wall)
    row = Reconciliation.objects.create(
        venue=venue, ok=not findings, findings=findings, orders=orders, market_at=now, at=wall
    )
    data = {"ok": row.ok, "findings": findings[:10]}
    events.emit("trading.reconciled", subject=venue, topics=["desk"], data=data, now=wall)
    return row
