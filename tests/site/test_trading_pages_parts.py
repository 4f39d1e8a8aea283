"""Figures, rounds, candles and paths as the pages of trading print them."""

import pytest
from django.test import Client

from apps.core import parameters
from apps.trading import presentation as shared
from apps.trading import presentation_charts as charts
from apps.trading import presentation_figures as figures
from apps.trading import presentation_rounds as rounds
from apps.trading import presentation_scans as scans
from apps.trading.risk import facts as risk_facts
from apps.trading.risk import limits as risk_limits
from tests.site import trading_cast as cast
from tests.site.trading_cast import MINUTE, NOW, WALL
from workers.protocol.clock import utcnow

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def fresh_parameters() -> None:
    parameters.forget_cached()


def text_of(client: Client, address: str) -> str:
    page = client.get(address)
    assert page.status_code == 200, address
    return page.content.decode()


def figure(label: str) -> shared.Figure:
    limits = risk_limits.current()
    market = shared.market(WALL)
    found = figures.figures(risk_facts.gather("BTC-USD", market.at, limits=limits), limits, market)
    return next(one for one in found if one.label.startswith(label))


def test_candles_end_before_the_bar_that_is_not_complete_and_a_gap_stays_one(client: Client) -> None:
    cast.replay()
    cast.candles(10, leave_out={4, 5})
    cast.candles(1, until=NOW + MINUTE)
    data = client.get("/trading/candles.json?pair=BTC-USD").json()
    assert len(data["candles"]) == 8
    assert data["gaps"] == 2
    assert data["candles"][-1][0] == int((NOW - MINUTE).timestamp())
    assert client.get("/trading/candles.json?pair=ETH-USD").json()["candles"] == []


def test_longer_candles_are_made_of_those_of_a_minute() -> None:
    bars = [(0, 1.0, 5.0, 1.0, 2.0, 1.0), (60, 2.0, 3.0, 0.5, 3.0, 2.0), (300, 3.0, 4.0, 3.0, 4.0, 1.5)]
    assert charts.merged(bars, 300) == [(0, 1.0, 5.0, 0.5, 3.0, 3.0), (300, 3.0, 4.0, 3.0, 4.0, 1.5)]


def test_fills_stand_on_the_bar_that_they_happened_in(client: Client) -> None:
    cast.replay()
    cast.candles(30)
    cast.order(cast.plan(), at=NOW - 5 * MINUTE)
    cast.order(cast.plan(side="SELL"), at=NOW - MINUTE, price="10705")
    cast.order(cast.plan(), at=NOW - 60 * MINUTE)  # before the first bar
    orders = client.get("/trading/candles.json?pair=BTC-USD").json()["orders"]
    assert orders == [
        {"time": int((NOW - 5 * MINUTE).timestamp()), "side": "BUY", "label": "Buy 10,702.00"},
        {"time": int((NOW - MINUTE).timestamp()), "side": "SELL", "label": "Sell 10,705.00"},
    ]


def test_accuracy_counts_what_was_right_after_fees_beside_target_and_break_even() -> None:
    cast.replay()
    for pnl in (0.004, 0.001, -0.002, 0.005):  # 0.001 is right, but not after fees of 0.002
        cast.outcome(cast.signal(), pnl)
    found = figure("Accuracy")
    assert found.value == "50.0"
    assert "2 of 4 judged" in found.hint
    assert "target 55 %" in found.hint
    assert "break-even 62.5 %" in found.hint


def test_break_even_says_when_fees_take_the_profit() -> None:
    parameters.set_parameter("risk.fee_bp", 26, actor=None, reason="a dear venue", now=utcnow())
    parameters.forget_cached()
    assert "break-even none: fees take the profit" in figure("Accuracy").hint


def test_win_and_loss_are_held_against_the_design_and_the_target() -> None:
    cast.replay()
    assert "0 won, 0 lost" in figure("Win").hint
    cast.closed("0.006")
    cast.closed("-0.003")
    found = figure("Win")
    assert found.value == "2.00"
    assert "1.67 by design, before fees · target 1.5" in found.hint


def test_today_is_held_against_the_loss_at_which_it_stops() -> None:
    cast.replay()
    cast.closed("-0.5")
    found = figure("Today")
    assert found.value == f"{shared.MINUS}$0.50"
    assert found.hint.startswith(f"stops at {shared.MINUS}$2.00")
    assert found.tone == "down"


