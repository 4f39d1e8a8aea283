"""Forms of the account's settings."""

from zoneinfo import available_timezones

from allauth.mfa.models import Authenticator
from allauth.mfa.totp.forms import ActivateTOTPForm
from allauth.mfa.totp.internal.auth import TOTP
from allauth.mfa.webauthn.forms import AddWebAuthnForm, EditWebAuthnForm
from django import forms
from django.utils.translation import gettext_lazy as _

from apps.core.models import User

NAME_LENGTH = 80


def time_zones() -> list[tuple[str, object]]:
    """Every place of the time zone database, and the browser's own first."""
    places = sorted(name for name in available_timezones() if "/" in name and not name.startswith("Etc/"))
    return [("", _("As this browser says")), ("UTC", "UTC"), *((name, name.replace("_", " ")) for name in places)]


class ProfileForm(forms.ModelForm):  # type: ignore[type-arg]
    """What others call the person, and what their times are shown in."""

    name = forms.CharField(
        label=_("Name"), max_length=120, required=False, widget=forms.TextInput(attrs={"autocomplete": "name"})
    )
    time_zone = forms.ChoiceField(
        label=_("Time zone"),
        choices=time_zones,
        required=False,
        help_text=_("Tables show UTC. Point at a time to read it in this zone."),
    )

    class Meta:
        model = User
        fields = ("name", "time_zone")


class EmailForm(forms.Form):
    """The address to change to."""

    email = forms.EmailField(
        label=_("New address"), max_length=254, widget=forms.EmailInput(attrs={"autocomplete": "email"})
    )


class EmailCodeForm(forms.Form):
    """The code from the mail."""

    code = forms.CharField(
        label=_("Code"), max_length=20, widget=forms.TextInput(attrs={"autocomplete": "one-time-code"})
    )


class DeletionForm(forms.Form):
    """The account's address, or its name where it has none, typed by hand."""

    email = forms.CharField(
        label=_("Type your e-mail address"), max_length=254, widget=forms.TextInput(attrs={"autocomplete": "off"})
    )

    def __init__(self, user: User, data: object = None) -> None:
        super().__init__(data)  # type: ignore[arg-type]
        self.user = user
        if not user.email:
            self.fields["email"].label = _("Type your account's name")

    def clean_email(self) -> str:
        """It has to be this account's."""
        email = str(self.cleaned_data["email"]).strip().lower()
        if email != str(self.user.email or self.user).lower():
            raise forms.ValidationError(_("That is not this account's address or name."), code="email_differs")
        return email


class TotpForm(ActivateTOTPForm):  # type: ignore[misc]
    """Activates an authenticator app."""

    def clean_code(self) -> str:
        """A code that activated the app is used: it opens no session afterwards."""
        code: str = super().clean_code()
        TOTP(Authenticator(user=self.user))._mark_code_used(code)
        return code


class PasskeyForm(AddWebAuthnForm):  # type: ignore[misc]
    """Names a new passkey."""

    name = forms.CharField(label=_("Name"), max_length=NAME_LENGTH, required=False)
    passwordless = forms.BooleanField(
        label=_("Sign in with it alone"),
        required=False,
        initial=True,
        help_text=_("Needs its PIN, fingerprint or face. Without this it only confirms a sign-in by password."),
    )
    field_order = ("name", "passwordless", "credential")


class PasskeyNameForm(EditWebAuthnForm):  # type: ignore[misc]
    """Renames a passkey."""

    name = forms.CharField(label=_("Name"), max_length=NAME_LENGTH)
