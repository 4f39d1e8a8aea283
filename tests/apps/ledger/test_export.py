"""The export is verified by a program that has no database, and whatever was changed in it is named."""

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from apps.core import platform_keys
from apps.core.models import User
from apps.ledger import accounts, audit, blocks, genesis, orders, signers
from apps.ledger.audit.run import run_and_export
from apps.ledger.errors import GenesisMissing
from apps.ledger.models import Account, AuditRun, Genesis, Hold, Transfer
from apps.ledger.posting import NewTransfer, post_all
from tests.apps.ledger.cast import NOW
from tests.apps.ledger.tampering import broken, tamper
from workers.protocol import canonical
from workers.protocol.clock import unix_ms
from workers.protocol.envelope import sign_document
from workers.protocol.ids import show_uuid
from workers.protocol.keys import SigningKey, b64, fingerprint
from workers.protocol.ledger_export import ExportBroken
from workers.protocol.ledger_proof import proof_from_export, verify_proof
from workers.protocol.ledger_verify import Pins, verify_export

SLOT = timedelta(seconds=10)
Lines = list[dict[str, Any]]
Change = Callable[[Lines], None]
NET = "meshwork-testnet"


@pytest.fixture
def wallet() -> SigningKey:
    return SigningKey.generate()


@pytest.fixture
def sent(busy: Hold, ada: Account, bert: Account, wallet: SigningKey) -> NewTransfer:
    """Ada pays Bert by a signed order, and block 6 seals it."""
    document = {
        "net": NET,
        "purpose": "transfer",
        "wallet": fingerprint(wallet.public),
        "nonce": 1,
        "deadline": unix_ms(NOW + SLOT),
        "id": "rent",
        "to": bert.address,
        "amount": "0.0000002",
        "memo": "for March",
    }
    signature = b64(wallet.sign(canonical.dumps(document)))
    signer = signers.Signer(fingerprint(wallet.public), wallet.public, ada.owner)
    order = orders.Order(document, signature, signer)
    paid = NewTransfer(order.id, ada.pk, bert.pk, 20, "transfer", order.authorisation, "for March")
    post_all([paid], now=NOW)
    blocks.seal_due(NOW + 6 * SLOT)
    return paid


@pytest.fixture
def export(sent: NewTransfer, tmp_path: Path) -> Path:
    path = tmp_path / "ledger.zip"
    report, written = run_and_export(NOW + 7 * SLOT, path)
    assert report.ok, [check for check in report.checks if not check.ok]
    assert written.size == path.stat().st_size
    return path


def rewrite(path: Path, change: Change | None = None, parts: dict[str, Any] | None = None) -> Path:
    """The same file with its lines changed, or parts of it replaced, and nothing signed anew."""
    target = path.with_name("changed.zip")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "ledger.jsonl" and change:
                lines = [json.loads(line) for line in data.splitlines()]
                change(lines)
                data = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
            if parts and name in parts:
                data = parts[name] if isinstance(parts[name], bytes) else json.dumps(parts[name]).encode()
            new.writestr(name, data)
    return target


def faults(path: Path, pins: Pins | None = None) -> dict[str, list[str]]:
    return {name: found for name, found in verify_export(path, pins or Pins()).found.items() if found}


def transfer(lines: Lines, kind: str) -> dict[str, Any]:
    return next(line["transfer"] for line in lines if line.get("transfer", {}).get("txType") == kind)


def block(lines: Lines, height: int) -> dict[str, Any]:
    return next(line["block"] for line in lines if line.get("block", {}).get("header", {}).get("height") == height)


def test_an_honest_export_verifies_and_says_what_the_ledger_amounts_to(export: Path) -> None:
    verdict = verify_export(export, Pins(Genesis.objects.get().hash, platform_keys.root_fingerprint()))
    assert verdict.ok, verdict.found
    assert verdict.trusts == ""
    report = audit.run(NOW)
    assert verdict.summary == {"network": NET, **report.summary()}


