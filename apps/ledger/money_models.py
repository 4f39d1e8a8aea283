"""Rows behind signed orders, mandates, unbonding, slashing and epochs. The money itself is in transfers alone."""

from datetime import datetime

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _


class SignerNonce(models.Model):
    """The nonce of a wallet's last signed order; its next one bears the number after."""

    address = models.CharField(max_length=64, primary_key=True)
    used = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(used__gte=0), name="ledger_nonce_counts_up")]

    def __str__(self) -> str:
        return f"{self.address[:16]}: {self.used}"


class UnbondingStatus(models.TextChoices):
    WAITING = "waiting", _("waiting")
    RELEASED = "released", _("released")
    CANCELLED = "cancelled", _("cancelled")
    SLASHED = "slashed", _("slashed")


class UnbondingQuerySet(models.QuerySet["Unbonding"]):
    """Stakes on their way out."""

    def waiting(self) -> "UnbondingQuerySet":
        return self.filter(status=UnbondingStatus.WAITING)

    def ready(self, now: datetime) -> "UnbondingQuerySet":
        """Those whose time is over."""
        return self.waiting().filter(release_at__lte=now)


class Unbonding(models.Model):
    """Part of a stake that leaves: it stays on the stake account, and can be slashed, until it is released."""

    id = models.UUIDField(primary_key=True)
    account = models.ForeignKey("ledger.Account", on_delete=models.PROTECT, related_name="unbondings")
    amount = models.BigIntegerField()
    slashed = models.BigIntegerField(default=0)
    status = models.CharField(max_length=9, choices=UnbondingStatus, default=UnbondingStatus.WAITING)
    authorisation = models.JSONField()
    started_at = models.DateTimeField()
    release_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    objects = UnbondingQuerySet.as_manager()

    class Meta:
        ordering = ["release_at", "id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(amount__gt=0, slashed__gte=0, slashed__lte=F("amount"), release_at__gt=F("started_at")),
                name="ledger_unbonding_possible",
            ),
            models.CheckConstraint(
                condition=Q(status="waiting", ended_at=None) | (~Q(status="waiting") & Q(ended_at__isnull=False)),
                name="ledger_unbonding_ends_once",
            ),
        ]
        indexes = [models.Index(fields=["release_at"], name="ledger_unbonding_due", condition=Q(status="waiting"))]

    def __str__(self) -> str:
        return f"{self.account_id}: {self.remaining}"

    @property
    def remaining(self) -> int:
        """Base units that are released when the time is over."""
        return self.amount - self.slashed


class SlashStatus(models.TextChoices):
    ESCROWED = "escrowed", _("escrowed")
    APPEALED = "appealed", _("appealed")
    EXECUTED = "executed", _("executed")
    OVERTURNED = "overturned", _("overturned")


SLASH_TRANSITIONS: dict[SlashStatus, frozenset[SlashStatus]] = {
    SlashStatus.ESCROWED: frozenset({SlashStatus.APPEALED, SlashStatus.EXECUTED}),
    SlashStatus.APPEALED: frozenset({SlashStatus.EXECUTED, SlashStatus.OVERTURNED}),
    SlashStatus.EXECUTED: frozenset(),
    SlashStatus.OVERTURNED: frozenset(),
}
SLASH_ENDS = frozenset({SlashStatus.EXECUTED, SlashStatus.OVERTURNED})


class SlashQuerySet(models.QuerySet["Slash"]):
    """Slashes by whether their stake still lies in escrow."""

    def undecided(self) -> "SlashQuerySet":
        return self.exclude(status__in=SLASH_ENDS)

    def due(self, now: datetime) -> "SlashQuerySet":
        """Those that nobody has appealed against in time."""
        return self.filter(status=SlashStatus.ESCROWED, final_at__lte=now)


