"""What the explorer's pages show, prepared from rows."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.paginator import Page, Paginator
from django.db.models import Q
from django.http import QueryDict
from django.utils.translation import gettext as _

from apps.core import platform_keys
from apps.core.errors import KeysMissing
from apps.core.models import User
from apps.ledger import accounts, amounts, blocks, words
from apps.ledger.forms import TransferFilter
from apps.ledger.leaves import shown
from apps.ledger.models import Account, AccountKind, AuditRun, Block, Genesis, Pending, Transfer, TransferQuerySet
from workers.protocol.ids import show_uuid

PER_PAGE = 25
SHOWN = 8
SYSTEM_KINDS = (AccountKind.TREASURY, AccountKind.FAUCET)


@dataclass(frozen=True)
class Line:
    """One transfer in a table; `way` is in or out as an account sees it."""

    id: str
    kind: str
    words: str
    payer: str
    payee: str
    amount: int
    at: datetime
    height: int | None
    way: str = ""


def lines(transfers: list[Transfer], seen_by: Account | None = None) -> list[Line]:
    """Transfers, with `debit`, `credit` and `sealing` at hand, as lines."""
    return [
        Line(
            id=show_uuid("txn", transfer.pk),
            kind=transfer.kind,
            words=words.of_transfer(transfer.kind),
            payer=transfer.debit.address,
            payee=transfer.credit.address,
            amount=transfer.amount,
            at=transfer.at,
            height=height_of(transfer),
            way="" if seen_by is None else "in" if transfer.credit_id == seen_by.pk else "out",
        )
        for transfer in transfers
    ]


def height_of(transfer: Transfer) -> int | None:
    """The block that sealed it; None while it is pending."""
    sealing = getattr(transfer, "sealing", None)
    return sealing.block_id if sealing else None


def page_of(transfers: TransferQuerySet, number: str | None) -> Page[Transfer]:
    """One page of transfers and what their lines need."""
    needed = transfers.select_related("debit", "credit", "sealing").defer("authorisation")
    return Paginator(needed, PER_PAGE).get_page(number)


def overview(user: Any) -> dict[str, Any]:
    """The ledger's first page: figures, the newest blocks and the newest transfers."""
    minted, burned = blocks.supply()
    held = dict(Account.objects.filter(kind__in=SYSTEM_KINDS, owner=accounts.SYSTEM).values_list("kind", "balance"))
    newest = Transfer.objects.select_related("debit", "credit", "sealing").defer("authorisation")[:SHOWN]
    return {
        "lines": lines(list(newest)),
        "blocks": Block.objects.defer("document")[:SHOWN],
        "last": Block.objects.defer("document").first(),
        "pending": Pending.objects.count(),
        "supply": amounts.show(minted - burned),
        "minted": amounts.show(minted),
        "burned": amounts.show(burned),
        "cap": amounts.show(amounts.MAX_SUPPLY),
        "treasury": amounts.show(held.get(AccountKind.TREASURY, 0)),
        "faucet": amounts.show(held.get(AccountKind.FAUCET, 0)) if settings.IS_TESTNET else None,
        "audit": AuditRun.objects.reported().defer("report").first(),
        "mine": accounts.wallet_address(user) if isinstance(user, User) else "",
    }


def transfers(query: QueryDict) -> dict[str, Any]:
    """The transfers that the address asks for."""
    form = TransferFilter(query)
    found = form.found()
    page = page_of(found.transfers, query.get("page"))
    return {
        "form": form,
        "asked": form.asked,
        "account": found.account,
        "unknown_account": found.unknown_account,
        "page_obj": page,
        "lines": lines(list(page.object_list)),
        "filters": query.urlencode(),
    }


def account(found: Account, number: str | None) -> dict[str, Any]:
    """One account with its balance, what it is for, and its transfers, the newest first."""
    page = page_of(Transfer.objects.touching([found]), number)
    same_owner = Account.objects.filter(~Q(pk=found.pk), owner=found.owner) if found.owner != accounts.SYSTEM else []
    return {
        "account": found,
        "meaning": words.of_account(found.kind),
        "page_obj": page,
        "lines": lines(list(page.object_list), found),
        "siblings": list(same_owner),
    }


def transfer(found: Transfer) -> dict[str, Any]:
    """One transfer in its public form, with who signed it; `found` is whole."""
    form = shown(found)
    height = height_of(found)
    place = ("block", "index", "signature", "signer", "order")
    order = form["order"]["document"] if form["order"] else {}
    return {
        "transfer": found,
        "line": lines([found])[0],
        "height": height,
        "hold_id": show_uuid("hld", found.hold_id) if found.hold_id else "",
        "leaf": {name: value for name, value in form.items() if name not in place},
        "signature": form["signature"],
        "signer": form["signer"],
        "order": {name: json.dumps(value) for name, value in order.items()},
        "index": form["index"],
        "related": related(found),
        "root": root_fingerprint(),
    }


def root_fingerprint() -> str:
    """What proofs and exports are checked against."""
    try:
        return platform_keys.root_fingerprint()
    except KeysMissing:
        return "…"


def related(found: Transfer) -> list[Line]:
    """The other transfers of its hold, the newest first."""
    if found.hold_id is None:
        return []
    others = Transfer.objects.filter(hold=found.hold_id).exclude(pk=found.pk).defer("authorisation")
    return lines(list(others.select_related("debit", "credit", "sealing")[:PER_PAGE]))


def chain(number: str | None) -> dict[str, Any]:
    """All blocks, the newest first."""
    return {"page_obj": Paginator(Block.objects.defer("document"), PER_PAGE).get_page(number)}


def block(found: Block, number: str | None) -> dict[str, Any]:
    """One block with its neighbours and transfers."""
    page = page_of(Transfer.objects.in_block(found.height), number)
    [signature] = found.document["signatures"]
    return {
        "sealed": found,
        "previous": Block.objects.filter(height__lt=found.height).only("height").first(),
        "next": Block.objects.filter(height__gt=found.height).only("height").last(),
        "genesis": first_words() if found.height == 0 else None,
        "signed_by": signature["keyid"],
        "signature": signature["sig"],
        "page_obj": page,
        "lines": lines(list(page.object_list)),
    }


def first_words() -> list[tuple[str, str]]:
    """The genesis document by its fields, each as JSON, and who signed it."""
    kept = Genesis.objects.first()
    if kept is None:
        return []
    said = [(name, json.dumps(value)) for name, value in kept.document.items()]
    signed = [(f"{_('signed by')} {one['keyid']}", one["sig"]) for one in kept.signature.get("signatures", [])]
    return [*said, *signed]
