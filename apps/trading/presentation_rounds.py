"""What pages show of a consensus round: each oracle's steps, its vote and weight, and how far the signatures reach."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Case, QuerySet, When
from django.utils.translation import gettext as _

from apps.core.models import FaultEvidence
from apps.trading.models import Round, RoundMessage, RoundStatus
from apps.trading.presentation import body, percent, price
from workers.protocol import canonical

STEPS = ("commit", "reveal", "prevote", "precommit")
PRICE_UNITS = 10**8
SHOWN_MESSAGES = 200


@dataclass(frozen=True)
class Mark:
    """One step of one oracle: done, todo, or twice where it signed two different messages."""

    step: str
    state: str
    at: datetime | None = None


@dataclass(frozen=True)
class Oracle:
    """One member's line."""

    owner: str
    name: str
    node: str
    weight: int
    share: str
    marks: list[Mark]
    proposed: bool
    action: str
    confidence: str
    price: str


@dataclass(frozen=True)
class Quorum:
    """How much of the weight, and how many owners, have signed; and what is needed."""

    signed: int
    total: int
    needed: int
    owners: int
    owners_needed: int
    members: int

    @property
    def reached(self) -> bool:
        """Whether both are enough."""
        return self.signed >= self.needed and self.owners >= self.owners_needed


@dataclass(frozen=True)
class Message:
    """One message as it came."""

    signer: str
    step: str
    view: int
    digest: str
    at: datetime
    says: str


@dataclass(frozen=True)
class RoundView:
    """A round as the desk and its own page show it."""

    row: Round
    pair: str
    oracles: list[Oracle]
    quorum: Quorum
    outcome: dict[str, str]
    messages: list[RoundMessage]
    steps: list[str]


def current() -> RoundView | None:
    """The round that is under way, or else the last one."""
    open_first = Case(When(status=RoundStatus.OPEN, then=0), default=1)
    row = Round.objects.select_related("signal").order_by(open_first, "-started_at").first()
    return view(row) if row else None


def recent() -> QuerySet[Round]:
    """Rounds, the newest first, without what is large in them."""
    return Round.objects.select_related("signal").defer("start", "certificate", "members").order_by("-started_at")


def view(row: Round) -> RoundView:
    """The round from its row and messages: one query."""
    messages = list(row.messages.order_by("pk"))
    said = spoken(messages)
    total = sum(int(member["weight"]) for member in row.members) or 1
    oracles = [oracle(member, said[str(member["owner"])], total, row.view) for member in row.members]
    return RoundView(row, pair_of(row), oracles, quorum(row, oracles, said), outcome(row.outcome), messages, heads())


def heads() -> list[str]:
    """The steps in words, in order."""
    return [_("commit"), _("reveal"), _("prevote"), _("precommit")]


def short(identifier: str) -> str:
    """An id cut for a narrow table; its end tells ids apart."""
    return identifier if len(identifier) <= 16 else f"{identifier[:6]}…{identifier[-6:]}"


def pair_of(row: Round) -> str:
    """The pair that the round is about."""
    return row.signal.pair if row.signal else str(row.subject.get("symbol") or row.subject.get("pair") or "")


def spoken(messages: Iterable[RoundMessage]) -> dict[str, list[RoundMessage]]:
    """Messages by their signer."""
    found: dict[str, list[RoundMessage]] = defaultdict(list)
    for message in messages:
        found[message.signer].append(message)
    return found


def oracle(member: dict[str, Any], messages: list[RoundMessage], total: int, at_view: int) -> Oracle:
    """One member and what it has said."""
    revealed = next((body(message.envelope) for message in messages if message.step == "reveal"), {})
    seen = revealed.get("observation") if isinstance(revealed.get("observation"), dict) else {}
    votes = observation(seen or {})
    return Oracle(
        owner=str(member["owner"]),
        name=short(str(member["owner"])),
        node=str(member.get("node", "")),
        weight=int(member["weight"]),
        share=percent(int(member["weight"]) / total),
        marks=[mark(step, messages, at_view) for step in STEPS],
        proposed=any(message.step == "propose" for message in messages),
        action=votes["action"],
        confidence=votes["confidence"],
        price=votes["price"],
    )


