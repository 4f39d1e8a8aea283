"""Plans become orders and fills: slices, faults of the venue, and what staff may do."""

from decimal import Decimal

import pytest

from apps.core import parameters
from apps.trading import candles, execution, execution_orders
from apps.trading.errors import LiveRefused, OrderRefused
from apps.trading.exchange import paper, port
from apps.trading.models import Candle, Decision, Order, Plan, PlanStatus, Position, State, StateChange, VenueOrder
from apps.trading.risk import states
from apps.trading.risk.errors import NotStaff
from tests.apps.trading import market_cast as cast
from tests.apps.trading.market_cast import NOW, at

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def market() -> None:
    parameters.forget_cached()
    cast.bars()


def statuses() -> list[str]:
    return list(Order.objects.order_by("slice").values_list("status", flat=True))


class TestEntry:
    def test_the_smallest_entry_is_one_slice_and_becomes_a_position(self) -> None:
        position = cast.held()
        plan = Plan.objects.get()
        assert (plan.slices, statuses()) == (1, ["FILLED"])
        assert position.quantity == plan.quantity
        assert position.entry_price > 4000
        assert position.take_profit == position.entry_price * Decimal("1.005")
        assert position.stop_loss == position.entry_price * Decimal("0.997")
        cast.check_books()

    def test_five_dollars_are_four_slices_a_minute_apart(self) -> None:
        plan = cast.entry(5)
        assert plan.slices == 4
        for minute, done in ((0, 1), (0.5, 1), (1, 2), (2, 3), (3, 4), (4, 4)):
            execution.advance(at(minute), at(minute))
            assert Order.objects.count() == done
        plan.refresh_from_db()
        assert (plan.status, plan.filled_quantity) == (PlanStatus.DONE, plan.quantity)
        cast.check_books()

    def test_slices_below_the_venues_minimum_merge(self) -> None:
        assert cast.entry("2.5").slices == 2

    def test_what_is_bought_stays_within_the_size_at_its_limit(self) -> None:
        plan = cast.entry(5)
        assert plan.quantity * plan.limit_price <= 5
        assert plan.limit_price == Decimal("4020.00")

    def test_a_round_has_one_entry(self) -> None:
        signal, round_, size = cast.agreed()
        one = execution.open_entry(signal, round_, size, "BUY", Decimal(4000), NOW)
        assert execution.open_entry(signal, round_, size, "BUY", Decimal(4000), NOW).pk == one.pk

    @pytest.mark.parametrize(("size", "price", "side"), [("0.5", "4000", "BUY"), ("2", "0", "BUY"), ("2", "9", "SELL")])
    def test_what_no_venue_would_take_is_refused(self, size: str, price: str, side: str) -> None:
        signal, round_, _ = cast.agreed()
        with pytest.raises(OrderRefused):
            execution.open_entry(signal, round_, Decimal(size), side, Decimal(price), NOW)

    def test_every_order_has_its_decision_before_it_is_sent(self) -> None:
        cast.held(5)
        assert Decision.objects.filter(stage="order", verdict="ALLOW").count() == Order.objects.count() == 4

    def test_an_order_that_risk_refuses_is_kept_and_the_rest_goes_on(self) -> None:
        plan = cast.entry(5)
        cast.run(1)
        states.pause(cast.staff(), "lunch", at(1), at(1))
        cast.run(1, first=1)
        assert statuses() == ["FILLED", "REJECTED"]
        states.resume(cast.User.objects.get(), "back", at(2), at(2))
        cast.run(3, first=2)
        plan.refresh_from_db()
        assert (plan.status, plan.filled_quantity) == (PlanStatus.DONE, plan.quantity)
        assert Order.objects.get(slice=2).quantity > Order.objects.get(slice=0).quantity
        cast.check_books()

    def test_over_a_gap_nothing_is_sent_and_the_next_slice_takes_its_share(self) -> None:
        plan = cast.entry(5)
        Candle.objects.filter(opened_at=at(0)).delete()
        cast.run(4)
        assert list(Order.objects.order_by("slice").values_list("slice", flat=True)) == [0, 2, 3]
        plan.refresh_from_db()
        assert plan.filled_quantity == plan.quantity

    def test_time_that_jumped_makes_one_order_of_all_that_is_due(self) -> None:
        plan = cast.entry(5)
        execution.advance(at(3), at(3))
        plan.refresh_from_db()
        assert (Order.objects.count(), plan.filled_quantity) == (1, plan.quantity)

    def test_a_market_that_ran_away_leaves_a_residual_that_is_told(self) -> None:
        plan = cast.entry()
        cast.bars(close=4100.0)
        cast.run(5)
        plan.refresh_from_db()
        assert (plan.status, plan.filled_quantity) == (PlanStatus.FAILED, 0)
        assert execution.residual(plan).quantity == plan.quantity
        assert "Residual: 0.0002537" in plan.reason
        assert statuses() == ["CANCELLED"] * 4

    def test_a_thin_book_fills_in_parts(self) -> None:
        cast.govern(risk__capital_cents=100_000)
        plan = cast.entry(50)
        cast.bars(volume=0.01)
        cast.run(9)
        plan.refresh_from_db()
        assert "PARTIAL" in statuses()
        assert 0 < plan.filled_quantity < plan.quantity
        assert "Residual" in plan.reason
        cast.check_books()


