"""The trading desk's page: one pair's market, and everything that is decided and done."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _

from apps.trading import presentation_charts as charts
from apps.trading import presentation_figures as figures
from apps.trading import presentation_models as models
from apps.trading import presentation_orders as orders
from apps.trading import presentation_rounds as rounds
from apps.trading import presentation_signals as signals
from apps.trading.presentation import Market, frame, price
from apps.trading.risk import facts as risk_facts
from apps.trading.risk import limits as risk_limits

DECISIONS_ON_DESK = 10


@dataclass(frozen=True)
class Control:
    """A change of the state of trading: what is asked before it is done."""

    id: str
    action: str
    title: str
    consequence: str
    button: str
    danger: bool = False


def controls() -> list[Control]:
    """Pause, resume, and stop and flatten, each with its consequence."""
    return [
        Control(
            "pause-trading",
            reverse("trading_pause"),
            _("Pause trading?"),
            _("Nothing new is bought until somebody resumes. Open positions keep their stops and take-profits."),
            _("Pause"),
        ),
        Control(
            "resume-trading",
            reverse("trading_resume"),
            _("Resume trading?"),
            _("Entries are allowed again. Drawdown and accuracy are measured from now on."),
            _("Resume"),
        ),
        Control(
            "flatten-trading",
            reverse("trading_flatten"),
            _("Stop and sell everything?"),
            _(
                "Every open position is sold at what the market pays now, even before its shortest hold, "
                "and nothing is bought until somebody resumes. Losses become real. This cannot be undone."
            ),
            _("Stop and flatten"),
            danger=True,
        ),
    ]


def chosen_pair(query: Mapping[str, str], pairs: tuple[str, ...]) -> str:
    """The pair that the URL asks for, or the first."""
    return query.get("pair", "") if query.get("pair") in pairs else (pairs[0] if pairs else "")


def desk(user: Any, query: Mapping[str, str], wall: datetime) -> dict[str, Any]:
    """The context of the desk; the number of queries does not grow with the rows."""
    context = frame(user, wall)
    market: Market = context["market"]
    limits = risk_limits.current()
    pairs = limits.allowed_pairs
    pair = chosen_pair(query, pairs)
    facts = risk_facts.gather(pair, market.at, limits=limits)
    return context | {
        "pairs": pairs,
        "pair": pair,
        "step": charts.step_named(query.get("step")),
        "steps": charts.STEPS,
        "last_price": price(facts.price.usd) if facts.price else "",
        "last_at": facts.price.at if facts.price else None,
        "faults": charts.faults(pair, market),
        "models": models.served(),
        "figures": figures.figures(facts, limits, market),
        "curve": figures.curve(market),
        "limits": figures.risk_limits(facts, limits, pair),
        "profile": limits.profile,
        "bands": figures.bands(facts, limits),
        "round": rounds.current(),
        "signals": signals.recent(),
        "decisions": signals.decisions(query, DECISIONS_ON_DESK),
        "decisions_url": reverse("trading"),
        "decisions_kept": {"pair": query.get("pair", ""), "step": query.get("step", "")},
        "positions": orders.open_positions(facts, figures.last_prices(facts)),
        "closed": orders.closed_positions(),
        "plans": orders.recent_plans(),
        "books": orders.books(),
    }
