"""API keys: scopes, end, last use at most once a minute, revoking, and why one is refused."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connections
from django.test import Client

from apps.core.models import Event, User
from apps.operators import errors
from apps.operators.authentication import find_key, make_key, revoke_key
from apps.operators.models import ApiKey, Notification
from workers.protocol.clock import utcnow


@pytest.fixture
def anna(client: Client, applicant: User) -> Client:
    client.force_login(applicant)
    return client


def code_of(text: str, path: str = "/api/v1/me", method: str = "GET") -> tuple[int, str]:
    answer = Client().generic(method, path, headers={"Authorization": f"Bearer {text}"})
    return answer.status_code, answer.json().get("code", "")


def test_a_key_ends_when_it_was_said_to(anna: Client) -> None:
    for days, expected in (("7", 7), ("365", 365), ("0", None), ("", 90)):
        made = anna.post("/keys", {"name": f"for {days}", "scopes": ["jobs:read"], "days": days})
        assert code_of(made.context["made"])[0] == 200
        key = ApiKey.objects.latest("created_at")
        life = None if key.expires_at is None else (key.expires_at - key.created_at).days
        assert life == expected
    assert "no end" in anna.get("/keys").content.decode()


def test_each_refusal_has_its_code_and_next_step(applicant: User) -> None:
    now = utcnow()
    ended, text_ended = make_key(applicant, "old", ["jobs:read"], now, expires_at=now + timedelta(days=1))
    ApiKey.objects.filter(pk=ended.pk).update(expires_at=now - timedelta(seconds=1))
    revoked, text_revoked = make_key(applicant, "gone", ["jobs:read"], now)
    revoke_key(revoked, now, applicant)
    _, reader = make_key(applicant, "reader", ["jobs:read"], now)
    assert code_of(text_ended) == (401, "api_key_expired")
    assert code_of(text_revoked) == (401, "api_key_revoked")
    assert code_of("mk_" + "x" * 43) == (401, "api_key_invalid")
    assert code_of(reader, "/api/v1/faucet/claim", "POST") == (403, "scope_missing")
    answer = Client().get("/api/v1/me", headers={"Authorization": f"Bearer {text_ended}"})
    assert answer["WWW-Authenticate"] == "Bearer"
    assert "Make a new one" in answer.json()["detail"]
    assert ApiKey.objects.get(pk=ended.pk).last_used_at is None


def test_the_last_moment_of_a_key_is_not_its_own(applicant: User) -> None:
    now = utcnow()
    _, text = make_key(applicant, "x", [], now, expires_at=now + timedelta(hours=1))
    assert find_key(text, now + timedelta(minutes=59))
    with pytest.raises(errors.KeyExpired):
        find_key(text, now + timedelta(hours=1))


@pytest.mark.django_db(transaction=True)
def test_use_is_noted_at_most_once_a_minute_however_many_ask(applicant: User) -> None:
    now = utcnow()
    _, text = make_key(applicant, "busy", [], now)

    def use(n: int) -> None:
        try:
            find_key(text, now + timedelta(seconds=n))
        finally:
            connections.close_all()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(use, range(50)))
    first = ApiKey.objects.get().last_used_at
    assert first is not None
    use(59)
    assert ApiKey.objects.get().last_used_at == first
    use(125)
    assert ApiKey.objects.get().last_used_at == now + timedelta(seconds=125)


def test_a_new_key_is_told_by_mail_and_its_text_is_nowhere(anna: Client, applicant: User) -> None:
    text = anna.post("/keys", {"name": "laptop", "scopes": ["jobs:read"]}).context["made"]
    mail = Notification.objects.get(kind="credentials_issued")
    assert "laptop" in mail.body
    assert text not in mail.body
    made = Event.objects.get(kind="key.made")
    assert text not in str(made.data)
    key = ApiKey.objects.get()
    anna.post(f"/keys/{key.pk}/revoke")
    anna.post(f"/keys/{key.pk}/revoke")
    assert Event.objects.filter(kind="key.revoked", actor=applicant).count() == 1


def test_wrong_choices_make_no_key(anna: Client) -> None:
    for wrong in ({"scopes": ["everything"]}, {"days": "100000"}, {"days": "-1"}, {"name": ""}, {"scopes": []}):
        answer = anna.post("/keys", {"name": "x", "scopes": ["jobs:read"], "days": "30", **wrong})
        assert answer.context["form"].errors
    assert not ApiKey.objects.exists()