class Slash(models.Model):
    """Stake taken for a fault, once per fault. `amount` waits in escrow until `final_at`, or until an appeal's end."""

    id = models.UUIDField(primary_key=True)
    fault = models.CharField(max_length=80, unique=True)
    account = models.ForeignKey("ledger.Account", on_delete=models.PROTECT, related_name="slashes")
    at_stake = models.BigIntegerField()
    share_bp = models.IntegerField()
    amount = models.BigIntegerField()
    status = models.CharField(max_length=10, choices=SlashStatus, default=SlashStatus.ESCROWED)
    fault_at = models.DateTimeField()
    at = models.DateTimeField()
    final_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    objects = SlashQuerySet.as_manager()

    class Meta:
        ordering = ["-at"]
        verbose_name_plural = _("slashes")
        constraints = [
            models.CheckConstraint(
                condition=Q(share_bp__gt=0, share_bp__lte=10_000, amount__gte=0, amount__lte=F("at_stake")),
                name="ledger_slash_possible",
            ),
            models.CheckConstraint(
                condition=Q(status__in=["escrowed", "appealed"], ended_at=None)
                | (Q(status__in=["executed", "overturned"]) & Q(ended_at__isnull=False)),
                name="ledger_slash_ends_once",
            ),
        ]
        indexes = [models.Index(fields=["final_at"], name="ledger_slash_due", condition=Q(status="escrowed"))]

    def __str__(self) -> str:
        return f"{self.fault}: {self.amount}"

    def move(self, to: SlashStatus, now: datetime) -> bool:
        """Compare-and-set from the status that this row was read with; False where that was decided already."""
        old = SlashStatus(self.status)
        if to not in SLASH_TRANSITIONS[old]:
            return False
        ended = now if to in SLASH_ENDS else None
        if Slash.objects.filter(pk=self.pk, status=old).update(status=to, ended_at=ended) != 1:
            return False
        self.status, self.ended_at = to, ended
        return True


class Mandate(models.Model):
    """A wallet's signed word that a spender may have up to `cap` base units held from its account until it expires."""

    id = models.UUIDField(primary_key=True)
    payer = models.ForeignKey("ledger.Account", on_delete=models.PROTECT, related_name="mandates")
    spender = models.CharField(max_length=60)
    wallet = models.CharField(max_length=64)
    cap = models.BigIntegerField()
    document = models.JSONField()
    signature = models.CharField(max_length=128)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(cap__gt=0, expires_at__gt=F("created_at")), name="ledger_mandate_possible"
            )
        ]
        indexes = [models.Index(fields=["spender", "-created_at"], name="ledger_mandate_spender")]

    def __str__(self) -> str:
        return f"{self.wallet[:16]} → {self.spender}"


class MandateDraw(models.Model):
    """A hold that was placed on a mandate."""

    hold = models.OneToOneField("ledger.Hold", on_delete=models.PROTECT, primary_key=True, related_name="draw")
    mandate = models.ForeignKey(Mandate, on_delete=models.PROTECT, related_name="draws")

    def __str__(self) -> str:
        return f"{self.mandate_id}: {self.hold_id}"


class Epoch(models.Model):
    """A UTC day whose emission is settled. `pool` is what its blocks emit, `minted` what was minted and shared."""

    day = models.DateField(primary_key=True)
    first_height = models.BigIntegerField()
    last_height = models.BigIntegerField(help_text=_("The height after its last."))
    pool = models.BigIntegerField()
    minted = models.BigIntegerField()
    at = models.DateTimeField()

    class Meta:
        ordering = ["-day"]
        constraints = [
            models.CheckConstraint(
                condition=Q(pool__gte=0, minted__in=[0, F("pool")], first_height__lte=F("last_height")),
                name="ledger_epoch_mints_its_pool",
            )
        ]

    def __str__(self) -> str:
        return str(self.day)


class EpochShare(models.Model):
    """What one node's work was worth in an epoch, and what its owner got for it, part of it in escrow."""

    epoch = models.ForeignKey(Epoch, on_delete=models.PROTECT, related_name="shares")
    node = models.CharField(max_length=40)
    owner = models.CharField(max_length=60)
    tier = models.IntegerField()
    uptime_ppm = models.IntegerField()
    quality_ppm = models.IntegerField()
    nodes = models.IntegerField()
    weight = models.BigIntegerField()
    amount = models.BigIntegerField()
    escrowed = models.BigIntegerField()

    class Meta:
        # By the column: by the relation, Django would turn the epochs' own order round.
        ordering = ["-epoch_id", "node"]
        constraints = [
            models.UniqueConstraint(fields=["epoch", "node"], name="ledger_epoch_share_once"),
            models.CheckConstraint(
                condition=Q(weight__gt=0, amount__gte=0, escrowed__gte=0, escrowed__lte=F("amount")),
                name="ledger_epoch_share_possible",
            ),
        ]
        indexes = [models.Index(fields=["owner", "-epoch"], name="ledger_epoch_share_owner")]

    def __str__(self) -> str:
        return f"{self.epoch_id} {self.node}"
