"""The forms of money: send, mandate, stake, appeal. Each checks what the ledger would refuse, where the field is."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from apps.core.errors import MeshError
from apps.core.models import User
from apps.ledger import amounts, user_transfers
from apps.operators.models import Wallet

LONGEST_DAYS = 3_650


class AmountField(forms.CharField):
    """A number of MESH that may move; as base units."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=40, **options)
        self.widget.attrs |= {"inputmode": "decimal", "autocomplete": "off"}

    def clean(self, value: Any) -> Any:
        """Base units; refused with the ledger's own words."""
        try:
            return amounts.parse_payment(super().clean(value))
        except MeshError as error:
            raise ValidationError(error.detail, code=error.code) from None


class PayeeField(forms.CharField):
    """A wallet's address or a ledger account."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=80, **options)
        self.widget.attrs |= {"autocomplete": "off", "spellcheck": "false"}

    def clean(self, value: Any) -> Any:
        """As it was written, once somebody is found behind it."""
        text = super().clean(value)
        try:
            user_transfers.payee(text)
        except MeshError as error:
            raise ValidationError(error.detail, code=error.code) from None
        return text


class OrderForm(forms.Form):
    """An order that one of the user's own wallets will sign."""

    wallet = forms.ChoiceField(label=_("From your wallet"))

    def __init__(self, user: User, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["wallet"].choices = [  # type: ignore[attr-defined]
            (wallet.address, f"{wallet.label} {wallet.address[:16]}…".strip())
            for wallet in Wallet.objects.bound().filter(user=user)
        ]


class SendForm(OrderForm):
    """Whom to pay, how much, and what for."""

    to = PayeeField(label=_("To"), help_text=_("A wallet's address, or an account such as wallet:user:7."))
    amount = AmountField(label=_("MESH"))
    memo = forms.CharField(
        label=_("Memo"), max_length=200, required=False, help_text=_("Everybody can read it in the ledger.")
    )


class MandateForm(OrderForm):
    """Who may spend, how much, and for how long."""

    spender = PayeeField(
        label=_("Spender"), help_text=_("Whose jobs your wallet pays for: a wallet's address, or an account.")
    )
    cap = AmountField(label=_("At most, in MESH"))
    days = forms.IntegerField(label=_("Days"), min_value=1, max_value=LONGEST_DAYS, initial=30)


class StakeForm(forms.Form):
    """How much to lock or to take back; the hidden id keeps a second press from doing it twice."""

    amount = AmountField(label=_("MESH"))
    request = forms.UUIDField(widget=forms.HiddenInput)


class SignedForm(forms.Form):
    """A document and its signature, as the signing page hands them in."""

    document = forms.JSONField(widget=forms.HiddenInput)
    signature = forms.CharField(widget=forms.HiddenInput, max_length=128)


class SlashAppealForm(forms.Form):
    """What speaks against a slash."""

    text = forms.CharField(
        label=_("Your appeal"),
        max_length=4000,
        widget=forms.Textarea(attrs={"rows": 5}),
        help_text=_("Say why the two messages are no fault of yours, and what you have changed."),
    )
    sure = forms.BooleanField(label=_("I can appeal only once, and lose the bond if the appeal is not granted."))
