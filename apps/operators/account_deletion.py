"""Leaving: the person is made unknown, the ledger stays whole.

Rows that the network's history stands on (transfers, jobs, nodes, events) stay under an account that names nobody.
Other rooms add what stands in the way, and what else there is to forget, when they are loaded.
"""

from collections.abc import Callable
from datetime import datetime

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib.admin.models import LogEntry
from django.db import transaction
from django.db.models import F, Q

from apps.core import events
from apps.core.models import Event, StoredMail, User
from apps.ledger import accounts
from apps.ledger.models import Account, AccountKind
from apps.ledger.money_models import Mandate, Slash
from apps.ledger.retries import retried
from apps.operators.account_errors import AccountGone, AccountHasNodes, AccountIsStaff, AccountObstacle, AccountStaked
from apps.operators.models import (
    ApiKey,
    Appeal,
    Application,
    ApplicationStatus,
    EnrolmentToken,
    Node,
    Notification,
    Operator,
    ShardHost,
    SlashAppeal,
    Stake,
    Wallet,
)

Check = Callable[[User], AccountObstacle | None]
Eraser = Callable[[User, datetime], None]
_checks: list[Check] = []
_erasers: list[Eraser] = []
NAME = "Deleted account"
LEFT = "Its owner deleted the account."


def refuse_while(check: Check) -> None:
    """Ask `check(user)` before a deletion: what it returns stands in the way."""
    _checks.append(check)


def erase_with(eraser: Eraser) -> None:
    """Call `eraser(user, now)` in a deletion's transaction, before the account loses its name."""
    _erasers.append(eraser)


def obstacles(user: User) -> list[AccountObstacle]:
    """Everything that stands in the way, each with its next step; empty where the account can go."""
    found: list[AccountObstacle] = []
    if user.is_staff or user.is_superuser:
        found.append(AccountIsStaff())
    if has_stake(user):
        found.append(AccountStaked())
    if has_machines(user):
        found.append(AccountHasNodes())
    return found + [obstacle for check in _checks if (obstacle := check(user))]


def has_stake(user: User) -> bool:
    """Whether MESH of the account is locked, on its way back or slashed and not decided, by rows or by the ledger."""
    open_stakes = Stake.objects.filter(operator__user=user).exclude(status=Stake.Status.RELEASED)
    owned = Account.objects.filter(kind=AccountKind.STAKE, owner=accounts.owner_of(user), balance__gt=0)
    slashed = Slash.objects.undecided().filter(account__owner=accounts.owner_of(user), amount__gt=0)
    return open_stakes.exists() or owned.exists() or slashed.exists()


def has_machines(user: User) -> bool:
    """Whether a node of the account is not revoked, or a host of shards has not left."""
    hosts = ShardHost.objects.filter(user=user, status=ShardHost.Status.ACTIVE)
    return Node.objects.filter(operator__user=user).not_revoked().exists() or hosts.exists()


@retried
@transaction.atomic(durable=True)
def delete(user: User, now: datetime) -> None:
    """Forget the person and end every way in. Raises AccountGone, or the first obstacle; then nothing changed."""
    # The account's row first, the operator's second: stakes and enrolments wait, and find an operator that is closed.
    person = User.objects.locked(user.pk)
    if person is None:
        raise AccountGone
    list(Operator.objects.select_for_update(no_key=True).filter(user=person))
    for obstacle in obstacles(person):
        raise obstacle
    for eraser in (_end_access, _forget_records, *_erasers, _forget_person):
        eraser(person, now)
    events.emit("account.deleted", subject=f"user:{person.pk}", topics=[f"user.{person.pk}"], now=now, actor=person)


def _end_access(person: User, now: datetime) -> None:
    ApiKey.objects.filter(user=person, revoked_at=None).update(revoked_at=now)
    EnrolmentToken.objects.filter(operator__user=person, used_at=None).delete()
    Mandate.objects.filter(payer__owner=accounts.owner_of(person), revoked_at=None).update(revoked_at=now)
    Authenticator.objects.filter(user=person).delete()
    for row in UserSession.objects.filter(user=person):
        row.end()


def _forget_records(person: User, now: datetime) -> None:
    ApiKey.objects.filter(user=person).update(name="")
    # The rows stay, so that one wallet is not paid a first reward twice.
    Wallet.objects.filter(user=person).update(label="")
    applications = Application.objects.filter(user=person)
    applications.update(experience="", hardware={}, probe={})
    # Nobody reviews what nobody can be told of.
    applications.filter(status=ApplicationStatus.SUBMITTED).update(status=ApplicationStatus.DRAFT)
    # Machines keep their keys and history, not what their owner called them or what they are built of.
    for machines in (Node.objects.filter(operator__user=person), ShardHost.objects.filter(user=person)):
        machines.update(name=F("pk"), probe={})
    Operator.objects.filter(user=person).update(status=Operator.Status.SUSPENDED, reason=LEFT)
    Appeal.objects.filter(by=person).update(text="")
    SlashAppeal.objects.filter(by=person).update(text="")
    Notification.objects.filter(user=person).delete()
    if person.email:
        StoredMail.objects.filter(to__iexact=person.email).delete()
    own = Q(content_type__model="user", object_id=str(person.pk))
    subjects = [f"user:{person.pk}"]
    for owned in (
        Node.objects.filter(operator__user=person),
        *(model._default_manager.filter(user=person) for model in (ShardHost, ApiKey, Wallet)),
    ):
        subjects += owned.values_list("pk", flat=True)
    for model in (Application, Operator):
        keys = list(model._default_manager.filter(user=person).values_list("pk", flat=True))
        subjects += keys
        own |= Q(content_type__app_label="operators", content_type__model=model._meta.model_name, object_id__in=keys)
    LogEntry.objects.filter(own).update(object_repr=NAME, change_message="")
    # That something happened, and when, is history; what was written about the person is theirs.
    Event.objects.filter(subject__in=subjects).update(data={})


def _forget_person(person: User, now: datetime) -> None:
    EmailAddress.objects.filter(user=person).delete()
    person.groups.clear()
    person.user_permissions.clear()
    person.email = None
    person.name = NAME
    person.time_zone = ""
    person.last_login = None
    person.is_active = False
    # Every session that carries the old password's hash is void with it.
    person.set_unusable_password()
    person.save()