def test_the_same_ledger_makes_the_same_file(export: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.zip"
    run_and_export(NOW + 7 * SLOT, again)
    assert again.read_bytes() == export.read_bytes()


def test_without_pins_it_says_what_is_trusted(export: Path) -> None:
    assert "names its own root key" in verify_export(export, Pins()).trusts


def test_another_networks_genesis_or_root_is_refused(export: Path) -> None:
    assert "expected 0000" in faults(export, Pins(genesis="0" * 64))["genesis"][0]
    assert "signatures" in faults(export, Pins(root="0" * 64))


def test_a_persons_transfer_shows_their_own_signature(export: Path, wallet: SigningKey) -> None:
    with zipfile.ZipFile(export) as file:
        lines = [json.loads(line) for line in file.read("ledger.jsonl").splitlines()]
    shown = transfer(lines, "transfer")
    assert shown["signer"] == {"by": "wallet", "key": b64(wallet.public), "over": "order"}
    assert shown["signature"] == shown["order"]["signature"]
    paid = transfer(lines, "fee.burn")
    assert paid["signer"]["by"] == "platform"
    assert paid["signature"] == block(lines, paid["block"])["signature"]["signatures"][0]["sig"]
    waiting = [line["transfer"] for line in lines if line.get("transfer", {"block": 0})["block"] is None]
    assert [(t["signature"], t["signer"]) for t in waiting] == [(None, None)] * len(waiting)


def changed(kind: str, **values: Any) -> Change:
    return lambda lines: transfer(lines, kind).update(values)


CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "amount": ({"amount": "3"}, "leaves"),
    "memo": ({"memo": "x"}, "leaves"),
    "time": ({"timestamp": 1}, "leaves"),
    "payee": ({"to": "wallet:user:1"}, "leaves"),
    "id": ({"txId": "00000000-0000-4000-8000-000000000000"}, "leaves"),
    "leaf": ({"leaf": "00" * 32}, "leaves"),
    "signature": ({"signature": "AAAA"}, "signatures"),
    "order": ({"order": None}, "authorisations"),
}


def test_a_changed_transfer_is_named(export: Path, sent: NewTransfer) -> None:
    for name, (change, rule) in CHANGES.items():
        path = rewrite(export, changed("transfer", **change))
        said = faults(path)
        assert f"transfer {change.get('txId', sent.id)}: " in said[rule][0], name
        assert "file" in said, name


def test_an_order_that_was_changed_is_named(export: Path, sent: NewTransfer) -> None:
    def raise_it(lines: Lines) -> None:
        transfer(lines, "transfer")["order"]["document"]["amount"] = "1"

    said = faults(rewrite(export, raise_it))["authorisations"]
    assert said == [f"transfer {sent.id}: its order is not the one whose hash it carries"]


def test_a_changed_block_is_named(export: Path) -> None:
    changes = (("root", "0" * 64, "roots"), ("prev", "0" * 64, "chain"), ("count", 9, "counts"))
    for field, value, rule in (*changes, ("minted", 1, "counts"), ("sealed_at", 1, "chain")):
        path = rewrite(export, lambda lines, new={field: value}: block(lines, 2)["header"].update(new))  # type: ignore[misc]
        assert faults(path)[rule][0].startswith("block 2: "), field


def test_a_changed_balance_is_named(export: Path, ada: Account) -> None:
    def enrich(lines: Lines) -> None:
        [account] = [line["account"] for line in lines if line.get("account", {}).get("address") == ada.address]
        account["balance"] = "5000"

    said = faults(rewrite(export, enrich))
    assert said["history"][0].startswith(f"account {ada.address}: it holds 5000, its transfers make ")
    assert {"supply", "file"} <= set(said)


def test_a_line_that_is_missing_is_missed(export: Path) -> None:
    def drop(kind: str) -> Change:
        return lambda lines: lines.remove([line for line in lines if kind in line][-1])

    for kind in ("transfer", "block", "account"):
        assert faults(rewrite(export, drop(kind))), kind


