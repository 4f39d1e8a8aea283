"""The user, the network's governed parameters with their history, the event log, and evidence of faults."""

from datetime import datetime
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class UserManager(BaseUserManager["User"]):
    """Makes accounts; an account's name at the door is its e-mail address, or a wallet where it has none."""

    def create_user(self, email: str | None, password: str | None = None, **fields: Any) -> "User":
        # None, never "": no two accounts share an address, and any number have none.
        user = self.model(email=self.normalize_email(email).lower() if email else None, **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def locked(self, pk: int) -> "User | None":
        """The user, locked until commit, so that the account's deletion waits; None where it was closed before."""
        return self.select_for_update(no_key=True).filter(pk=pk, is_active=True).first()

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email__iexact=username)


class User(AbstractBaseUser, PermissionsMixin):
    """A person: visitor with an account, requester, operator or admin."""

    email = models.EmailField(_("e-mail address"), unique=True, null=True, blank=True)
    name = models.CharField(_("name"), max_length=120, blank=True)
    # Empty where the browser's own is shown.
    time_zone = models.CharField(_("time zone"), max_length=64, blank=True, default="")
    is_staff = models.BooleanField(_("staff"), default=False)
    is_active = models.BooleanField(_("active"), default=True)
    date_joined = models.DateTimeField(_("joined"), default=timezone.now)

    # Of the session that asks; see `apps.core.staff`.
    second_factor_passed = False

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        verbose_name = _("user")
        verbose_name_plural = _("users")
        constraints = [models.UniqueConstraint(Lower("email"), name="user_email_unique_any_case")]

    def __str__(self) -> str:
        return self.name or self.email or f"#{self.pk}"

    @property
    def acts_as_staff(self) -> bool:
        """Whether staff's powers are theirs now: in a session with a second factor, where the network asks for one."""
        proven = self.second_factor_passed or not settings.STAFF_NEED_SECOND_FACTOR
        return self.is_active and self.is_staff and proven


class Parameter(models.Model):
    """A governed value that differs from its default. Read it with `parameters.get`."""

    name = models.CharField(max_length=80, primary_key=True)
    value = models.JSONField()
    changed_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.name} = {self.value}"


class ParameterChange(models.Model):
    """One change of a governed value; never updated."""

    name = models.CharField(max_length=80, db_index=True)
    old = models.JSONField()
    new = models.JSONField()
    reason = models.TextField()
    actor = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.name}: {self.old} → {self.new}"


class Event(models.Model):
    """One line of the append-only event log."""

    kind = models.CharField(max_length=64)
    subject = models.CharField(max_length=80)
    data = models.JSONField(default=dict)
    actor = models.ForeignKey(User, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    request_id = models.CharField(max_length=64, blank=True)
    at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["subject", "-id"], name="event_subject"),
            models.Index(fields=["kind", "-id"], name="event_kind"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}"


class FaultStatus(models.TextChoices):
    FILED = "filed", _("filed")
    PENDING = "pending", _("pending")
    SLASHED = "slashed", _("slashed")
    REFUSED = "refused", _("refused")


class FaultEvidence(models.Model):
    """Signed proof that somebody broke a rule.

    What is pending is judged by the clock and either slashed or refused with a code; what is filed is for people.
    """

    kind = models.CharField(max_length=64)
    accused = models.CharField(max_length=80, db_index=True)
    evidence = models.JSONField()
    digest = models.CharField(max_length=64, unique=True)
    at = models.DateTimeField()
    status = models.CharField(max_length=8, choices=FaultStatus, default=FaultStatus.FILED)
    reason = models.CharField(max_length=40, blank=True)
    detail = models.CharField(max_length=300, blank=True)
    decided_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=["filed", "pending"], decided_at=None)
                | (Q(status__in=["slashed", "refused"]) & Q(decided_at__isnull=False)),
                name="core_fault_decided_once",
            ),
            models.CheckConstraint(condition=~Q(status="refused") | ~Q(reason=""), name="core_fault_refused_with_code"),
        ]
        indexes = [models.Index(fields=["at"], name="core_fault_pending", condition=Q(status="pending"))]

    def __str__(self) -> str:
        return f"{self.kind} by {self.accused}"

    def decide(self, status: FaultStatus, now: datetime, reason: str = "", detail: str = "") -> bool:
        """Slashed, or refused with a code; False where it is not pending (any more)."""
        values = {"status": status, "reason": reason, "detail": detail[:300], "decided_at": now}
        waiting = FaultEvidence.objects.filter(pk=self.pk, status=FaultStatus.PENDING)
        if waiting.update(**values) != 1:
            return False
        for name, value in values.items():
            setattr(self, name, value)
        return True


class StoredMail(models.Model):
    """A message that a development or demo network would have sent; shown at /dev/mail."""

    to = models.TextField()
    subject = models.TextField()
    body = models.TextField()
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.subject
