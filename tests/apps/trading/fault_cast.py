"""Oracles whose stakes are the ledger's, and evidence that one of them signed twice: true, or wrong in one way."""

from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from django.db import models

from apps.core.models import Event, FaultEvidence, FaultStatus, User
from apps.ledger import accounts, staking
from apps.ledger.audit import rows
from apps.ledger.models import Account, Entry, Hold, Slash, Transfer, authorised_by_platform
from apps.operators.models import (
    Node,
    NodeEvent,
    Notification,
    Operator,
    ReputationChange,
    SlashAppeal,
    SlashCase,
    Stake,
)
from apps.trading import faults, rounds
from apps.trading.models import Round
from tests.apps.pool import cast
from tests.apps.trading import oracles
from tests.apps.trading.oracles import MESH, Voice
from workers.consensus import evidence as proofs
from workers.protocol.clock import utcnow

STAKE = 5_000 * MESH
WALLET = 100 * MESH
VALUE, OTHER = "ab" * 32, "cd" * 32
# The last two tell that something was refused.
ROWS: tuple[type[models.Model], ...] = (
    *(Account, Transfer, Entry, Hold, Slash, SlashCase, SlashAppeal, Stake, Operator, Node, NodeEvent),
    *(ReputationChange, Notification, FaultEvidence, Event),
)


def state() -> list[object]:
    """Every row that a slash could touch."""
    return [sorted(model._default_manager.values_list(), key=repr) for model in ROWS]


def sound() -> bool:
    """Whether the ledger's rows agree."""
    return [check for check in rows.checks() if not check.ok] == []


def staked(name: str) -> Voice:
    """An oracle with the tier's stake on the ledger, and something in the wallet."""
    voice = Voice(oracles.oracle(name))
    owner = voice.machine.node.operator.user
    cast.fund(accounts.wallet(owner), STAKE + WALLET)
    by = authorised_by_platform("test", user=owner.pk)
    staking.stake(owner, STAKE, id=uuid4(), authorisation=by, now=cast.NOW)
    return voice


@dataclass
class Scene:
    """Four oracles in a round; the first is the accused."""

    voices: list[Voice] = field(default_factory=lambda: [staked(name) for name in oracles.NAMES[:4]])
    round: Round = field(init=False)

    def __post_init__(self) -> None:
        self.round = self.another()

    def another(self) -> Round:
        return rounds.start(None, oracles.SUBJECT, oracles.measurements(), utcnow())

    @property
    def twin(self) -> Voice:
        return self.voices[0]

    @property
    def owner(self) -> User:
        return self.twin.machine.node.operator.user

    def vote(self, value: str = VALUE, view: int = 0, **changes: Any) -> dict[str, Any]:
        return self.twin.vote(self.round, value=value, view=view, **changes)

    def evidence(self, **changes: Any) -> dict[str, Any]:
        """True evidence, but for the changes."""
        return proofs.make(self.vote(), self.vote(OTHER)) | changes

    def file(self, evidence: dict[str, Any] | None = None, **fields: Any) -> FaultEvidence:
        """A row, as if the platform had filed it."""
        said = self.evidence() if evidence is None else evidence
        values = {
            "kind": faults.EQUIVOCATION,
            "accused": said.get("signer", self.twin.owner),
            "evidence": said,
            "digest": uuid4().hex * 2,
            "at": utcnow(),
            "status": FaultStatus.PENDING,
        }
        return FaultEvidence.objects.create(**values | fields)


def balances(user: User) -> dict[str, int]:
    """In base units: what is in the wallet, held, at stake, and slashed and not decided."""
    escrow = accounts.escrow(f"slash:{accounts.owner_of(user)}")
    return {
        "wallet": accounts.balance(user),
        "held": accounts.held(user),
        "stake": accounts.stake(user).balance,
        "escrow": escrow.balance,
    }
