"""How pages print things: states as shape and colour, amounts, ages and counts."""

from datetime import datetime

from django import template
from django.utils.translation import gettext

from apps.core import parameters
from apps.ledger import amounts
from workers.protocol.clock import utcnow

register = template.Library()

TONES = {
    "good": {
        *{"online", "completed", "settled", "approved", "active", "verified", "accepted", "paid", "sealed", "done"},
        *{"certified", "filled", "acted", "allow", "locked", "overturned"},
    },
    "wait": {
        *{"pending", "queued", "submitted", "degraded", "draining", "self_test", "held", "warning", "unlocking"},
        *{"reducing", "paused", "partial", "unknown", "prepared", "short", "escrowed", "appealed"},
    },
    "busy": {"running", "claimed", "scheduled", "verifying", "settling", "now", "open"},
    "bad": {
        *{"offline", "failed", "rejected", "revoked", "suspended", "timed_out", "error", "halted", "overdue"},
        *{"banned", "expired", "slashed", "executed"},
    },
}
TONE_OF = {status: tone for tone, statuses in TONES.items() for status in statuses}
AGES = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


@register.filter
def tone(status: str) -> str:
    """The tone of a state: good, wait, busy, bad, or idle for anything else."""
    return TONE_OF.get(str(status).lower(), "idle")


@register.filter
def word(status: str) -> str:
    """A state as a word: SELF_TEST is "Self test"."""
    return gettext(str(status).replace("_", " ").capitalize())


@register.filter
def mesh(units: int) -> str:
    """Base units as MESH: 125000000 is 1.25."""
    return amounts.show(units)


@register.filter
def age(moment: datetime) -> str:
    """How long ago: "3 min ago". The page keeps counting by itself."""
    elapsed = max(0, int((utcnow() - moment).total_seconds()))
    size, unit = next(((size, unit) for size, unit in AGES if elapsed >= size), (1, "s"))
    return f"{elapsed // size} {unit} ago"


@register.filter
def duration(milliseconds: float | None) -> str:
    """A span of time in the unit that reads best: 850 ms, 12.4 s, 3 min 5 s."""
    if milliseconds is None:
        return "-"
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1000
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"


@register.filter
def short(identifier: str) -> str:
    """An id cut for a table: job_01ja…9q4x keeps its prefix and both ends."""
    prefix, _, rest = str(identifier).partition("_")
    return identifier if len(rest) <= 12 else f"{prefix}_{rest[:4]}…{rest[-6:]}"


@register.simple_tag
def first_reward() -> str:
    """What a testnet's faucet gives for a first wallet, in MESH, as governed now."""
    return amounts.show(parameters.get("faucet.wallet_connect"))
