"""A node's own page: what it shows is what its rows say, and what its owner sets is what is kept."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from apps.core import events
from apps.ledger import accounts
from apps.ledger.models import Epoch, EpochShare
from apps.operators import earnings, enrolment, limits, node_uptime
from apps.operators.models import Node, NodeEvent, NodeStatus, Operator
from apps.operators.node_forms import LimitsForm
from apps.operators.node_uptime import Span, clipped, percent, spans, strip, without
from tests.apps.operators.test_enrolment import prepared
from tests.apps.pool.cast import fund
from workers.protocol.clock import unix_ms, utcnow

NOW = datetime(2026, 5, 6, 12, tzinfo=UTC)
LIMITS = {
    "paused": "",
    "paused_until": "",
    "quiet_hours": "22:00-07:00\nsat-sun 00:00-24:00",
    "time_zone": "Europe/Berlin",
    "memory_cap_mb": "4000",
    "power_cap_w": "",
}


def ago(hours: float) -> datetime:
    return NOW - timedelta(hours=hours)


@pytest.fixture
def node(operator: Operator) -> Node:
    return enrolment.enrol(prepared(operator), utcnow())


@pytest.fixture
def client(operator: Operator) -> Client:
    browser = Client()
    browser.force_login(operator.user)
    return browser


def history(node: Node, *moves: tuple[float, str, str]) -> list[tuple[datetime, str, str]]:
    node.events.all().delete()
    node.status = moves[-1][2] if moves else node.status
    return [(ago(hours), old, new) for hours, old, new in moves]


def shares(found: list[Span], start: datetime) -> dict[str, str]:
    return dict(strip("", clipped(found, start, NOW), start, NOW).parts)


def test_shares_are_of_the_time_that_is_known(node: Node) -> None:
    node.enrolled_at = ago(12)
    moves = history(
        node, (12, "", "pending"), (11, "pending", "online"), (2, "online", "offline"), (1, "offline", "online")
    )
    found = spans(moves, node, ago(24), NOW)
    assert [(span.status, span.seconds / 3600) for span in found] == [
        ("", 12), ("pending", 1), ("online", 9), ("offline", 1), ("online", 1),
    ]  # fmt: skip
    drawn = strip("", found, ago(24), NOW)
    assert (drawn.online, dict(drawn.parts)["no data"]) == ("83.33 %", "50.00 %")
    assert [bar["x"] for bar in drawn.bars] == [500.0, 541.67, 916.67, 958.33]
    assert drawn.known == timedelta(hours=12)


def test_a_state_from_before_the_window_reaches_into_it(node: Node) -> None:
    node.enrolled_at = ago(1000)
    assert shares(spans(history(node, (6, "online", "offline")), node, ago(24), NOW), ago(24)) == {
        "online": "75.00 %",
        "offline": "25.00 %",
    }
    node.status = NodeStatus.ONLINE
    assert shares(spans([], node, ago(24), NOW), ago(24)) == {"online": "100.00 %"}


def test_the_platforms_own_absence_is_a_gap_and_nobodys_fault(node: Node) -> None:
    node.enrolled_at, node.status = ago(1000), NodeStatus.ONLINE
    found = without(spans([], node, ago(24), NOW), [(ago(10), ago(4)), (ago(30), ago(20))])
    assert [(span.status, span.seconds / 3600) for span in found] == [("", 4), ("online", 10), ("", 6), ("online", 4)]
    assert strip("", found, ago(24), NOW).online == "100.00 %"


def test_a_share_is_never_rounded_up() -> None:
    assert (percent(99_999, 100_000), percent(1, 1), percent(0, 7)) == ("99.99 %", "100.00 %", "0.00 %")


@pytest.mark.django_db(transaction=True)
def test_blocks_that_are_missing_tell_when_the_platform_was_away(settings: Any, node: Node) -> None:
    settings.BLOCK_SECONDS = 600
    with connection.cursor() as cursor:
        for height, hours in ((101, 8.0), (102, 7.9), (103, 3.0), (104, 2.9)):
            cursor.execute(
                "INSERT INTO ledger_block (height, prev, root, count, minted, burned, sealed_at, hash, document)"
                " VALUES (%s, '', '', 0, 0, 0, %s, %s, '{}')",
                [height, ago(hours), str(height)],
            )
    assert node_uptime.away(ago(24), NOW) == [(ago(7.9), ago(3.0)), (ago(2.9), NOW)]
    assert node_uptime.away(ago(24), ago(2.8)) == [(ago(7.9), ago(3.0))]


def test_an_estimate_without_data_says_so(node: Node, operator: Operator, client: Client) -> None:
    found = earnings.estimate(operator, node, utcnow())
    assert (found.fees, found.epoch, found.day) == (None, None, None)
    page = client.get(f"/nodes/{node.pk}").content.decode()
    assert page.count("no data yet") >= 3
    assert "no data yet" in client.get("/nodes/register").content.decode()


def test_an_estimate_follows_from_its_inputs(node: Node, operator: Operator) -> None:
    other = enrolment.enrol(prepared(operator, "fra-2"), utcnow())
    now = utcnow()
    Node.objects.filter(pk__in=[node.pk, other.pk]).update(status=NodeStatus.ONLINE)
    Node.objects.filter(pk=other.pk).update(probe={"gflops": 300})
    node.refresh_from_db()
    pay(operator, 7_000)
    found = earnings.estimate(operator, node, now)
    assert (found.fees_week, found.gflops, found.gflops_online, found.fees) == (7_000, 100, 400, 250)
    day = now.date() - timedelta(days=1)
    epoch = Epoch.objects.create(day=day, first_height=1, last_height=2, pool=900, minted=900, at=now)
    part = {"epoch": epoch, "owner": f"user:{operator.user_id}", "tier": 2, "uptime_ppm": 10**6, "quality_ppm": 10**6}
    EpochShare.objects.create(**part, node=other.pk, nodes=2, weight=10**12, amount=900, escrowed=450)
    # As if it had been there: 2 x 1 x 1, by the two nodes of its owner.
    found = earnings.estimate(operator, node, now)
    assert (found.weight, found.weight_all, found.epoch, found.day) == (10**12, 2 * 10**12, 450, 700)
    assert earnings.estimate(operator, other, now).epoch == 900
    assert [row["epoch"] for row in earnings.actual(other, now)] == [900, 900, 900]
    assert [row["escrowed"] for row in earnings.actual(other, now)] == [450] * 3
    # Fees that were paid for no task of this node are not this node's.
    assert [row["fees"] for row in earnings.actual(node, now)] == [0, 0, 0]


def pay(operator: Operator, units: int) -> None:
    """A provider's fee for a task that no row here knows."""
    from uuid import uuid4

    from django.db import transaction

    from apps.ledger.models import authorised_by_platform
    from apps.ledger.posting import NewTransfer, post_all

    source = accounts.wallet(operator.user)
    fund(source, units)
    payee = accounts.system("treasury")
    moved = NewTransfer(
        uuid4(), source.pk, payee.pk, units, "fee.provider", authorised_by_platform("test"), memo="tsk_x"
    )
    with transaction.atomic():
        post_all([moved], now=utcnow())


