"""Rows of the ledger. Transfers and entries are written by `ledger_post` alone; see migrations 0002 and 0006."""

from collections.abc import Sequence
from typing import Any

from django.db import models
from django.db.models import F, Q
from django.db.models.expressions import RawSQL
from django.db.models.lookups import IsNull
from django.utils.translation import gettext_lazy as _

from apps.ledger.amounts import MAX_SUPPLY
from apps.ledger.money_models import Epoch as Epoch
from apps.ledger.money_models import EpochShare as EpochShare
from apps.ledger.money_models import Mandate as Mandate
from apps.ledger.money_models import MandateDraw as MandateDraw
from apps.ledger.money_models import SignerNonce as SignerNonce
from apps.ledger.money_models import Slash as Slash
from apps.ledger.money_models import SlashQuerySet as SlashQuerySet
from apps.ledger.money_models import SlashStatus as SlashStatus
from apps.ledger.money_models import Unbonding as Unbonding
from apps.ledger.money_models import UnbondingStatus as UnbondingStatus


class AccountKind(models.TextChoices):
    WALLET = "wallet", _("wallet")
    STAKE = "stake", _("stake")
    HOLD = "hold", _("hold")
    ESCROW = "escrow", _("escrow")
    TREASURY = "treasury", _("treasury")
    BURN = "burn", _("burn")
    MINT = "mint", _("mint")
    FAUCET = "faucet", _("faucet")
    BRIDGE = "bridge", _("bridge")


class Account(models.Model):
    """Holds base units. Its balance is the sum of its entries; only a trigger on entries changes it."""

    kind = models.CharField(max_length=16, choices=AccountKind)
    owner = models.CharField(max_length=60)
    balance = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["kind", "owner"], name="ledger_account_once"),
            models.CheckConstraint(
                condition=Q(kind=AccountKind.MINT) | Q(balance__gte=0), name="ledger_account_not_overdrawn"
            ),
            # The mint's debt is all that was ever minted, so its floor is the hard cap of the supply.
            models.CheckConstraint(
                condition=~Q(kind=AccountKind.MINT) | Q(balance__gte=-MAX_SUPPLY), name="ledger_account_supply_cap"
            ),
        ]

    def __str__(self) -> str:
        return self.address

    @property
    def address(self) -> str:
        """The account's name in blocks and receipts."""
        return f"{self.kind}:{self.owner}"


class TransferQuerySet(models.QuerySet["Transfer"]):
    """Transfers, by what has become of them."""

    def whole(self) -> "TransferQuerySet":
        """With accounts and sealed block at hand."""
        return self.select_related("debit", "credit", "sealing__block")

    def pending(self) -> "TransferQuerySet":
        return self.filter(sealing=None)

    def sealed(self) -> "TransferQuerySet":
        return self.exclude(sealing=None)

    def in_block(self, height: int) -> "TransferQuerySet":
        """A block's transfers in its order."""
        return self.filter(sealing__block=height).order_by("sealing__position")

    def numbered(self, numbers: Sequence[int]) -> "TransferQuerySet":
        """By their numbers, in one array: there may be more of them than a statement takes parameters."""
        return self.alias(wanted=RawSQL("ledger_transfer.seq = any(%s)", [list(numbers)])).filter(wanted=True)

    def of_kind(self, kind: str) -> "TransferQuerySet":
        """Of a kind, or of a family of kinds: `fee` finds `fee.burn` too."""
        return self.filter(Q(kind=kind) | Q(kind__startswith=f"{kind}."))

    def touching(self, accounts: "models.QuerySet[Account] | list[Account]") -> "TransferQuerySet":
        return self.filter(Q(debit__in=accounts) | Q(credit__in=accounts))


class Transfer(models.Model):
    """One movement from an account to another, under an id that its maker chose. Never changed."""

    id = models.UUIDField(primary_key=True)
    seq = models.BigIntegerField(unique=True)
    # Whether these accounts exist is checked once per posting, by a trigger, instead of once per row.
    debit = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="debits", db_constraint=False)
    credit = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="credits", db_constraint=False)
    amount = models.BigIntegerField()
    kind = models.CharField(max_length=40)
    memo = models.CharField(max_length=200, blank=True)
    authorisation = models.JSONField()
    hold = models.ForeignKey("Hold", null=True, on_delete=models.PROTECT, related_name="transfers", db_index=False)
    at = models.DateTimeField()

    objects = TransferQuerySet.as_manager()

    class Meta:
        ordering = ["-seq"]
        constraints = [
            models.CheckConstraint(
                condition=Q(amount__gt=0, amount__lte=MAX_SUPPLY), name="ledger_transfer_amount_possible"
            ),
            models.CheckConstraint(condition=~Q(debit=F("credit")), name="ledger_transfer_two_accounts"),
            models.CheckConstraint(condition=Q(authorisation__has_key="by"), name="ledger_transfer_authorised"),
        ]
        indexes = [models.Index(fields=["hold"], name="ledger_transfer_of_hold", condition=Q(hold__isnull=False))]

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"


class Entry(models.Model):
    """One account's side of a transfer; a transfer's entries sum to zero. Never changed."""

    # Both checked once per posting, by the trigger that applies entries to balances.
    transfer = models.ForeignKey(
        Transfer, to_field="seq", on_delete=models.PROTECT, related_name="entries", db_constraint=False
    )
    account = models.ForeignKey(
        Account, on_delete=models.PROTECT, related_name="entries", db_constraint=False, db_index=False
    )
    amount = models.BigIntegerField()

    class Meta:
        verbose_name_plural = _("entries")
        constraints = [models.CheckConstraint(condition=~Q(amount=0), name="ledger_entry_not_zero")]

    def __str__(self) -> str:
        return f"{self.account_id}: {self.amount}"


