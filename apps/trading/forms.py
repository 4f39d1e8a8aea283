"""What staff give when they change the state of trading."""

from django import forms
from django.utils.translation import gettext_lazy as _


class ReasonForm(forms.Form):
    """A change of the state of trading is kept with its reason."""

    reason = forms.CharField(label=_("Reason"), max_length=300)
