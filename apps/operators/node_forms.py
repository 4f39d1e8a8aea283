"""Forms of a node's own page."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import msgspec
from django import forms
from django.utils.translation import gettext_lazy as _

from apps.operators.models import Node
from workers.protocol import quiet_hours
from workers.protocol.clock import from_unix_ms, unix_ms
from workers.protocol.messages import NodeLimits

LOCAL = "%Y-%m-%dT%H:%M"


def zones() -> list[tuple[str, str]]:
    """All zones by name."""
    return [(name, name) for name in sorted(available_timezones())]


class LimitsForm(forms.Form):
    """What the machine is kept from, in the words of its owner."""

    paused = forms.BooleanField(label=_("Paused: take no tasks"), required=False)
    paused_until = forms.DateTimeField(
        label=_("Until"),
        required=False,
        input_formats=[LOCAL, "%Y-%m-%d %H:%M"],
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format=LOCAL),
        help_text=_("In the zone below. Empty: until you resume it."),
    )
    quiet_hours = forms.CharField(
        label=_("Quiet hours"),
        required=False,
        max_length=1000,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("One a line: 22:00-07:00, or sat-sun 00:00-24:00, or mon-fri 09:00-17:30."),
    )
    time_zone = forms.ChoiceField(label=_("Time zone"), choices=zones)
    memory_cap_mb = forms.IntegerField(
        label=_("Memory cap (MiB)"), min_value=0, max_value=2**31, required=False, help_text=_("0 is no cap.")
    )
    power_cap_w = forms.IntegerField(
        label=_("Power cap (W)"),
        min_value=0,
        max_value=2**20,
        required=False,
        help_text=_("0 is no cap. With a cap that the machine cannot measure, it takes no tasks."),
    )

    def clean_quiet_hours(self) -> list[str]:
        """Every line is a time that clocks show."""
        lines = [line.strip().lower() for line in self.cleaned_data["quiet_hours"].splitlines() if line.strip()]
        try:
            quiet_hours.parse_all(lines)
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error
        return lines

    @classmethod
    def of(cls, node: Node, data: Mapping[str, Any] | None) -> "LimitsForm":
        """The form as it was last set, or with what was just sent; its zone is the owner's where none was chosen."""
        limits = msgspec.convert(node.limits or {}, NodeLimits)
        zone = limits.time_zone or node.operator.user.time_zone or "UTC"
        until = from_unix_ms(limits.paused_until).astimezone(ZoneInfo(zone)) if limits.paused_until else None
        initial = {
            "paused": limits.paused,
            "paused_until": until.replace(tzinfo=None) if until else None,
            "quiet_hours": "\n".join(limits.quiet_hours),
            "time_zone": zone,
            "memory_cap_mb": limits.memory_cap_mb,
            "power_cap_w": limits.power_cap_w,
        }
        return cls(data, initial=initial)

    def limits(self) -> dict[str, Any]:
        """The cleaned values as limits; a time is read by the clock of the chosen zone."""
        data = self.cleaned_data
        until: datetime | None = data["paused_until"]
        moment = until.replace(tzinfo=ZoneInfo(data["time_zone"])).astimezone(UTC) if until else None
        return {
            "paused": data["paused"],
            "paused_until": unix_ms(moment) if moment and data["paused"] else 0,
            "quiet_hours": data["quiet_hours"],
            "time_zone": data["time_zone"],
            "memory_cap_mb": data["memory_cap_mb"] or 0,
            "power_cap_w": data["power_cap_w"] or 0,
        }
