"""Orders, stakes, epochs, escrow and mandates as a few dictionaries: what the real ledger is compared with.

Time is in minutes since the scene begins. Accounts are named by kind and person, such as ("stake", "ada").
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from fractions import Fraction

from apps.ledger.amounts import MAX_SUPPLY, MESH

UNBONDING = 60
APPEAL = ESCROW = 7 * 24 * 60
POOL = 432_000 * MESH
Account = tuple[str, str]


@dataclass
class Leaving:
    """Stake on its way out."""

    who: str
    amount: int
    due: int
    slashed: int = 0
    status: str = "waiting"

    @property
    def remaining(self) -> int:
        return self.amount - self.slashed


@dataclass
class Fault:
    """A slash."""

    who: str
    share: int
    at: int
    amount: int
    final: int
    status: str = "escrowed"


@dataclass
class Given:
    """A mandate, with the holds that were drawn on it: (amount, settled, open)."""

    giver: str
    spender: str
    cap: int
    expires: int
    revoked: bool = False
    draws: list["Drawn"] = field(default_factory=list)

    @property
    def used(self) -> int:
        return sum(draw.settled + draw.left for draw in self.draws)


@dataclass
class Drawn:
    """A hold of a mandate."""

    left: int
    settled: int = 0


@dataclass(frozen=True)
class Part:
    """A node's part in an epoch, and whether it is new."""

    who: str
    weight: int
    is_new: bool


