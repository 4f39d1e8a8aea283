"""Ids of transfers that follow from what they are for, so that doing it twice is doing it once."""

from workers.protocol.ledger_ids import named

__all__ = ["named"]
