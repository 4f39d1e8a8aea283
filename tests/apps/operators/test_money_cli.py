"""`mesh wallet send | stake | unstake | mandate | mandates | revoke` against a running site."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from apps.core.models import User
from apps.ledger import accounts, staking
from apps.ledger.amounts import MESH
from apps.ledger.models import Transfer
from apps.operators.authentication import make_key
from apps.operators.models import Scope, Wallet
from tests.apps.operators.test_stakes import Signing
from tests.site.test_pages_browser import Site, running, site
from workers.client.cli import app
from workers.client.errors import Refused
from workers.protocol.clock import utcnow

__all__ = ["running", "site"]
pytestmark = pytest.mark.django_db(transaction=True)
Mesh = Callable[..., Any]


@pytest.fixture
def carol() -> User:
    return User.objects.create_user("carol@example.org", "x")


@pytest.fixture
def mesh(site: Site, carol: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mesh:
    """The command line of Carol, who is logged in and has a wallet; answers are JSON, refusals their code."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("MESH_URL", site.url)
    monkeypatch.setenv("MESH_API_KEY", make_key(carol, "test", list(Scope.values), utcnow())[1])

    def mesh(*arguments: str, given: str = "") -> Any:
        done = CliRunner().invoke(app, ["wallet", *arguments, "--json"], input=given)
        if isinstance(done.exception, Refused):
            return done.exception.code
        assert done.exit_code == 0, done.output
        # The runner's own echo of what was typed comes first.
        return json.loads(done.stdout.removeprefix(f" {given}"))

    assert mesh("new")["claimed"] == "10"
    return mesh


def test_a_wallet_of_this_machine_sends_once(mesh: Mesh, carol: User) -> None:
    dora = User.objects.create_user("dora@example.org", "x")
    to = Signing(dora).address
    sent = mesh("send", to, "1.25", "--memo", "for lunch", "--id", "lunch", "--yes")
    assert (sent["code"], sent["amount"], sent["payee"]) == ("created", "1.25", accounts.wallet(dora).address)
    assert mesh("send", to, "1.25", "--memo", "for lunch", "--id", "lunch", "--yes")["code"] == "exists"
    assert mesh("send", to, "1.26", "--memo", "for lunch", "--id", "lunch", "--yes") == "exists_with_different_amount"
    assert mesh("send", to, " 01.250", given="y\n")["code"] == "created"
    for amount, code in (
        ("100", "insufficient_funds"),
        ("0", "amount_not_positive"),
        ("0.000000001", "amount_too_precise"),
        ("9223372036854775808", "amount_too_large"),
    ):
        assert mesh("send", to, amount, "--yes") == code
    assert mesh("send", "nobody", "1", "--yes") == "payee_unknown"
    assert accounts.balance(carol) == 15 * MESH // 2
    kept = Transfer.objects.filter(kind="transfer").latest("seq").authorisation
    assert kept["wallet"] == Wallet.objects.get(user=carol).address


@pytest.mark.parametrize(
    "command", ["send wallet:user:1 1", "stake 1", "unstake 1", "mandate wallet:user:1 1", "revoke mdt_x"]
)
def test_whoever_says_no_orders_nothing(command: str) -> None:
    # There is no site to reach, and none is asked.
    done = CliRunner().invoke(app, ["wallet", *command.split(), "--url", "http://127.0.0.1:1"], input="n\n")
    assert (done.exit_code, done.exception.__class__) == (1, SystemExit)


def test_a_wallet_of_this_machine_stakes_and_gives_mandates(mesh: Mesh, carol: User) -> None:
    assert mesh("stake", "04", "--yes")["amount"] == "4"
    assert mesh("unstake", "1.5", "--yes")["release_at"]
    assert mesh("unstake", "3", "--yes") == "stake_exceeded"
    assert staking.bonded(carol) == 5 * MESH // 2
    spender = Signing(User.objects.create_user("dora@example.org", "x")).address
    given = mesh("mandate", spender, "03.0", "--days", "7", "--yes")
    assert [row["id"] for row in mesh("mandates")] == [given["id"]]
    assert mesh("revoke", given["id"], "--yes")["revoked_at"]
    assert mesh("revoke", "mdt_x", "--yes") == "mandate_unknown"