@pytest.mark.parametrize(
    ("count", "meaning"),
    [
        (0, "fewer than 5: the scans are stale"),
        (5, "5 to 20 is healthy"),
        (21, "more than 20: the thresholds are loose"),
    ],
)
def test_signals_a_day_say_what_too_few_or_many_mean(count: int, meaning: str) -> None:
    cast.replay()
    for index in range(count):
        cast.signal(NOW - index * MINUTE)
    found = figure("Signals")
    assert (found.value, found.hint) == (str(count), meaning)


def test_the_desk_says_when_every_band_gives_the_smallest_trade(client: Client) -> None:
    cast.replay()
    assert "At a capital of $13.00 every band still gives" in text_of(client, "/trading")
    parameters.set_parameter("risk.capital_cents", 10_000, actor=None, reason="more", now=utcnow())
    parameters.forget_cached()
    assert "every band still gives" not in text_of(client, "/trading")


def test_the_capital_from_which_bands_differ_is_where_they_do() -> None:
    cast.replay()
    limits = risk_limits.current()
    said = figures.bands(risk_facts.gather("BTC-USD", NOW, limits=limits), limits).differs_from
    for cents, flat in ((-2, True), (0, False)):
        value = round(float(said.strip("$")) * 100) + cents
        parameters.set_parameter("risk.capital_cents", value, actor=None, reason="x", now=utcnow())
        parameters.forget_cached()
        found = risk_limits.current()
        assert bool(figures.bands(risk_facts.gather("BTC-USD", NOW, limits=found), found).flat) is flat


