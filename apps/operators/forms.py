"""Forms of the operators' pages."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from allauth.account.forms import SignupForm as AllauthSignupForm
from allauth.account.internal.flows.login import record_authentication
from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.forms.boundfield import BoundField
from django.http import HttpRequest, QueryDict
from django.utils.translation import gettext_lazy as _

from apps.core import parameters
from apps.core.models import User
from apps.operators import hardware, tiers
from apps.operators.enrolment import NODE_NAME
from apps.operators.errors import ProbeRefused
from apps.operators.models import Application, Scope, Tier

GPU_TYPES = (("cpu", _("none (CPU)")), ("cuda", _("NVIDIA (CUDA)")), ("apple_metal", _("Apple (Metal)")))
KEY_LIVES = ((7, _("7 days")), (30, _("30 days")), (90, _("90 days")), (365, _("a year")), (0, _("no end")))
HARDWARE = (
    "gpu_type",
    "gpu_model",
    "gpu_memory_gb",
    "cpu_cores",
    "memory_gb",
    "operating_system",
    "bandwidth_mbps",
)


class SignupForm(AllauthSignupForm):  # type: ignore[misc]
    """E-mail, name and password."""

    name = forms.CharField(label=_("Name"), max_length=120, widget=forms.TextInput(attrs={"autocomplete": "name"}))
    field_order = ("email", "name", "password1", "password2")

    def save(self, request: HttpRequest) -> User:
        """Make the account and keep the name; who has just chosen the password need not prove that they know it."""
        user: User = super().save(request)
        user.name = self.cleaned_data["name"]
        user.save(update_fields=["name"])
        record_authentication(request, user, method="password")
        return user


class ApplicationForm(forms.Form):
    """What an operator says of themselves and their machine; a probe's report fills the machine's fields in."""

    tier = forms.ChoiceField(label=_("Tier"), choices=Tier.choices, widget=forms.RadioSelect)
    region = forms.ChoiceField(label=_("Region"), choices=tiers.REGIONS)
    probe = forms.CharField(
        label=_("Report of the machine"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 4, "class": "mono", "spellcheck": "false"}),
        help_text=_("Run the command on the machine and paste all that it prints, or choose it as a file."),
    )
    probe_file = forms.FileField(label=_("Report as a file"), required=False)
    gpu_type = forms.ChoiceField(label=_("GPU"), choices=GPU_TYPES)
    gpu_model = forms.CharField(label=_("GPU model"), max_length=80, help_text=_("“none” without a GPU."))
    gpu_memory_gb = forms.IntegerField(label=_("GPU memory (GB)"), min_value=0, max_value=4096)
    cpu_cores = forms.IntegerField(label=_("CPU cores"), min_value=1, max_value=4096)
    memory_gb = forms.IntegerField(label=_("Memory (GB)"), min_value=1, max_value=65536)
    operating_system = forms.CharField(label=_("Operating system"), max_length=80)
    bandwidth_mbps = forms.IntegerField(label=_("Upload (Mbit/s)"), min_value=1, max_value=1_000_000)
    experience = forms.CharField(
        label=_("Experience"),
        max_length=2000,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("What have you run before?"),
    )
    agree = forms.BooleanField(label=_("I run this machine, and I know that a stake can be slashed for misbehaviour."))

    report: dict[str, Any]
    problem = ""
    was_read = False

    def clean(self) -> dict[str, Any]:
        """A report can be read; a GPU has memory; a tier has its least hardware."""
        data = super().clean() or {}
        if self.problem:
            self.add_error("probe", self.problem)
        for name, words in tiers.shortfalls(data.get("tier", ""), data).items():
            if name not in self.errors:
                self.add_error(name, words)
        return data

    @classmethod
    def of(
        cls, application: Application | None, data: QueryDict | None, files: Mapping[str, Any] | None = None
    ) -> "ApplicationForm":
        """The form as last saved or handed in, or with what was just sent; a report just sent fills its fields in."""
        report: dict[str, Any] = application.probe if application else {}
        problem, given = "", report_given(data, files)
        if data is not None and given:
            try:
                report = hardware.read(given)
            except ProbeRefused as error:
                problem = error.detail
            else:
                data = data.copy()
                for name, value in {**hardware.fields_of(report), "probe": ""}.items():
                    data[name] = str(value)
        kept = {name: getattr(application, name) for name in ("tier", "region", "experience")} if application else {}
        form = cls(data, initial={**(application.hardware if application else {}), **kept})
        form.report, form.problem, form.was_read = report, problem, bool(given and not problem)
        return form

    @property
    def first_fields(self) -> list[BoundField]:
        """What stands above the machine."""
        return [self["tier"], self["region"]]

    @property
    def machine_fields(self) -> list[BoundField]:
        """The machine, by hand or as the report filled it in."""
        return [self[name] for name in HARDWARE]

    @property
    def last_fields(self) -> list[BoundField]:
        """What stands below the machine."""
        return [self["experience"], self["agree"]]

    @property
    def report_facts(self) -> list[tuple[str, Any]]:
        """What was read from the report."""
        return hardware.facts(self.report)

    def application(self) -> dict[str, Any]:
        """The cleaned values as the application's fields."""
        data = self.cleaned_data
        return {
            "tier": data["tier"],
            "region": data["region"],
            "experience": data["experience"],
            "hardware": {name: data[name] for name in HARDWARE},
            "probe": self.report,
        }

    def draft(self) -> dict[str, Any]:
        """Those values that are valid already, as the application's fields."""
        data = self.cleaned_data
        own = {name: data.get(name) or "" for name in ("tier", "region", "experience")}
        return {**own, "hardware": {name: data[name] for name in HARDWARE if name in data}, "probe": self.report}


def report_given(data: QueryDict | None, files: Mapping[str, Any] | None) -> str | bytes:
    """The report that was sent as a file or pasted; empty where there is none."""
    upload = (files or {}).get("probe_file")
    if isinstance(upload, UploadedFile):
        return bytes(upload.read(hardware.MAX_BYTES + 1)) or b" "
    return str(data.get("probe", "")).strip() if data is not None else ""


class NodeNameForm(forms.Form):
    """Names a new node."""

    name = forms.RegexField(
        rf"^{NODE_NAME}$",
        label=_("Name of the node"),
        help_text=_("Letters, digits, dots, dashes; up to 40. You will see it everywhere."),
        error_messages={"invalid": _("Use letters, digits, dots and dashes only, at most 40.")},
    )


class ApiKeyForm(forms.Form):
    """Names a new key and says what it may do, and for how long."""

    name = forms.CharField(label=_("Name"), max_length=80, help_text=_("Where will you use it?"))
    scopes = forms.MultipleChoiceField(
        label=_("May"),
        choices=Scope.choices,
        initial=[Scope.JOBS_READ, Scope.JOBS_WRITE],
        widget=forms.CheckboxSelectMultiple,
    )
    days = forms.TypedChoiceField(label=_("Good for"), coerce=int, choices=KEY_LIVES, required=False, empty_value=None)

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.fields["days"].initial = parameters.get("operators.key_days")

    def expires_at(self, now: datetime) -> datetime | None:
        """When the key ends: as chosen, or as the network's default has it; None for one without an end."""
        days = self.cleaned_data["days"]
        days = parameters.get("operators.key_days") if days is None else days
        return now + timedelta(days=days) if days else None


class AppealForm(forms.Form):
    """What speaks against a ban."""

    text = forms.CharField(
        label=_("Your appeal"),
        max_length=4000,
        widget=forms.Textarea(attrs={"rows": 5}),
        help_text=_("Say what happened and what you have changed. Staff read it and answer here and by mail."),
    )
