"""An owner's limits: what the agent obeys, wherever they were set, and what it says of them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from workers.node import limits
from workers.node.config import NodeConfig, load_config
from workers.node.errors import ConfigRefused
from workers.node.limits import Keeper
from workers.node.power import PowerMeter
from workers.node.state import NodeState
from workers.protocol.clock import unix_ms

NOW = datetime(2026, 5, 6, 23, 0, tzinfo=UTC)
DAY = NOW - timedelta(hours=11)


def keeper(folder: Path, *, used_mb: int = 0, watts: float | None = None, **settings: Any) -> Keeper:
    config = NodeConfig(directory=folder, **settings)
    return Keeper(config, NodeState(folder), lambda: used_mb, lambda: watts)


def codes(found: Keeper, now: datetime = NOW) -> list[str]:
    return [hold.code for hold in found.holds(now)]


def test_without_limits_nothing_holds(tmp_path: Path) -> None:
    assert codes(keeper(tmp_path, used_mb=10**6, watts=10.0**6)) == []


def test_quiet_hours_of_the_settings_hold_and_say_when_they_end(tmp_path: Path) -> None:
    quiet = keeper(tmp_path, quiet_hours=["22:00-07:00"], time_zone="UTC")
    [hold] = quiet.holds(NOW)
    assert (hold.code, hold.until) == ("quiet_hours", unix_ms(datetime(2026, 5, 7, 7, tzinfo=UTC)))
    assert hold.next_step
    assert codes(quiet, DAY) == []


def test_the_stricter_of_page_and_settings_holds(tmp_path: Path) -> None:
    both = keeper(tmp_path, used_mb=900, memory_cap_mb=1000)
    assert codes(both) == []
    assert limits.keep_page(both.state, {"memory_cap_mb": 800, "at": 1})
    assert codes(both) == ["memory_cap"]
    assert limits.keep_page(both.state, {"memory_cap_mb": 2000, "at": 2})
    assert codes(both) == []


def test_an_older_word_of_the_page_changes_nothing(tmp_path: Path) -> None:
    state = NodeState(tmp_path)
    assert limits.keep_page(state, {"paused": True, "at": 5})
    assert not limits.keep_page(state, {"paused": False, "at": 4})
    assert not limits.keep_page(state, None)
    assert limits.of_page(state).paused


@pytest.mark.parametrize(
    "said",
    [{"quiet_hours": ["late"]}, {"time_zone": "Mars/Base"}, {"power_cap_w": -1}, {"unheard_of": 1}],
)
def test_what_the_machine_cannot_read_is_not_taken(tmp_path: Path, said: dict[str, Any]) -> None:
    state = NodeState(tmp_path)
    with pytest.raises((ValueError, msgspec.ValidationError)):
        limits.keep_page(state, {**said, "at": 9})
    assert state.fact(limits.PAGE) is None


def test_a_pause_ends_by_itself_or_lasts(tmp_path: Path) -> None:
    paused = keeper(tmp_path)
    paused.state.set_fact(limits.PAUSE, {"until": unix_ms(NOW) + 1000})
    assert codes(paused) == ["paused"]
    assert codes(paused, NOW + timedelta(seconds=1)) == []
    limits.keep_page(paused.state, {"paused": True, "at": 1})
    [hold] = paused.holds(NOW)
    assert (hold.code, hold.until) == ("paused", 0)


@pytest.mark.parametrize(("used", "held"), [(999, []), (1000, []), (1001, ["memory_cap"])])
def test_more_memory_than_the_cap_holds(tmp_path: Path, used: int, held: list[str]) -> None:
    assert codes(keeper(tmp_path, used_mb=used, memory_cap_mb=1000)) == held


@pytest.mark.parametrize(("watts", "held"), [(250.0, []), (250.5, ["power_cap"]), (None, ["power_unmeasured"])])
def test_more_power_than_the_cap_holds_and_so_does_power_that_nobody_measures(
    tmp_path: Path, watts: float | None, held: list[str]
) -> None:
    assert codes(keeper(tmp_path, watts=watts, power_cap_w=250)) == held


def test_the_processors_meter_is_read_over_time_and_over_its_end(tmp_path: Path) -> None:
    zone = tmp_path / "intel-rapl:0"
    (tmp_path / "intel-rapl:0:0").mkdir(parents=True)
    zone.mkdir()
    (zone / "max_energy_range_uj").write_text("100000000\n")
    moments = iter([0.0, 2.0, 4.0])
    meter = PowerMeter(tmp_path, lambda: next(moments))

    def read(count: int) -> float | None:
        (zone / "energy_uj").write_text(f"{count}\n")
        return meter.rapl_watts()

    assert read(50_000_000) is None
    assert read(90_000_000) == pytest.approx(20.0)
    assert read(10_000_000) == pytest.approx(10.0)
    assert PowerMeter(tmp_path / "nothing").rapl_watts() is None


@pytest.mark.parametrize(
    "lines", ["quiet_hours: [late]", "time_zone: Mars/Base", "memory_cap_mb: -1", "power_cap_w: much", "health: here"]
)
def test_wrong_limits_in_the_settings_are_named(tmp_path: Path, lines: str) -> None:
    file = tmp_path / "node.yaml"
    file.write_text(lines + "\n")
    with pytest.raises(ConfigRefused, match=lines.split(":")[0]):
        load_config(file)


def test_the_memory_of_this_process_is_counted() -> None:
    assert 10 < limits.memory_used_mb() < 10**6
