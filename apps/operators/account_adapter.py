"""How allauth speaks, and how it keeps secrets, on this site."""

import base64
import logging
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from django.utils.translation import gettext as _

from apps.core import platform_keys
from apps.core.models import User
from apps.operators.account_errors import MailUnavailable
from workers.protocol.sealing import decrypt_at_rest, encrypt_at_rest

logger = logging.getLogger(__name__)
SEALED = "sealed:"
AAD = b"mfa"


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """Accounts by e-mail address."""

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Send at once, since somebody waits for the code. Raises MailUnavailable where the server is away."""
        try:
            super().send_mail(template_prefix, email, context)
        except OSError as error:
            logger.warning("A mail was not taken", extra={"template": template_prefix, "error": str(error)})
            raise MailUnavailable from error


class MfaAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    """Second factors and passkeys. Secrets lie in the database encrypted with the platform's data key."""

    def encrypt(self, text: str) -> str:
        """The text as `sealed:<base64>`."""
        sealed = encrypt_at_rest(platform_keys.data_key(), text.encode(), AAD)
        return SEALED + base64.b64encode(sealed).decode()

    def decrypt(self, encrypted_text: str) -> str:
        """The secret again; raises SealBroken for altered text."""
        # Secrets from before they were encrypted have no mark.
        if not encrypted_text.startswith(SEALED):
            return encrypted_text
        sealed = base64.b64decode(encrypted_text.removeprefix(SEALED))
        return decrypt_at_rest(platform_keys.data_key(), sealed, AAD).decode()

    def generate_authenticator_name(self, user: User, type: Authenticator.Type) -> str:  # noqa: A002
        """A name to begin with: "Passkey 2"."""
        number = Authenticator.objects.filter(user=user, type=type).count() + 1
        return _("Passkey %(number)d") % {"number": number}

    def get_public_key_credential_rp_entity(self) -> dict[str, str]:
        """The site's name in the browser's dialog; the id stays the host."""
        return {**super().get_public_key_credential_rp_entity(), "name": "Meshwork"}
