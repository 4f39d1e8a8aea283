"""The search finds what is private for those who may see it, and says to others what it says of nothing."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from pytest_django.fixtures import Settings

from apps.core import platform_keys
from apps.core.models import User
from apps.ledger import accounts
from apps.ledger.models import Mandate
from apps.operators.models import EthereumAddress
from workers.protocol.clock import utcnow
from workers.protocol.ids import show_uuid

pytestmark = pytest.mark.django_db
ADDRESS = f"0x{'ab' * 20}"


@pytest.fixture(autouse=True)
def keys() -> None:
    platform_keys.create(utcnow())


@pytest.fixture
def rita() -> User:
    return User.objects.create_user("rita@example.org", name="Rita")


@pytest.fixture
def olga() -> User:
    return User.objects.create_user("olga@example.org", name="Olga")


@pytest.fixture
def mandate(rita: User, olga: User) -> Mandate:
    """Rita's wallet pays for Olga's jobs."""
    now = utcnow()
    sides = {"payer": accounts.wallet(rita), "spender": accounts.owner_of(olga), "wallet": "cd" * 32}
    return Mandate.objects.create(
        id=uuid4(), cap=1, document={}, signature="s", created_at=now, expires_at=now + timedelta(days=1), **sides
    )


@pytest.fixture
def address(rita: User) -> EthereumAddress:
    return EthereumAddress.objects.create(address=ADDRESS, user=rita, created_at=utcnow())


def found(client: Client, text: str, by: User | None, path: str = "/search") -> str:
    """Where the search leads this person; nothing where it says that nothing has the id."""
    client.logout()
    if by is not None:
        client.force_login(by)
    answer = client.get(path, {"q": text})
    while answer.get("Location", "").startswith("/search"):
        answer = client.get(answer["Location"])
    if answer.status_code == 302:
        assert client.get(answer["Location"]).status_code == 200
        return answer["Location"]
    assert "Nothing has the id" in answer.content.decode()
    return ""


def clerk(permission: str) -> User:
    made = User.objects.create_user(f"{permission}@example.org", is_staff=True)
    made.user_permissions.add(Permission.objects.get(codename=permission))
    return made


@pytest.mark.parametrize("path", ["/search", "/ledger/search"])
def test_a_mandate_is_found_by_its_two_sides_and_by_staff(
    client: Client, mandate: Mandate, rita: User, olga: User, path: str
) -> None:
    text = show_uuid("mdt", mandate.pk)
    for side in (rita, olga):
        assert found(client, text, side, path) == f"/mandates#{text}"
        assert f'id="{text}"' in client.get("/mandates").content.decode()
    assert found(client, text, clerk("view_mandate"), path) == f"/admin/ledger/mandate/{mandate.pk}/change/"
    assert found(client, show_uuid("mdt", uuid4()), rita, path) == ""


def test_an_ethereum_address_is_found_by_whose_it_is_and_by_staff(
    client: Client, address: EthereumAddress, rita: User
) -> None:
    for text in (ADDRESS, ADDRESS.upper().replace("X", "x"), f" {ADDRESS} "):
        assert found(client, text, rita) == f"/wallet#{ADDRESS}"
    assert f'id="{ADDRESS}"' in client.get("/wallet").content.decode()
    assert (
        found(client, ADDRESS, clerk("view_ethereumaddress")) == f"/admin/operators/ethereumaddress/{ADDRESS}/change/"
    )
    assert found(client, f"0x{'cd' * 20}", rita) == ""


def test_an_address_that_was_removed_is_staffs_alone(client: Client, address: EthereumAddress, rita: User) -> None:
    EthereumAddress.objects.update(removed_at=utcnow())
    assert found(client, ADDRESS, rita) == ""
    assert found(client, ADDRESS, clerk("view_ethereumaddress"))


def test_others_get_nothing(client: Client, mandate: Mandate, address: EthereumAddress, settings: Settings) -> None:
    texts = (show_uuid("mdt", mandate.pk), ADDRESS)
    otto = User.objects.create_user("otto@example.org")
    ruled_out = User.objects.create_user("nobody@example.org", is_staff=True)
    proven = [clerk("view_mandate"), clerk("view_ethereumaddress")]
    for text in texts:
        assert [found(client, text, who) for who in (None, otto, ruled_out)] == ["", "", ""]
    settings.STAFF_NEED_SECOND_FACTOR = True
    for text in texts:
        assert [found(client, text, who) for who in proven] == ["", ""]
