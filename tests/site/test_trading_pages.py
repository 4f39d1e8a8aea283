"""The pages of trading: what they show, what they say when there is nothing, and who may steer."""

import pytest
from django.apps import apps
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils.html import escape

from apps.core import parameters
from apps.core.models import User
from apps.trading import presentation as shared
from apps.trading.models import State, TradingState
from tests.site import trading_cast as cast
from tests.site.trading_cast import MINUTE, NOW

pytestmark = pytest.mark.django_db

LISTS = ("/trading", "/trading/signals", "/trading/decisions", "/trading/rounds", "/trading/orders", "/trading/scans")


@pytest.fixture(autouse=True)
def fresh_parameters() -> None:
    parameters.forget_cached()


@pytest.fixture
def staff(client: Client) -> User:
    user = User.objects.create_user("sam@example.org", is_staff=True)
    client.force_login(user)
    return user


def text_of(client: Client, address: str) -> str:
    page = client.get(address)
    assert page.status_code == 200, address
    return page.content.decode()


@pytest.mark.parametrize("address", LISTS)
def test_an_empty_page_says_what_is_missing_and_why(client: Client, address: str) -> None:
    text = text_of(client, address)
    assert "empty-t" in text
    assert "Paper trading." in text
    assert "Replay" not in text
    assert "data-candles" not in text
    assert "data-chart" not in text


@pytest.mark.parametrize(
    "address",
    [
        "/trading/signals/sig_x",
        "/trading/decisions/dec_x",
        "/trading/rounds/rnd_x",
        "/trading/rounds/rnd_x/certificate.json",
        "/trading/orders/pln_x",
        "/trading/scans/example.org",
        "/trading/candles.json",
        "/trading/candles.json?pair=DOGE-USD",
    ],
)
def test_what_is_not_there_is_not_found(client: Client, address: str) -> None:
    assert client.get(address).status_code == 404


def test_every_page_of_a_replay_says_so(client: Client) -> None:
    rows = cast.full_stage()
    own = [
        f"/trading/signals/{rows['signal'].pk}",
        f"/trading/decisions/{rows['decision'].pk}",
        f"/trading/rounds/{rows['round'].pk}",
        f"/trading/orders/{rows['plan'].pk}",
        f"/trading/scans/{rows['target'].host}",
    ]
    for address in (*LISTS, *own):
        text = text_of(client, address)
        assert escape(cast.LABEL) in text
        assert "2020-10-02 11:59:00" in text


@pytest.mark.parametrize("fragment", ["/trading/live", "/trading/scans/live"])
def test_live_fragments_have_no_frame(client: Client, fragment: str) -> None:
    text = text_of(client, fragment)
    assert "<html" not in text
    assert "Paper trading." in text


def test_the_desk_shows_every_part(client: Client) -> None:
    rows = cast.full_stage()
    text = text_of(client, "/trading")
    for part in ("signal", "round", "plan", "decision"):
        assert rows[part].pk in text
    assert "latency anomaly" in text
    assert "moderate" in text
    assert "+0.20 %" in text  # the outcome of 0.4 %, fees of both sides paid
    assert "https://www.tradingview.com/" in text
    assert 'data-candles="/trading/candles.json?pair=BTC-USD&amp;step=1"' in text


def queries(client: Client, address: str) -> int:
    parameters.forget_cached()  # or it would depend on the time between two pages
    with CaptureQueriesContext(connection) as seen:
        assert client.get(address).status_code == 200
    return len(seen)


def test_a_page_costs_the_same_queries_however_many_rows(client: Client) -> None:
    rows = cast.full_stage()
    own = [
        f"/trading/signals/{rows['signal'].pk}",
        f"/trading/decisions/{rows['decision'].pk}",
        f"/trading/rounds/{rows['round'].pk}",
        f"/trading/orders/{rows['plan'].pk}",
        f"/trading/scans/{rows['target'].host}",
        "/trading/candles.json?pair=BTC-USD",
    ]
    text_of(client, "/trading")  # makes the one row of the state
    few = {address: queries(client, address) for address in (*LISTS, *own)}
    for index in range(20):
        more = cast.signal(NOW - index * MINUTE, target=rows["target"], status="PASSED", reason="no")
        cast.outcome(more, 0.003)
        cast.decision("cooldown", signal=more)
        cast.certified(more)
        cast.order(rows["plan"], index + 5, NOW - index * MINUTE)
        cast.plan(more)
        cast.position(more)
        cast.closed("0.01")
        cast.says(rows["round"], "ada", "prevote", value=f"{index:064x}")
        cast.scan(cast.target(f"host-{index}.example"), NOW)
        cast.scan(rows["target"], NOW - index * MINUTE, vantage=f"probe {index}")
    assert {address: queries(client, address) for address in (*LISTS, *own)} == few
    assert max(few.values()) < 50


