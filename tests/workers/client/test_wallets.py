"""`mesh wallet` on this machine: files, names, exports both ways, signatures. What the platform says is elsewhere."""

import json
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from workers.client import wallets
from workers.client.cli import app
from workers.client.errors import WalletExists, WalletNameRefused, WalletUnknown
from workers.protocol import canonical, wallet_file
from workers.protocol.errors import NotCanonical, PassphraseWrong
from workers.protocol.keys import SigningKey, fingerprint, unb64, verify

PASSPHRASE = "correct horse battery"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("MESH_API_KEY", "MESH_URL", "POOL_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("MESH_WALLET_PASSPHRASE", PASSPHRASE)
    return tmp_path


def mesh(*arguments: str, given: str = "") -> Result:
    return CliRunner().invoke(app, ["wallet", *arguments], input=given)


def test_a_new_wallet_is_a_private_file_and_no_account_is_needed() -> None:
    made = json.loads(mesh("new", "--json").stdout)
    path = wallets.path_of("default")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert made == {"address": fingerprint(SigningKey.from_bytes(path.read_bytes()).public)}
    assert "mesh login --wallet default" in mesh("new").stderr
    assert json.loads(mesh("list", "--json").stdout) == [{"name": "default", **made}]


def test_a_wallet_goes_to_a_file_and_back(tmp_path: Path) -> None:
    mesh("new")
    exported = tmp_path / "wallet.json"
    assert mesh("export", "--output", str(exported)).exit_code == 0
    assert stat.S_IMODE(exported.stat().st_mode) == 0o600
    assert json.loads(mesh("import", str(exported), "copy", "--json").stdout)["label"] == "default"
    assert wallets.load("copy").private_bytes == wallets.load("default").private_bytes
    assert wallet_file.read(mesh("export").stdout_bytes.strip(), PASSPHRASE).key.public == wallets.load("copy").public


def test_an_import_never_replaces_another_wallet(tmp_path: Path) -> None:
    mesh("new")
    before = wallets.path_of("default").read_bytes()
    file = tmp_path / "other.json"
    file.write_bytes(wallet_file.write(SigningKey.generate(), PASSPHRASE))
    assert isinstance(mesh("import", str(file)).exception, WalletExists)
    assert wallets.path_of("default").read_bytes() == before
    mesh("export", "--output", str(file))
    assert mesh("import", str(file)).exit_code == 0


def test_a_wrong_passphrase_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "wallet.json"
    file.write_bytes(wallet_file.write(SigningKey.generate(), PASSPHRASE))
    monkeypatch.setenv("MESH_WALLET_PASSPHRASE", "another passphrase")
    assert isinstance(mesh("import", str(file)).exception, PassphraseWrong)
    assert wallets.names() == []


def test_a_document_is_signed_in_its_canonical_form(tmp_path: Path) -> None:
    mesh("new")
    document = {"purpose": "transfer", "amount": "1.25", "nonce": 1, "memo": "für Ada"}
    file = tmp_path / "order.json"
    file.write_text(json.dumps(document, indent=2))
    for signed in (mesh("sign", str(file)), mesh("sign", "-", given=file.read_text())):
        answer = json.loads(signed.stdout)
        assert answer["message"] == document
        assert verify(unb64(answer["public"]), unb64(answer["signature"]), canonical.dumps(document))
    file.write_text('{"a": 1.5}')
    assert isinstance(mesh("sign", str(file)).exception, NotCanonical)


@pytest.mark.parametrize("name", ["../credentials", "a/b", "", ".hidden", "x" * 41])
def test_a_name_is_never_a_path(name: str) -> None:
    with pytest.raises(WalletNameRefused):
        wallets.path_of(name)


def test_a_wallet_that_is_not_there_is_said_so() -> None:
    with pytest.raises(WalletUnknown):
        wallets.load("other")
