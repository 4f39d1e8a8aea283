"""Admin of users, parameters' history and the event log; and what every list of the admin can do."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.html import format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from apps.core import events, export, history
from apps.core.errors import MeshError
from apps.core.models import Event, FaultEvidence, ParameterChange, StoredMail, User
from workers.protocol.clock import utcnow


def acting(request: HttpRequest) -> User:
    """Whoever acts; the admin lets nobody in who is not signed in."""
    if not isinstance(request.user, User):
        raise PermissionDenied
    return request.user


class ListAdmin(ModelAdmin):  # type: ignore[misc]
    """Lists that can be saved as CSV, and rows that show their history from the event log."""

    actions = ["export_selected"]
    # A row with its own actions costs two milliseconds.
    list_per_page = 50

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Each list's own actions and the export."""
        found: dict[str, Any] = super().get_actions(request)
        found.setdefault("export_selected", self.get_action("export_selected"))
        return found

    @admin.action(description=_("Export the chosen as CSV"))
    def export_selected(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponseBase:
        """The columns of the list; the filters and the search say which rows there are to choose."""
        columns = [name for name in self.get_list_display(request) if isinstance(name, str)]
        return export.as_csv(self, columns, queryset)

    @admin.display(description=_("history"))
    def history_lines(self, row: Any) -> SafeString:
        """Every change: when, what, by whom, and the values that changed."""
        lines = (
            (f"{change.at:%Y-%m-%d %H:%M}", change.kind, change.actor, "; ".join(f"{n}: {v}" for n, v in change.values))
            for change in history.of(self.history_subject(row))
        )
        return format_html_join("", "<div>{} UTC · {} · {} <i>{}</i></div>", lines) or mark_safe("-")

    def history_subject(self, row: Any) -> str:
        """Under which id the event log knows the row."""
        return str(row.pk)


class ReadOnlyAdmin(ListAdmin):
    """History is looked at, never edited."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


class ActingAdmin(ReadOnlyAdmin):
    """Rows that change by named actions only, each for itself."""

    def has_act_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Those who might change such rows."""
        return bool(request.user.has_perm(f"{self.opts.app_label}.change_{self.opts.model_name}"))

    def each(self, request: HttpRequest, rows: QuerySet[Any], act: Callable[[Any], object], done: Any) -> None:
        """Act on each row; say how many were done and why others were not."""
        count = 0
        for row in rows:
            try:
                acted = act(row)
            except MeshError as error:
                self.message_user(request, f"{row}: {error.detail}", messages.WARNING)
            else:
                count += bool(acted)
                self.log_change(request, row, str(done))
        self.message_user(request, f"{count}: {done}", messages.SUCCESS if count else messages.INFO)


class NewUserForm(UserCreationForm):  # type: ignore[misc]
    """Makes an account by e-mail address."""

    class Meta:
        model = User
        fields = ("email",)


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ListAdmin):  # type: ignore[misc,type-arg]
    """People and what they may do."""

    form = UserChangeForm
    add_form = NewUserForm
    change_password_form = AdminPasswordChangeForm
    ordering = ["-date_joined"]
    list_display = ["email", "name", "is_staff", "is_active", "date_joined"]
    list_filter = ["is_staff", "is_active"]
    search_fields = ["email", "name"]
    filter_horizontal = ["groups", "user_permissions"]
    fieldsets = [
        (None, {"fields": ["email", "password", "name", "time_zone"]}),
        (
            _("Permissions"),
            {"fields": ["is_active", "is_staff", "is_superuser", "groups", "user_permissions"]},
        ),
        (_("History"), {"fields": ["history_lines"]}),
    ]
    readonly_fields = ["history_lines"]
    add_fieldsets = [(None, {"fields": ["email", "password1", "password2"]})]

    def history_subject(self, row: User) -> str:
        """People have numbers; the log needs to know whose."""
        return f"user:{row.pk}"

    @transaction.atomic
    def save_model(self, request: HttpRequest, obj: User, form: "ModelForm[User]", change: bool) -> None:
        """Every change is an event with the new values; never a password."""
        super().save_model(request, obj, form, change)
        names = {name for name in form.changed_data if name in form.cleaned_data and "password" not in name}
        data: dict[str, Any] = {name: words_of(form.cleaned_data[name]) for name in sorted(names)}
        if "password" in form.changed_data:
            data["password"] = "changed"  # noqa: S105
        kind = "user.changed" if change else "user.made"
        events.emit(kind, subject=f"user:{obj.pk}", topics=["admin"], data=data, now=utcnow(), actor=acting(request))


admin.site.unregister(Group)


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ListAdmin):  # type: ignore[misc]
    """Permissions by the bundle."""

    @transaction.atomic
    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Every change is an event with what the group may do now."""
        super().save_related(request, form, formsets, change)
        row = form.instance
        may = sorted(
            f"{app}.{name}" for app, name in row.permissions.values_list("content_type__app_label", "codename")
        )
        data = {"name": row.name, "permissions": ", ".join(may)}
        events.emit(
            "group.changed", subject=f"group:{row.pk}", topics=["admin"], data=data, now=utcnow(), actor=acting(request)
        )

    @transaction.atomic
    def delete_model(self, request: HttpRequest, obj: Group) -> None:
        """An event with its name is left."""
        subject, data = f"group:{obj.pk}", {"name": obj.name}
        events.emit("group.removed", subject=subject, topics=["admin"], data=data, now=utcnow(), actor=acting(request))
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Group]) -> None:
        """Each for itself."""
        for row in queryset:
            self.delete_model(request, row)


def words_of(value: Any) -> str:
    """A form's value as the history prints it."""
    return ", ".join(sorted(map(str, value))) if isinstance(value, QuerySet) else str(value)


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    """The event log."""

    list_display = ["at", "kind", "subject", "actor", "request_id"]
    list_filter = ["kind"]
    search_fields = ["subject", "request_id"]
    list_select_related = ["actor"]
    show_full_result_count = False


@admin.register(ParameterChange)
class ParameterChangeAdmin(ReadOnlyAdmin):
    """Every change of a network parameter."""

    list_display = ["at", "name", "old", "new", "actor", "reason"]
    list_filter = ["at"]
    search_fields = ["name", "reason", "actor__email"]
    list_select_related = ["actor"]


@admin.register(FaultEvidence)
class FaultEvidenceAdmin(ReadOnlyAdmin):
    """Filed evidence, and what became of it."""

    list_display = ["at", "kind", "accused", "status", "reason", "decided_at", "digest"]
    list_filter = ["status", "kind"]
    search_fields = ["=accused", "=digest"]


@admin.register(StoredMail)
class StoredMailAdmin(ReadOnlyAdmin):
    """Mail kept by a development network."""

    list_display = ["at", "to", "subject"]
    list_filter = ["at"]
    search_fields = ["to", "subject"]
    show_full_result_count = False