@pytest.mark.django_db(transaction=True)
def test_limits_that_are_set_on_the_page_are_kept_and_shown(node: Node, client: Client) -> None:
    assert client.post(f"/nodes/{node.pk}/limits", LIMITS).status_code == 302
    node.refresh_from_db()
    assert node.limits["quiet_hours"] == ["22:00-07:00", "sat-sun 00:00-24:00"]
    assert (node.limits["memory_cap_mb"], node.limits["power_cap_w"], node.limits["paused"]) == (4000, 0, False)
    page = client.get(f"/nodes/{node.pk}").content.decode()
    assert "quiet 22:00-07:00, sat-sun 00:00-24:00 Europe/Berlin; memory up to 4000 MiB" in page
    assert "limits set" in page


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"quiet_hours": "late"}, "is not a time such as"),
        ({"time_zone": "Mars/Base"}, "Select a valid choice"),
        ({"memory_cap_mb": "-1"}, "greater than or equal to 0"),
        ({"power_cap_w": "much"}, "Enter a whole number"),
        ({"paused": "on", "paused_until": "soon"}, "Enter a valid date/time"),
    ],
)
def test_wrong_limits_stand_at_their_field_and_change_nothing(
    node: Node, client: Client, change: dict[str, str], said: str
) -> None:
    response = client.post(f"/nodes/{node.pk}/limits", {**LIMITS, **change})
    assert response.status_code == 400
    assert said in response.content.decode()
    node.refresh_from_db()
    assert node.limits == {}