class TestFaults:
    def test_a_timeout_after_accepting_is_asked_for_and_never_sent_again(self) -> None:
        plan = cast.entry()
        paper.show_fault("timeout")
        cast.run(1)
        assert statuses() == ["UNKNOWN"]
        assert states.current().state == State.REDUCING
        cast.run(1, first=1)
        plan.refresh_from_db()
        assert (statuses(), plan.status) == (["FILLED"], PlanStatus.DONE)
        assert VenueOrder.objects.count() == 1
        assert states.current().state == State.ACTIVE
        assert [change.rule for change in StateChange.objects.order_by("pk")] == ["order_unknown"] * 2
        cast.check_books()

    def test_an_order_that_was_lost_is_cancelled_once_the_venue_says_so(self) -> None:
        plan = cast.entry()
        paper.show_fault("lost")
        cast.run(1)
        assert statuses() == ["UNKNOWN"]
        cast.run(1, first=1)
        assert statuses() == ["CANCELLED", "FILLED"]
        plan.refresh_from_db()
        assert plan.status == PlanStatus.DONE
        cast.check_books()

    def test_a_venue_that_is_away_leaves_the_order_unknown_until_it_answers(self) -> None:
        cast.entry()
        paper.show_fault("away", 3)
        cast.run(3)
        assert statuses() == ["UNKNOWN"]
        cast.run(1, first=3)
        assert statuses() == ["CANCELLED", "FILLED"]
        cast.check_books()

    def test_while_an_order_is_unknown_no_entry_is_allowed(self) -> None:
        cast.entry()
        paper.show_fault("away", 3)
        cast.run(2)
        cast.bars(cast.ETH)
        with pytest.raises(AssertionError, match="REDUCING"):
            cast.agreed(now=at(1), pair=cast.ETH)

    def test_a_rejected_slice_does_not_drop_the_rest(self) -> None:
        plan = cast.entry(5)
        paper.show_fault("reject")
        cast.run(5)
        plan.refresh_from_db()
        assert statuses() == ["REJECTED", "FILLED", "FILLED", "FILLED"]
        assert plan.filled_quantity == plan.quantity
        cast.check_books()

    def test_a_half_filled_slice_goes_on_with_the_next(self) -> None:
        plan = cast.entry(5)
        cast.govern(trading__slices=2)
        Plan.objects.filter(pk=plan.pk).update(slices=2)
        paper.show_fault("half")
        cast.run(3)
        plan.refresh_from_db()
        assert statuses() == ["PARTIAL", "FILLED"]
        assert plan.filled_quantity == plan.quantity
        cast.check_books()

    def test_more_fills_than_ordered_are_not_booked(self) -> None:
        cast.entry()
        paper.show_fault("timeout")
        cast.run(1)
        there = VenueOrder.objects.get()
        VenueOrder.objects.filter(pk=there.pk).update(quantity=9, filled=8)
        there.fills.update(quantity=8)
        cast.run(1, first=1)
        assert statuses() == ["UNKNOWN"]
        assert states.current().state == State.REDUCING


