"""Rows of the pool: jobs, their tasks and attempts, what tasks need and nodes can do, results and receipts."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from apps.pool.statuses import FINAL as FINAL
from apps.pool.statuses import HELD as HELD
from apps.pool.statuses import OPEN_ATTEMPTS as OPEN_ATTEMPTS
from apps.pool.statuses import AttemptStatus as AttemptStatus
from apps.pool.statuses import Purpose as Purpose
from apps.pool.statuses import TaskStatus as TaskStatus


class JobQuerySet(models.QuerySet["Job"]):
    """Jobs, by who may see them and what they wait for."""

    def visible_to(self, user: Any) -> "JobQuerySet":
        """A requester's own; all for staff; none for visitors."""
        if not getattr(user, "is_authenticated", False):
            return self.none()
        return self if user.acts_as_staff else self.filter(requester=user)

    def requests(self) -> "JobQuerySet":
        return self.filter(purpose=Purpose.REQUEST)

    def open(self) -> "JobQuerySet":
        """Jobs with chunks that may still change."""
        return self.filter(closed_at=None)

    def receipt_due(self) -> "JobQuerySet":
        return self.requests().filter(closed_at__isnull=False, receipt_at=None)


class Job(models.Model):
    """What a requester asked for. Its status follows from its chunks; it is closed when none of them can change."""

    id = models.CharField(primary_key=True, max_length=40)
    requester = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.PROTECT,
        related_name="jobs",
        verbose_name=_("requester"),
        db_index=False,
    )
    purpose = models.CharField(max_length=12, choices=Purpose, default=Purpose.REQUEST)
    kind = models.CharField(max_length=20)
    model = models.CharField(max_length=120)
    version = models.CharField(max_length=40)
    options = models.JSONField(default=dict)
    chunking = models.JSONField(default=dict)
    priority = models.SmallIntegerField(default=5)
    status = models.CharField(max_length=9, choices=TaskStatus, default=TaskStatus.PENDING)
    reason = models.TextField(blank=True)
    next_step = models.TextField(blank=True)
    price = models.BigIntegerField(default=0)
    price_per_chunk = models.BigIntegerField(default=0)
    hold_id = models.UUIDField(null=True, unique=True)
    tasks_total = models.IntegerField()
    tasks_done = models.IntegerField(default=0)
    tasks_failed = models.IntegerField(default=0)
    tasks_cancelled = models.IntegerField(default=0)
    idempotency_key = models.CharField(max_length=128, null=True)
    request_digest = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)
    receipt_at = models.DateTimeField(null=True)

    objects = JobQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(fields=["requester", "idempotency_key"], name="pool_job_idempotent"),
            models.CheckConstraint(
                condition=Q(
                    tasks_total__gt=0,
                    tasks_total__gte=F("tasks_done") + F("tasks_failed") + F("tasks_cancelled"),
                ),
                name="pool_job_counts",
            ),
            models.CheckConstraint(
                condition=Q(closed_at=None) | Q(tasks_total=F("tasks_done") + F("tasks_failed") + F("tasks_cancelled")),
                name="pool_job_closed_when_chunks_are",
            ),
            models.CheckConstraint(condition=Q(price=F("price_per_chunk") * F("tasks_total")), name="pool_job_price"),
            models.CheckConstraint(
                condition=Q(purpose=Purpose.SELF_TEST, price=0, hold_id=None)
                | Q(purpose=Purpose.REQUEST, requester__isnull=False, hold_id__isnull=False, price__gt=0),
                name="pool_job_paid_by_somebody",
            ),
        ]
        indexes = [
            models.Index(fields=["requester", "-created_at"], name="pool_job_of_requester"),
            models.Index(fields=["expires_at"], name="pool_job_open", condition=Q(closed_at=None)),
            models.Index(
                fields=["closed_at"],
                name="pool_job_receipt_due",
                condition=Q(closed_at__isnull=False, receipt_at=None, purpose=Purpose.REQUEST),
            ),
            models.Index(fields=["requester"], name="pool_job_open_of_requester", condition=Q(closed_at=None)),
        ]

    def __str__(self) -> str:
        return self.id

    @property
    def tasks_live(self) -> int:
        """Chunks that may still change."""
        return self.tasks_total - self.tasks_done - self.tasks_failed - self.tasks_cancelled

    @property
    def is_final(self) -> bool:
        """Whether the status will not change again."""
        return self.status in FINAL


