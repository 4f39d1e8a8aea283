"""What a slash was for, and its owner's appeal. The money is the ledger's."""

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from apps.operators.models.nodes import Node
from workers.protocol.ids import show_uuid

PREFIX = "sls"
NEXT_STEP = "Appeal on the page of stake and rewards, or tell the network's admins what you have changed."


class SlashCaseQuerySet(models.QuerySet["SlashCase"]):
    """Cases by what became of them, and with what pages print."""

    def standing(self) -> "SlashCaseQuerySet":
        """Those that no appeal has overturned."""
        return self.exclude(slash__status="overturned")

    def whole(self) -> "SlashCaseQuerySet":
        """With slash, evidence, node and appeal at hand."""
        return self.select_related("slash__account", "evidence", "node__operator__user", "appeal__answered_by")

    def of(self, user: Any) -> "SlashCaseQuerySet":
        """Those against the stake of an account."""
        return self.filter(slash__account__owner=f"user:{user.pk}")


class SlashCase(models.Model):
    """The evidence that a slash stands on, in words and as filed, and the node that it is about."""

    slash = models.OneToOneField("ledger.Slash", on_delete=models.PROTECT, primary_key=True, related_name="case")
    evidence = models.OneToOneField("core.FaultEvidence", on_delete=models.PROTECT, related_name="case")
    node = models.ForeignKey(Node, on_delete=models.PROTECT, related_name="slashes")
    what = models.CharField(max_length=300)
    at = models.DateTimeField()

    objects = SlashCaseQuerySet.as_manager()

    class Meta:
        ordering = ["-at"]

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        """Its name on pages and in mail, such as `sls_…`."""
        return show_uuid(PREFIX, self.slash_id)

    @property
    def node_reason(self) -> str:
        """What stands at the node that it suspends; the id tells whose suspension it is."""
        return f"Slashed ({self.public_id}): {self.what}"

    @property
    def node_next_step(self) -> str:
        """How the node comes back."""
        return NEXT_STEP


class SlashAppealQuerySet(models.QuerySet["SlashAppeal"]):
    """Appeals, by whether somebody has answered."""

    def open(self) -> "SlashAppealQuerySet":
        return self.filter(answered_at=None)


class SlashAppeal(models.Model):
    """What an owner says against a slash, once; and what staff answer. `bond` is held until then, in base units."""

    id = models.CharField(primary_key=True, max_length=40)
    case = models.OneToOneField(SlashCase, on_delete=models.PROTECT, related_name="appeal")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    text = models.TextField()
    at = models.DateTimeField()
    bond = models.BigIntegerField(default=0)
    hold = models.OneToOneField("ledger.Hold", null=True, on_delete=models.PROTECT, related_name="+")
    granted = models.BooleanField(null=True)
    answer = models.TextField(blank=True)
    answered_at = models.DateTimeField(null=True)
    answered_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+", verbose_name=_("answered by")
    )

    objects = SlashAppealQuerySet.as_manager()

    class Meta:
        ordering = ["-at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(answered_at=None, granted=None)
                | (Q(answered_at__isnull=False, granted__isnull=False) & ~Q(answer="")),
                name="operators_slash_appeal_answered",
            ),
            models.CheckConstraint(
                condition=Q(bond=0, hold=None) | Q(bond__gt=0, hold__isnull=False), name="operators_slash_appeal_bond"
            ),
        ]

    def __str__(self) -> str:
        return self.pk
