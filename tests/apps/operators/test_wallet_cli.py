"""`mesh` against a running site: a wallet makes an account, logs in, is bound, and joins a machine as a host."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from apps.core.models import User
from apps.operators.models import ApiKey, ShardHost, Wallet
from tests.apps.operators.test_browser import PASSWORD
from tests.site.test_pages_browser import Site, running, site
from workers.client.cli import app
from workers.client.errors import Refused
from workers.node.errors import AlreadyEnrolled, PlatformRefused

__all__ = ["running", "site"]
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def home(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("MESH_API_KEY", "POOL_URL", "MESH_NODE_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("MESH_URL", site.url)
    monkeypatch.setenv("MESH_PASSWORD", PASSWORD)
    return tmp_path


def mesh(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_a_wallet_alone_makes_an_account_and_a_host_of_shards(site: Site, home: Path, platform_redis: object) -> None:
    mesh("wallet", "new")
    machine = ("node", "join", site.url, "--host-shards", "default", "--name", "attic", "--dir", str(home / "attic"))
    refused = mesh(*machine).exception
    assert isinstance(refused, PlatformRefused)
    assert refused.code == "wallet_unbound"
    assert mesh("login", "--wallet", "default").exit_code == 0
    login = ApiKey.objects.get()
    assert (login.is_login, "trading:write" in login.scopes, login.expires_at is None) == (True, False, False)
    assert json.loads(mesh("me", "--json").stdout)["balance"] == "10"
    joined = json.loads(mesh(*machine, "--json").stdout)
    assert (joined["name"], joined["stake"], joined["status"]) == ("attic", "10", "active")
    assert ShardHost.objects.get().pk == joined["id"]
    assert json.loads(mesh("me", "--json").stdout)["balance"] == "0"
    assert isinstance(mesh(*machine).exception, AlreadyEnrolled)
    assert mesh("node", "join", site.url).exit_code == 2


def test_an_account_binds_a_wallet_and_is_then_reached_by_it(
    site: Site, home: Path, applicant: User, platform_redis: object
) -> None:
    assert mesh("login", "--email", applicant.email or "").exit_code == 0
    assert json.loads(mesh("wallet", "new", "mine", "--json").stdout)["claimed"] == "10"
    mesh("logout")
    assert mesh("login", "--wallet", "mine").exit_code == 0
    assert json.loads(mesh("me", "--json").stdout)["email"] == applicant.email
    assert Wallet.objects.get().label == "mine"
    mesh("logout")
    User.objects.filter(pk=applicant.pk).update(is_active=False)
    gone = mesh("login", "--wallet", "mine").exception
    assert isinstance(gone, Refused)
    assert gone.code == "account_gone"
