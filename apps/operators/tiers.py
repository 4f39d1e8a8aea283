"""What each tier asks and gives: stake, reward multiplier, duties and the least hardware."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from apps.core import parameters
from apps.operators.models import Tier

REGIONS = (
    ("eu-central", _("Europe, central")),
    ("eu-west", _("Europe, west")),
    ("us-east", _("North America, east")),
    ("us-west", _("North America, west")),
    ("ap-south", _("Asia, south")),
    ("ap-northeast", _("Asia, north-east")),
    ("sa-east", _("South America")),
    ("other", _("Elsewhere")),
)


@dataclass(frozen=True)
class TierTerms:
    """One row of the tier table; stake in base units, memory in GB."""

    tier: Tier
    stake: int
    multiplier: int
    cores: int
    memory_gb: int
    duties: str | Promise


_TERMS = {
    Tier.ALL: (2, 4, _("Runs general inference and relays messages.")),
    Tier.ORACLE: (2, 8, _("Also runs price feeds and advanced models, and votes in consensus rounds.")),
    Tier.GUARDIAN: (2, 8, _("Also validates others' results and consensus, and decides on slashing.")),
}


def stake_of(tier: str) -> int:
    """The tier's stake in base units, as governed now."""
    return int(parameters.get(f"stake.{tier.lower()}"))


def terms(tier: str) -> TierTerms:
    """What a tier asks and gives now."""
    cores, memory, duties = _TERMS[Tier(tier)]
    multiplier = int(parameters.get(f"tier.{tier.lower()}_multiplier"))
    return TierTerms(Tier(tier), stake_of(tier), multiplier, cores, memory, duties)


def shortfalls(tier: str, hardware: Mapping[str, Any]) -> dict[str, str]:
    """What keeps a machine out of a tier, by field; empty where it fits. Fields that are missing are not judged."""
    found: dict[str, str | Promise] = {}
    if hardware.get("gpu_type") not in {None, "cpu"} and not hardware.get("gpu_memory_gb"):
        found["gpu_memory_gb"] = _("A GPU has memory: run `mesh node probe` to see how much.")
    if tier:
        least = terms(tier)
        for name, value in (("cpu_cores", least.cores), ("memory_gb", least.memory_gb)):
            if hardware.get(name, value) < value:
                found[name] = _("Tier %(tier)s needs at least %(n)d.") % {"tier": least.tier, "n": value}
    return {name: str(words) for name, words in found.items()}


def table() -> list[TierTerms]:
    """All tiers, the smallest first."""
    return [terms(tier) for tier in Tier]
