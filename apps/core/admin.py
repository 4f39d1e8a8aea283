"""Admin of users, parameters' history and the event log."""

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from apps.core.models import Event, FaultEvidence, ParameterChange, StoredMail, User


class ReadOnlyAdmin(ModelAdmin):  # type: ignore[misc]
    """History is looked at, never edited."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


class NewUserForm(UserCreationForm):  # type: ignore[misc]
    """Makes an account by e-mail address."""

    class Meta:
        model = User
        fields = ("email",)


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):  # type: ignore[misc,type-arg]
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
    ]
    add_fieldsets = [(None, {"fields": ["email", "password1", "password2"]})]


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
    search_fields = ["name"]
    list_select_related = ["actor"]


@admin.register(FaultEvidence)
class FaultEvidenceAdmin(ReadOnlyAdmin):
    """Filed evidence."""

    list_display = ["at", "kind", "accused", "digest"]


@admin.register(StoredMail)
class StoredMailAdmin(ReadOnlyAdmin):
    """Mail kept by a development network."""

    list_display = ["at", "to", "subject"]
