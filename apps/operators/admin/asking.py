"""What a rejection is asked for."""

from django import forms
from django.utils.translation import gettext_lazy as _
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminSelectWidget

from apps.core.admin_decisions import ReasonForm
from apps.operators.models import Criterion


class RejectionForm(ReasonForm):
    """Which criterion an application fails, and why."""

    criterion = forms.ChoiceField(
        label=_("What was not met"), choices=[("", "---"), *Criterion.choices], widget=UnfoldAdminSelectWidget
    )
    field_order = ("criterion", "reason")


class RejectionDialog(RejectionForm, BaseDialogForm):  # type: ignore[misc]
    """Asks for criterion and reason on the row."""