def test_a_transfer_that_stands_twice_is_named(export: Path) -> None:
    def repeat(lines: Lines) -> None:
        place = next(i for i, line in enumerate(lines) if line.get("transfer", {}).get("txType") == "fee.burn")
        lines.insert(place, lines[place])

    assert "stands twice" in faults(rewrite(export, repeat))["ids"][0]


def test_history_that_was_written_anew_does_not_carry_the_platforms_signature(export: Path) -> None:
    def forge(lines: Lines) -> None:
        body = {"hash": block(lines, 2)["hash"], "height": 2}
        block(lines, 2)["signature"] = sign_document("ledger.block", body, key=SigningKey.generate(), net=NET, now=NOW)

    assert faults(rewrite(export, forge))["signatures"][0].startswith("block 2: ")


def test_another_genesis_document_is_named(export: Path) -> None:
    kept = Genesis.objects.get()
    other = kept.document | {"treasury": {"address": "treasury:system", "amount": "21000000"}}
    path = rewrite(export, parts={"genesis.json": {"document": other, "signature": kept.signature}})
    said = faults(path)
    assert "genesis document: not signed by the genesis account" in said["genesis"]
    assert any(name.startswith("block 0: ") for name in said["genesis"])


def test_a_part_that_is_not_whole_is_named(export: Path) -> None:
    for name, data, said in (
        ("manifest.json", b"{}", "manifest.json: "),
        ("manifest.json", b"no", "manifest.json: "),
        ("keys.json", b"{}", "keys.json: "),
        ("genesis.json", b"{}", "genesis.json: "),
        ("ledger.jsonl", b"\x00\n", "ledger.jsonl, line 1: "),
        ("ledger.jsonl", b'{"block": null}\n', "ledger.jsonl, line 1: "),
        ("ledger.jsonl", b'{"account": {"address": "wallet:x", "balance": "1.5"}}\n', "ledger.jsonl, line 1: "),
        ("ledger.jsonl", b"", "manifest.json: "),
    ):
        found = faults(rewrite(export, parts={name: data}))
        assert any(one.startswith(said) for one in found["file"]), (name, data)


def test_what_is_no_export_is_said_to_be_none(export: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.zip"
    cut.write_bytes(export.read_bytes()[:-200])
    assert "is not an export" in faults(cut)["file"][0]
    for place in (100, 300, 1_000):
        flipped = bytearray(export.read_bytes())
        flipped[place] ^= 0xFF
        cut.write_bytes(flipped)
        assert faults(cut)["file"], place


def test_a_ledger_without_genesis_is_not_exported(db: None, tmp_path: Path) -> None:
    with pytest.raises(GenesisMissing):
        run_and_export(NOW, tmp_path / "x.zip")
    assert list(tmp_path.iterdir()) == []


def test_an_audit_names_a_wallet_that_is_somebody_elses(
    sent: NewTransfer, bert: Account, wallet: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signers, "_lookups", [])
    stranger = signers.Signer(fingerprint(wallet.public), wallet.public, bert.owner)
    signers.register(lambda address: stranger if address == stranger.address else None)
    assert broken()["authorisations"] == [
        f"transfer {sent.id}: its wallet is that of {bert.address}, it pays from wallet:user:{_ada().pk}"
    ]


def _ada() -> User:
    return User.objects.get(email="ada@example.org")


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("document,amount", '"1"', "its order is not signed by the wallet"),
        ("public", f'"{b64(b"x" * 32)}"', "its order is not signed by the wallet"),
        ("wallet", '"eve"', "its order names wallet"),
        ("signature", "7", "its order is not whole"),
    ],
)
def test_an_audit_names_an_order_that_was_changed(sent: NewTransfer, path: str, value: str, said: str) -> None:
    changed_to = "jsonb_set(authorisation, string_to_array(%s, ','), %s)"
    tamper(f"update ledger_transfer set authorisation = {changed_to} where id = %s", path, value, sent.id)  # noqa: S608
    assert broken()["authorisations"][0].startswith(f"transfer {sent.id}: {said}")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("memo = 'x'", "its order's memo is 'for March', expected 'x'"),
        ("at = at + interval '1 day'", "its order ended at"),
        ("amount = 21", "its order moves 20, it moves 21"),
    ],
)
def test_an_audit_names_a_transfer_that_its_order_does_not_cover(sent: NewTransfer, change: str, said: str) -> None:
    tamper(f"update ledger_transfer set {change} where id = %s", sent.id)  # noqa: S608 - a literal of ours
    assert broken()["authorisations"][0].startswith(f"transfer {sent.id}: {said}")


