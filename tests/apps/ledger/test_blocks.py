"""Genesis, sealing and proofs."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction

from apps.core import platform_keys
from apps.core.errors import KeysMissing
from apps.ledger import accounts, blocks, genesis, proofs
from apps.ledger.amounts import MESH
from apps.ledger.errors import GenesisDiffers, GenesisMissing
from apps.ledger.leaves import leaf, rows
from apps.ledger.models import Account, Block, Genesis, Pending, Sealing, Transfer
from apps.ledger.posting import post_all
from apps.ledger.tasks import expire_holds, seal_blocks
from tests.apps.ledger.cast import NOW, balances, move
from workers.protocol import merkle
from workers.protocol.blocks import block_hash, transfer_leaf
from workers.protocol.clock import unix_ms
from workers.protocol.envelope import open_document
from workers.protocol.genesis import fault, is_signed
from workers.protocol.keylist import open_key_list
from workers.protocol.keys import SigningKey, kid_of

SLOT = timedelta(seconds=10)


def document(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {"network": "meshwork-testnet", "testnet": True, "timestamp": NOW, "block_seconds": 10}
    return genesis.document(**{**values, **changes})


def test_the_genesis_hash_follows_from_its_inputs(db: None) -> None:
    assert genesis.digest(document()) == genesis.digest(document())
    assert genesis.digest(document()) == "c5704861e0c7a223f3ce30d1b3e0efc0d592113c9f1feb4fa160dfc9f4b3796b"
    assert genesis.digest(document(timestamp=NOW + timedelta(milliseconds=1))) != genesis.digest(document())
    assert genesis.digest(document(models=[{"name": "a"}])) != genesis.digest(document())


def test_the_genesis_document_has_the_fields_of_a_genesis_block(db: None) -> None:
    assert document(models=[{"name": "m"}], shards=[{"sha256": "0"}]) == {
        "blockNumber": 0,
        "timestamp": 1_772_366_400_000,
        "network": "meshwork-testnet",
        "treasury": {"address": "treasury:system", "amount": "2100000"},
        "models": [{"name": "m"}],
        "shards": [{"sha256": "0"}],
        "config": {"quorum": "0.51", "timelockMs": 172_800_000, "feeFloor": "0.01"},
        "chain": {
            "blockSeconds": 10,
            "maxSupply": "21000000",
            "faucet": {"address": "faucet:system", "amount": "10000"},
        },
    }
    assert fault(document()) == ""


def test_the_genesis_account_signs_the_document(started: Block) -> None:
    kept = Genesis.objects.get()
    root = platform_keys.root_public()
    assert is_signed(kept.document, kept.signature, root)
    assert not is_signed(kept.document | {"timestamp": 1}, kept.signature, root)
    assert not is_signed(kept.document, kept.signature, SigningKey.generate().public)
    assert kept.signature["signatures"][0]["keyid"] == kid_of(root) != platform_keys.signing_key().kid


def test_without_the_roots_private_half_nothing_begins(keys: None) -> None:
    (platform_keys.folder() / "root.key").unlink()
    with pytest.raises(KeysMissing):
        genesis.write(document(), NOW)
    assert not Transfer.objects.exists()


def test_a_mainnet_has_no_faucet(keys: None) -> None:
    block = genesis.write(document(testnet=False), NOW)
    assert (block.count, balances(accounts.system("faucet"))) == (1, [0])


def test_genesis_is_the_first_entry_of_the_chain(started: Block) -> None:
    assert (started.height, started.count, started.sealed_at) == (0, 2, NOW)
    assert started.prev == genesis.digest(document())
    assert (started.minted, started.burned) == (2_100_000 * MESH, 0)
    held = balances(accounts.system("mint"), accounts.system("treasury"), accounts.system("faucet"))
    assert held == [-2_100_000 * MESH, 2_090_000 * MESH, 10_000 * MESH]
    assert genesis.stored() == document()


def test_two_networks_of_one_document_have_the_same_first_block(started: Block) -> None:
    header = blocks.header_of(started)
    assert header["root"] == "b75be8dae02eea49a8dbbd66b039aa1f03d8d588dc50fd90e4af76236d215ce2"
    assert started.hash == "b17b7bba2d9efda72bfc3970757ffeb92ab10649296fe81101e21fa1b56b7717"


def test_genesis_is_written_once(started: Block) -> None:
    assert genesis.write(document(), NOW) == started
    with pytest.raises(GenesisDiffers):
        genesis.write(document(block_seconds=20), NOW)


def test_genesis_comes_before_everything(keys: None, ada: Account, fund: Any) -> None:
    fund(ada, 1)
    with pytest.raises(GenesisDiffers):
        genesis.write(document(), NOW)


def test_a_transfer_is_pending_until_its_slot_ends(started: Block, ada: Account, bert: Account) -> None:
    transfer = move(accounts.system("treasury"), ada, 5)
    post_all([transfer], now=NOW)
    assert Transfer.objects.pending().get().pk == transfer.id
    assert blocks.seal_due(NOW + SLOT - timedelta(milliseconds=1)) is None
    assert proofs.transfer_proof(transfer.id) is None
    block = blocks.seal_due(NOW + SLOT)
    assert block is not None
    assert (block.height, block.count, block.prev) == (1, 1, started.hash)
    assert not Transfer.objects.pending().exists()
    assert not Pending.objects.exists()


def test_a_slot_has_one_block_and_may_be_empty(started: Block) -> None:
    first = blocks.seal_due(NOW + SLOT)
    assert first is not None
    assert (first.count, first.root) == (0, merkle.root([]).hex())
    assert blocks.seal_due(NOW + SLOT) is None
    assert blocks.seal_due(NOW + 1.9 * SLOT) is None


def test_the_height_comes_from_the_clock(started: Block) -> None:
    late = blocks.seal_due(NOW + 7.5 * SLOT)
    assert late is not None
    assert (late.height, late.prev) == (7, started.hash)
    assert blocks.seal_due(NOW) is None


def test_blocks_follow_the_supply(started: Block, ada: Account) -> None:
    treasury, mint, burn = (accounts.system(kind) for kind in ("treasury", "mint", "burn"))
    post_all([move(mint, ada, 7), move(treasury, burn, 3), move(treasury, ada, 2)], now=NOW)
    block = blocks.seal_due(NOW + SLOT)
    assert block is not None
    assert (block.minted - started.minted, block.burned) == (7, 3)
    assert block.supply == started.supply + 4
    assert blocks.supply() == (block.minted, block.burned)


def test_without_genesis_nothing_is_sealed(db: None) -> None:
    with pytest.raises(GenesisMissing):
        blocks.seal_due(NOW)
    seal_blocks()
    assert not Block.objects.exists()


def test_a_block_is_signed_by_the_platform(started: Block) -> None:
    keys = open_key_list(platform_keys.key_list(), platform_keys.root_public())
    opened = open_document(
        started.document,
        kind="ledger.block",
        resolve=lambda kid: keys.resolve(kid, unix_ms(NOW)),
        net="meshwork-testnet",
    )
    assert opened.body == {"hash": started.hash, "height": 0}
    assert block_hash(blocks.header_of(started)) == started.hash


def test_every_transfer_is_proven_in_its_block(started: Block, ada: Account, bert: Account) -> None:
    treasury = accounts.system("treasury")
    first = [move(treasury, ada, i + 1) for i in range(5)]
    second = [move(treasury, bert, i + 1) for i in range(3)]
    for height, batch in enumerate((first, second), start=1):
        post_all(batch, now=NOW)
        blocks.seal_due(NOW + height * SLOT)
    found = proofs.transfer_proofs([t.id for t in (*second, *first)])
    assert found is not None
    assert [(proof["block"], proof["index"]) for proof in found] == [
        *((1, i) for i in range(5)),
        *((2, i) for i in range(3)),
    ]
    for proof in found:
        form = proofs.block_form(Block.objects.get(pk=proof["block"]))
        header = form["header"]
        siblings = [bytes.fromhex(sibling) for sibling in proof["proof"]]
        leaf, root = transfer_leaf(proof["leaf"]), bytes.fromhex(header["root"])
        assert merkle.verify_inclusion(leaf, proof["index"], header["count"], siblings, root)


def test_a_leaf_names_everything_but_the_request(started: Block, ada: Account) -> None:
    transfer = move(accounts.system("treasury"), ada, 5, memo="hello")
    post_all([transfer], now=NOW)
    blocks.seal_due(NOW + SLOT)
    proof = proofs.transfer_proof(transfer.id)
    assert proof is not None
    digest = proof["leaf"].pop("authorisation")
    assert len(digest) == 64
    assert proof["leaf"] == {
        "txId": str(transfer.id),
        "from": "treasury:system",
        "to": ada.address,
        "amount": "5",
        "txType": "test",
        "memo": "hello",
        "timestamp": unix_ms(NOW),
        "hold": None,
    }


def test_a_block_keeps_the_leaf_of_each_of_its_transfers(started: Block, ada: Account) -> None:
    treasury = accounts.system("treasury")
    post_all([move(treasury, ada, i + 1) for i in range(3)], now=NOW)
    blocks.seal_due(NOW + SLOT)
    kept = [bytes(row.leaf) for row in Sealing.objects.filter(block=1).order_by("position")]
    assert kept == [merkle.leaf_hash(leaf(row)) for row in rows(Transfer.objects.in_block(1))]
    assert merkle.root_of_hashes(kept).hex() == Block.objects.get(pk=1).root


def test_an_unknown_transfer_has_no_proof(started: Block) -> None:
    assert proofs.transfer_proof(uuid4()) is None


@pytest.mark.parametrize("table", ["block", "sealing", "genesis"])
def test_the_chain_is_never_changed(started: Block, table: str) -> None:
    with pytest.raises(IntegrityError, match="never changed"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"delete from ledger_{table}")  # noqa: S608 - a table of ours


def test_the_queue_seals_and_expires_by_the_clock(started: Block) -> None:
    seal_blocks()
    expire_holds()
    assert Block.objects.count() == 2
