"""Proofs that transfers stand in sealed blocks, in the form that receipts carry."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from apps.core import platform_keys
from apps.ledger.blocks import header_of
from apps.ledger.errors import NotSealed
from apps.ledger.leaves import public_form, rows
from apps.ledger.models import Block, Sealing, Transfer
from workers.protocol import ledger_proof, merkle
from workers.protocol.transfers import order_of


def transfer_proof(transfer_id: UUID) -> dict[str, Any] | None:
    """`{leaf, index, proof, block}` of one transfer; None while it is pending or unknown."""
    proofs = transfer_proofs([transfer_id])
    return proofs[0] if proofs else None


def transfer_proofs(transfer_ids: Collection[UUID]) -> list[dict[str, Any]] | None:
    """The proofs of several transfers in the chain's order; None while one of them is pending or unknown."""
    wanted = set(transfer_ids)
    heights = list(Transfer.objects.filter(pk__in=wanted).sealed().values_list("sealing__block_id", flat=True))
    if len(heights) < len(wanted):
        return None
    return [proof for height in sorted(set(heights)) for proof in _proofs(height, wanted)]


def proof_document(transfer: Transfer) -> dict[str, Any]:
    """All that it takes to check, offline, that a sealed transfer stands in its block. Raises NotSealed."""
    found = transfer_proof(transfer.pk)
    if found is None:
        raise NotSealed
    block = block_form(Block.objects.get(pk=found["block"]))
    path = [bytes.fromhex(step) for step in found["proof"]]
    order = order_of(transfer.authorisation)
    return ledger_proof.proof(found["leaf"], found["index"], path, block, order, platform_keys.key_list())


def block_form(block: Block) -> dict[str, Any]:
    """`{header, hash, signature}`: what a receipt says of a block."""
    return {"header": header_of(block), "hash": block.hash, "signature": block.document}


def _proofs(height: int, wanted: set[UUID]) -> list[dict[str, Any]]:
    leaves = [
        bytes(leaf) for leaf in Sealing.objects.filter(block=height).order_by("position").values_list("leaf", flat=True)
    ]
    sealed = rows(Transfer.objects.in_block(height).filter(pk__in=wanted))
    found = [(row.position, row) for row in sealed if row.position is not None]
    paths = merkle.proofs_of_hashes(leaves, [place for place, _ in found])
    return [
        {"leaf": public_form(row), "index": place, "proof": [step.hex() for step in path], "block": height}
        for (place, row), path in zip(found, paths, strict=True)
    ]
