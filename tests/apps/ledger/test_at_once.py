"""Several people act at the same moment, each on a connection of their own: what comes of it is what some order of
their acts would have made of a few dictionaries, by every code and every balance.
"""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from copy import deepcopy
from datetime import timedelta
from itertools import permutations
from threading import Barrier

import pytest
from django.db import connection
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from apps.core.errors import MeshError
from apps.ledger import audit
from apps.ledger.amounts import MESH
from apps.ledger.models import Block
from apps.operators import stakes
from tests.apps.ledger.at_once_acts import FAMILIES, FIRST, KINDS, MOST, NAMES, OPERATORS, Act, Cast, Making, Wish
from tests.apps.ledger.at_once_model import World
from tests.apps.ledger.cast import NOW
from tests.apps.ledger.signing import known

THREADS = 4
people = st.sampled_from(NAMES)
amounts = st.sampled_from([MOST, MOST, 1, 60 * MESH, 150 * MESH, 400 * MESH, 1_000 * MESH])
numbers = st.integers(0, 11)
wishes = st.tuples(st.sampled_from(KINDS), people, people, amounts, numbers)


@st.composite
def crowds(draw: st.DrawFn) -> list[Wish]:
    """Two to four wishes that stand in each other's way: of one person, for one thing, and as much of it."""
    family, who, units, number = draw(st.tuples(st.sampled_from(FAMILIES), people, amounts, numbers))
    kinds = draw(st.lists(st.sampled_from(family), min_size=2, max_size=THREADS))
    return [(kind, who, draw(people), units, number) for kind in kinds]


class Crew:
    """Hands to act with: threads that keep their connections, and hesitate before statements by a dice."""

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(THREADS)

    def act(self, acts: list[Act], seed: int) -> list[object]:
        """All at once; the codes, or what an act returned where that is one."""
        start = Barrier(len(acts))

        def one(number: int) -> object:
            dice = random.Random(seed * THREADS + number)

            def hesitate(execute: Callable[..., object], *said: object) -> object:
                time.sleep(dice.choice([0, 0, 0, 0.001, 0.004]))
                return execute(*said)

            with connection.execute_wrapper(hesitate):
                start.wait()
                try:
                    result = acts[number].really()
                except MeshError as error:
                    return error.code
            return result if isinstance(result, str | set) else "done"

        return list(self.pool.map(one, range(len(acts))))

    def close(self) -> None:
        """Every thread lets its connection go."""
        together = Barrier(THREADS)

        def leave(_number: int) -> None:
            together.wait()
            connection.close()

        list(self.pool.map(leave, range(THREADS)))
        self.pool.shutdown()


def in_order(world: World, acts: list[Act], results: list[object], order: tuple[int, ...]) -> World | None:
    """The world after the acts in that order; None where they would have answered otherwise."""
    world = deepcopy(world)
    for place in order:
        act, result = acts[place], results[place]
        if isinstance(result, set):
            others = {other.touches for other in acts}
            due = world.expirable()
            if not (result <= due and due - result <= others):
                return None
            for key in result:
                world.release_hold(world.holds[key], "expired")
        elif act.supposedly(world) != result:
            return None
    return world


class AtOnce(RuleBasedStateMachine):
    """Acts in bunches."""

    crew: Crew

    def __init__(self) -> None:
        super().__init__()
        self.cast = Cast()
        self.asking = ExitStack()
        self.asking.enter_context(known(*self.cast.hands.values()))
        for wish in FIRST:
            self.together([wish], 0)

    def teardown(self) -> None:
        self.asking.close()

    @rule(wished=crowds() | st.lists(wishes, min_size=2, max_size=THREADS), seed=st.integers(0, 2**20))
    def act(self, wished: list[Wish], seed: int) -> None:
        self.together(wished, seed)

    @rule(
        kinds=st.lists(st.sampled_from(["add", "send", "give", "claim", "be paid"]), min_size=1, max_size=THREADS - 1),
        to=people,
        seed=st.integers(0, 2**20),
    )
    def somebody_comes_and_goes(self, kinds: list[str], to: str, seed: int) -> None:
        """A guest, who does this and that while the account is deleted."""
        guest = f"guest {len(self.cast.hands)}"
        self.cast.join(guest, 100 * MESH)
        self.asking.enter_context(known(*self.cast.hands.values()))
        wished = [(kind, guest, to, MESH, 1) if kind != "be paid" else ("send", to, guest, MESH, 1) for kind in kinds]
        self.together([("delete", guest, guest, MESH, 1), *wished], seed)

    def together(self, wished: Sequence[Wish], seed: int) -> None:
        """All at one moment; some order of them has to explain what comes of it."""
        making = Making(self.cast)
        for wish in wished:
            making.of(wish)
        acts = making.made
        results = self.crew.act(acts, seed)
        seen = self.cast.seen()
        for order in permutations(range(len(acts))):
            world = in_order(self.cast.world, acts, results, order)
            if world is not None and world.seen() == seen:
                self.cast.world = world
                return
        said = [f"{act.name}: {result}" for act, result in zip(acts, results, strict=True)]
        raise AssertionError(f"No order explains {said}\nbefore: {self.cast.world.seen()}\nafter: {seen}")

    @rule(minutes=st.sampled_from([1, 29, 31, 60]))
    def time_passes(self, minutes: int) -> None:
        self.cast.world.now += minutes
        stakes.sweep(self.cast.now)
        for name in OPERATORS:
            self.cast.world.review(name)
        assert self.cast.seen() == self.cast.world.seen()


@pytest.fixture
def crew() -> Iterator[Crew]:
    made = Crew()
    yield made
    made.close()


def play(crew: Crew, examples: int, steps: int) -> None:
    AtOnce.crew = crew
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        AtOnce,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=checks,
            # What happened at one moment does not happen so again: nothing to make smaller.
            phases=[Phase.generate],
        ),
    )
    assert [check for check in audit.run(NOW + timedelta(days=1)).checks if not check.ok] == []


@pytest.mark.django_db(transaction=True)
def test_whatever_people_do_at_once_some_order_explains_it(started: Block, crew: Crew) -> None:
    play(crew, examples=5, steps=20)


@pytest.mark.long
@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(3_600)
def test_whatever_people_do_at_once_for_long_some_order_explains_it(started: Block, crew: Crew) -> None:
    play(crew, examples=150, steps=50)