def test_decisions_are_filtered_by_rule_in_the_url(client: Client) -> None:
    cast.decision("no_short")
    cast.decision("cooldown")
    text = text_of(client, "/trading?rule=no_short")
    assert "The rule no_short said so." in text
    assert "The rule cooldown said so." not in text
    assert '<option value="no_short" selected>' in text
    assert "/trading/live?rule=no_short" in text
    assert "No decision matches" in text_of(client, "/trading/decisions?rule=no_short&verdict=ALLOW")
    assert "The rule cooldown said so." in text_of(client, "/trading/decisions?rule=nonsense")


def test_a_decision_shows_what_each_rule_saw_and_its_threshold(client: Client) -> None:
    row = cast.decision("open_positions")
    text = text_of(client, f"/trading/decisions/{row.pk}")
    assert "does not hold" in text
    assert "max open" in text
    assert row.inputs_sha256 in text


@pytest.mark.parametrize("change", ["pause", "resume", "flatten"])
def test_only_staff_steer_trading(client: Client, change: str) -> None:
    address = f"/trading/{change}"
    assert client.get(address).status_code == 405
    assert client.post(address, {"reason": "x"})["Location"].startswith("/accounts/login/")
    client.force_login(User.objects.create_user("rita@example.org"))
    assert client.post(address, {"reason": "x"}).status_code == 403
    assert not TradingState.objects.exclude(state=State.ACTIVE).exists()
    assert "pause-trading" not in text_of(client, "/trading")


def test_staff_pause_with_a_reason_and_resume(client: Client, staff: User) -> None:
    assert "Nothing new is bought until somebody resumes." in text_of(client, "/trading")
    client.post("/trading/pause", {"reason": " "})
    assert shared.state().state == State.ACTIVE
    client.post("/trading/pause", {"reason": "Looking at a fill."})
    assert (shared.state().state, shared.state().reason) == (State.HALTED, "Looking at a fill.")
    text = text_of(client, "/trading")
    assert "Looking at a fill." in text
    assert 'commandfor="pause-trading"' not in text.split("<dialog")[0]
    client.post("/trading/resume", {"reason": "Seen."})
    assert shared.state().state == State.ACTIVE


def test_stop_and_flatten_names_its_consequence_and_sells(client: Client, staff: User) -> None:
    assert "Every open position is sold at what the market pays now" in text_of(client, "/trading")
    client.post("/trading/flatten", {"reason": "Enough."})
    assert shared.state().flattening


def test_a_refused_change_is_told_on_the_desk(client: Client, staff: User) -> None:
    page = client.post("/trading/resume", {"reason": "x"}, follow=True)
    assert "Trading is active." in page.content.decode()


def test_search_leads_to_rows_of_trading(client: Client) -> None:
    row = cast.signal()
    assert client.get(f"/search?q={row.pk}")["Location"] == f"/trading/signals/{row.pk}"
    assert client.get("/search?q=rnd_01ja0")["Location"] == "/trading/rounds/rnd_01ja0"


def test_the_navigation_marks_the_desk_and_the_scans(client: Client) -> None:
    assert text_of(client, "/trading").count('href="/trading" aria-current="page"') == 2
    assert text_of(client, "/trading/scans").count('href="/trading/scans" aria-current="page"') == 2


def test_the_admin_lists_every_row_and_only_targets_may_be_added(client: Client) -> None:
    cast.full_stage()
    client.force_login(User.objects.create_superuser("root@example.org", "x"))
    models = [model.__name__.lower() for model in apps.get_app_config("trading").get_models()]
    for model in models:
        text_of(client, f"/admin/trading/{model}/")
    may = {model for model in models if client.get(f"/admin/trading/{model}/add/").status_code == 200}
    assert may == {"scantarget"}


def test_the_admin_shows_a_decision_and_changes_nothing(client: Client) -> None:
    row = cast.decision("cooldown")
    client.force_login(User.objects.create_superuser("root@example.org", "x"))
    assert 'name="_save"' not in text_of(client, f"/admin/trading/decision/{row.pk}/change/")
    assert client.post(f"/admin/trading/decision/{row.pk}/delete/", {"post": "yes"}).status_code == 403


def test_staff_stop_watching_a_target_in_the_admin(client: Client) -> None:
    row = cast.target()
    client.force_login(User.objects.create_superuser("root@example.org", "x"))
    fields = {"host": row.host, "category": "exchange", "pairs": '["BTC-USD"]'}
    assert client.post(f"/admin/trading/scantarget/{row.pk}/change/", fields).status_code == 302
    row.refresh_from_db()
    assert not row.active
    assert "(not watched)" in text_of(client, "/trading/scans")
