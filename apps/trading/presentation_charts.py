"""What the candle chart is drawn from: bars as the source gave them, and fills as marks on them."""

import itertools
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Count, Sum
from django.utils.translation import gettext as _

from apps.trading.models import Candle, CandleFault, Fill, Side
from apps.trading.presentation import Market, precision, price

STEPS = ((1, "1 min"), (5, "5 min"), (15, "15 min"))
BARS = 1440
MARKS = 500
FAULTS = 5
BAR = timedelta(seconds=60)

Bar = tuple[int, float, float, float, float, float]


def step_named(value: str | None) -> int:
    """Minutes that one candle stands for."""
    return next((step for step, _word in STEPS if str(step) == value), STEPS[0][0])


def candles(pair: str, step: int, market: Market) -> dict[str, Any]:
    """Complete bars of the pair until market time, with the fills among them.

    {"candles": [[unix s, open, high, low, close, volume]], "orders": [{"time", "side", "label"}], …}. A gap stays one.
    """
    bars, venue = recorded(pair, market)
    drawn = merged(bars, step * 60)
    return {
        "pair": pair,
        "source": market.source,
        "venue": venue,
        "interval_s": step * 60,
        "gaps": gaps(bars),
        "precision": precision(drawn[-1][4]) if drawn else 2,
        "candles": drawn,
        "orders": marks(pair, step * 60, drawn) if drawn else [],
    }


def recorded(pair: str, market: Market) -> tuple[list[Bar], str]:
    """The last one-minute bars of the venue that spoke last, the oldest first; and that venue."""
    known = Candle.objects.filter(source=market.source, pair=pair, interval_s=60, opened_at__lte=market.at - BAR)
    newest = known.order_by("-opened_at").values_list("venue", flat=True).first()
    if newest is None:
        return [], ""
    rows = known.filter(venue=newest).order_by("-opened_at")[:BARS]
    values = rows.values_list("opened_at", "open", "high", "low", "close", "volume")
    return [(int(at.timestamp()), o, h, low, c, v) for at, o, h, low, c, v in reversed(values)], newest


def merged(bars: Iterable[Bar], step_s: int) -> list[Bar]:
    """Bars of `step_s` seconds made from those of a minute; a step without a bar has none."""
    found = []
    for start, group in itertools.groupby(bars, key=lambda bar: bar[0] // step_s * step_s):
        some = list(group)
        highs, lows = [bar[2] for bar in some], [bar[3] for bar in some]
        found.append((start, some[0][1], max(highs), min(lows), some[-1][4], round(sum(bar[5] for bar in some), 8)))
    return found


def gaps(bars: Sequence[Bar]) -> int:
    """How many bars are missing between the first and the last."""
    return (bars[-1][0] - bars[0][0]) // 60 + 1 - len(bars) if bars else 0


def marks(pair: str, step_s: int, drawn: Sequence[Bar]) -> list[dict[str, Any]]:
    """Fills within the bars that are drawn, each on the bar that it happened in."""
    since = datetime.fromtimestamp(drawn[0][0], tz=UTC)
    until = datetime.fromtimestamp(drawn[-1][0] + step_s, tz=UTC)
    fills = Fill.objects.filter(order__plan__pair=pair, market_at__gte=since, market_at__lt=until)
    newest = fills.order_by("-market_at", "-pk").values_list("market_at", "order__side", "price", "order_id")[:MARKS]
    words = {Side.BUY: _("Buy"), Side.SELL: _("Sell")}
    seen: dict[tuple[int, str, str], str] = {}
    for at, side, paid, order in reversed(newest):
        start = int(at.timestamp()) // step_s * step_s
        seen[(start, side, order)] = f"{words[Side(side)]} {price(paid)}"
    ordered = sorted(seen.items(), key=lambda item: item[0][0])
    return [{"time": start, "side": side, "label": label} for (start, side, _order), label in ordered]


def faults(pair: str, market: Market) -> dict[str, Any]:
    """Gaps and bad rows of the pair's market data: how many, and the newest. Nothing is ever filled in their place."""
    known = CandleFault.objects.filter(pair=pair, source=market.source)
    return {"rows": list(known.order_by("-pk")[:FAULTS]), **known.aggregate(count=Count("pk"), bars=Sum("bars"))}
