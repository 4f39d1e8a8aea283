"""The ledger as a few dictionaries: what the real one is compared with."""

from collections import Counter
from dataclasses import dataclass, field, replace
from uuid import UUID

from apps.ledger.amounts import MAX_SUPPLY
from apps.ledger.posting import NewTransfer

COMPARED = ("debit", "credit", "amount", "kind", "memo", "hold")
BAD_ALONE = {"amount_not_positive", "amount_too_large", "same_account", "id_repeated", "account_not_found"}


@dataclass
class Held:
    """A hold."""

    payer: int
    account: int
    amount: int
    expires: int
    settled: int = 0
    released: int = 0
    status: str = "open"

    @property
    def remaining(self) -> int:
        return self.amount - self.settled - self.released


@dataclass
class Ledger:
    """Balances by account id, transfers and holds by id; `mint` may be below zero, down to the cap."""

    mint: int
    balances: dict[int, int]
    transfers: dict[UUID, NewTransfer] = field(default_factory=dict)
    holds: dict[UUID, Held] = field(default_factory=dict)

    def post(self, batch: list[NewTransfer], *, linked: bool) -> list[str]:
        """The codes of a batch, and its effect."""
        codes = [self._code(transfer, batch[:i]) for i, transfer in enumerate(batch)]
        if linked and any(code in BAD_ALONE or code.startswith("exists_with") for code in codes):
            return ["linked_failed" if code == "created" else code for code in codes]
        fresh = [t for t, code in zip(batch, codes, strict=True) if code == "created"]
        if linked and (short := self._short(fresh)):
            return [
                code if code != "created" else short.get(t.debit, "linked_failed")
                for t, code in zip(batch, codes, strict=True)
            ]
        refused = self._move_what_fits(fresh)
        return [refused.get(t.id, code) if code == "created" else code for t, code in zip(batch, codes, strict=True)]

    def place(self, transfer: NewTransfer, expires: int) -> str:
        """Set aside; the code of the error, or "open"."""
        [code] = self.post([transfer], linked=True)
        if code == "created":
            held = Held(transfer.debit, transfer.credit, transfer.amount, expires)
            self.holds[transfer.id] = held
        known = {"created": "open", "overdraft": "insufficient_funds", "exists": "open"}
        return "hold_differs" if code.startswith("exists_with") else known.get(code, code)

    def settle(self, hold_id: UUID, payments: list[NewTransfer]) -> str:
        """Pay out of a hold; the code of the error, or "settled"."""
        held = self.holds[hold_id]
        before = (dict(self.balances), dict(self.transfers))
        codes = self.post(payments, linked=True)
        spent = sum(t.amount for t, code in zip(payments, codes, strict=True) if code == "created")
        bad = [c for c in codes if c not in {"created", "exists"}]
        over = "hold_closed" if held.status != "open" else "hold_exceeded"
        if "overdraft" in bad:
            return over
        if bad:
            return next(code for code in bad if code != "linked_failed")
        if spent > held.remaining:
            self.balances, self.transfers = before
            return over
        held.settled += spent
        if spent and held.remaining == 0:
            held.status = "settled"
        return "settled"

    def release(self, hold_id: UUID, status: str) -> None:
        """Give back what is left of an open hold."""
        held = self.holds[hold_id]
        if held.status == "open":
            self.balances[held.account] -= held.remaining
            self.balances[held.payer] += held.remaining
            held.released, held.status = held.remaining, status

    def due(self, now: int) -> list[UUID]:
        """Open holds past their time."""
        return [hold_id for hold_id, held in self.holds.items() if held.status == "open" and held.expires <= now]

    def _code(self, transfer: NewTransfer, earlier: list[NewTransfer]) -> str:
        if transfer.amount <= 0:
            return "amount_not_positive"
        if transfer.amount > MAX_SUPPLY:
            return "amount_too_large"
        if transfer.debit == transfer.credit:
            return "same_account"
        if any(t.id == transfer.id for t in earlier):
            return "id_repeated"
        if known := self.transfers.get(transfer.id):
            different = [name for name in COMPARED if getattr(known, name) != getattr(transfer, name)]
            return f"exists_with_different_{different[0]}" if different else "exists"
        if not {transfer.debit, transfer.credit} <= set(self.balances):
            return "account_not_found"
        return "created"

    def _short(self, fresh: list[NewTransfer]) -> dict[int, str]:
        net: Counter[int] = Counter()
        for transfer in fresh:
            net[transfer.debit] -= transfer.amount
            net[transfer.credit] += transfer.amount
        floors = {account: -MAX_SUPPLY if account == self.mint else 0 for account in net}
        return {
            account: "supply_cap" if account == self.mint else "overdraft"
            for account, change in net.items()
            if self.balances[account] + change < floors[account]
        }

    def _move_what_fits(self, fresh: list[NewTransfer]) -> dict[UUID, str]:
        """All of them, or what fits of the first half, then of the second; the codes of the others."""
        short = self._short(fresh)
        if not short:
            for transfer in fresh:
                self._move(transfer)
            return {}
        if len(fresh) == 1:
            return {fresh[0].id: short[fresh[0].debit]}
        half = len(fresh) // 2
        return self._move_what_fits(fresh[:half]) | self._move_what_fits(fresh[half:])

    def _move(self, transfer: NewTransfer) -> None:
        self.balances[transfer.debit] -= transfer.amount
        self.balances[transfer.credit] += transfer.amount
        self.transfers[transfer.id] = replace(transfer)