class RequirementClass(models.Model):
    """What a task needs of a node. Tasks of equal needs share one row, and the queue is ordered within it."""

    digest = models.CharField(max_length=64, unique=True)
    kind = models.CharField(max_length=20)
    model = models.CharField(max_length=120)
    version = models.CharField(max_length=40)
    lanes = models.JSONField()
    min_memory_mb = models.IntegerField(default=0)
    framework = models.CharField(max_length=40, blank=True)
    tier = models.CharField(max_length=12, blank=True)
    region = models.CharField(max_length=40, blank=True)
    only_node = models.ForeignKey("operators.Node", null=True, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = _("requirement classes")

    def __str__(self) -> str:
        return f"{self.kind} {self.model}"


class NodeClass(models.Model):
    """A class that a node can serve in one of its lanes. Rewritten whenever the node or the catalog changes."""

    node = models.ForeignKey("operators.Node", on_delete=models.CASCADE, related_name="classes")
    requires = models.ForeignKey(RequirementClass, on_delete=models.CASCADE, related_name="nodes")
    lane = models.CharField(max_length=40)
    self_test = models.BooleanField(default=False)

    class Meta:
        verbose_name_plural = _("node classes")
        constraints = [models.UniqueConstraint(fields=["node", "lane", "requires"], name="pool_node_class_once")]

    def __str__(self) -> str:
        return f"{self.node_id} {self.lane}: {self.requires_id}"


class TaskQuerySet(models.QuerySet["Task"]):
    """Tasks, by what can happen to them."""

    def pending(self) -> "TaskQuerySet":
        return self.filter(status=TaskStatus.PENDING)

    def held(self) -> "TaskQuerySet":
        """Assigned to a node and not done."""
        # The lease is named too, since the index of held tasks is over those that have one.
        return self.filter(status__in=HELD, lease_expires_at__isnull=False)

    def held_by(self, node_id: str, attempt: int) -> "TaskQuerySet":
        """Held in exactly this attempt by exactly this node."""
        return self.held().filter(node_id=node_id, attempt=attempt)

    def live(self) -> "TaskQuerySet":
        return self.exclude(status__in=FINAL)

    def holds_in_use(self, hold_ids: Collection[UUID]) -> set[UUID]:
        """Those of the holds whose job still has chunks that may change."""
        used = Job.objects.open().filter(hold_id__in=hold_ids).values_list("hold_id", flat=True)
        return {hold_id for hold_id in used if hold_id is not None}


class Task(models.Model):
    """One chunk of a job. `attempt` counts assignments, `failures` those that count against the limit."""

    id = models.CharField(primary_key=True, max_length=40)
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="tasks", db_index=False)
    index = models.IntegerField()
    requires = models.ForeignKey(RequirementClass, on_delete=models.PROTECT, related_name="tasks", db_index=False)
    status = models.CharField(max_length=9, choices=TaskStatus, default=TaskStatus.PENDING)
    order_key = models.BigIntegerField()
    items = models.IntegerField()
    price = models.BigIntegerField(default=0)
    work_s = models.IntegerField()
    attempt = models.IntegerField(default=0)
    failures = models.IntegerField(default=0)
    node = models.ForeignKey(
        "operators.Node", null=True, on_delete=models.PROTECT, related_name="tasks", db_index=False
    )
    lane = models.CharField(max_length=40, blank=True)
    avoid_node = models.ForeignKey(
        "operators.Node", null=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )
    avoid_until = models.DateTimeField(null=True)
    lease_expires_at = models.DateTimeField(null=True)
    deadline = models.DateTimeField(null=True)
    created_at = models.DateTimeField()
    claimed_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    completed_at = models.DateTimeField(null=True)
    error_code = models.CharField(max_length=60, blank=True)
    error_detail = models.TextField(blank=True)

    objects = TaskQuerySet.as_manager()

    class Meta:
        ordering = ["job", "index"]
        constraints = [
            models.UniqueConstraint(fields=["job", "index"], name="pool_task_index_once"),
            models.CheckConstraint(
                condition=Q(status__in=HELD, node__isnull=False, lease_expires_at__isnull=False, deadline__isnull=False)
                | (~Q(status__in=HELD) & Q(lease_expires_at=None)),
                name="pool_task_leased_while_held",
            ),
            models.CheckConstraint(
                condition=~Q(status=TaskStatus.COMPLETED) | Q(node__isnull=False, completed_at__isnull=False),
                name="pool_task_completed_by_a_node",
            ),
            models.CheckConstraint(
                condition=Q(lease_expires_at=None) | Q(lease_expires_at__lte=F("deadline")), name="pool_task_lease_ends"
            ),
        ]
        indexes = [
            models.Index(
                fields=["requires", "order_key"], name="pool_task_queue", condition=Q(status=TaskStatus.PENDING)
            ),
            models.Index(
                fields=["lease_expires_at"], name="pool_task_leases", condition=Q(lease_expires_at__isnull=False)
            ),
            models.Index(
                fields=["node", "lane"], name="pool_task_of_node", condition=Q(lease_expires_at__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return self.id


class Payload(models.Model):
    """A task's input, encrypted at rest; the hash is of the plain bytes."""

    task = models.OneToOneField(Task, primary_key=True, on_delete=models.CASCADE, related_name="payload")
    ciphertext = models.BinaryField()
    sha256 = models.CharField(max_length=64)

    def __str__(self) -> str:
        return self.task_id


class Attempt(models.Model):
    """One assignment of a task to a node, and what came of it."""

    id = models.CharField(primary_key=True, max_length=40)
    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="attempts", db_index=False)
    number = models.IntegerField()
    node = models.ForeignKey("operators.Node", on_delete=models.PROTECT, related_name="attempts", db_index=False)
    lane = models.CharField(max_length=40)
    status = models.CharField(max_length=11, choices=AttemptStatus, default=AttemptStatus.CLAIMED)
    claimed_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    counted = models.BooleanField(default=False)
    code = models.CharField(max_length=60, blank=True)
    detail = models.TextField(blank=True)

    class Meta:
        ordering = ["task", "number"]
        constraints = [
            models.UniqueConstraint(fields=["task", "number"], name="pool_attempt_number_once"),
            models.UniqueConstraint(fields=["task"], name="pool_attempt_one_open", condition=Q(ended_at=None)),
        ]
        indexes = [models.Index(fields=["node", "-claimed_at"], name="pool_attempt_of_node")]

    def __str__(self) -> str:
        return self.id


class Result(models.Model):
    """What a task's accepted attempt returned, under the task's own id; encrypted at rest.

    `envelope` is the node's signed statement, `node_public` (base64) the key that signed it.
    """

    task = models.OneToOneField(Task, primary_key=True, on_delete=models.CASCADE, related_name="result", db_column="id")
    attempt = models.IntegerField()
    node = models.ForeignKey("operators.Node", on_delete=models.PROTECT, related_name="results")
    node_public = models.CharField(max_length=64)
    model = models.CharField(max_length=120)
    ciphertext = models.BinaryField()
    sha256 = models.CharField(max_length=64)
    envelope = models.JSONField()
    items = models.IntegerField()
    tokens_in = models.IntegerField(default=0)
    tokens_out = models.IntegerField(default=0)
    duration_ms = models.IntegerField(default=0)
    fee = models.BigIntegerField(default=0)
    validation = models.CharField(max_length=40)
    completed_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["completed_at"], name="pool_result_completed_at")]

    def __str__(self) -> str:
        return self.task_id


class Receipt(models.Model):
    """A finished job's signed receipt (DSSE), checked offline by `mesh verify`."""

    job = models.OneToOneField(Job, primary_key=True, on_delete=models.CASCADE, related_name="receipt")
    document = models.JSONField()
    issued_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.job_id


class UsedMessage(models.Model):
    """The durable replay guard: a message of a sender, kept until it expires."""

    sender = models.CharField(max_length=64)
    message_id = models.CharField(max_length=32)
    expires_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["sender", "message_id"], name="pool_used_message_once")]
        indexes = [models.Index(fields=["expires_at"], name="pool_used_message_expires")]

    def __str__(self) -> str:
        return f"{self.sender} {self.message_id}"


class Refusal(models.Model):
    """How often jobs were refused on a day, by model and code."""

    day = models.DateField()
    model = models.CharField(max_length=120)
    code = models.CharField(max_length=60)
    count = models.IntegerField(default=1)
    detail = models.TextField(blank=True)

    class Meta:
        ordering = ["-day", "-count"]
        constraints = [models.UniqueConstraint(fields=["day", "model", "code"], name="pool_refusal_once")]

    def __str__(self) -> str:
        return f"{self.day} {self.code}: {self.count}"
