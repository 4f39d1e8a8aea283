"""What runs by the clock, the order of the queue, and the replay guard."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.core.models import User
from apps.ledger import holds
from apps.pool import classes, submission, tasks
from apps.pool.models import Job, NodeClass, UsedMessage
from apps.pool.ordering import order_key, raised
from apps.pool.replay import DatabaseReplayGuard, prune
from tests.apps.pool.cast import NOW, Machine, embed, later
from workers.protocol.clock import unix_ms, utcnow

PRIORITIES = st.integers(0, 9)
BACKLOGS = st.integers(0, 10**6)


@given(PRIORITIES, PRIORITIES, BACKLOGS, BACKLOGS)
def test_a_lower_priority_number_always_comes_first(one: int, other: int, ahead: int, behind: int) -> None:
    keys = [order_key(p, NOW, b, later(86_400)) for p, b in ((one, ahead), (other, behind))]
    assert one == other or (one < other) == (keys[0] < keys[1])


@given(PRIORITIES, BACKLOGS, BACKLOGS)
def test_within_a_priority_a_smaller_backlog_comes_first(priority: int, few: int, many: int) -> None:
    keys = [order_key(priority, NOW, backlog, later(86_400)) for backlog in (few, many)]
    assert few > many or keys[0] <= keys[1]


@given(BACKLOGS)
def test_no_task_is_placed_after_its_own_expiry(backlog: int) -> None:
    assert order_key(0, NOW, backlog, later(60)) <= unix_ms(later(60))


@given(PRIORITIES, BACKLOGS)
def test_raising_is_one_priority_up_and_ends_at_the_top(priority: int, backlog: int) -> None:
    key = order_key(priority, NOW, backlog, later(86_400))
    assert raised(key) == order_key(max(0, priority - 1), NOW, backlog, later(86_400))


@pytest.mark.django_db
def test_the_sweep_fails_jobs_whose_time_is_over(rita: User, ada: Machine) -> None:
    job = submission.submit(rita, embed("a"), utcnow() - timedelta(days=2))
    fresh = submission.submit(rita, embed("a"), utcnow())
    tasks.sweep()
    assert list(Job.objects.order_by("created_at").values_list("pk", "status")) == [
        (job.pk, "FAILED"),
        (fresh.pk, "PENDING"),
    ]


@pytest.mark.django_db
def test_a_hold_does_not_expire_while_its_chunks_run(rita: User, ada: Machine) -> None:
    job = submission.submit(rita, embed("a"), NOW)
    long_after = NOW + timedelta(days=30)
    assert holds.expire_due(now=long_after) == []
    ada.work()
    job.refresh_from_db()
    assert job.status == "COMPLETED"


@pytest.mark.django_db
def test_pruning_forgets_expired_messages_and_refreshes_nodes(ada: Machine) -> None:
    now = utcnow()
    guard = DatabaseReplayGuard()
    guard.seen("node_a", "old", unix_ms(now - timedelta(minutes=1)))
    guard.seen("node_a", "new", unix_ms(now + timedelta(minutes=1)))
    classes.for_version(classes.ModelVersion.objects.get(), "embed", NOW)
    NodeClass.objects.all().delete()
    tasks.prune()
    assert list(UsedMessage.objects.values_list("message_id", flat=True)) == ["new"]
    assert NodeClass.objects.filter(node=ada.node).exists()


@pytest.mark.django_db
def test_a_message_is_seen_once_for_each_sender() -> None:
    guard, expires = DatabaseReplayGuard(), unix_ms(later(60))
    assert [guard.seen(sender, "m", expires) for sender in ("a", "a", "b", "b")] == [False, True, False, True]
    assert prune(later(61)) == 2
