"""Where a mandate's id or an Ethereum address leads, for those whose it is and for staff; for others nowhere."""

import re
from uuid import UUID

from django.urls import reverse

from apps.core.models import User
from apps.ledger import mandates
from apps.ledger.models import Mandate
from apps.operators.models import EthereumAddress
from workers.protocol.ids import parse_uuid

ETHEREUM = re.compile(r"0x[0-9a-f]{40}")


def place_of(text: str, user: object) -> str | None:
    """The page on which this person sees it; None where there is nothing of the kind that they may see."""
    if not isinstance(user, User):
        return None
    if ETHEREUM.fullmatch(text.lower()):
        return _ethereum(text.lower(), user)
    try:
        return _mandate(parse_uuid(mandates.PREFIX, text), text, user)
    except ValueError:
        return None


def _ethereum(address: str, user: User) -> str | None:
    found = EthereumAddress.objects.filter(pk=address)
    if found.bound().filter(user=user).exists():
        return f"{reverse('wallet')}#{address}"
    if not _may_look_up(user, "operators.view_ethereumaddress") or not found.exists():
        return None
    return reverse("admin:operators_ethereumaddress_change", args=[address])


def _mandate(key: UUID, text: str, user: User) -> str | None:
    if mandates.of(user).filter(pk=key).exists():
        return f"{reverse('mandates')}#{text}"
    if not _may_look_up(user, "ledger.view_mandate") or not Mandate.objects.filter(pk=key).exists():
        return None
    return reverse("admin:ledger_mandate_change", args=[key])


def _may_look_up(user: User, permission: str) -> bool:
    return user.acts_as_staff and user.has_perm(permission)
