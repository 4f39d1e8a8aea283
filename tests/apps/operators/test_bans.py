"""Bans: what they cover, what they refuse, how they end, appeals, races; nodes are let back as they were."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connections, transaction
from django.test import Client
from redis import Redis

from apps.core.models import Event, User
from apps.operators import appeals, applications, bans, enrolment, errors, nodes
from apps.operators.authentication import make_key
from apps.operators.models import Appeal, Ban, Node, NodeStatus, Notification, Operator, Wallet
from tests.apps.operators.conftest import DATA
from tests.apps.operators.test_enrolment import prepared
from workers.protocol.clock import unix_ms, utcnow

WORDS: dict[str, Any] = {"reason": "Forged results.", "evidence": "task tsk_1 at 12:00, digest ab12"}
ADDRESS = "ab" * 32


@pytest.fixture(autouse=True)
def fresh() -> None:
    bans.forget_cached()


@pytest.fixture
def node(operator: Operator) -> Node:
    node = enrolment.enrol(prepared(operator), utcnow())
    for status in (NodeStatus.SELF_TEST, NodeStatus.ONLINE):
        node.move(status, "", "", utcnow())
    return node


def status(node: Node) -> str:
    node.refresh_from_db()
    return node.status


def test_a_banned_account_keeps_all_its_nodes_out_and_is_told(node: Node, other: Operator, admin: User) -> None:
    theirs = enrolment.enrol(prepared(other), utcnow())
    user, now = node.operator.user, utcnow()
    ban = bans.make(bans.Order(user=user, **WORDS), admin, now)
    assert (status(node), node.reason) == ("suspended", f"Banned ({ban.pk}): Forged results.")
    assert "Appeal" in node.next_step
    assert status(theirs) == "pending"
    mail = Notification.objects.get(kind="banned")
    assert mail.user == user
    assert "Forged results." in mail.body
    notice = bans.refused(now, user=user)
    assert notice is not None
    assert (notice.ban, notice.ends_at) == (ban.pk, None)
    assert bans.refused(now, node_id=node.pk) == notice
    assert bans.refused(now, user=other.user, node_id=theirs.pk) is None
    for refusal, what in ((errors.AccountBanned, {"user": user}), (errors.NodeBanned, {"node_id": node.pk})):
        with pytest.raises(refusal, match="Forged results"):
            bans.refuse(now, **what)  # type: ignore[arg-type]


def test_a_banned_node_stands_alone(node: Node, admin: User) -> None:
    second = enrolment.enrol(prepared(node.operator, "fra-2"), utcnow())
    bans.make(bans.Order(node=node, **WORDS), admin, utcnow())
    assert (status(node), status(second)) == ("suspended", "pending")
    assert bans.refused(utcnow(), user=node.operator.user) is None


def test_a_banned_address_keeps_out_whose_it_is_in_any_case_of_letters(node: Node, admin: User) -> None:
    user = node.operator.user
    Wallet.objects.create(id="wal_1", user=user, address=ADDRESS, public="x", created_at=utcnow())
    ban = bans.make(bans.Order(address=ADDRESS.upper(), **WORDS), admin, utcnow())
    assert ban.address == ADDRESS
    assert status(node) == "suspended"
    assert bans.refused(utcnow(), address=ADDRESS.upper()) is not None
    assert bans.refused(utcnow(), user=user) is not None
    with pytest.raises(errors.AddressBanned):
        bans.refuse(utcnow(), address=ADDRESS)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"reason": "  "}, errors.ReasonMissing),
        ({"evidence": ""}, errors.ReasonMissing),
        ({"address": "0x12"}, errors.BanInvalid),
        ({"address": ""}, errors.BanInvalid),
        ({"ends_at": utcnow() - timedelta(seconds=1)}, errors.BanInvalid),
    ],
)
def test_an_order_that_says_too_little_changes_nothing(admin: User, change: dict[str, Any], error: type) -> None:
    with pytest.raises(error):
        bans.make(bans.Order(**{"address": ADDRESS, **WORDS, **change}), admin, utcnow())
    assert not Ban.objects.exists()
    assert not Event.objects.filter(kind="ban.made").exists()


def test_nobody_bans_or_unbans_themselves(admin: User, operator: Operator) -> None:
    with pytest.raises(errors.SelfBan):
        bans.make(bans.Order(user=admin, **WORDS), admin, utcnow())
    ban = bans.make(bans.Order(user=operator.user, **WORDS), admin, utcnow())
    with pytest.raises(errors.SelfBan):
        bans.lift(ban, operator.user, "I am good.", utcnow())


def test_one_thing_is_banned_once_and_again_after_the_ban_is_over(operator: Operator, admin: User) -> None:
    now = utcnow()
    order = bans.Order(user=operator.user, **WORDS, ends_at=now + timedelta(hours=1))
    bans.make(order, admin, now)
    with pytest.raises(errors.AlreadyBanned):
        bans.make(order, admin, now)
    later = now + timedelta(hours=2)
    bans.make(bans.Order(user=operator.user, **WORDS), admin, later)
    assert Ban.objects.standing(later).count() == 1
    with pytest.raises(IntegrityError), transaction.atomic():
        Ban.objects.create(id="ban_x", kind="account", at=now, made_by=admin, **WORDS)


def test_lifting_gives_everything_back_and_only_what_the_ban_took(node: Node, admin: User) -> None:
    second = enrolment.enrol(prepared(node.operator, "fra-2"), utcnow())
    third = enrolment.enrol(prepared(node.operator, "fra-3"), utcnow())
    nodes.suspend(second, reason="Overheats.", now=utcnow())
    nodes.revoke(third, reason="Sold.", now=utcnow())
    ban = bans.make(bans.Order(user=node.operator.user, **WORDS), admin, utcnow())
    with pytest.raises(errors.ReasonMissing):
        bans.lift(ban, admin, " ", utcnow())
    bans.lift(ban, admin, "It was another machine.", utcnow())
    assert (status(node), status(second), status(third)) == ("offline", "suspended", "revoked")
    assert second.reason == "Overheats."
    assert bans.refused(utcnow(), user=node.operator.user, node_id=node.pk) is None
    assert "another machine" in Notification.objects.get(kind="ban_lifted").body
    with pytest.raises(errors.BanOver):
        bans.lift(ban, admin, "Again.", utcnow())
    assert Notification.objects.filter(kind="ban_lifted").count() == 1


def test_a_node_under_two_bans_is_let_back_by_the_last(node: Node, admin: User) -> None:
    first = bans.make(bans.Order(user=node.operator.user, **WORDS), admin, utcnow())
    second = bans.make(bans.Order(node=node, **{**WORDS, "reason": "Bad clock."}), admin, utcnow())
    bans.lift(first, admin, "Settled.", utcnow())
    assert (status(node), node.reason) == ("suspended", f"Banned ({second.pk}): Bad clock.")
    bans.lift(second, admin, "Settled.", utcnow())
    assert status(node) == "offline"


def test_a_ban_ends_by_itself(node: Node, admin: User) -> None:
    now = utcnow()
    ends_at = now + timedelta(hours=1)
    bans.make(bans.Order(node=node, **WORDS, ends_at=ends_at), admin, now)
    notice = bans.refused(now, node_id=node.pk)
    assert notice is not None
    assert notice.ends_at == unix_ms(ends_at)
    assert bans.sweep(now + timedelta(minutes=59)) == (0, 0)
    bans.forget_cached()
    assert bans.refused(ends_at, node_id=node.pk) is None
    assert [bans.sweep(ends_at), bans.sweep(ends_at)] == [(1, 0), (0, 0)]
    assert status(node) == "offline"
    assert Notification.objects.filter(kind="ban_lifted").count() == 1


def test_the_sweep_stops_a_node_that_slipped_in(node: Node, admin: User) -> None:
    bans.make(bans.Order(user=node.operator.user, **WORDS), admin, utcnow())
    Node.objects.filter(pk=node.pk).update(status=NodeStatus.ONLINE, reason="")
    assert bans.sweep(utcnow()) == (0, 1)
    assert status(node) == "suspended"


def test_an_admin_cannot_reinstate_a_banned_node(client: Client, node: Node, admin: User) -> None:
    bans.make(bans.Order(node=node, **WORDS), admin, utcnow())
    client.force_login(admin)
    data = {"action": "reinstate_selected", "_selected_action": [node.pk], "reason": "Please."}
    assert b"Banned (ban_" in client.post("/admin/operators/node/", data, follow=True).content
    assert status(node) == "suspended"


def test_a_banned_account_looks_and_appeals_and_changes_nothing_else(
    client: Client, applicant: User, admin: User
) -> None:
    text = make_key(applicant, "laptop", ["jobs:read"], utcnow())[1]
    bans.make(bans.Order(user=applicant, **WORDS), admin, utcnow())
    client.force_login(applicant)
    page = client.get("/apply").content.decode()
    assert "This account is banned" in page
    refused = client.post("/apply", {"draft": "1", "experience": "x"})
    assert refused.status_code == 403
    assert b"Forged results." in refused.content
    assert client.post("/keys", {"name": "x", "scopes": ["jobs:read"]}).status_code == 403
    api = client.post("/api/v1/application", {**DATA, "agree": True}, content_type="application/json")
    assert (api.status_code, api.json()["code"]) == (403, "account_banned")
    keyed = Client().get("/api/v1/me", headers={"Authorization": f"Bearer {text}"})
    assert (keyed.status_code, keyed.json()["code"]) == (403, "account_banned")
    assert not hasattr(User.objects.get(pk=applicant.pk), "application")
    assert client.post("/accounts/logout/").status_code == 302
    client.force_login(admin)
    assert "This account is banned" not in client.get("/apply").content.decode()


def test_enrolling_for_a_banned_account_is_refused(operator: Operator, admin: User) -> None:
    made = prepared(operator)
    bans.make(bans.Order(user=operator.user, **WORDS), admin, utcnow())
    with pytest.raises(errors.AccountBanned):
        enrolment.enrol(made, utcnow())
    with pytest.raises(errors.AccountBanned):
        enrolment.issue_token(operator, "fra-9", utcnow())
    assert not Node.objects.exists()


def test_a_banned_applicant_is_not_approved(applicant: User, admin: User) -> None:
    application = applications.submit(applicant, DATA, utcnow())
    bans.make(bans.Order(user=applicant, **WORDS), admin, utcnow())
    with pytest.raises(errors.AccountBanned):
        applications.approve(application, admin, utcnow())
    application.refresh_from_db()
    assert application.status == "submitted"


def test_an_appeal_is_written_answered_and_lifts_the_ban(client: Client, node: Node, admin: User) -> None:
    ban = bans.make(bans.Order(node=node, **WORDS), admin, utcnow())
    client.force_login(node.operator.user)
    page = client.get("/bans").content.decode()
    assert "Forged results." in page
    assert "digest ab12" in page
    assert client.post(f"/bans/{ban.pk}/appeal", {"text": " "}).status_code == 400
    assert client.post(f"/bans/{ban.pk}/appeal", {"text": "My disk was broken."}).status_code == 302
    assert "Staff read it" in client.get("/bans").content.decode()
    client.post(f"/bans/{ban.pk}/appeal", {"text": "Hello?"})
    made = Appeal.objects.get()
    with pytest.raises(errors.ReasonMissing):
        appeals.answer(made, admin, "", utcnow(), granted=True)
    appeals.answer(made, admin, "We saw the disk's log.", utcnow(), granted=True)
    assert status(node) == "offline"
    ban.refresh_from_db()
    assert (ban.lift_reason, ban.lifted_by) == ("We saw the disk's log.", admin)
    assert "granted" in Notification.objects.get(kind="appeal_answered").body
    assert "We saw the disk" in client.get("/bans").content.decode()
    with pytest.raises(errors.AppealClosed):
        appeals.answer(made, admin, "No.", utcnow(), granted=False)
    with pytest.raises(errors.BanOver):
        appeals.appeal(ban, node.operator.user, "Late.", utcnow())


def test_appeals_have_a_number_and_others_have_none(operator: Operator, other: Operator, admin: User) -> None:
    ban = bans.make(bans.Order(user=operator.user, **WORDS), admin, utcnow())
    with pytest.raises(errors.BanInvalid):
        appeals.appeal(ban, other.user, "For a friend.", utcnow())
    with pytest.raises(errors.AppealMissing):
        appeals.appeal(ban, operator.user, " ", utcnow())
    for n in range(3):
        made = appeals.appeal(ban, operator.user, f"Appeal {n}.", utcnow())
        with pytest.raises(errors.AppealClosed):
            appeals.appeal(ban, operator.user, "Another.", utcnow())
        with pytest.raises(errors.SelfBan):
            appeals.answer(made, operator.user, "Granted, surely.", utcnow(), granted=True)
        appeals.answer(made, admin, "No.", utcnow(), granted=False)
    with pytest.raises(errors.AppealClosed):
        appeals.appeal(ban, operator.user, "A fourth.", utcnow())
    assert Ban.objects.standing(utcnow()).exists()


def test_the_end_of_a_ban_answers_its_appeal(operator: Operator, admin: User) -> None:
    ban = bans.make(bans.Order(user=operator.user, **WORDS), admin, utcnow())
    made = appeals.appeal(ban, operator.user, "Wrong one.", utcnow())
    bans.lift(ban, admin, "Right, it was another.", utcnow())
    made.refresh_from_db()
    assert (made.granted, made.answer) == (True, "Right, it was another.")


@pytest.mark.django_db(transaction=True)
def test_two_admins_who_decide_at_once_decide_once(operator: Operator, admin: User) -> None:
    others = [User.objects.create_superuser(f"abe{n}@example.org", "long-enough-1") for n in range(2)]

    def at_once(act: Any) -> list[str]:
        def run(n: int) -> str:
            try:
                act(n)
            except errors.BanError as error:
                return error.code
            finally:
                connections.close_all()
            return "done"

        with ThreadPoolExecutor(4) as pool:
            return sorted(pool.map(run, range(4)))

    made = at_once(lambda n: bans.make(bans.Order(user=operator.user, **WORDS), others[n % 2], utcnow()))
    assert made == ["already_banned"] * 3 + ["done"]
    ban = Ban.objects.get()
    assert at_once(lambda n: appeals.appeal(ban, operator.user, f"{n}", utcnow())) == ["appeal_closed"] * 3 + ["done"]
    appeal = Appeal.objects.select_related("ban__user", "by").get()
    answers = at_once(lambda n: appeals.answer(appeal, others[n % 2], "So.", utcnow(), granted=bool(n % 2)))
    assert answers == ["appeal_closed"] * 3 + ["done"]
    appeal.refresh_from_db()
    ban.refresh_from_db()
    assert (ban.lifted_at is not None) == appeal.granted
    assert Event.objects.filter(kind="ban.lifted").count() == int(bool(appeal.granted))


def test_my_bans_cost_the_same_however_many_there_are(
    client: Client, operator: Operator, admin: User, django_assert_max_num_queries: Any
) -> None:
    client.force_login(operator.user)
    costs = []
    for batch in range(2):
        for n in range(1 + 3 * batch):
            made = enrolment.enrol(prepared(operator, f"n{batch}-{n}"), utcnow())
            bans.make(bans.Order(node=made, **WORDS), admin, utcnow())
        asked = []
        # What processes keep for a second is read in some of them.
        for _ in range(4):
            with django_assert_max_num_queries(20) as captured:
                assert client.get("/bans").content.decode().count("Forged results.") >= 1
            asked.append(len(captured))
        costs.append(min(asked))
    assert costs[0] == costs[1]


def test_another_process_learns_of_a_ban_by_its_digest_and_asks_the_database_no_more(
    node: Node, admin: User, platform_redis: Redis, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    bans.sweep(utcnow())
    assert bans.refused(utcnow(), node_id=node.pk) is None
    row = Ban.objects.create(id="ban_elsewhere", kind="node", node=node, at=utcnow(), made_by=admin, **WORDS)
    monkeypatch.setattr(bans, "_looked_at", 0.0)
    with django_assert_num_queries(0):
        assert bans.refused(utcnow(), node_id=node.pk) is None
    bans.publish(utcnow())
    assert bans.refused(utcnow(), node_id=node.pk) is None, "a second has not passed"
    monkeypatch.setattr(bans, "_looked_at", 0.0)
    notice = bans.refused(utcnow(), node_id=node.pk)
    assert notice is not None
    assert notice.ban == row.pk
    # A cache that is gone or empty hides no ban.
    platform_redis.flushall()
    monkeypatch.setattr(bans, "_looked_at", 0.0)
    assert bans.refused(utcnow(), node_id=node.pk) == notice
