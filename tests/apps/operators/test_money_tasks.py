"""What the clock does for money: every entry of the schedule has its task, and the tasks do what is due."""

from datetime import timedelta
from uuid import uuid4

from django.conf import settings

from apps.core.models import User
from apps.ledger import accounts, faucet, slashing, staking
from apps.ledger.amounts import MESH
from apps.ledger.models import Epoch, Slash, Unbonding
from apps.ledger.tasks import release_escrow, settle_epochs
from apps.operators import stakes
from apps.operators.models import Operator, Stake
from apps.operators.stake_tasks import watch_stakes
from meshwork.celery import app
from workers.protocol.clock import utcnow


def test_every_entry_of_the_schedule_has_its_task() -> None:
    app.loader.import_default_modules()
    assert {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()} <= set(app.tasks)


def test_days_that_are_over_are_settled(operator: Operator) -> None:
    settle_epochs()
    first = Epoch.objects.count()
    settle_epochs()
    assert (first, Epoch.objects.count()) == (31, 62)


def test_what_is_due_is_released(operator: Operator, admin: User) -> None:
    past = utcnow() - timedelta(days=8)
    faucet.treasury_grant(operator.user, 100 * MESH, admin, "for tests", past)
    staking.stake(operator.user, 100 * MESH, id=uuid4(), authorisation={"by": "platform"}, now=past)
    stakes.take_back(operator.user, 10 * MESH, past)
    slashing.slash(operator.user, "flt_1", 10_000, past, past)
    watch_stakes()
    release_escrow()
    assert Unbonding.objects.get().status == "released"
    assert Slash.objects.get().status == "executed"
    assert accounts.balance(operator.user) == 10 * MESH
    # The 100 that were there at the fault are gone, and the 10 that left.
    assert Stake.objects.get().amount == 4_990 * MESH
