"""Our books beside the venue's."""

from decimal import Decimal

import pytest
from django.db.models import F

from apps.core import parameters
from apps.trading import execution, reconciliation
from apps.trading.exchange import paper
from apps.trading.models import Order, Position, Reconciliation, State, VenueAccount, VenueOrder
from apps.trading.risk import states
from tests.apps.trading import market_cast as cast
from tests.apps.trading.market_cast import NOW, at

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def market() -> None:
    parameters.forget_cached()
    cast.bars()


def test_before_the_first_order_the_books_agree() -> None:
    assert reconciliation.run(NOW, NOW).ok


def test_they_agree_while_something_is_held_and_after_it_was_sold() -> None:
    position = cast.held(5)
    row = reconciliation.run(at(5), at(5))
    assert (row.ok, row.findings, row.orders) == (True, [], 4)
    execution.open_exit(position, "stop_loss", at(10))
    cast.run(1, first=10)
    assert reconciliation.run(at(11), at(11)).ok


def test_an_order_whose_answer_was_lost_is_found_and_booked() -> None:
    cast.entry()
    paper.show_fault("timeout")
    cast.run(1)
    assert reconciliation.run(at(0.5), at(0.5)).ok
    assert Order.objects.get().status == "FILLED"
    cast.check_books()


def test_an_order_that_is_not_ours_is_told_and_left_alone() -> None:
    cast.held()
    VenueOrder.objects.update(client_id="somebody-else")
    row = reconciliation.run(at(1), at(1))
    assert row.findings == ["The venue has an order somebody-else that is not ours."]
    assert VenueOrder.objects.get().status == "closed"
    assert states.current().state == State.REDUCING


def test_a_fill_that_we_do_not_have_is_told() -> None:
    cast.held()
    Order.objects.update(filled_quantity=0)
    assert "filled" in reconciliation.run(at(1), at(1)).findings[0]


@pytest.mark.parametrize(("currency", "change"), [("USD", "-0.01"), ("BTC", "0.00000001")])
def test_a_balance_that_differs_is_told_and_ends_entries_until_it_agrees(currency: str, change: str) -> None:
    cast.held()
    VenueAccount.objects.filter(currency=currency).update(total=F("total") + Decimal(change))
    row = reconciliation.run(at(1), at(1))
    assert not row.ok
    assert row.findings[0].startswith("The venue holds")
    assert states.current().state == State.REDUCING
    VenueAccount.objects.filter(currency=currency).update(total=F("total") - Decimal(change))
    assert reconciliation.run(at(2), at(2)).ok
    assert states.current().state == State.ACTIVE


def test_more_capital_is_no_difference() -> None:
    cast.held()
    cast.govern(risk__capital_cents=5000)
    assert reconciliation.run(at(1), at(1)).ok


def test_a_venue_that_is_away_is_a_finding_and_nothing_is_taken_for_cancelled() -> None:
    cast.entry()
    paper.show_fault("away", 9)
    cast.run(1)
    row = reconciliation.run(at(1), at(1))
    assert not row.ok
    assert Order.objects.get().status == "UNKNOWN"
    assert Position.objects.count() == 0
    assert Reconciliation.objects.count() == 1
