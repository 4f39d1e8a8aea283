"""The ledger in the admin: looked at, never edited; and staff's grants from a test network's treasury."""

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display
from unfold.forms import BaseDialogForm

from apps.core.admin import ReadOnlyAdmin, acting
from apps.core.admin_decisions import DecidingAdmin, back, confirmation
from apps.core.errors import MeshError
from apps.core.models import User
from apps.ledger import amounts, faucet
from apps.ledger import money_admin as money_admin
from apps.ledger.forms import GrantForm
from apps.ledger.models import Account, AuditRun, Block, Genesis, Hold, Transfer
from apps.ledger.tasks import ask_for_audit
from workers.protocol.clock import utcnow

AUDITING = gettext_lazy("The whole ledger is checked once more, in the queue; the report comes when that is done.")
RUN = confirmation(gettext_lazy("Run an audit"), AUDITING, "run", "fact_check")
AGAIN = confirmation(gettext_lazy("Run again"), AUDITING, "again", "replay")
AUDIT_COLOURS = {"passed": "success", "failed": "danger", "open": "info", "stopped": "warning"}


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
    search_fields = ["=hash"]


@admin.register(AuditRun)
class AuditRunAdmin(DecidingAdmin):
    """What audits found; another is asked for here, one at a time."""

    list_display = ["at", "shown_state", "by", "finished_at"]
    list_filter = ["ok", "at"]
    search_fields = ["=id", "by__email", "by__name"]
    list_select_related = ["by"]
    show_full_result_count = False
    actions_list = ["run"]
    actions_row = ["again_row"]
    actions_detail = ["again_row"]
    readonly_fields = ["history_lines"]

    def history_subject(self, row: AuditRun) -> str:
        """Runs have numbers; the log needs to know of what."""
        return f"audit:{row.pk}"

    @display(description=gettext_lazy("found"), label=AUDIT_COLOURS, ordering="ok")  # type: ignore[untyped-decorator]
    def shown_state(self, run: AuditRun) -> str:
        return run.state

    @action(**RUN)  # type: ignore[untyped-decorator]
    def run(self, request: HttpRequest, form: BaseDialogForm) -> HttpResponse:
        """Ask for an audit."""
        try:
            ask_for_audit(acting(request), utcnow())
        except MeshError as error:
            self.message_user(request, error.detail, messages.WARNING)
        else:
            self.message_user(request, _("The audit is queued."), messages.SUCCESS)
        return back(request, self.opts)

    @action(**AGAIN)  # type: ignore[untyped-decorator]
    def again_row(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        """Ask for another audit after this one."""
        actor = acting(request)
        return self.decide(request, object_id, lambda row: ask_for_audit(actor, utcnow()), _("queued again"))
