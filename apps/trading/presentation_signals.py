"""What pages show of signals and of what risk decided about them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from apps.trading.models import Decision, Round, Signal, SignalKind, SignalStatus, Verdict
from apps.trading.presentation import Listing, Offered, filters, listing, percent, tone, usd, used
from workers.kernels.detection import band

ON_DESK = 10


@dataclass(frozen=True)
class SignalRow:
    """One signal's line."""

    id: str
    kind: str
    pair: str
    direction: str
    confidence: str
    band: str
    host: str
    source: str
    status: str
    word: str
    reason: str
    market_at: datetime
    expires_at: datetime
    round: str
    result: str
    tone: str

    @classmethod
    def of(cls, signal: Signal) -> "SignalRow":
        """The line of a signal that came with target, outcome and round."""
        outcome = getattr(signal, "outcome", None)
        known: Round | None = getattr(signal, "round", None)
        return cls(
            id=signal.pk,
            kind=signal.get_kind_display(),
            pair=signal.pair,
            direction=signal.direction,
            confidence=f"{signal.confidence:.2f}",
            band=band(signal.confidence) or "",
            host=signal.target.host if signal.target else "",
            source=signal.source,
            status=signal.status,
            word=signal.get_status_display(),
            reason=signal.reason,
            market_at=signal.market_at,
            expires_at=signal.expires_at,
            round=known.pk if known else "",
            result=f"{100 * outcome.pnl_after_fees:+.2f} %" if outcome else "",
            tone=tone(outcome.pnl_after_fees) if outcome else "",
        )


@dataclass(frozen=True)
class Check:
    """One rule's answer within a decision."""

    rule: str
    ok: bool
    reason: str
    inputs: str
    thresholds: str


def related() -> QuerySet[Signal]:
    """Signals with what their lines show, in one query."""
    rows = Signal.objects.select_related("target", "outcome", "round")
    return rows.defer("details", "round__start", "round__certificate", "round__members", "round__subject")


def recent() -> list[SignalRow]:
    """The newest signals."""
    return [SignalRow.of(signal) for signal in related().order_by("-market_at", "-pk")[:ON_DESK]]


def signals(query: Mapping[str, str]) -> Listing:
    """One page of signals, filtered by status, kind and pair."""
    known: list[Offered] = [
        ("status", _("Status"), _("Any status"), SignalStatus.choices),
        ("kind", _("Kind"), _("Any kind"), SignalKind.choices),
        ("pair", _("Pair"), _("Any pair"), used(Signal.objects.all(), "pair")),
    ]
    found = listing(related().order_by("-market_at", "-pk"), filters(known, query), query.get("page"))
    found.page.object_list = [SignalRow.of(signal) for signal in found.page.object_list]
    return found


def decisions(query: Mapping[str, str], per_page: int) -> Listing:
    """One page of decisions, filtered by rule, verdict and stage."""
    stages = [("signal", _("signal")), ("order", _("order")), ("exit", _("exit"))]
    known: list[Offered] = [
        ("rule", _("Rule"), _("Any rule"), used(Decision.objects.all(), "rule")),
        ("verdict", _("Verdict"), _("Any verdict"), Verdict.choices),
        ("stage", _("Stage"), _("Any stage"), stages),
    ]
    rows = Decision.objects.defer("inputs", "thresholds", "checks").order_by("-created_at", "-pk")
    return listing(rows, filters(known, query), query.get("page"), per_page)


def decision(row: Decision) -> dict[str, Any]:
    """The context of a decision's page: every rule that was asked, what it saw, and its threshold."""
    return {
        "decision": row,
        "size": usd(row.size_usd) if row.size_usd is not None else "",
        "checks": [check(one) for one in row.checks if isinstance(one, dict)],
        "inputs": pairs(row.inputs),
        "thresholds": pairs(row.thresholds),
    }


def check(found: dict[str, Any]) -> Check:
    """One rule's answer in words."""
    return Check(
        rule=str(found.get("rule", "")),
        ok=bool(found.get("ok")),
        reason=str(found.get("reason", "")),
        inputs=", ".join(f"{name} {value}" for name, value in pairs(found.get("inputs") or {})),
        thresholds=", ".join(f"{name} {value}" for name, value in pairs(found.get("thresholds") or {})),
    )


def pairs(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names and values, in words and numbers."""
    return [
        (name.replace("_", " "), value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for name, value in found.items()
    ]


def signal(row: Signal) -> dict[str, Any]:
    """The context of a signal's page: what was measured, what was decided, and what came of it."""
    outcome = getattr(row, "outcome", None)
    return {
        "signal": row,
        "line": SignalRow.of(row),
        "details": pairs(row.details),
        "outcome": outcome,
        "pnl": percent(outcome.pnl, 3) if outcome else "",
        "after_fees": percent(outcome.pnl_after_fees, 3) if outcome else "",
        "decisions": list(row.decisions.defer("inputs", "thresholds", "checks").order_by("-created_at")),
        "plans": list(row.plans.order_by("created_at")),
    }
