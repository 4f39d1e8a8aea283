"""Ids of transfers that follow from what they are for, so that doing it twice is doing it once."""

from uuid import NAMESPACE_URL, UUID, uuid5

_LEDGER = uuid5(NAMESPACE_URL, "urn:meshwork:ledger")
RELEASE = "release"


def named(*parts: str) -> UUID:
    """The id of the one transfer that these words name."""
    return uuid5(_LEDGER, "\x1f".join(parts))


def release_of(hold_id: UUID) -> UUID:
    """The id of the transfer that gives back what a hold has left."""
    return uuid5(hold_id, RELEASE)
