"""What the libraries' lists and the groups let staff do, and what stays of it in the history."""

from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from allauth.usersessions.models import UserSession
from django.contrib.auth.models import Group, Permission
from django.test import Client

from apps.core import history, platform_keys
from apps.core.models import Event, User
from workers.protocol.clock import utcnow

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def keys() -> None:
    platform_keys.create(utcnow())


@pytest.fixture
def rita() -> User:
    return User.objects.create_user("rita@example.org", name="Rita")


@pytest.fixture
def desk(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("ada@example.org", "long-enough-1", name="Ada"))
    return client


@pytest.fixture
def factor(rita: User) -> Authenticator:
    found: Authenticator = TOTP.activate(rita, generate_totp_secret()).instance
    return found


def test_a_lost_second_factor_is_removed_after_a_question_and_leaves_a_trace(
    desk: Client, rita: User, factor: Authenticator
) -> None:
    url = f"/admin/mfa/authenticator/{factor.pk}/delete/"
    assert "Are you sure" in desk.get(url).content.decode()
    assert Authenticator.objects.exists()
    desk.post(url, {"post": "yes"})
    assert not Authenticator.objects.exists()
    [line] = history.of(f"user:{rita.pk}")
    assert (line.kind, line.actor, line.values) == ("factor.removed", "Ada", [("factor", "totp")])


def test_factors_are_removed_in_bulk_each_with_its_own_trace(desk: Client, factor: Authenticator) -> None:
    olga = User.objects.create_user("olga@example.org")
    more = TOTP.activate(olga, generate_totp_secret()).instance
    data = {"action": "delete_selected", "_selected_action": [factor.pk, more.pk]}
    desk.post("/admin/mfa/authenticator/", data)
    assert Authenticator.objects.count() == 2
    desk.post("/admin/mfa/authenticator/", {**data, "post": "yes"})
    subjects = set(Event.objects.filter(kind="factor.removed").values_list("subject", flat=True))
    assert subjects == {f"user:{factor.user_id}", f"user:{olga.pk}"}


def test_no_secret_of_a_factor_and_no_key_of_a_session_is_shown(
    desk: Client, rita: User, factor: Authenticator
) -> None:
    session = UserSession.objects.create(user=rita, session_key="k" * 32, ip="127.0.0.1", user_agent="A browser")
    pages = {
        f"/admin/mfa/authenticator/{factor.pk}/change/": factor.data["secret"],
        f"/admin/usersessions/usersession/{session.pk}/change/": session.session_key,
    }
    for path, secret in pages.items():
        page = desk.get(path).content.decode()
        assert "Rita" in page
        assert secret not in page
        assert desk.post(path, {"user": rita.pk}).status_code == 403


def test_what_a_group_may_do_is_in_its_history(desk: Client) -> None:
    may = Permission.objects.get(codename="view_node")
    form: dict[str, Any] = {"name": "Reviewers", "permissions": [may.pk]}
    desk.post("/admin/auth/group/add/", form)
    group = Group.objects.get()
    desk.post(f"/admin/auth/group/{group.pk}/change/", {"name": "Reviewers", "permissions": []})
    desk.post(f"/admin/auth/group/{group.pk}/delete/", {"post": "yes"})
    lines = history.of(f"group:{group.pk}")
    assert [line.kind for line in lines] == ["group.removed", "group.changed", "group.changed"]
    assert ("permissions", "operators.view_node") in lines[-1].values
    assert not Group.objects.exists()