@pytest.mark.parametrize(("day", "hour"), [("2026-01-15", 19), ("2026-07-15", 18)])
def test_a_pause_ends_by_the_clock_of_the_owners_zone(node: Node, day: str, hour: int) -> None:
    node.operator.user.time_zone = "Europe/Berlin"
    assert LimitsForm.of(node, None).initial["time_zone"] == "Europe/Berlin"
    form = LimitsForm.of(node, {**LIMITS, "paused": "on", "paused_until": f"{day}T20:00"})
    assert form.is_valid()
    expected = datetime.fromisoformat(f"{day}T{hour}:00:00+00:00")
    assert form.limits()["paused_until"] == unix_ms(expected)
    node.limits = form.limits()
    shown = LimitsForm.of(node, None).initial["paused_until"]
    assert shown == datetime.fromisoformat(f"{day}T20:00")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("typed", ["", "fra", "FRA-1"])
def test_a_revocation_needs_the_nodes_name(node: Node, client: Client, typed: str) -> None:
    response = client.post(f"/nodes/{node.pk}/revoke", {"name": typed}, follow=True)
    assert "type the node&#x27;s name to revoke it" in response.content.decode()
    node.refresh_from_db()
    assert node.status == NodeStatus.PENDING
    client.post(f"/nodes/{node.pk}/revoke", {"name": " fra-1 "})
    node.refresh_from_db()
    assert node.status == NodeStatus.REVOKED


@pytest.mark.django_db(transaction=True)
def test_the_log_has_every_change_with_its_reason_and_pages(node: Node, operator: Operator, client: Client) -> None:
    for status, reason in (
        (NodeStatus.SELF_TEST, ""),
        (NodeStatus.ONLINE, ""),
        (NodeStatus.DEGRADED, "Its clock is off."),
    ):
        node.move(status, reason, "", utcnow())
    limits.set_limits(node, {"paused": True}, actor=operator.user, now=utcnow())
    page = client.get(f"/nodes/{node.pk}").content.decode()
    assert all(words in page for words in ("Its clock is off.", "enrolled", "limits set", "5 of 5"))
    only = client.get(f"/nodes/{node.pk}?kind=node.limits_changed").content.decode()
    assert "1 of 1" in only
    for _ in range(30):
        events.emit("node.limits_changed", subject=node.pk, data={"limits": "none"}, now=utcnow())
    assert "35 of 35" in client.get(f"/nodes/{node.pk}?page=2").content.decode()
    assert client.get(f"/nodes/{node.pk}?kind=x'&page=zero").status_code == 200


def test_a_page_costs_the_same_however_long_the_history_is(
    node: Node, client: Client, django_assert_max_num_queries: Any
) -> None:
    costs = []
    for _ in range(2):
        client.get(f"/nodes/{node.pk}")
        with django_assert_max_num_queries(40) as captured:
            client.get(f"/nodes/{node.pk}")
        costs.append(len(captured))
        NodeEvent.objects.bulk_create(
            NodeEvent(node=node, at=utcnow(), old="online", new="offline", reason="x") for _ in range(50)
        )
    # Governed values and bans are read anew each second, on whichever page comes then.
    assert abs(costs[0] - costs[1]) <= 2


@pytest.mark.parametrize("status", NodeStatus.values)
def test_every_state_is_shown_with_what_it_means_and_where_it_leads(node: Node, client: Client, status: str) -> None:
    Node.objects.filter(pk=node.pk).update(status=status, reason="Because.", next_step="Do this.")
    page = client.get(f"/nodes/{node.pk}").content.decode()
    assert "Because." in page
    assert page.count("<b>now</b>") == 1
    assert ("can follow" in page) == (status != NodeStatus.REVOKED)
