"""What belongs to an account, operator or not: API keys, wallets, messages."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class Scope(models.TextChoices):
    JOBS_READ = "jobs:read", _("read jobs and results")
    JOBS_WRITE = "jobs:write", _("submit and cancel jobs")
    TRADING_WRITE = "trading:write", _("report scans and signals")
    WALLET_WRITE = "wallet:write", _("bind wallets, hand in signed orders, claim rewards")


# The first letters of a key made by `mesh login`; those made on the site have none of their own.
LOGIN_PREFIX = "mkl_"
# What the commands of `mesh` ask for; reporting scans and signals is for programs.
LOGIN_SCOPES = [Scope.JOBS_READ, Scope.JOBS_WRITE, Scope.WALLET_WRITE]


class ApiKey(models.Model):
    """A key for programs; shown once, stored as a hash."""

    id = models.CharField(primary_key=True, max_length=40)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=80)
    prefix = models.CharField(max_length=12)
    hash = models.CharField(max_length=64, unique=True)
    scopes = models.JSONField(default=list)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.prefix}… {self.name}"

    @property
    def is_login(self) -> bool:
        """Whether `mesh login` made it."""
        return self.prefix.startswith(LOGIN_PREFIX)

    def allows(self, scopes: Collection[str]) -> bool:
        """Whether the key has all of these scopes."""
        return set(scopes) <= set(self.scopes)

    def is_over(self, now: datetime) -> bool:
        """Whether its time is up."""
        return self.expires_at is not None and self.expires_at <= now

    def standing(self, now: datetime) -> str:
        """`revoked`, `expired` or `active`."""
        return "revoked" if self.revoked_at else "expired" if self.is_over(now) else "active"


class KeyQuerySet(models.QuerySet[Any]):
    """Keys that open an account, by whether they still do."""

    def bound(self) -> "KeyQuerySet":
        """Not removed by their owner."""
        return self.filter(removed_at=None)


class Wallet(models.Model):
    """An Ed25519 key that an account proved to hold. Its address is the SHA-256 of the public key.

    A removed one stays as a row: it opens nothing and signs nothing, and is not paid a first reward again.
    """

    id = models.CharField(primary_key=True, max_length=40)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="wallets")
    address = models.CharField(max_length=64, unique=True)
    public = models.CharField(max_length=64)
    label = models.CharField(max_length=80, blank=True)
    created_at = models.DateTimeField()
    removed_at = models.DateTimeField(null=True)

    objects = KeyQuerySet.as_manager()

    class Meta:
        ordering = ["created_at"]

    def __str__(self) -> str:
        return self.address[:16]


class NotificationQuerySet(models.QuerySet["Notification"]):
    """Messages by whether they still have to go out."""

    def due(self, now: datetime) -> "NotificationQuerySet":
        """Unsent, not tried a moment ago, not given up."""
        rested = Q(tried_at=None) | Q(tried_at__lt=now - Notification.REST)
        return self.filter(rested, sent_at=None, attempts__lt=Notification.MOST_ATTEMPTS)

    def given_up(self) -> "NotificationQuerySet":
        """Unsent, and tried as often as it is tried."""
        return self.filter(sent_at=None, attempts__gte=Notification.MOST_ATTEMPTS)


class Notification(models.Model):
    """A message to a person, written with the change that it tells of and sent after it."""

    REST = timedelta(minutes=2)
    MOST_ATTEMPTS = 10

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notifications")
    kind = models.CharField(max_length=40)
    subject = models.CharField(max_length=200)
    body = models.TextField()
    created_at = models.DateTimeField()
    tried_at = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    sent_at = models.DateTimeField(null=True)

    objects = NotificationQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["tried_at"], name="operators_unsent", condition=Q(sent_at=None))]

    def __str__(self) -> str:
        return f"{self.kind} to {self.user_id}"
