"""Who joined lately from where, and hosts of shards, who need no application."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class Join(models.Model):
    """A machine joined from a network address, which is kept as a keyed hash and for an hour."""

    network = models.CharField(max_length=40)
    at = models.DateTimeField()

    class Meta:
        ordering = ["-at"]
        indexes = [
            models.Index(fields=["network", "at"], name="operators_join_network"),
            models.Index(fields=["at"], name="operators_join_at"),
        ]

    def __str__(self) -> str:
        return f"{self.network[:8]}… {self.at:%H:%M:%S}"


class ShardHost(models.Model):
    """A machine that hosts shards for fees alone: no application, tier or seat; a wallet, work and a small stake."""

    class Status(models.TextChoices):
        ACTIVE = "active", _("active")
        LEFT = "left", _("left")

    id = models.CharField(primary_key=True, max_length=40)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="shard_hosts")
    wallet = models.ForeignKey("operators.Wallet", on_delete=models.PROTECT, related_name="shard_hosts")
    name = models.CharField(max_length=40)
    sign_public = models.CharField(max_length=64, unique=True)
    seal_public = models.CharField(max_length=64, unique=True)
    kid = models.CharField(max_length=16, unique=True)
    probe = models.JSONField(default=dict)
    status = models.CharField(max_length=8, choices=Status, default=Status.ACTIVE)
    joined_at = models.DateTimeField()
    left_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-joined_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["user", "name"], condition=Q(status="active"), name="operators_host_name_once"
            ),
            models.CheckConstraint(
                condition=Q(status="active", left_at=None) | Q(status="left", left_at__isnull=False),
                name="operators_host_left_at",
            ),
        ]

    def __str__(self) -> str:
        return self.name
