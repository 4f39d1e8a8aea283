"""People's money, holds, stakes, mandates and accounts as a few dictionaries that are copied and tried in every order.

Times are minutes since the scene begins; what lies somewhere is at (kind, person), as in ("wallet", "ada").
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from apps.ledger.amounts import MESH

UNBONDING = 60
TIER = 1_000 * MESH
LEAST = 900 * MESH
REWARD = 10 * MESH


@dataclass
class Held:
    """A hold; `mandate` is the one it was drawn on."""

    payer: str
    amount: int
    due: int
    mandate: UUID | None = None
    settled: int = 0
    released: int = 0
    status: str = "open"

    @property
    def left(self) -> int:
        return self.amount - self.settled - self.released


@dataclass
class Leaving:
    """Stake on its way out."""

    who: str
    amount: int
    due: int
    slashed: int = 0
    status: str = "waiting"

    @property
    def left(self) -> int:
        return self.amount - self.slashed


@dataclass
class Given:
    """A mandate."""

    giver: str
    spender: str
    cap: int
    revoked: bool = False


@dataclass
class World:
    """What the ledger should be. Every act is a method that returns the code it should answer with."""

    now: int = 0
    balance: Counter[tuple[str, str]] = field(default_factory=Counter)
    closed: set[str] = field(default_factory=set)
    nonces: Counter[str] = field(default_factory=Counter)
    obeyed: set[str] = field(default_factory=set)
    staked: defaultdict[str, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    leaving: dict[UUID, Leaving] = field(default_factory=dict)
    faults: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    taken: Counter[str] = field(default_factory=Counter)
    mandates: dict[UUID, Given] = field(default_factory=dict)
    holds: dict[UUID, Held] = field(default_factory=dict)
    done: set[UUID] = field(default_factory=set)
    claimed: set[str] = field(default_factory=set)
    # Whose tier's stake stands, and how: (status, amount). Only operators have one.
    operators: dict[str, tuple[str, int] | None] = field(default_factory=dict)

    def move(self, payer: tuple[str, str], payee: tuple[str, str], units: int) -> None:
        self.balance[payer] -= units
        self.balance[payee] += units

    def has(self, who: str, units: int) -> bool:
        return self.balance["wallet", who] >= units

    def bonded(self, who: str) -> int:
        return self.balance["stake", who] - sum(
            row.left for row in self.leaving.values() if (row.who, row.status) == (who, "waiting")
        )

    def obey(self, who: str, word: str) -> None:
        self.obeyed.add(word)
        self.nonces[who] += 1

    def send(self, who: str, to: str, units: int, word: str, nonce: int) -> str:
        if who in self.closed:
            return "signer_unknown"
        if to in self.closed:
            return "payee_unknown"
        if word in self.obeyed:
            return "exists"
        if nonce != self.nonces[who] + 1:
            return "nonce_wrong"
        if who == to:
            return "same_account"
        if not self.has(who, units):
            return "insufficient_funds"
        self.move(("wallet", who), ("wallet", to), units)
        self.obey(who, word)
        return "created"

    def give(self, key: UUID, given: Given, word: str, nonce: int) -> str:
        if given.giver in self.closed:
            return "signer_unknown"
        if given.spender in self.closed:
            return "payee_unknown"
        if word in self.obeyed:
            return "done"
        if nonce != self.nonces[given.giver] + 1:
            return "nonce_wrong"
        self.mandates[key] = Given(given.giver, given.spender, given.cap)
        self.obey(given.giver, word)
        return "done"

    def revoke(self, key: UUID, who: str) -> str:
        if key not in self.mandates or self.mandates[key].giver != who:
            return "mandate_unknown"
        self.mandates[key].revoked = True
        return "done"

    def used(self, key: UUID) -> int:
        return sum(hold.amount - hold.released for hold in self.holds.values() if hold.mandate == key)

    def draw(self, key: UUID, mandate: UUID, who: str, units: int, due: int) -> str:
        given = self.mandates.get(mandate)
        if given is None or given.spender != who:
            return "mandate_unknown"
        if key not in self.holds:
            if given.revoked or given.giver in self.closed:
                return "mandate_revoked"
            if units > given.cap - self.used(mandate):
                return "mandate_exceeded"
        return self.place(key, given.giver, units, due, mandate)

    def place(self, key: UUID, who: str, units: int, due: int, mandate: UUID | None = None) -> str:
        if key in self.holds:
            return "done"
        if not self.has(who, units):
            return "insufficient_funds"
        self.move(("wallet", who), ("hold", who), units)
        self.holds[key] = Held(who, units, due, mandate)
        return "done"

    def settle(self, key: UUID, leg: UUID, to: str, units: int) -> str:
        hold = self.holds.get(key)
        if hold is None:
            return "hold_unknown"
        if leg in self.done:
            return "done"
        if hold.status != "open":
            return "hold_closed"
        if units > hold.left:
            return "hold_exceeded"
        self.move(("hold", hold.payer), ("wallet", to), units)
        self.done.add(leg)
        hold.settled += units
        if not hold.left:
            hold.status = "settled"
        return "done"

    def void(self, key: UUID) -> str:
        if key not in self.holds:
            return "hold_unknown"
        self.release_hold(self.holds[key], "voided")
        return "done"

    def expirable(self) -> set[UUID]:
        return {key for key, hold in self.holds.items() if hold.status == "open" and hold.due <= self.now}

    def release_hold(self, hold: Held, status: str) -> None:
        if hold.status == "open":
            self.move(("hold", hold.payer), ("wallet", hold.payer), hold.left)
            hold.released, hold.status = hold.left, status

    def review(self, who: str) -> None:
        """How the tier's stake stands, after something was done to it."""
        if who not in self.operators:
            return
        bonded, row = self.bonded(who), self.operators[who]
        if row is None:
            self.operators[who] = ("locked", bonded) if bonded >= TIER else None
        else:
            self.operators[who] = ("locked" if bonded >= LEAST else "short", bonded) if bonded else None

    def lock(self, who: str) -> str:
        if who in self.closed:
            return "not_approved"
        if self.operators[who] is not None:
            return "stake_locked"
        missing = max(0, TIER - self.bonded(who))
        if not self.has(who, missing):
            return "insufficient_funds"
        self.put(who, missing)
        return "done"

    def put(self, who: str, units: int) -> None:
        self.move(("wallet", who), ("stake", who), units)
        self.staked[who].append((self.now, units))
        self.review(who)

    def add(self, key: UUID, who: str, units: int) -> str:
        if who in self.closed:
            return "account_gone"
        if key in self.done:
            return "done"
        if not self.has(who, units):
            return "insufficient_funds"
        self.done.add(key)
        self.put(who, units)
        return "done"

    def take_back(self, key: UUID, who: str, units: int) -> str:
        if key not in self.leaving:
            if units > self.bonded(who):
                return "stake_exceeded"
            self.leaving[key] = Leaving(who, units, self.now + UNBONDING)
        self.review(who)
        return "done"

    def cancel(self, key: UUID) -> str:
        row = self.leaving[key]
        if row.status != "waiting" or row.due <= self.now:
            return "unbonding_over"
        row.status = "cancelled"
        self.review(row.who)
        return "done"

    def release(self, key: UUID) -> str:
        row = self.leaving[key]
        if row.status != "waiting" or row.due > self.now:
            return "not_due"
        row.status = "released"
        self.move(("stake", row.who), ("wallet", row.who), row.left)
        self.staked[row.who].append((self.now, -row.left))
        return "done"

    def slash(self, who: str, fault: str, share: int, at: int) -> str:
        if fault in self.faults:
            return "done" if self.faults[fault] == (who, share, at) else "fault_differs"
        then = sum(units for moment, units in self.staked[who] if moment <= at)
        amount = min(then * share // 10_000, self.balance["stake", who])
        missing = max(0, amount - self.bonded(who))
        self.faults[fault] = (who, share, at)
        self.taken[who] += amount
        self.move(("stake", who), ("escrow", f"slash:{who}"), amount)
        self.staked[who].append((self.now, -amount))
        for _key, row in sorted(self.leaving.items(), key=lambda item: (item[1].due, item[0].int), reverse=True):
            if (row.who, row.status) == (who, "waiting"):
                charged = min(missing, row.left)
                missing -= charged
                row.slashed += charged
                if charged and not row.left:
                    row.status = "slashed"
        return "done"

    def claim(self, who: str) -> str:
        if who in self.closed:
            return "reward_not_earned"
        if who in self.claimed:
            return "faucet_claimed"
        self.claimed.add(who)
        self.balance["wallet", who] += REWARD
        return "done"

    def delete(self, who: str) -> str:
        if who in self.closed:
            return "account_gone"
        if self.operators.get(who) is not None or self.balance["stake", who] or self.taken[who]:
            return "account_staked"
        self.closed.add(who)
        for given in self.mandates.values():
            given.revoked = given.revoked or given.giver == who
        return "done"

    def seen(self) -> dict[str, Any]:
        """All that can be compared with rows."""
        return {
            "balances": {place: units for place, units in self.balance.items() if units},
            "nonces": {who: used for who, used in self.nonces.items() if used},
            "leaving": {key: (row.left, row.status) for key, row in self.leaving.items()},
            "mandates": {key: (given.revoked, self.used(key)) for key, given in self.mandates.items()},
            "holds": {key: (hold.settled, hold.released, hold.status) for key, hold in self.holds.items()},
            "stakes": {who: row for who, row in self.operators.items() if row},
            "closed": set(self.closed),
        }