class Money:
    """The whole of it."""

    def __init__(self) -> None:
        self.now = 0
        self.balance: Counter[Account] = Counter()
        self.orders: dict[tuple[str, str, str], tuple[object, ...]] = {}
        self.nonces: Counter[str] = Counter()
        self.leaving: list[Leaving] = []
        self.staked: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
        self.faults: dict[str, Fault] = {}
        self.epochs: dict[int, int] = {}
        self.deposits: defaultdict[str, list[list[int]]] = defaultdict(list)
        self.mandates: dict[str, Given] = {}

    def move(self, payer: Account, payee: Account, units: int) -> None:
        self.balance[payer] -= units
        self.balance[payee] += units

    @property
    def minted(self) -> int:
        return -self.balance["mint", "system"]

    def bonded(self, who: str) -> int:
        waiting = sum(row.remaining for row in self.leaving if (row.who, row.status) == (who, "waiting"))
        return self.balance["stake", who] - waiting

    def order(self, purpose: str, who: str, word: str, content: tuple[object, ...], nonce: int) -> str:
        """`new`, `same`, or the code that refuses it; a new one is not kept before what it orders is done."""
        known = self.orders.get((purpose, who, word))
        if known is not None:
            return "same" if known == content else "other"
        return "new" if nonce == self.nonces[who] + 1 else "nonce_wrong"

    def keep(self, purpose: str, who: str, word: str, content: tuple[object, ...]) -> None:
        self.orders[purpose, who, word] = content
        self.nonces[who] += 1

    def send(self, who: str, to: str, units: int, word: str, nonce: int) -> str:
        if units == 0:
            return "amount_not_positive"
        standing = self.order("transfer", who, word, (to, units), nonce)
        if standing == "same":
            return "exists"
        if standing == "other":
            old_to, _ = self.orders["transfer", who, word]
            if who == to:
                return "same_account"
            return f"exists_with_different_{'credit' if old_to != to else 'amount'}"
        if standing == "nonce_wrong":
            return standing
        if who == to:
            return "same_account"
        if self.balance["wallet", who] < units:
            return "insufficient_funds"
        self.move(("wallet", who), ("wallet", to), units)
        self.keep("transfer", who, word, (to, units))
        return "created"

    def stake(self, who: str, units: int) -> str:
        if self.balance["wallet", who] < units:
            return "insufficient_funds"
        self.move(("wallet", who), ("stake", who), units)
        self.staked[who].append((self.now, units))
        return "done"

    def unstake(self, who: str, units: int) -> str:
        if units > self.bonded(who):
            return "stake_exceeded"
        self.leaving.append(Leaving(who, units, self.now + UNBONDING))
        return "done"

    def cancel(self, row: Leaving) -> str:
        if row.status != "waiting" or row.due <= self.now:
            return "unbonding_over"
        row.status = "cancelled"
        return "done"

    def slash(self, who: str, fault: str, share: int, at: int) -> str:
        if known := self.faults.get(fault):
            return "done" if (known.who, known.share, known.at) == (who, share, at) else "fault_differs"
        then = sum(units for moment, units in self.staked[who] if moment <= at)
        amount = min(then * share // 10_000, self.balance["stake", who])
        missing = max(0, amount - self.bonded(who))
        self.move(("stake", who), ("escrow", f"slash:{who}"), amount)
        self.staked[who].append((self.now, -amount))
        self.faults[fault] = Fault(who, share, at, amount, self.now + APPEAL)
        # Those that have longest to go pay first; among equals, any of them would do, so the sum is compared.
        for row in sorted(self.leaving, key=lambda row: -row.due):
            if (row.who, row.status) == (who, "waiting"):
                taken = min(missing, row.remaining)
                missing -= taken
                row.slashed += taken
                if taken and not row.remaining:
                    row.status = "slashed"
        return "done"

    def pass_time(self, minutes: int) -> None:
        """Time passes, and what is due is done."""
        self.now += minutes
        for row in self.leaving:
            if row.status == "waiting" and row.due <= self.now:
                row.status = "released"
                self.move(("stake", row.who), ("wallet", row.who), row.remaining)
                self.staked[row.who].append((self.now, -row.remaining))
        for fault in self.faults.values():
            if fault.status == "escrowed" and fault.final <= self.now:
                fault.status = "executed"
                self.move(("escrow", f"slash:{fault.who}"), ("burn", "system"), fault.amount // 2)
                self.move(("escrow", f"slash:{fault.who}"), ("treasury", "system"), fault.amount - fault.amount // 2)
        for who, deposits in self.deposits.items():
            for deposit in deposits:
                if deposit[0] + ESCROW <= self.now:
                    self.move(("escrow", who), ("wallet", who), deposit[1])
            self.deposits[who] = [deposit for deposit in deposits if deposit[0] + ESCROW > self.now]

    def close(self, day: int, parts: list[Part]) -> int:
        """Settle a day; what was minted."""
        if day in self.epochs:
            return self.epochs[day]
        weighty = [part for part in parts if part.weight]
        pool = min(POOL, MAX_SUPPLY - self.minted)
        self.epochs[day] = pool if weighty else 0
        if not (weighty and pool):
            return self.epochs[day]
        self.move(("mint", "system"), ("escrow", "epoch"), pool)
        new: Counter[str] = Counter()
        for part, units in zip(weighty, largest_remainder(pool, [part.weight for part in weighty]), strict=True):
            kept = units // 2 if part.is_new else 0
            self.move(("escrow", "epoch"), ("wallet", part.who), units - kept)
            self.move(("escrow", "epoch"), ("escrow", part.who), kept)
            new[part.who] += kept
        for who, kept in new.items():
            if kept:
                self.deposits[who].append([self.now, kept])
        return pool

    def give(self, giver: str, spender: str, cap: int, expires: int, word: str, nonce: int) -> str:
        standing = self.order("mandate", giver, word, (spender, cap, expires), nonce)
        if standing != "new":
            return {"same": "done", "other": "mandate_differs"}.get(standing, standing)
        self.keep("mandate", giver, word, (spender, cap, expires))
        self.mandates[f"{giver}/{word}"] = Given(giver, spender, cap, expires)
        return "done"

    def draw(self, mandate: Given, who: str, units: int) -> str:
        if who != mandate.spender:
            return "mandate_unknown"
        if mandate.revoked:
            return "mandate_revoked"
        if mandate.expires <= self.now:
            return "mandate_expired"
        if units > mandate.cap - mandate.used:
            return "mandate_exceeded"
        if units > self.balance["wallet", mandate.giver]:
            return "insufficient_funds"
        self.move(("wallet", mandate.giver), ("hold", mandate.giver), units)
        mandate.draws.append(Drawn(units))
        return "done"

    def settle(self, mandate: Given, draw: Drawn, to: str, units: int) -> str:
        if units > draw.left:
            return "hold_exceeded" if draw.left else "hold_closed"
        self.move(("hold", mandate.giver), ("wallet", to), units)
        draw.left -= units
        draw.settled += units
        return "settled"

    def void(self, mandate: Given, draw: Drawn) -> None:
        self.move(("hold", mandate.giver), ("wallet", mandate.giver), draw.left)
        draw.left = 0


def largest_remainder(amount: int, weights: list[int]) -> list[int]:
    """By the book: everybody's whole units, then one more to the largest fractions that are left over."""
    exact = [Fraction(amount * weight, sum(weights)) for weight in weights]
    shares = [int(part) for part in exact]
    order = sorted(range(len(weights)), key=lambda i: (shares[i] - exact[i], i))
    for i in order[: amount - sum(shares)]:
        shares[i] += 1
    return shares