class HoldStatus(models.TextChoices):
    OPEN = "open", _("open")
    SETTLED = "settled", _("settled")
    VOIDED = "voided", _("voided")
    EXPIRED = "expired", _("expired")


HOLD_TRANSITIONS: dict[HoldStatus, frozenset[HoldStatus]] = {
    HoldStatus.OPEN: frozenset({HoldStatus.SETTLED, HoldStatus.VOIDED, HoldStatus.EXPIRED}),
    HoldStatus.SETTLED: frozenset(),
    HoldStatus.VOIDED: frozenset(),
    HoldStatus.EXPIRED: frozenset(),
}


class Hold(models.Model):
    """Money set aside from a payer's account until it is settled, voided or expired."""

    id = models.UUIDField(primary_key=True)
    payer = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="holds")
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+")
    amount = models.BigIntegerField()
    settled = models.BigIntegerField(default=0)
    released = models.BigIntegerField(default=0)
    status = models.CharField(max_length=8, choices=HoldStatus, default=HoldStatus.OPEN)
    purpose = models.CharField(max_length=40)
    authorisation = models.JSONField()
    placed_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(amount__gt=0, settled__gte=0, released__gte=0, amount__gte=F("settled") + F("released")),
                name="ledger_hold_within_amount",
            ),
            models.CheckConstraint(
                condition=Q(status=HoldStatus.OPEN, closed_at=None)
                | (~Q(status=HoldStatus.OPEN) & Q(closed_at__isnull=False, amount=F("settled") + F("released"))),
                name="ledger_hold_closed_when_spent",
            ),
        ]
        indexes = [models.Index(fields=["expires_at"], name="ledger_hold_open", condition=Q(status="open"))]

    def __str__(self) -> str:
        return f"{self.purpose} {self.id}"

    @property
    def remaining(self) -> int:
        """Base units still set aside."""
        return self.amount - self.settled - self.released


class Block(models.Model):
    """Transfers sealed together under one signature. Its height is its slot since genesis. Never changed."""

    height = models.BigIntegerField(primary_key=True)
    prev = models.CharField(max_length=64)
    root = models.CharField(max_length=64)
    count = models.IntegerField()
    minted = models.BigIntegerField()
    burned = models.BigIntegerField()
    sealed_at = models.DateTimeField()
    hash = models.CharField(max_length=64, unique=True)
    document = models.JSONField()

    class Meta:
        ordering = ["-height"]

    def __str__(self) -> str:
        return f"block {self.height}"

    @property
    def supply(self) -> int:
        """Base units in existence after this block."""
        return self.minted - self.burned


class Genesis(models.Model):
    """The document that the chain starts from; block 0 names its hash as its predecessor."""

    block = models.OneToOneField(Block, on_delete=models.PROTECT, primary_key=True)
    hash = models.CharField(max_length=64)
    document = models.JSONField()
    signature = models.JSONField(help_text=_("The document as the genesis account signed it."))

    class Meta:
        verbose_name_plural = _("genesis")
        constraints = [models.CheckConstraint(condition=Q(block=0), name="ledger_genesis_is_block_0")]

    def __str__(self) -> str:
        return self.hash


class Pending(models.Model):
    """A posted transfer that waits for its block."""

    transfer = models.OneToOneField(
        Transfer, to_field="seq", on_delete=models.PROTECT, primary_key=True, db_constraint=False
    )

    class Meta:
        verbose_name_plural = _("pending")

    def __str__(self) -> str:
        return str(self.pk)


class Sealing(models.Model):
    """A transfer's place in its block. Never changed."""

    transfer = models.OneToOneField(Transfer, to_field="seq", on_delete=models.PROTECT, primary_key=True)
    block = models.ForeignKey(Block, on_delete=models.PROTECT, related_name="sealings", db_index=False)
    position = models.IntegerField()
    # SHA-256 of its leaf: a transfer that changed since is known by itself, and proofs need no other transfer.
    leaf = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["block", "position"], name="ledger_sealing_place")]

    def __str__(self) -> str:
        return f"{self.block_id}/{self.position}"


class AuditRunQuerySet(models.QuerySet["AuditRun"]):
    """Audits, by how far they are."""

    def open(self) -> "AuditRunQuerySet":
        return self.filter(finished_at=None)

    def reported(self) -> "AuditRunQuerySet":
        """Those that came to an end with a report."""
        return self.exclude(report=None)


class AuditRun(models.Model):
    """One audit: asked for, under way, or done. `ok` and `report` are what it found; a stopped one has neither."""

    at = models.DateTimeField()
    by = models.ForeignKey("core.User", null=True, on_delete=models.SET_NULL, related_name="+")
    finished_at = models.DateTimeField(null=True)
    ok = models.BooleanField(null=True)
    report = models.JSONField(null=True)
    export = models.JSONField(null=True)

    objects = AuditRunQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                IsNull(F("finished_at"), True), condition=Q(finished_at=None), name="ledger_audit_one_at_a_time"
            ),
            models.CheckConstraint(
                condition=Q(ok=None, report=None)
                | Q(ok__isnull=False, report__isnull=False, finished_at__isnull=False),
                name="ledger_audit_reports_at_its_end",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.state}"

    @property
    def state(self) -> str:
        """`open`, `passed`, `failed`, or `stopped` where it ended without a report."""
        if self.finished_at is None:
            return "open"
        return "stopped" if self.ok is None else "passed" if self.ok else "failed"


def authorised_by_platform(request: str, *, user: int | None = None) -> dict[str, Any]:
    """The authorisation of a transfer that the platform makes: for which request, on whose behalf."""
    return {"by": "platform", "request": request, **({"user": user} if user is not None else {})}
