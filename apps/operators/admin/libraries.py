"""What the libraries keep about people, and the clock's tasks: looked at. A second factor is removed, with a trace."""

from typing import Any

from allauth.account import admin as account_admin
from allauth.account.models import EmailAddress
from allauth.mfa import admin as mfa_admin
from allauth.mfa.models import Authenticator
from allauth.usersessions import admin as sessions_admin
from allauth.usersessions.models import UserSession
from django.contrib import admin
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django_celery_beat import admin as beat_admin
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from unfold.admin import ModelAdmin

from apps.core import events
from apps.core.admin import ReadOnlyAdmin, acting
from workers.protocol.clock import utcnow

# Theirs are registered by being imported; what they let staff change would leave no trace.
THEIRS = (account_admin, mfa_admin, sessions_admin, beat_admin)
admin.site.unregister([EmailAddress, Authenticator, UserSession, PeriodicTask])
# The settings say when tasks run; the tasks' list shows it.
admin.site.unregister([ClockedSchedule, CrontabSchedule, IntervalSchedule, SolarSchedule])


@admin.register(EmailAddress)
class EmailAddressAdmin(ReadOnlyAdmin):
    """Addresses, and whether their owners proved that they read what comes there."""

    list_display = ["email", "user", "primary", "verified"]
    list_filter = ["primary", "verified"]
    search_fields = ["email", "user__email", "user__name"]
    list_select_related = ["user"]


@admin.register(Authenticator)
class AuthenticatorAdmin(ReadOnlyAdmin):
    """Second factors and passkeys, never their secrets; staff remove one for whoever has lost it."""

    list_display = ["user", "type", "created_at", "last_used_at"]
    list_filter = ["type", "created_at", "last_used_at"]
    search_fields = ["user__email", "user__name"]
    list_select_related = ["user"]
    fields = ["user", "type", "created_at", "last_used_at"]

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Those who have the permission, as in an ordinary list."""
        return bool(ModelAdmin.has_delete_permission(self, request, obj))

    @transaction.atomic
    def delete_model(self, request: HttpRequest, obj: Authenticator) -> None:
        """Remove it, with an event of whose it was."""
        data: dict[str, Any] = {"factor": str(obj.type)}
        subject, topics = f"user:{obj.user_id}", ["admin", f"user.{obj.user_id}"]
        events.emit("factor.removed", subject=subject, topics=topics, data=data, now=utcnow(), actor=acting(request))
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Authenticator]) -> None:
        """Each for itself."""
        for row in queryset:
            self.delete_model(request, row)


@admin.register(UserSession)
class UserSessionAdmin(ReadOnlyAdmin):
    """Who is signed in, where; never the session's key."""

    list_display = ["user", "created_at", "last_seen_at", "ip", "user_agent"]
    list_filter = ["created_at", "last_seen_at"]
    search_fields = ["user__email", "user__name", "ip"]
    list_select_related = ["user"]
    fields = ["user", "created_at", "last_seen_at", "ip", "user_agent"]


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(ReadOnlyAdmin):
    """What the clock does, how often, and when it last did."""

    list_display = ["name", "task", "interval", "crontab", "enabled", "last_run_at", "total_run_count"]
    list_filter = ["enabled", "queue"]
    search_fields = ["name", "task"]
    list_select_related = ["interval", "crontab", "solar", "clocked"]
