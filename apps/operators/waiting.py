"""What of the operators' room waits for staff."""

from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from apps.core.inbox import SHOWN, Item, Section
from apps.operators import reputation
from apps.operators.models import (
    Appeal,
    Application,
    Node,
    NodeStatus,
    Notification,
    SlashAppeal,
)


def listed(model: str) -> str:
    """The address of a list in the admin."""
    return reverse(f"admin:operators_{model}_changelist")


def page(model: str, pk: Any) -> str:
    """The address of a row in the admin."""
    return reverse(f"admin:operators_{model}_change", args=[pk])


def reviews(now: datetime) -> Section:
    """Applications that wait for a review."""
    rows = Application.objects.waiting().order_by("submitted_at")
    items = [
        Item(f"{row.user} · {row.tier}", page("application", row.pk), row.submitted_at, row.pk)
        for row in rows.select_related("user")[:SHOWN]
    ]
    return Section(
        _("Applications to review"),
        rows.count(),
        listed("application"),
        "operators.view_application",
        items,
        Application,
        ("approve_row", "reject_row"),
    )


def open_appeals(now: datetime) -> Section:
    """Appeals that wait for an answer."""
    rows = Appeal.objects.open().order_by("at")
    found = rows.select_related("by", "ban__user", "ban__node")[:SHOWN]
    items = [Item(f"{row.by}: {row.ban}", page("appeal", row.pk), row.at, row.pk) for row in found]
    acts = ("grant_row", "refuse_row")
    return Section(_("Appeals to answer"), rows.count(), listed("appeal"), "operators.view_appeal", items, Appeal, acts)


def fallen(now: datetime) -> Section:
    """Nodes whose reputation is used up and that somebody may let back."""
    rows: QuerySet[Node] = Node.objects.filter(status=NodeStatus.SUSPENDED, reason=reputation.SUSPENDED)
    rows = rows.order_by("status_at")
    items = [Item(str(row), page("node", row.pk), row.status_at, row.pk) for row in rows[:SHOWN]]
    url, acts = f"{listed('node')}?status__exact={NodeStatus.SUSPENDED}", ("reinstate_row", "revoke_row")
    return Section(_("Nodes without reputation"), rows.count(), url, "operators.view_node", items, Node, acts)


def lost_mail(now: datetime) -> Section:
    """Mail that was given up."""
    rows = Notification.objects.given_up().order_by("created_at")
    found = rows.select_related("user")[:SHOWN]
    items = [Item(f"{row.kind} · {row.user}", page("notification", row.pk), row.created_at, row.pk) for row in found]
    title, url = _("Mail that did not leave"), f"{listed('notification')}?sent_at__isempty=1"
    return Section(title, rows.count(), url, "operators.view_notification", items, Notification, ("again_row",))


def slash_appeals(now: datetime) -> Section:
    """Appeals against slashes that wait for an answer; until then the stake lies in escrow."""
    rows = SlashAppeal.objects.open().order_by("at")
    found = rows.select_related("by", "case__node")[:SHOWN]
    items = [Item(f"{row.by}: {row.case.node}", page("slashappeal", row.pk), row.at, row.pk) for row in found]
    title, url, acts = _("Appeals against slashes"), listed("slashappeal"), ("grant_row", "refuse_row")
    return Section(title, rows.count(), url, "operators.view_slashappeal", items, SlashAppeal, acts)
