"""Transfers a second that all reach one account; `transfers` measures the same and the spread-out case."""

from typing import Any

from bench.figures import transfers
from bench.network import database


def measure() -> dict[str, Any]:
    """As `transfers` does it, on a ledger of its own."""
    with database():
        accounts = transfers.funded()
        return transfers.figure("transfers_hot", accounts, transfers.orm(accounts))
