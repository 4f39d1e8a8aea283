"""The states of tasks and attempts, and the moves between them."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class TaskStatus(models.TextChoices):
    PENDING = "PENDING", _("pending")
    CLAIMED = "CLAIMED", _("claimed")
    RUNNING = "RUNNING", _("running")
    COMPLETED = "COMPLETED", _("completed")
    FAILED = "FAILED", _("failed")
    CANCELLED = "CANCELLED", _("cancelled")


HELD = (TaskStatus.CLAIMED, TaskStatus.RUNNING)
FINAL = (TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED)
TASK_TRANSITIONS: dict[TaskStatus, frozenset[TaskStatus]] = {
    TaskStatus.PENDING: frozenset({TaskStatus.CLAIMED, TaskStatus.FAILED, TaskStatus.CANCELLED}),
    TaskStatus.CLAIMED: frozenset(
        {TaskStatus.RUNNING, TaskStatus.COMPLETED, TaskStatus.PENDING, TaskStatus.FAILED, TaskStatus.CANCELLED}
    ),
    # Cancelled while it runs only when its job has ended and the attempt fails.
    TaskStatus.RUNNING: frozenset({TaskStatus.COMPLETED, TaskStatus.PENDING, TaskStatus.FAILED, TaskStatus.CANCELLED}),
    TaskStatus.COMPLETED: frozenset(),
    TaskStatus.FAILED: frozenset(),
    TaskStatus.CANCELLED: frozenset(),
}


class Purpose(models.TextChoices):
    REQUEST = "request", _("request")
    SELF_TEST = "self_test", _("self-test")


class AttemptStatus(models.TextChoices):
    CLAIMED = "claimed", _("claimed")
    RUNNING = "running", _("running")
    COMPLETED = "completed", _("completed")
    FAILED = "failed", _("failed")
    EXPIRED = "expired", _("lease expired")
    RELEASED = "released", _("taken back")
    HANDED_BACK = "handed_back", _("handed back")
    CANCELLED = "cancelled", _("cancelled")


OPEN_ATTEMPTS = (AttemptStatus.CLAIMED, AttemptStatus.RUNNING)