class TestAnswers:
    """What a venue may say that the paper exchange does not: orders that rest, and the same answer again."""

    def answer(self, order: Order, status: str, *parts: str) -> None:
        fills = tuple(
            port.VenueTrade(f"t{n}", Decimal(part), Decimal(4001), Decimal("0.001"), NOW)
            for n, part in enumerate(parts)
        )
        execution_orders.settle(order.pk, port.Answer(port.ORDER, "", "v1", status, fills), 60, NOW, NOW)
        order.refresh_from_db()

    def sent(self) -> Order:
        paper.show_fault("lost")
        plan = cast.entry(5)
        Plan.objects.filter(pk=plan.pk).update(slices=1)
        cast.run(1)
        return Order.objects.get()

    def test_an_order_that_rests_is_booked_fill_by_fill(self) -> None:
        order = self.sent()
        for status, parts, then in (
            ("open", (), "OPEN"),
            ("open", ("0.0004",), "OPEN"),
            ("open", ("0.0004",), "OPEN"),
            ("canceled", ("0.0004", "0.0003"), "PARTIAL"),
            ("canceled", ("0.0004", "0.0003"), "PARTIAL"),
        ):
            self.answer(order, status, *parts)
            assert order.status == then
        assert order.filled_quantity == Position.objects.get().quantity == Decimal("0.0007")
        assert order.fills.count() == 2

    def test_a_missing_order_is_waited_for_before_it_is_taken_for_lost(self) -> None:
        order = self.sent()
        missing = port.Answer(port.MISSING)
        execution_orders.settle(order.pk, missing, 60, at(0.9), at(0.9))
        order.refresh_from_db()
        assert order.status == "UNKNOWN"
        execution_orders.settle(order.pk, missing, 60, at(1), at(1))
        order.refresh_from_db()
        assert order.status == "CANCELLED"


class TestExit:
    def test_a_position_is_sold_and_its_result_is_booked(self) -> None:
        position = cast.held()
        plan = execution.open_exit(position, "take_profit", at(10))
        cast.run(1, first=10)
        position.refresh_from_db()
        plan.refresh_from_db()
        assert (plan.status, position.quantity, position.exit_reason) == (PlanStatus.DONE, 0, "take_profit")
        assert position.realised_pnl == position.proceeds_usd - position.cost_usd - position.fees_usd
        assert position.realised_pnl < 0
        cast.check_books()

    def test_there_is_one_open_exit(self) -> None:
        position = cast.held()
        one = execution.open_exit(position, "stop_loss", at(10))
        assert execution.open_exit(position, "stop_loss", at(10)).pk == one.pk

    def test_a_paused_exit_is_resumed_by_the_next_reason_to_exit(self) -> None:
        position = cast.held()
        plan = execution.open_exit(position, "take_profit", at(10))
        execution.pause(plan, cast.staff(), "wait", at(10))
        cast.run(1, first=10)
        assert Position.objects.get().closed_at is None
        assert execution.open_exit(position, "stop_loss", at(11)).status == PlanStatus.RUNNING
        cast.run(1, first=11)
        assert Position.objects.get().closed_at is not None

    def test_an_exit_ends_the_purchase_of_the_same_position(self) -> None:
        plan = cast.entry(5)
        cast.run(2)
        position = Position.objects.get()
        execution.open_exit(position, "stop_loss", at(2))
        cast.run(3, first=2)
        plan.refresh_from_db()
        assert plan.status == PlanStatus.CANCELLED
        assert "Its position is sold: stop_loss." in plan.reason
        assert Position.objects.get().closed_at is not None
        cast.check_books()

    def test_an_exit_is_sent_whatever_the_state(self) -> None:
        position = cast.held()
        states.stop_and_flatten(cast.staff(), "enough", at(9), at(9))
        execution.open_exit(position, "flatten", at(10))
        cast.run(1, first=10)
        assert Position.objects.get().closed_at is not None

    def test_an_exit_too_small_for_the_venue_fails_once_and_is_made_when_it_is_worth_it(self) -> None:
        position = cast.held()
        cast.bars(first=6, last=12, close=3700.0)
        plan = execution.open_exit(position, "stop_loss", at(6))
        cast.run(2, first=6)
        plan.refresh_from_db()
        assert (plan.status, Order.objects.count()) == (PlanStatus.FAILED, 1)
        assert "too small for the venue" in plan.reason
        assert execution.open_exit(position, "stop_loss", at(8)).pk == plan.pk
        again = execution.open_exit(position, "stop_loss", at(14))
        cast.run(1, first=14)
        again.refresh_from_db()
        assert again.status == PlanStatus.DONE

    def test_a_closed_position_is_not_sold_again(self) -> None:
        position = cast.held()
        execution.open_exit(position, "stop_loss", at(10))
        cast.run(1, first=10)
        with pytest.raises(OrderRefused):
            execution.open_exit(position, "stop_loss", at(11))


