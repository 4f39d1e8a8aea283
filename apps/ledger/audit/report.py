"""What an audit says."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

NAMED_AT_MOST = 20


@dataclass(frozen=True)
class Check:
    """One rule of the ledger: whether it holds, over what, and by name what breaks it (the first 20)."""

    name: str
    ok: bool
    detail: str
    found: list[str] = field(default_factory=list)


def judged(name: str, detail: str, found: Sequence[str]) -> Check:
    """A check that holds if nothing was found against it."""
    shown = list(found[:NAMED_AT_MOST])
    more = len(found) - len(shown)
    return Check(name, not found, detail, [*shown, f"and {more} more"] if more else shown)


@dataclass(frozen=True)
class AuditReport:
    """All checks of one audit, over one snapshot of the ledger."""

    at: datetime
    network: str
    transfers: int
    height: int
    minted: int
    burned: int
    checks: list[Check]

    @property
    def ok(self) -> bool:
        """Whether every rule holds."""
        return all(check.ok for check in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """The report as plain JSON; amounts are decimal strings of base units."""
        return {
            "ok": self.ok,
            "at": self.at.isoformat().replace("+00:00", "Z"),
            "network": self.network,
            "transfers": self.transfers,
            "height": self.height,
            "minted": str(self.minted),
            "burned": str(self.burned),
            "checks": [asdict(check) for check in self.checks],
        }
