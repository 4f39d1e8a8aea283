"""What stands between this and real money: keys from the environment only, a sandbox that fails closed, a refusal."""

import os
from dataclasses import dataclass, field
from typing import Any

from apps.trading.errors import LiveRefused

KEY_ID, KEY_SECRET = "COINBASE_API_KEY_ID", "COINBASE_API_KEY_SECRET"


@dataclass(frozen=True)
class Keys:
    """A venue's key; never stored, logged or shown."""

    key_id: str
    secret: str = field(repr=False)


def keys() -> Keys:
    """The venue's key from the environment, the only place it is looked for. Raises LiveRefused."""
    missing = [name for name in (KEY_ID, KEY_SECRET) if not os.environ.get(name)]
    if missing:
        raise LiveRefused(f"Live trading needs {' and '.join(missing)} in the environment.")
    return Keys(os.environ[KEY_ID], os.environ[KEY_SECRET])


def sandboxed(exchange: Any) -> Any:
    """The exchange in its sandbox. Raises LiveRefused where it has none: its orders would be real.

    ccxt's own switch raises NotSupported on some such venues and a TypeError on others, and could leave the address of
    the real venue in place; so the outcome is looked at, not only the absence of an error.
    """
    try:
        exchange.set_sandbox_mode(True)
    except Exception as error:
        raise LiveRefused(f"{exchange.id} has no sandbox: {error}"[:300]) from error
    if not exchange.isSandboxModeEnabled:
        raise LiveRefused(f"{exchange.id} did not enter its sandbox.")
    return exchange


def start(mode: str) -> None:
    """Refuse every mode but the simulation. Raises LiveRefused, saying what is missing."""
    if mode == "SIMULATION":
        return
    try:
        keys()
    except LiveRefused as refusal:
        raise LiveRefused(f"{refusal.detail} And no go-live checklist has passed: only the simulation runs.") from None
    raise LiveRefused("No go-live checklist has passed: only the simulation runs.")
