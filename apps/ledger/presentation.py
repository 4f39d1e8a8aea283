"""What the ledger's pages show, prepared from rows."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.paginator import Page, Paginator
from django.http import QueryDict
from django.utils.translation import gettext as _

from apps.core.models import User
from apps.ledger import accounts, amounts, blocks, genesis
from apps.ledger.forms import TransferFilter
from apps.ledger.leaves import public_form, rows
from apps.ledger.models import AuditRun, Block, Transfer, TransferQuerySet
from workers.protocol.ids import show_uuid

PER_PAGE = 25
BLOCKS_SHOWN = 8


@dataclass(frozen=True)
class Line:
    """One transfer in a table."""

    id: str
    kind: str
    payer: str
    payee: str
    amount: int
    at: datetime
    state: str
    height: int | None


def lines(transfers: list[Transfer]) -> list[Line]:
    """Transfers, with `debit`, `credit` and `sealing` at hand, as lines."""
    return [
        Line(
            id=show_uuid("txn", transfer.pk),
            kind=transfer.kind,
            payer=transfer.debit.address,
            payee=transfer.credit.address,
            amount=transfer.amount,
            at=transfer.at,
            state="sealed" if height is not None else "pending",
            height=height,
        )
        for transfer in transfers
        for height in [height_of(transfer)]
    ]


def height_of(transfer: Transfer) -> int | None:
    """The block that sealed it; None while it is pending."""
    sealing = getattr(transfer, "sealing", None)
    return sealing.block_id if sealing else None


def page_of(transfers: TransferQuerySet, number: str | None) -> Page[Transfer]:
    """One page of transfers and what their lines need."""
    shown = transfers.select_related("debit", "credit", "sealing")
    return Paginator(shown, PER_PAGE).get_page(number)


def overview(query: QueryDict, user: Any) -> dict[str, Any]:
    """The ledger's first page: figures, the newest blocks, and the transfers that the query asks for."""
    form = TransferFilter(query)
    found = form.found()
    page = page_of(found.transfers, query.get("page"))
    minted, burned = blocks.supply()
    last = Block.objects.first()
    return {
        "form": form,
        "asked": form.asked,
        "account": found.account,
        "unknown_account": found.unknown_account,
        "page_obj": page,
        "lines": lines(list(page.object_list)),
        "blocks": Block.objects.all()[:BLOCKS_SHOWN],
        "last": last,
        "pending": Transfer.objects.pending().count(),
        "supply": amounts.show(minted - burned),
        "burned": amounts.show(burned),
        "cap": amounts.show(amounts.MAX_SUPPLY),
        "audit": AuditRun.objects.reported().first(),
        "mine": accounts.wallet_address(user) if isinstance(user, User) else "",
        "filters": query.urlencode(),
    }


def transfer(found: Transfer) -> dict[str, Any]:
    """One transfer, and the form in which its block seals it."""
    height = height_of(found)
    [row] = rows(Transfer.objects.filter(pk=found.pk))
    return {
        "transfer": found,
        "line": lines([found])[0],
        "height": height,
        "hold_id": show_uuid("hld", found.hold_id) if found.hold_id else "",
        "leaf": public_form(row),
        "related": related(found),
    }


def related(found: Transfer) -> list[Line]:
    """The other transfers of its hold, the newest first."""
    if found.hold_id is None:
        return []
    others = Transfer.objects.filter(hold=found.hold_id).exclude(pk=found.pk)
    return lines(list(others.select_related("debit", "credit", "sealing")[:PER_PAGE]))


def block(found: Block, number: str | None) -> dict[str, Any]:
    """One block with its neighbours and transfers."""
    page = page_of(Transfer.objects.in_block(found.height), number)
    return {
        "sealed": found,
        "previous": Block.objects.filter(height__lt=found.height).first(),
        "next": Block.objects.filter(height__gt=found.height).last(),
        "genesis": first_words() if found.height == 0 else None,
        "signed_by": found.document["signatures"][0]["keyid"],
        "page_obj": page,
        "lines": lines(list(page.object_list)),
    }


def first_words() -> dict[str, str]:
    """The genesis document by its fields, each as JSON."""
    document = genesis.stored() or {}
    return {name: json.dumps(value) for name, value in document.items()}


def audit(run: AuditRun | None) -> dict[str, Any]:
    """The newest audit, in the reader's language."""
    if run is None or run.report is None:
        return {"run": None}
    checks = [{**check, "detail": _(check["detail"])} for check in run.report["checks"]]
    return {
        "run": run,
        "checks": checks,
        "facts": [
            (_("Transfers"), run.report["transfers"]),
            (_("Height"), run.report["height"]),
            (_("Minted"), f"{amounts.show(int(run.report['minted']))} MESH"),
            (_("Burnt"), f"{amounts.show(int(run.report['burned']))} MESH"),
        ],
    }
