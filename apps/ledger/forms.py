"""The filter of the ledger's transfers, which lives in the address, and the staff's grant."""

from dataclasses import dataclass
from uuid import uuid4

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminEmailInputWidget, UnfoldAdminTextInputWidget

from apps.core.models import User
from apps.ledger import amounts
from apps.ledger.errors import AmountMalformed
from apps.ledger.models import Account, Transfer, TransferQuerySet


@dataclass(frozen=True)
class Found:
    """What a filter found: transfers, and the account that it named."""

    transfers: TransferQuerySet
    account: Account | None
    unknown_account: bool


class TransferFilter(forms.Form):
    """By account, kind (`fee` means every fee) and state; what cannot be read filters nothing."""

    account = forms.CharField(label=_("Account"), required=False, max_length=80)
    kind = forms.RegexField(label=_("Kind"), required=False, regex=r"^[a-z_.]{1,40}$")
    state = forms.ChoiceField(
        label=_("State"),
        required=False,
        choices=[("", _("Any")), ("pending", _("Pending")), ("sealed", _("Sealed"))],
    )

    @property
    def asked(self) -> bool:
        """Whether any filter is set."""
        return any(self.data.get(name) for name in self.fields)

    def found(self) -> Found:
        """The transfers that fit, the newest first."""
        transfers, account = Transfer.objects.all(), None
        wanted = self.cleaned_data if self.is_valid() else getattr(self, "cleaned_data", {})
        address = wanted.get("account", "")
        if address:
            kind, _sep, owner = address.partition(":")
            account = Account.objects.filter(kind=kind, owner=owner).first()
            transfers = transfers.touching([account]) if account else transfers.none()
        if kind := wanted.get("kind"):
            transfers = transfers.of_kind(kind)
        if state := wanted.get("state"):
            transfers = transfers.pending() if state == "pending" else transfers.sealed()
        return Found(transfers, account, bool(address) and account is None)


class GrantForm(forms.Form):
    """What staff give a user from the treasury; the hidden id keeps a second press from giving twice."""

    user = forms.ModelChoiceField(
        User.objects.filter(is_active=True),
        to_field_name="email",
        label=_("E-mail address"),
        widget=UnfoldAdminEmailInputWidget,
        error_messages={"invalid_choice": _("Nobody has that address.")},
    )
    amount = forms.CharField(label=_("MESH"), max_length=20, widget=UnfoldAdminTextInputWidget)
    reason = forms.CharField(label=_("Reason"), max_length=200, widget=UnfoldAdminTextInputWidget)
    request = forms.UUIDField(widget=forms.HiddenInput, initial=uuid4)

    def clean_amount(self) -> int:
        """Base units."""
        try:
            units = amounts.parse(self.cleaned_data["amount"])
        except AmountMalformed as error:
            raise ValidationError(error.detail) from None
        if units == 0:
            raise ValidationError(_("A grant is more than nothing."))
        return units
