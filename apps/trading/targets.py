"""The hosts that are watched from the start, as `targets.toml` names them; later ones are made in the admin."""

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from apps.trading.models import ScanTarget

SEED = Path(__file__).with_name("targets.toml")


@cache
def seed() -> dict[str, dict[str, Any]]:
    """The file's targets by host."""
    rows = tomllib.loads(SEED.read_text())["targets"]
    return {row["host"]: row for row in rows}


def ensure() -> int:
    """Make the targets that are missing; one that was changed or switched off stays so. Returns how many are new."""
    known = set(ScanTarget.objects.filter(host__in=seed()).values_list("host", flat=True))
    missing = [ScanTarget(**row) for host, row in seed().items() if host not in known]
    return len(ScanTarget.objects.bulk_create(missing, ignore_conflicts=True)) if missing else 0


def find(host: str) -> ScanTarget | None:
    """The target of that host, whether or not it is scanned by ourselves; None for an unknown host."""
    found = ScanTarget.objects.filter(host=host).first()
    if found is None and host in seed():
        ensure()
        found = ScanTarget.objects.filter(host=host).first()
    return found
