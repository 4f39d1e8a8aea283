"""Where a piece of text leads in the ledger: a transfer, a hold, a block, an account, or somebody's wallet."""

import re
from uuid import UUID

from django.db.models import Q
from django.http import Http404
from django.shortcuts import get_object_or_404
from django.urls import reverse

from apps.ledger import signers
from apps.ledger.models import Account, AccountKind, Block, Transfer
from workers.protocol.ids import parse_uuid, show_uuid

HASH = re.compile(r"[0-9a-f]{64}")
HEIGHT = re.compile(r"[0-9]{1,18}")
LONGEST = 200


def place_of(text: str) -> str | None:
    """The page of what has exactly this id, height, hash or address; None where the ledger has nothing of the kind."""
    if "\x00" in text or len(text) > LONGEST:
        return None
    return _block(text) or _transfer(text) or _account(text)


def account_page(address: str) -> str:
    """The page of an account."""
    return reverse("ledger_account", args=[address])


def transfer_id(text: str) -> UUID | None:
    """The id behind `txn_…`, a UUID, or `hld_…` and `unb_…`: a hold's first transfer bears its id, a release's too."""
    for prefix in ("txn", "hld", "unb"):
        try:
            return parse_uuid(prefix, text)
        except ValueError:
            continue
    try:
        return UUID(text)
    except ValueError:
        return None


def found_transfer(transfer_id: str) -> Transfer:
    """The transfer of that `txn_…` id or UUID, whole; raises Http404."""
    try:
        key = parse_uuid("txn", transfer_id) if "_" in transfer_id else UUID(transfer_id)
    except ValueError:
        raise Http404 from None
    return get_object_or_404(Transfer.objects.whole(), pk=key)


def found_account(address: str) -> Account:
    """The account of that address; raises Http404."""
    kind, _separator, owner = address.partition(":")
    if "\x00" in address:
        raise Http404
    return get_object_or_404(Account, kind=kind, owner=owner)


def _block(text: str) -> str | None:
    if HEIGHT.fullmatch(text):
        found = Block.objects.filter(pk=int(text))
    elif HASH.fullmatch(text.lower()):
        wanted = text.lower()
        found = Block.objects.filter(Q(hash=wanted) | Q(root=wanted) | Q(genesis__hash=wanted))
    else:
        return None
    height = found.order_by("height").values_list("height", flat=True).first()
    return None if height is None else reverse("block", args=[height])


def _transfer(text: str) -> str | None:
    key = transfer_id(text)
    if key is None or not Transfer.objects.filter(pk=key).exists():
        return None
    return reverse("transfer", args=[show_uuid("txn", key)])


def _account(text: str) -> str | None:
    kind, separator, owner = text.partition(":")
    if separator and Account.objects.filter(kind=kind, owner=owner).exists():
        return account_page(text)
    signer = signers.find(text.lower()) if HASH.fullmatch(text.lower()) else None
    return account_page(f"{AccountKind.WALLET}:{signer.owner}") if signer else None
