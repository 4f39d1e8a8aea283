"""Stakes of operators, and leaving, by a process that is killed between two statements: nothing is half done."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from apps.core.models import Event, User
from apps.ledger import audit, slashing
from apps.ledger.amounts import MESH, show
from apps.ledger.models import Block, Unbonding
from apps.operators import account_deletion, stakes
from apps.operators.models import Operator, Stake
from tests.apps.ledger.at_once_acts import FIRST, FOR_EVER, Cast, Making
from tests.apps.ledger.cast import NOW
from tests.apps.ledger.killing import FIRST_COMMIT, kill_and_end, kill_everywhere, killed_before
from tests.apps.ledger.signing import known
from tests.apps.ledger.test_money_races import ROWS

pytestmark = pytest.mark.django_db(transaction=True)
STEPS = ("lock", "top up", "take back", "keep", "order to stake", "order to take back", "look after", "leave")


@pytest.fixture
def cast(started: Block) -> Iterator[Cast]:
    """Ada's tier is at stake, Bert's is not; both take some of it back."""
    cast = Cast()
    with known(*cast.hands.values()):
        for wish in FIRST:
            making = Making(cast)
            making.of(wish)
            making.made[0].really()
            making.made[0].supposedly(cast.world)
        yield cast


def steps(cast: Cast) -> dict[str, Callable[[], object]]:
    """Each can be taken next."""
    ada, bert = cast.user("ada"), cast.user("bert")
    begun = next(key for key, row in cast.world.leaving.items() if row.who == "ada")
    slashing.slash(ada, "flt", 2_000, NOW, NOW)
    request = uuid4()

    def order(purpose: str, units: int) -> tuple[dict[str, Any], str]:
        hand = cast.hands["ada"]
        document = hand.document(purpose, id=uuid4().hex, deadline=FOR_EVER, amount=show(units))
        return document, hand.sign(document)

    put, back = order("stake", MESH), order("unstake", MESH)
    return {
        "lock": lambda: stakes.lock(Operator.objects.get(user=bert), NOW),
        "top up": lambda: stakes.add(ada, MESH, NOW, request=request),
        "take back": lambda: stakes.take_back(ada, 100 * MESH, NOW, request=request),
        "keep": lambda: stakes.cancel(ada, begun, NOW),
        "order to stake": lambda: stakes.obey_stake(ada, *put, NOW),
        "order to take back": lambda: stakes.obey_unstake(ada, *back, NOW),
        "look after": lambda: stakes.sweep(NOW),
        "leave": lambda: account_deletion.delete(cast.user("cleo"), NOW),
    }


def state() -> list[object]:
    models = (*ROWS, Stake, Operator, User, Event)
    return [sorted(model.objects.values_list()) for model in models]  # type: ignore[attr-defined]


def check() -> None:
    assert [check for check in audit.run(NOW).checks if not check.ok] == []


@pytest.mark.parametrize("step", STEPS)
def test_a_process_killed_before_its_commit_leaves_nothing_half_done(cast: Cast, step: str) -> None:
    kill_and_end(steps(cast)[step], state)
    check()


@pytest.mark.long
@pytest.mark.parametrize("step", STEPS)
def test_a_process_killed_between_any_two_statements_leaves_nothing_half_done(cast: Cast, step: str) -> None:
    kill_everywhere(steps(cast)[step], state)
    check()


def test_a_step_that_comes_again_after_a_kill_is_one_step(cast: Cast) -> None:
    act = steps(cast)["take back"]
    assert killed_before(FIRST_COMMIT, act)
    first, again = act(), act()
    assert isinstance(first, Unbonding)
    assert first == again
    assert Unbonding.objects.filter(amount=100 * MESH).count() == 1
