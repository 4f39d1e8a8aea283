"""The public form of a transfer: what blocks seal, receipts show and audits recompute."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from apps.ledger.models import Sealing, Transfer, TransferQuerySet
from workers.protocol.blocks import transfer_leaf
from workers.protocol.clock import unix_ms
from workers.protocol.transfers import authorisation_hash, order_of, public


class Row(NamedTuple):
    """What the public form is made of, and where the transfer stands."""

    seq: int
    id: UUID
    debit_kind: str
    debit_owner: str
    credit_kind: str
    credit_owner: str
    amount: int
    kind: str
    memo: str
    at: datetime
    hold_id: UUID | None
    authorisation: dict[str, Any]
    block: int | None
    position: int | None
    leaf: bytes | None

    @classmethod
    def of(cls, transfer: Transfer) -> "Row":
        """A transfer that has its accounts and sealing at hand."""
        sealing: Sealing | None = getattr(transfer, "sealing", None)
        return cls(
            seq=transfer.seq,
            id=transfer.pk,
            debit_kind=transfer.debit.kind,
            debit_owner=transfer.debit.owner,
            credit_kind=transfer.credit.kind,
            credit_owner=transfer.credit.owner,
            amount=transfer.amount,
            kind=transfer.kind,
            memo=transfer.memo,
            at=transfer.at,
            hold_id=transfer.hold_id,
            authorisation=transfer.authorisation,
            block=sealing.block_id if sealing else None,
            position=sealing.position if sealing else None,
            leaf=bytes(sealing.leaf) if sealing else None,
        )

    @property
    def payer(self) -> str:
        """The paying account's address."""
        return f"{self.debit_kind}:{self.debit_owner}"

    @property
    def payee(self) -> str:
        """The paid account's address."""
        return f"{self.credit_kind}:{self.credit_owner}"


def rows(transfers: TransferQuerySet) -> Iterator[Row]:
    """Transfers as rows, in the queryset's order, never all in memory."""
    columns = transfers.values_list(
        "seq",
        "id",
        "debit__kind",
        "debit__owner",
        "credit__kind",
        "credit__owner",
        "amount",
        "kind",
        "memo",
        "at",
        "hold_id",
        "authorisation",
        "sealing__block_id",
        "sealing__position",
        "sealing__leaf",
    )
    return map(Row._make, columns.iterator(chunk_size=2000))


def public_form(row: Row) -> dict[str, Any]:
    """The transfer as everybody may see it; its authorisation by hash alone, since that names people's requests."""
    return {
        "txId": str(row.id),
        "from": row.payer,
        "to": row.payee,
        "amount": str(row.amount),
        "txType": row.kind,
        "memo": row.memo,
        "timestamp": unix_ms(row.at),
        "hold": str(row.hold_id) if row.hold_id else None,
        "authorisation": authorisation_hash(row.authorisation),
    }


def leaf(row: Row) -> bytes:
    """The transfer's leaf in its block's tree."""
    return transfer_leaf(public_form(row))


def shown(transfer: Transfer) -> dict[str, Any]:
    """The public form with its place and signature; the transfer has its accounts and sealed block at hand."""
    row = Row.of(transfer)
    return public(
        public_form(row),
        block=row.block,
        index=row.position,
        block_signature=transfer.sealing.block.document if row.block is not None else None,
        order=order_of(row.authorisation),
    )
