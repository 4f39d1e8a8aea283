"""What the account's settings show, prepared from rows."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from allauth.mfa.models import Authenticator
from django.utils.translation import gettext_lazy as _

from apps.core.models import User
from apps.operators import account_email

EXPORTED = (
    _("Profile and e-mail addresses"),
    _("Sign-in methods, sessions and API keys, without their secrets"),
    _("Applications, stakes, nodes and what happened to them"),
    _("Wallets, balances and every transfer"),
    _("Jobs, messages that we sent you, and events"),
)


@dataclass(frozen=True)
class Passkey:
    """One passkey as a row of the page."""

    id: int
    name: str
    alone: bool
    created_at: datetime
    used_at: datetime | None


def security(user: User) -> dict[str, Any]:
    """The state of every way to sign in."""
    rows = list(Authenticator.objects.filter(user=user).order_by("pk"))
    of_type = {row.type: row for row in rows}
    codes = of_type.get(Authenticator.Type.RECOVERY_CODES)
    return {
        "unconfirmed": bool(user.email) and not account_email.is_confirmed(user),
        "has_password": user.has_usable_password(),
        "totp": of_type.get(Authenticator.Type.TOTP),
        "passkeys": [passkey(row) for row in rows if row.type == Authenticator.Type.WEBAUTHN],
        "codes": codes,
        "codes_left": len(codes.wrap().get_unused_codes()) if codes else 0,
        "can_have_codes": any(row.type != Authenticator.Type.RECOVERY_CODES for row in rows),
    }


def passkey(row: Authenticator) -> Passkey:
    """A passkey by its name and whether it signs in alone."""
    key = row.wrap()
    return Passkey(row.pk, key.name, bool(key.is_passwordless), row.created_at, row.last_used_at)
