import os
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat

import pytest

from workers.consensus.committee import Committee
from workers.consensus.machine import Machine
from workers.consensus.scenarios import LIAR, SCHEMER, SILENT, TWINS, Plan, committee, draw
from workers.consensus.simulator import Simulation, run

SCENARIOS = 8_000
MANY = 1_000_000
CHUNK = 2_000
FIRST_LONG = 1_000_000


def broken(first: int, count: int) -> list[tuple[int, list[str]]]:
    """The seeds of a range whose scenario violates something."""
    return [(report.seed, report.violations) for report in map(run, range(first, first + count)) if report.violations]


def played_by_all_cores(first: int, count: int) -> list[tuple[int, list[str]]]:
    """The same, spread over processes."""
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        chunks = pool.map(broken, range(first, first + count, CHUNK), repeat(CHUNK))
        return [found for chunk in chunks for found in chunk]


@pytest.mark.timeout(280)
def test_no_scenario_forks_accuses_the_honest_or_gets_stuck():
    assert played_by_all_cores(0, SCENARIOS) == []


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_million_scenarios_neither_fork_nor_accuse_the_honest_nor_get_stuck():
    assert played_by_all_cores(FIRST_LONG, MANY) == []


def test_the_scenarios_hold_every_fault():
    plans = [draw(seed) for seed in range(500)]
    roles = {role for plan in plans for role in plan.roles}
    assert roles == {"honest", SILENT, TWINS, LIAR, SCHEMER}
    assert all(
        any(getattr(plan, fault) for plan in plans) for fault in ("loss", "islands", "crashes", "hush", "forged")
    )
    assert {len(plan.roles) for plan in plans} == {4, 5, 6, 7}


def test_a_seed_plays_the_same_scenario_again():
    for seed in range(40):
        first, again = run(seed), run(seed)
        assert (first.at_ms, first.view, first.evidence) == (again.at_ms, again.view, again.evidence)


def test_double_signers_are_caught():
    assert sum(run(seed).evidence > 0 for seed in range(200)) > 20


# The rules, weakened one at a time: the simulator must notice.


class HalfIsEnough(Committee):
    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "need", len(self.members) // 2)

    def reached(self, weight: int, owners: int) -> bool:
        return 2 * weight >= self.total


class Unlocked(Machine):
    def _may_prevote(self, value: str, valid_view: int) -> bool:
        return True


class BlindToPrecommits(Machine):
    def _conflict(self, held, message):
        if message.step != "precommit":
            super()._conflict(held, message)


def violations(machine=Machine, group=lambda plan: plan.committee, seeds=range(400)):
    """What the first scenarios violate under a weakened rule."""
    plans = [draw(seed) for seed in seeds]
    return [found for plan in plans for found in Simulation(plan, machine, group(plan)).run().violations]


def half(plan: Plan) -> Committee:
    group = plan.committee
    return HalfIsEnough(group.net, group.round, group.members, group.subject_sha256)


def test_a_weakened_quorum_is_caught():
    found = violations(group=half)
    assert any("lacks a quorum" in violation for violation in found)


def test_two_islands_fork_if_half_is_enough_and_wait_for_each_other_if_it_is_not():
    for seed in range(20):
        plan = Plan(seed, committee(4, 0), ["honest"] * 4, gst_ms=900, islands=[[0, 0, 1, 1]])
        report = Simulation(plan, committee=half(plan)).run()
        assert any("two outcomes" in violation for violation in report.violations)
        assert Simulation(plan).run().violations == []


def test_a_weakened_lock_is_caught():
    assert any("two outcomes" in violation for violation in violations(Unlocked))


def test_a_weakened_evidence_rule_is_caught():
    found = violations(BlindToPrecommits)
    assert found
    assert all("did not report the double signature" in violation for violation in found)


def test_the_same_seeds_violate_nothing_under_the_rules_as_they_are():
    assert violations() == []


def test_a_scheme_that_forks_the_unlocked_leaves_the_locked_alone():
    plans = [
        Plan(seed, committee(4, 0), ["honest", "honest", "honest", SCHEMER], gst_ms=900, hush=True, favour=0)
        for seed in range(60)
    ]
    assert any(Simulation(plan, Unlocked).run().violations for plan in plans)
    assert not any(Simulation(plan).run().violations for plan in plans)
