"""What the chain emits: so much for every block's slot, halved every era, until the cap is reached.

Slots count by the clock since genesis, sealed or empty, so what a day emits is known before it begins. Nothing here is
governed: it is what the supply promises.
"""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from apps.ledger.amounts import MAX_SUPPLY, MESH
from workers.protocol.clock import unix_ms

BLOCK_REWARD = 50 * MESH
ERA_BLOCKS = 210_000


def reward_at(height: int) -> int:
    """Base units that the slot emits; genesis, height 0, emits nothing."""
    return BLOCK_REWARD >> min(height // ERA_BLOCKS, 64) if height > 0 else 0


def emitted(first: int, last: int) -> int:
    """What the slots from `first` up to, not including, `last` emit together."""
    total, height = 0, max(first, 1)
    while height < last and (reward := reward_at(height)):
        end = min(last, (height // ERA_BLOCKS + 1) * ERA_BLOCKS)
        total += (end - height) * reward
        height = end
    return total


def heights_of(day: date, genesis: dict[str, Any]) -> tuple[int, int]:
    """The slots that begin on a UTC day: the first height, and the one after the last. Every slot has one day."""
    midnight = datetime.combine(day, time(), UTC)
    return _first_from(midnight, genesis), _first_from(midnight + timedelta(days=1), genesis)


def _first_from(moment: datetime, genesis: dict[str, Any]) -> int:
    slot_ms = 1000 * int(genesis["chain"]["blockSeconds"])
    return max(1, -((int(genesis["timestamp"]) - unix_ms(moment)) // slot_ms))


def pool_of(day: date, genesis: dict[str, Any], minted: int) -> int:
    """What a day may mint: what its slots emit, within what the cap leaves of `minted` base units."""
    return max(0, min(emitted(*heights_of(day, genesis)), MAX_SUPPLY - minted))
