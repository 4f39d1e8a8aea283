"""What an audit says."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Check:
    """One rule of the ledger: whether it holds, over what, and by name what breaks it (the first 20)."""

    name: str
    ok: bool
    detail: str
    found: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class AuditReport:
    """All checks of one audit, over one snapshot of the ledger."""

    at: datetime
    network: str
    transfers: int
    pending: int
    blocks: int
    height: int
    head: str
    genesis: str
    minted: int
    burned: int
    state: str
    checks: list[Check]

    @property
    def ok(self) -> bool:
        """Whether every rule holds."""
        return all(check.ok for check in self.checks)

    def summary(self) -> dict[str, Any]:
        """What the ledger amounts to, as a manifest says it; `state` is one root over all balances."""
        return {
            "transfers": self.transfers,
            "pending": self.pending,
            "blocks": self.blocks,
            "height": self.height,
            "head": self.head,
            "genesis": self.genesis,
            "minted": str(self.minted),
            "burned": str(self.burned),
            "state": self.state,
        }

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> "AuditReport":
        """The report that `as_dict` wrote."""
        values = {name: value for name, value in kept.items() if name != "ok"}
        values["at"] = datetime.fromisoformat(values["at"])
        values["minted"], values["burned"] = int(values["minted"]), int(values["burned"])
        values["checks"] = [Check(**check) for check in values["checks"]]
        return cls(**values)

    def as_dict(self) -> dict[str, Any]:
        """The report as plain JSON; amounts are decimal strings of base units."""
        return {
            "ok": self.ok,
            "at": self.at.isoformat().replace("+00:00", "Z"),
            "network": self.network,
            **self.summary(),
            "checks": [asdict(check) for check in self.checks],
        }


HEAD = ("check", "outcome", "rule", "found")


def table(checks: Iterable[Mapping[str, Any]]) -> list[tuple[str, str, str, str]]:
    """A report's checks as rows: one for a rule that holds, and one for each thing that breaks a rule."""
    return [
        (check["name"], "ok" if check["ok"] else "broken", check["detail"], found)
        for check in checks
        for found in (check["found"] or [""])
    ]