def test_a_rounds_steps_weights_and_threshold_are_followed() -> None:
    row = cast.a_round(cast.signal())
    cast.votes(row, ("ada", "bert", "cleo"))
    cast.votes(row, ("dora",), ("commit", "reveal"))
    shown = rounds.view(row)
    dora = next(one for one in shown.oracles if one.owner == "op_dora")
    assert [mark.state for mark in dora.marks] == ["done", "done", "todo", "todo"]
    assert (dora.action, dora.confidence, dora.price) == ("BUY", "0.71", "10,700.00")
    total = sum(member["weight"] for member in row.members)
    assert (shown.quorum.signed, shown.quorum.needed) == (5000 * (40 + 45 + 50), 2 * total // 3 + 1)
    assert (shown.quorum.owners, shown.quorum.owners_needed, shown.quorum.reached) == (3, 4, False)
    cast.says(row, "dora", "precommit", value="ef" * 32)
    assert rounds.view(row).quorum.reached


def test_a_message_that_was_signed_again_is_not_a_second_one() -> None:
    row = cast.a_round()
    cast.votes(row, ("ada",))
    again = row.messages.get(step="prevote")
    again.pk, again.digest = None, "9" * 64
    again.save()
    assert [mark.state for mark in rounds.view(row).oracles[0].marks] == ["done"] * 4
    cast.says(row, "ada", "prevote", value="11" * 32)
    assert [mark.state for mark in rounds.view(row).oracles[0].marks] == ["done", "done", "twice", "done"]


def test_weight_for_another_outcome_does_not_add_up() -> None:
    row = cast.a_round()
    cast.votes(row, ("ada", "bert"))
    cast.says(row, "cleo", "precommit", value="11" * 32)
    assert rounds.view(row).quorum.owners == 2


def test_a_round_page_offers_the_certificate_and_shows_who_signed_twice(client: Client) -> None:
    row = cast.certified(cast.signal())
    evidence = cast.signed_twice(row, "emil")
    cast.signed_twice(cast.a_round(), "bert")
    text = text_of(client, f"/trading/rounds/{row.pk}")
    assert f"mesh verify {row.pk}.certificate.json" in text
    assert "signed two different messages" in text
    assert evidence.digest[:16] in text
    assert text.count("equivocation") == 1
    file = client.get(f"/trading/rounds/{row.pk}/certificate.json")
    assert file["Content-Disposition"] == f'attachment; filename="{row.pk}.certificate.json"'
    assert file.json() == row.certificate


def test_a_failed_round_says_why_and_what_comes_next(client: Client) -> None:
    row = cast.a_round(status="FAILED", reason="Only 3 of 5 owners answered.", next_step="The next signal asks again.")
    text = text_of(client, f"/trading/rounds/{row.pk}")
    assert "Only 3 of 5 owners answered." in text
    assert "The next signal asks again." in text
    assert "certificate.json" not in text


def test_a_plan_shows_its_slices_and_fills(client: Client) -> None:
    row = cast.plan(cast.signal())
    sent = cast.order(row)
    text = text_of(client, f"/trading/orders/{row.pk}")
    assert sent.pk in text
    assert f"{sent.pk[:12]}-1" in text
    assert "33 %" not in text  # the facts print amounts, the meter the share
    assert 'value="33"' in text
    assert "-7.5" in text  # basis points from the limit


def test_a_targets_page_keeps_silence_silent_and_masked_hops_masked(client: Client) -> None:
    cast.replay()
    host = cast.target()
    cast.scan(host, NOW - MINUTE)
    cast.scan(host, NOW, None)
    text = text_of(client, f"/trading/scans/{host.host}")
    assert "masked" in text
    assert "no answer" in text
    assert "Too few answers to draw" in text
    assert "<progress" in text


def test_a_route_change_counts_only_hops_that_answered_in_both_scans() -> None:
    host = cast.target()
    before, now = cast.scan(host, NOW - MINUTE), cast.scan(host, NOW, route=1)
    changes = scans.route_changes([now, before])
    assert [(one.changed, one.compared, one.share) for one in changes] == [(1, 3, "33")]
    now.hops[3] |= {"ip": None, "rtt_ms": None}
    assert scans.route_changes([now, before]) == []


def test_a_targets_line_draws_one_stretch_for_each_answered_series() -> None:
    assert scans.spark([1.0, 2.0, None, 3.0, 1.0]) == ["0.0,23.0 30.0,12.0", "90.0,1.0 120.0,23.0"]
    assert scans.spark([None, 5.0]) == []


def test_targets_are_filtered_by_category(client: Client) -> None:
    cast.target()
    cast.target("example.org", (), "web")
    text = text_of(client, "/trading/scans?category=web")
    assert "example.org" in text
    assert "api.coinbase.com" not in text


def test_false_alarms_are_those_that_were_measured(client: Client) -> None:
    text = text_of(client, "/trading/scans")
    assert "RIPE Atlas ping measurement" in text
    assert len(scans.alarms()) == len(scans.measured_alarms()["detectors"]) > 0


def test_amounts_are_printed_with_the_digits_that_they_need() -> None:
    assert shared.usd(1.256) == "$1.26"
    assert shared.usd(-0.0012, signed=True) == f"{shared.MINUS}$0.0012"
    assert shared.usd(0) == "$0.00"
    assert shared.usd(None) == "-"
    assert [shared.price(amount) for amount in (10_700.5, 2.5, 0.01)] == ["10,700.50", "2.5000", "0.010000"]


def test_a_message_that_cannot_be_read_says_nothing() -> None:
    for broken in ({}, {"payload": "%%"}, {"payload": "W10="}, {"payload": None}):
        assert shared.body(broken) == {}


def test_gaps_and_bad_rows_are_shown_and_said_not_to_be_filled(client: Client) -> None:
    cast.replay()
    assert "never filled" in text_of(client, "/trading")
    cast.fault()
    cast.fault("ETH-USD", 9)
    text = text_of(client, "/trading")
    assert "1 found, 3 bars" in text
    assert "Nothing was filled in their place." in text
    assert "9 bars are missing." not in text


def test_the_desk_says_which_model_serves_and_why(client: Client) -> None:
    assert "No model trained yet" in text_of(client, "/trading")
    cast.model("baseline", 0.4, serving=True, reason="No model beats it, so that the baseline serves.")
    cast.model()
    text = text_of(client, "/trading")
    assert "No model beats it, so that the baseline serves." in text
    assert text.index("does not serve") > text.index("serves</span>")
    assert "0.31" in text


def test_the_series_of_a_target_is_there_as_json_too(client: Client) -> None:
    cast.replay()
    host = cast.target()
    for index, rtt in enumerate((20.0, None, 22.5)):
        cast.scan(host, NOW - (3 - index) * MINUTE, rtt)
    cast.scan(host, NOW - 10 * MINUTE, 80.0, vantage="probe 1")
    cast.scan(host, NOW + MINUTE, 90.0)  # the market is not there yet
    data = client.get(f"/trading/scans/{host.host}/rtt.json").json()
    assert (data["vantage"], data["series"]["series"][0]["values"]) == ("probe 6031", [20.0, None, 22.5])
    assert client.get(f"/trading/scans/{host.host}/rtt.json?vantage=probe+1").json()["series"] is None
    assert client.get(f"/trading/scans/{host.host}/rtt.json?vantage=nowhere").json() == data


def test_a_round_shows_what_models_said_to_its_oracles(client: Client) -> None:
    row = cast.a_round()
    assert "Predictions" not in text_of(client, f"/trading/rounds/{row.pk}")
    cast.prediction(row)
    text = text_of(client, f"/trading/rounds/{row.pk}")
    assert "btc-direction 1" in text
    assert "The baseline serves." in text
    assert "10753.50" in text
