"""Who tries the doors of the site, and with what."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.core.cache import cache
from django.test import Client
from pytest_django.fixtures import Settings

from apps.core import platform_keys
from apps.core.models import User
from workers.protocol.clock import utcnow

PASSWORD = "correct horse battery"
SETTINGS = ("/account", "/account/email", "/account/security", "/account/sessions", "/account/data")
LOGIN = {"login": "ada@example.org", "password": PASSWORD}


@pytest.fixture(autouse=True)
def clean(db: None, settings: Settings) -> Iterator[None]:
    settings.ACCOUNT_RATE_LIMITS = {}
    cache.clear()
    platform_keys.create(utcnow())
    yield
    cache.clear()


@pytest.fixture
def ada() -> User:
    user = User.objects.create_user("ada@example.org", PASSWORD, name="Ada")
    EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
    return user


def is_in(client: Client) -> bool:
    return client.get("/account").status_code == 200


def code_of(message: Any) -> str:
    match = re.search(r"^[A-Z0-9]{4}-[A-Z0-9]{4}$", str(message.body), re.MULTILINE)
    assert match, message.body
    return match[0]


def ask_for_code(client: Client, email: str) -> Any:
    return client.post("/accounts/login/code/", {"email": email}, follow=True)


def enter(client: Client, code: str) -> Any:
    return client.post("/accounts/login/code/confirm/", {"code": code}, follow=True)


def reset_link(client: Client, email: str) -> str:
    client.post("/accounts/password/reset/", {"email": email})
    match = re.search(r"http://testserver(/accounts/password/reset/key/\S+)", str(mail.outbox[-1].body))
    assert match
    return match[1]
