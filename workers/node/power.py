"""What this machine draws, in watts, as far as it says: NVIDIA GPUs by their driver, processors by RAPL."""

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

RAPL = Path("/sys/class/powercap")


class PowerMeter:
    """Reads the sum of all meters; RAPL counts energy, so its first reading gives nothing."""

    def __init__(self, rapl: Path = RAPL, clock: Callable[[], float] = time.monotonic) -> None:
        self.rapl = rapl
        self.clock = clock
        self._last: tuple[float, dict[Path, int]] | None = None

    def read(self) -> float | None:
        """Watts since the last reading (processors) and now (GPUs); None where the machine tells neither."""
        parts = [watts for watts in (nvidia_watts(), self.rapl_watts()) if watts is not None]
        return sum(parts) if parts else None

    def rapl_watts(self) -> float | None:
        """Mean power of all packages since the last call; None at the first, and where the system does not say."""
        now, counts = self.clock(), self.counts()
        last, self._last = self._last, (now, counts)
        if last is None or not counts or counts.keys() != last[1].keys() or now <= last[0]:
            return None
        return sum(used(zone, last[1][zone], count) for zone, count in counts.items()) / 1e6 / (now - last[0])

    def counts(self) -> dict[Path, int]:
        """Microjoules by package; empty where they may not be read."""
        try:
            zones = sorted(zone for zone in self.rapl.glob("intel-rapl:*") if zone.name.count(":") == 1)
            return {zone: int((zone / "energy_uj").read_text()) for zone in zones}
        except (OSError, ValueError):
            return {}


def used(zone: Path, before: int, after: int) -> int:
    """Microjoules between two counts; a count that ran over begins again at zero."""
    if after >= before:
        return after - before
    return after - before + int((zone / "max_energy_range_uj").read_text())


def nvidia_watts() -> float | None:
    """The draw of all NVIDIA GPUs; None without a driver that tells."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    query = [tool, "--query-gpu=power.draw", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True)  # noqa: S603
        return sum(float(line) for line in answer.stdout.split())
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
