"""The ledger in the admin: looked at, never edited; and staff's grants from a test network's treasury."""

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action

from apps.core.admin import ReadOnlyAdmin
from apps.core.errors import MeshError
from apps.core.models import User
from apps.ledger import amounts, faucet
from apps.ledger import money_admin as money_admin
from apps.ledger.forms import GrantForm
from apps.ledger.models import Account, AuditRun, Block, Genesis, Hold, Transfer
from workers.protocol.clock import utcnow


class LedgerAdmin(ReadOnlyAdmin):
    """Long tables: no count of everything."""

    show_full_result_count = False


@admin.register(Account)
class AccountAdmin(LedgerAdmin):
    """Accounts, and where staff grant from."""

    list_display = ["address", "kind", "mesh"]
    list_filter = ["kind"]
    search_fields = ["owner"]
    actions_list = ["grant"]

    @admin.display(description="MESH", ordering="balance")
    def mesh(self, account: Account) -> str:
        return amounts.show(account.balance)

    def has_grant_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        """Those who might change accounts, on a test network."""
        return bool(settings.IS_TESTNET and request.user.has_perm("ledger.change_account"))

    @action(description=gettext_lazy("Grant from the treasury"), url_path="grant", permissions=["grant"])  # type: ignore[untyped-decorator]
    def grant(self, request: HttpRequest) -> HttpResponse:
        """Ask whom, how much and why, then grant."""
        if not isinstance(request.user, User):
            raise PermissionDenied
        form = GrantForm(request.POST or None)
        if form.is_valid() and self._granted(request, form, request.user):
            return redirect("admin:ledger_account_changelist")
        context = {
            **self.admin_site.each_context(request),
            "title": _("Grant from the treasury"),
            "opts": self.opts,
            "form": form,
        }
        return render(request, "ledger/admin/grant.html", context)

    def _granted(self, request: HttpRequest, form: GrantForm, actor: User) -> bool:
        given = form.cleaned_data
        try:
            faucet.treasury_grant(
                given["user"], given["amount"], actor, given["reason"], utcnow(), request=given["request"]
            )
        except MeshError as error:
            form.add_error(None, error.detail)
            self.message_user(request, error.detail, messages.ERROR)
            return False
        shown = f"{amounts.show(given['amount'])} MESH → {given['user'].email or given['user']}"
        self.message_user(request, shown, messages.SUCCESS)
        return True


@admin.register(Transfer)
class TransferAdmin(LedgerAdmin):
    """Every transfer with its authorisation."""

    list_display = ["id", "kind", "debit", "credit", "mesh", "at"]
    list_filter = ["kind"]
    search_fields = ["=id", "memo"]
    list_select_related = ["debit", "credit"]

    @admin.display(description="MESH", ordering="amount")
    def mesh(self, transfer: Transfer) -> str:
        return amounts.show(transfer.amount)


@admin.register(Hold)
class HoldAdmin(LedgerAdmin):
    """What is set aside, and what became of it."""

    list_display = ["id", "payer", "purpose", "status", "left", "placed_at", "expires_at"]
    list_filter = ["status", "purpose"]
    search_fields = ["=id", "payer__owner"]
    list_select_related = ["payer"]

    @admin.display(description=gettext_lazy("left of, MESH"))
    def left(self, hold: Hold) -> str:
        return f"{amounts.show(hold.remaining)} / {amounts.show(hold.amount)}"


@admin.register(Block)
class BlockAdmin(LedgerAdmin):
    """Sealed blocks."""

    list_display = ["height", "count", "hash", "sealed_at"]
    search_fields = ["=height", "=hash"]


@admin.register(Genesis)
class GenesisAdmin(LedgerAdmin):
    """What the network started with."""

    list_display = ["hash"]


@admin.register(AuditRun)
class AuditRunAdmin(LedgerAdmin):
    """What audits found."""

    list_display = ["at", "ok"]
    list_filter = ["ok"]