def mesh(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line in a process that could not load Django if it wanted to."""
    bare = "import sys; sys.modules['django'] = None; from workers.client.cli import main; main()"
    return subprocess.run([sys.executable, "-c", bare, *arguments], capture_output=True, text=True, check=False)


def test_the_command_line_verifies_an_export_without_django(export: Path, sent: NewTransfer, tmp_path: Path) -> None:
    pinned = Genesis.objects.get().hash
    done = mesh("audit", "verify", str(export), "--genesis", pinned, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ok"] is True
    bad = mesh("audit", "verify", str(rewrite(export, changed("fee.burn", amount="9"))))
    assert bad.returncode == 1
    assert "✗ leaves" in bad.stderr
    assert "does not verify" in bad.stderr

    proof = tmp_path / "proof.json"
    made = mesh("audit", "prove", show_uuid("txn", sent.id), "--export", str(export), "-o", str(proof))
    assert made.returncode == 0, made.stderr
    checked = mesh("audit", "verify", str(proof), "--root", platform_keys.root_fingerprint())
    assert checked.returncode == 0, checked.stderr
    assert "Verified." in checked.stderr


def test_a_proof_made_from_an_export_holds_and_a_changed_one_does_not(export: Path, sent: NewTransfer) -> None:
    proof = proof_from_export(export, str(sent.id))
    assert verify_proof(proof, root=platform_keys.root_fingerprint()).ok
    assert verify_proof(proof, block=proof["block"]["hash"]).trusts == ""
    for broken_one, rule in (
        (proof | {"leaf": proof["leaf"] | {"amount": "1"}}, "inclusion"),
        (proof | {"index": proof["index"] + 1}, "inclusion"),
        (proof | {"block": proof["block"] | {"hash": "0" * 64}}, "block"),
        (proof | {"order": None, "leaf": proof["leaf"] | {"authorisation": "0" * 64}}, "inclusion"),
        (proof | {"order": proof["order"] | {"signature": "AAAA"}}, "order"),
        (proof | {"keys": {}}, "keys"),
    ):
        verdict = verify_proof(broken_one)
        assert verdict.found[rule], rule
    assert verify_proof(proof, root="0" * 64).found["keys"]
    assert verify_proof(proof, block="0" * 64).found["block"]


def test_an_export_has_no_proof_of_what_it_does_not_hold(export: Path) -> None:
    waiting = Transfer.objects.pending().first()
    with pytest.raises(ExportBroken, match="holds no sealed transfer"):
        proof_from_export(export, str(waiting.pk) if waiting else "x")


def test_the_command_writes_an_export_too(sent: NewTransfer, tmp_path: Path) -> None:
    path = tmp_path / "out.zip"
    call_command("audit", "--export", str(path))
    assert verify_export(path, Pins()).ok
    assert AuditRun.objects.get().export is None


def test_genesis_alone_is_an_export(keys: None, tmp_path: Path) -> None:
    genesis.write(genesis.document(network=NET, testnet=False, timestamp=NOW, block_seconds=600), NOW)
    path = tmp_path / "out.zip"
    run_and_export(NOW, path)
    assert verify_export(path, Pins()).ok
    assert accounts.system("treasury").balance == 2_100_000 * 10**8