def mark(step: str, messages: list[RoundMessage], at_view: int) -> Mark:
    """Whether a step is done; votes count in the round's view, what comes before them in any."""
    votes = step in {"prevote", "precommit"}
    own = [one for one in messages if one.step == step]
    found = [one for one in own if not votes or one.view == at_view]
    if signed_twice(own):
        return Mark(step, "twice")
    return Mark(step, "done", found[0].received_at) if found else Mark(step, "todo")


def signed_twice(messages: list[RoundMessage]) -> bool:
    """Whether two messages of one step say different things in the same view."""
    said: dict[int, set[bytes]] = defaultdict(set)
    for message in messages:
        said[message.view].add(canonical.dumps(body(message.envelope)))
    return any(len(different) > 1 for different in said.values())


def observation(seen: dict[str, Any]) -> dict[str, str]:
    """A vote or outcome in words: confidence from basis points, price from hundred-millionths of a dollar."""
    confidence, paid = seen.get("confidence_bp"), str(seen.get("price") or "")
    return {
        "action": str(seen.get("action") or ""),
        "confidence": f"{int(confidence) / 10_000:.2f}" if isinstance(confidence, int) else "",
        "price": price(int(paid) / PRICE_UNITS) if paid.isdecimal() and int(paid) else "",
    }


def outcome(found: dict[str, Any] | None) -> dict[str, str]:
    """The certified outcome in words; empty before there is one."""
    return observation(found) if found else {}


def quorum(row: Round, oracles: list[Oracle], said: dict[str, list[RoundMessage]]) -> Quorum:
    """Weight and owners that precommitted to one block in the round's view, of what is needed."""
    weights = {one.owner: one.weight for one in oracles}
    backers: dict[str, set[str]] = defaultdict(set)
    for owner in weights:
        for message in said.get(owner, []):
            if message.step == "precommit" and message.view == row.view:
                backers[str(body(message.envelope).get("value") or "")].add(owner)
    backers.pop("", None)
    best = max(backers.values(), key=lambda owners: sum(weights[owner] for owner in owners), default=set())
    total = sum(weights.values())
    return Quorum(
        signed=sum(weights[owner] for owner in best),
        total=total,
        needed=2 * total // 3 + 1,
        owners=len(best),
        owners_needed=2 * len(weights) // 3 + 1,
        members=len(weights),
    )


def said_by(message: RoundMessage) -> str:
    """A message in a few words."""
    found = body(message.envelope)
    shown = found.get({"reveal": "observation", "propose": "outcome"}.get(message.step, ""))
    if isinstance(shown, dict):
        vote = observation(shown)
        return " ".join(filter(None, (vote["action"], vote["confidence"], vote["price"])))
    if message.step in {"prevote", "precommit"} and not found.get("value"):
        return _("nothing: it does not agree in this view")
    return str(found.get("value") or found.get("commitment") or "")[:16]


def detail(row: Round) -> dict[str, Any]:
    """The context of a round's page."""
    shown = view(row)
    return {
        "round": shown,
        "sent": [
            Message(one.signer, one.step, one.view, one.digest, one.received_at, said_by(one))
            for one in shown.messages[:SHOWN_MESSAGES]
        ],
        "more": max(0, len(shown.messages) - SHOWN_MESSAGES),
        "evidence": evidence_in(row),
        "predictions": list(row.predictions.select_related("node").order_by("node__name")),
        "plans": list(row.plans.order_by("created_at")),
        "command": f"mesh verify {row.pk}.certificate.json",
    }


def evidence_in(row: Round) -> list[FaultEvidence]:
    """Cases filed against members for what they signed in this round."""
    return list(FaultEvidence.objects.filter(evidence__round=row.pk).order_by("at")[:100])
