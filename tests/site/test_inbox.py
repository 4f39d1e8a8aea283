"""Staff decide what waits for them without leaving the inbox: who may, with a reason, once, and with what trace."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from pytest_django.fixtures import DjangoCaptureOnCommitCallbacks, Settings

from apps.core import history, parameters, platform_keys
from apps.core.models import Event, User
from apps.ledger import accounts, genesis
from apps.ledger.models import AuditRun
from apps.ledger.tasks import audit_ledger
from apps.operators import appeals, applications, bans, reputation
from apps.operators.authentication import make_key
from apps.operators.models import Appeal, Application, Ban, Node, NodeStatus, Notification, Operator
from apps.operators.tasks import sweep_notifications
from apps.pool import submission
from apps.pool.models import Job
from tests.apps.operators.conftest import DATA
from tests.apps.pool import cast
from workers.protocol.clock import utcnow

pytestmark = pytest.mark.django_db
INBOX = "/admin/"
SENT = {"_form_submitted": "True"}
SO = {**SENT, "reason": "We looked into it."}
WORDS: dict[str, Any] = {"reason": "Forged results.", "evidence": "digest ab12"}


@pytest.fixture(autouse=True)
def network() -> None:
    platform_keys.create(utcnow())
    start = utcnow() - timedelta(hours=1)
    genesis.write(genesis.document(network="mesh-test", testnet=True, timestamp=start, block_seconds=10), start)
    parameters.forget_cached()
    bans.forget_cached()


@pytest.fixture
def ada() -> User:
    return User.objects.create_superuser("ada@example.org", "long-enough-1", name="Ada")


@pytest.fixture
def desk(client: Client, ada: User) -> Client:
    client.force_login(ada)
    return client


def an_application() -> Application:
    return applications.submit(User.objects.create_user("anna@example.org"), DATA, utcnow())


def a_machine(name: str = "olga") -> cast.Machine:
    """An online node of an operator; its model is in the catalogue."""
    if not cast.Model.objects.exists():
        cast.publish()
    return cast.machine(name)


def an_appeal() -> Appeal:
    node = a_machine().node
    boss = User.objects.create_superuser("boss@example.org")
    ban = bans.make(bans.Order(node=node, **WORDS), boss, utcnow())
    return appeals.appeal(ban, node.operator.user, "My disk was broken.", utcnow())


def a_fallen_node() -> Node:
    node = a_machine().node
    Node.objects.filter(pk=node.pk).update(status=NodeStatus.SUSPENDED, reason=reputation.SUSPENDED, reputation=0)
    return node


def a_failed_audit() -> AuditRun:
    return AuditRun.objects.create(at=utcnow(), finished_at=utcnow(), ok=False, report={})


def a_lost_mail() -> Notification:
    rita = User.objects.create_user("rita@example.org")
    lost = {"kind": "node_offline", "subject": "x", "body": "x", "created_at": utcnow(), "tried_at": utcnow()}
    return Notification.objects.create(user=rita, attempts=Notification.MOST_ATTEMPTS, **lost)


def a_stuck_job() -> Job:
    a_machine()
    return submission.submit(cast.requester("rita"), cast.embed("a", "b"), utcnow() - timedelta(hours=2))


@dataclass(frozen=True)
class Case:
    """Something that waits, the deed on it, what is asked for, and what it leaves behind."""

    make: Callable[[], Any]
    deed: str
    asks: dict[str, str]
    done: Callable[[Any], bool]
    event: str
    mail: str = ""

    def url(self, row: Any) -> str:
        return f"/admin/{row._meta.app_label}/{row._meta.model_name}/{row.pk}/{self.deed}/"


CASES = {
    "approve": Case(
        an_application, "approve", SENT, lambda row: row.status == "approved", "application.approved",
        "application_approved",
    ),
    "reject": Case(
        an_application, "reject", {**SO, "criterion": "hardware"}, lambda row: row.status == "rejected",
        "application.rejected", "application_rejected",
    ),
    "grant": Case(
        an_appeal, "grant", SO, lambda row: row.granted and row.ban.lifted_at, "ban.lifted", "appeal_answered"
    ),
    "refuse": Case(
        an_appeal, "refuse", SO, lambda row: row.granted is False and not row.ban.lifted_at, "ban.appeal_answered",
        "appeal_answered",
    ),
    "reinstate": Case(
        a_fallen_node, "reinstate", SO, lambda row: row.status == "offline" and row.reputation > 0, "node.reinstated"
    ),
    "revoke": Case(a_fallen_node, "revoke", SO, lambda row: row.status == "revoked", "node.revoked"),
    "again": Case(
        a_failed_audit, "again", SENT, lambda row: AuditRun.objects.filter(finished_at=None).exists(),
        "ledger.audit_asked",
    ),
    "send": Case(a_lost_mail, "again", SENT, lambda row: row.attempts == 0, "mail.sent_again"),
    "cancel": Case(a_stuck_job, "cancel", SO, lambda row: row.status == "CANCELLED", "job.cancelled"),
}  # fmt: skip


def test_the_table_has_every_deed_of_the_inbox(desk: Client) -> None:
    for make in (an_application, an_appeal, a_failed_audit, a_lost_mail):
        make()
    Node.objects.update(status=NodeStatus.SUSPENDED, reason=reputation.SUSPENDED)
    cast.machine("otto")
    submission.submit(cast.requester("rolf"), cast.embed("a"), utcnow() - timedelta(hours=2))
    sections = desk.get(INBOX).context["inbox"]
    deeds = [deed.url for section in sections for item in section.items for deed in item.deeds]
    assert sorted(url.split("/")[-2] for url in deeds) == sorted(case.deed for case in CASES.values())


@pytest.mark.parametrize("name", CASES)
def test_what_waits_is_decided_in_the_inbox_once(
    name: str,
    desk: Client,
    ada: User,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(audit_ledger, "delay", asked.append)
    case = CASES[name]
    row = case.make()
    url = f"{case.url(row)}?from=inbox"
    page = desk.get(INBOX).content.decode()
    assert f'hx-get="{url}"' in page
    dialog = desk.get(url).content.decode()
    assert ('name="reason"' in dialog) is ("reason" in case.asks)
    if "reason" in case.asks:
        assert desk.post(url, {**case.asks, "reason": "  "}).status_code == 200
        row.refresh_from_db()
        assert not case.done(row)
    with django_capture_on_commit_callbacks(execute=True):
        answer = desk.post(url, case.asks, headers={"HX-Request": "true"})
    assert answer["HX-Redirect"] == INBOX
    row = type(row).objects.get(pk=row.pk)
    assert case.done(row)
    event = Event.objects.get(kind=case.event)
    assert event.actor == ada
    assert "reason" not in case.asks or "We looked into it." in str(event.data)
    assert not case.mail or Notification.objects.filter(kind=case.mail).count() == 1
    assert asked == ([AuditRun.objects.latest("pk").pk] if name == "again" else [])
    count = Event.objects.count()
    again = desk.post(url, case.asks, follow=True)
    assert again.redirect_chain[-1][0] == INBOX
    assert Event.objects.count() == count


@pytest.mark.parametrize("name", CASES)
def test_who_may_only_look_sees_no_deed_and_can_do_none(name: str, client: Client) -> None:
    case = CASES[name]
    row = case.make()
    clerk = User.objects.create_user("clerk@example.org", is_staff=True)
    room = type(row)._meta
    clerk.user_permissions.add(
        Permission.objects.get(content_type__app_label=room.app_label, codename=f"view_{room.model_name}")
    )
    client.force_login(clerk)
    page = client.get(INBOX)
    assert [len(section.items[0].deeds) for section in page.context["inbox"]] == [0]
    assert client.get(case.url(row)).status_code == 403
    count = Event.objects.count()
    assert client.post(case.url(row), case.asks).status_code == 403
    assert Event.objects.count() == count


@pytest.mark.parametrize("name", CASES)
def test_staff_without_the_second_factor_decide_nothing(name: str, desk: Client, settings: Settings) -> None:
    case = CASES[name]
    row = case.make()
    settings.STAFF_NEED_SECOND_FACTOR = True
    count = Event.objects.count()
    assert desk.post(case.url(row), case.asks).status_code == 302
    assert "/accounts/" in desk.get(case.url(row), follow=True).redirect_chain[-1][0]
    assert Event.objects.count() == count
    row.refresh_from_db()
    assert not case.done(row)


def test_a_dialog_that_was_opened_in_a_list_leads_back_to_it(desk: Client) -> None:
    row = a_stuck_job()
    assert desk.post(CASES["cancel"].url(row), SO)["Location"] == "/admin/pool/job/"


def test_what_does_not_fit_into_the_inbox_is_counted(desk: Client) -> None:
    for n in range(7):
        AuditRun.objects.create(at=utcnow() + timedelta(seconds=n), finished_at=utcnow(), ok=False, report={})
    page = desk.get(INBOX).content.decode()
    assert page.count("/again/?from=inbox") == 2 * 5
    assert "and 2 more" in page


def test_a_cancelled_jobs_requester_reads_why_and_gets_the_money_back(desk: Client) -> None:
    row = a_stuck_job()
    held = 1000 * cast.MESH - accounts.balance(row.requester)
    assert held > 0
    desk.post(CASES["cancel"].url(row), SO)
    row.refresh_from_db()
    assert row.reason == "Cancelled by an administrator: We looked into it."
    assert accounts.balance(row.requester) == 1000 * cast.MESH
    again = desk.post(CASES["cancel"].url(row), SO, follow=True).content.decode()
    assert "The job has ended, or all of its chunks run" in again


def test_jobs_are_cancelled_in_bulk_with_one_reason(desk: Client, ada: User) -> None:
    a_machine()
    rita = cast.requester("rita")
    jobs = [submission.submit(rita, cast.embed(text), utcnow()) for text in "abc"]
    data = {"action": "cancel_selected", "_selected_action": [job.pk for job in jobs[:2]]}
    assert "for good" in desk.post("/admin/pool/job/", data).content.decode()
    assert set(Job.objects.values_list("status", flat=True)) == {"PENDING"}
    desk.post("/admin/pool/job/", {**data, "reason": "Flooding."})
    assert sorted(Job.objects.values_list("status", flat=True)) == ["CANCELLED", "CANCELLED", "PENDING"]
    assert [line.actor for line in history.of(jobs[0].pk) if line.kind == "job.cancelled"] == ["Ada"]


def test_a_ban_is_ended_and_a_key_revoked_on_their_rows(desk: Client) -> None:
    ban = an_appeal().ban
    desk.post(f"/admin/operators/ban/{ban.pk}/lift/", SO)
    ban = Ban.objects.get()
    assert (ban.lift_reason, ban.appeals.get().granted) == ("We looked into it.", True)
    assert ban.node is not None
    assert ban.node.status == NodeStatus.OFFLINE
    assert Notification.objects.filter(kind="ban_lifted").count() == 1
    key, _text = make_key(Operator.objects.get().user, "k", ["jobs:read"], utcnow())
    url = f"/admin/operators/apikey/{key.pk}/revoke/"
    assert b"refused at once" in desk.get(url).content
    for _again in range(2):
        desk.post(url, SO)
    key.refresh_from_db()
    assert key.revoked_at is not None
    assert [line.kind for line in history.of(key.pk)] == ["key.revoked", "key.made"]


def test_an_audit_is_asked_for_in_the_list_one_at_a_time(desk: Client, ada: User) -> None:
    url = "/admin/ledger/auditrun/run/"
    assert "checked once more" in desk.get(url).content.decode()
    desk.post(url, SENT)
    assert b"An audit is under way" in desk.post(url, SENT, follow=True).content
    run = AuditRun.objects.get()
    assert run.by == ada
    assert "ledger.audit_asked" in desk.get(f"/admin/ledger/auditrun/{run.pk}/change/").content.decode()


def test_mail_that_was_given_up_leaves_when_it_is_sent_again_and_what_left_stays(desk: Client) -> None:
    row = a_lost_mail()
    sweep_notifications()
    row.refresh_from_db()
    assert row.sent_at is None
    data = {"action": "again_selected", "_selected_action": [row.pk]}
    desk.post("/admin/operators/notification/", data)
    sweep_notifications()
    row.refresh_from_db()
    assert row.sent_at is not None
    assert "0: sent again" in desk.post("/admin/operators/notification/", data, follow=True).content.decode()
    assert Event.objects.filter(kind="mail.sent_again").count() == 1
