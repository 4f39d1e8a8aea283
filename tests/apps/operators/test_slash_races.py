"""Appeals and their answers under many connections and killed processes: one of each counts, and no unit is lost."""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from apps.core import parameters, platform_keys
from apps.core.errors import MeshError
from apps.core.models import User
from apps.ledger import audit, faucet, genesis, slashing
from apps.ledger.amounts import MESH
from apps.ledger.models import Slash
from apps.operators import account_deletion, bans, nodes, slash_appeals
from apps.operators.models import Node, Notification, Operator, SlashAppeal, SlashCase
from meshwork.genesis import document
from tests.apps.ledger.killing import kill_and_end, kill_everywhere
from tests.apps.ledger.test_races import at_once
from tests.apps.operators.conftest import make_operator
from tests.apps.operators.slash_cast import BOND, Money, enrolled, slashed
from tests.apps.trading.fault_cast import state
from workers.protocol.clock import utcnow

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def stage(transactional_db: None) -> Iterator[None]:
    platform_keys.create(utcnow())
    if not genesis.exists():
        genesis.write(document(datetime(2026, 1, 1, tzinfo=UTC)), utcnow())
    for forget in (parameters.forget_cached, bans.forget_cached):
        forget()
    yield
    for forget in (parameters.forget_cached, bans.forget_cached):
        forget()


@pytest.fixture
def operator(admin: User) -> Operator:
    made = make_operator("olga@example.org", admin)
    faucet.treasury_grant(made.user, 100 * MESH, admin, "for tests", utcnow())
    return made


@pytest.fixture
def case(operator: Operator) -> SlashCase:
    return slashed(enrolled(operator))


def codes(act: Callable[[int], object], count: int = 8) -> Counter[str]:
    """How many were done, and what the others were told."""

    def one(i: int) -> str:
        try:
            return str(act(i) or "done")
        except MeshError as error:
            return error.code

    return Counter(at_once(one, count))


def sound() -> bool:
    return [check for check in audit.run(utcnow()).checks if not check.ok and check.name != "signatures"] == []


def test_one_of_many_appeals_at_once_counts_and_holds_one_bond(operator: Operator, case: SlashCase) -> None:
    said = codes(lambda i: slash_appeals.appeal(case.pk, operator.user, f"No. {i}", utcnow()) and "done")
    assert said == {"done": 1, "slash_appealed": 7}
    assert (SlashAppeal.objects.count(), Money.of(operator).held) == (1, BOND)
    assert sound()


def test_one_of_many_answers_at_once_counts(operator: Operator, case: SlashCase, admin: User) -> None:
    made = slash_appeals.appeal(case.pk, operator.user, "No.", utcnow())

    def answer(i: int) -> None:
        mine = SlashAppeal.objects.select_related("case__node").get(pk=made.pk)
        slash_appeals.answer(mine, admin, f"{i}", utcnow(), granted=bool(i % 2))

    assert codes(answer) == {"done": 1, "slash_appeal_closed": 7}
    made.refresh_from_db()
    assert Slash.objects.get().status == ("overturned" if made.granted else "executed")
    assert (Money.of(operator).held, Money.of(operator).escrow) == (0, 0)
    assert Notification.objects.filter(kind="slash_appeal_answered").count() == 1
    assert sound()


def test_an_appeal_and_the_end_of_the_window_at_once_are_one_of_the_two(operator: Operator, case: SlashCase) -> None:
    final = case.slash.final_at

    def act(i: int) -> str | None:
        if i % 2:
            return "executed" if slashing.execute(case.pk, now=final) else "late"
        slash_appeals.appeal(case.pk, operator.user, "No.", case.slash.at)
        return "appealed"

    said = codes(act)
    assert said["executed"] + said["appealed"] == 1
    assert Slash.objects.get().status in said
    assert Money.of(operator).held == BOND * said["appealed"]
    assert sound()


def test_an_appeal_and_the_accounts_deletion_at_once_lose_no_bond(operator: Operator, case: SlashCase) -> None:
    nodes.revoke(Node.objects.get(), reason="gone", now=utcnow())

    def act(i: int) -> str:
        if i % 2:
            account_deletion.delete(User.objects.get(pk=operator.user_id), utcnow())
            return "deleted"
        slash_appeals.appeal(case.pk, operator.user, "No.", utcnow())
        return "appealed"

    assert codes(act, 4) == {"appealed": 1, "slash_appealed": 1, "account_staked": 2}
    assert sound()


def taking(operator: Operator, case: SlashCase, step: str) -> Callable[[], None]:
    """The step, which can be taken next."""
    admin, now = User.objects.get(email="ada@example.org"), utcnow()
    if step != "appeal":
        slash_appeals.appeal(case.pk, operator.user, "No.", now)

    def act() -> None:
        if step == "appeal":
            slash_appeals.appeal(case.pk, operator.user, "No.", now)
        else:
            made = SlashAppeal.objects.select_related("case__node").get()
            slash_appeals.answer(made, admin, "Well.", now, granted=step == "grant")

    return act


@pytest.mark.parametrize("step", ["appeal", "grant", "refuse"])
def test_a_process_killed_before_its_commit_leaves_nothing_half_done(
    operator: Operator, case: SlashCase, step: str
) -> None:
    kill_and_end(taking(operator, case, step), state)
    assert sound()


@pytest.mark.long
@pytest.mark.parametrize("step", ["appeal", "grant", "refuse"])
def test_a_process_killed_between_any_two_statements_leaves_nothing_half_done(
    operator: Operator, case: SlashCase, step: str
) -> None:
    kill_everywhere(taking(operator, case, step), state)
    assert sound()
