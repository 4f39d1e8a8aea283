"""A small cast: an applicant, an approved and staked operator, another operator, an admin; a network with genesis."""

import time
from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client

from apps.core import platform_keys
from apps.core.models import User
from apps.ledger import genesis
from apps.operators import applications, stakes
from apps.operators.models import Operator
from meshwork.genesis import document
from workers.protocol.clock import utcnow

HARDWARE = {
    "gpu_type": "cpu",
    "gpu_model": "none",
    "gpu_memory_gb": 0,
    "cpu_cores": 8,
    "memory_gb": 32,
    "operating_system": "Debian 12",
    "bandwidth_mbps": 100,
}
DATA: dict[str, Any] = {"tier": "ORACLE", "region": "eu-west", "hardware": HARDWARE, "experience": ""}


@pytest.fixture(autouse=True)
def network(db: None) -> None:
    platform_keys.create(utcnow())
    if not genesis.exists():
        genesis.write(document(datetime(2026, 1, 1, tzinfo=UTC)), utcnow())


@pytest.fixture
def admin() -> User:
    return User.objects.create_superuser("ada@example.org", "long-enough-1", name="Ada")


@pytest.fixture
def applicant() -> User:
    return User.objects.create_user("anna@example.org", "long-enough-1", name="Anna")


def sign_in(client: Client, user: User, ago_s: float = 0) -> None:
    """A session whose password was given so long ago."""
    client.force_login(user)
    session = client.session
    session["account_authentication_methods"] = [{"method": "password", "at": time.time() - ago_s}]
    session["account_authentication_methods_user"] = str(user.pk)
    session.save()


def make_operator(email: str, admin: User, tier: str = "ORACLE") -> Operator:
    user = User.objects.create_user(email, "long-enough-1")
    application = applications.submit(user, {**DATA, "tier": tier}, utcnow())
    operator = applications.approve(application, admin, utcnow())
    stakes.lock(operator, utcnow())
    return operator


@pytest.fixture
def operator(admin: User) -> Operator:
    return make_operator("olga@example.org", admin)


@pytest.fixture
def other(admin: User) -> Operator:
    return make_operator("otto@example.org", admin)