class TestStaff:
    def test_a_paused_plan_sends_nothing_and_goes_on_where_it_stopped(self) -> None:
        plan, stella = cast.entry(5), cast.staff()
        cast.run(1)
        execution.pause(plan, stella, "look", at(1))
        cast.run(5, first=1)
        assert Order.objects.count() == 1
        execution.resume(plan, stella, "", at(6))
        cast.run(3, first=6)
        plan.refresh_from_db()
        assert (plan.status, Order.objects.count()) == (PlanStatus.DONE, 4)
        cast.check_books()

    def test_a_cancelled_plan_tells_its_residual(self) -> None:
        plan = cast.entry(5)
        cast.run(1)
        row = execution.cancel(plan, cast.staff(), "enough", at(1))
        cast.run(3, first=1)
        assert (row.status, Order.objects.count()) == (PlanStatus.CANCELLED, 1)
        assert "Residual: 0.00093284 BTC, $3.75." in row.reason
        assert execution.residual(row).usd == Decimal("3.75")

    def test_a_cancelled_entrys_unknown_order_is_booked_all_the_same(self) -> None:
        plan = cast.entry(5)
        paper.show_fault("timeout")
        cast.run(1)
        execution.cancel(plan, cast.staff(), "enough", at(1))
        cast.run(1, first=1)
        plan.refresh_from_db()
        assert plan.filled_quantity > 0
        cast.check_books()

    def test_an_exit_whose_order_is_unknown_is_not_cancelled(self) -> None:
        plan = execution.open_exit(cast.held(), "stop_loss", at(10))
        paper.show_fault("timeout")
        cast.run(1, first=10)
        with pytest.raises(OrderRefused):
            execution.cancel(plan, cast.staff(), "enough", at(11))

    def test_only_staff_and_only_what_fits(self) -> None:
        plan, stella = cast.entry(), cast.staff()
        olaf = cast.User.objects.create_user("olaf@example.org", "secret")
        for act in (execution.pause, execution.resume, execution.cancel):
            with pytest.raises(NotStaff):
                act(plan, olaf, "mine", NOW)
        with pytest.raises(OrderRefused):
            execution.resume(plan, stella, "", NOW)
        execution.cancel(plan, stella, "enough", NOW)
        for act in (execution.pause, execution.resume, execution.cancel):
            with pytest.raises(OrderRefused):
                act(plan, stella, "again", NOW)


def test_live_trading_does_not_start() -> None:
    with pytest.raises(LiveRefused):
        execution.start_mode("LIVE")
    cast.entry()
    cast.govern(trading__mode="LIVE")
    with pytest.raises(LiveRefused):
        execution.advance(NOW, NOW)
    assert Order.objects.count() == 0


def test_the_price_of_the_cast_is_there() -> None:
    assert candles.price_at(cast.BTC, NOW) == 4000.0
