"""Unbonding, slashes, mandates and epochs in the admin: looked at, never edited."""

from django.contrib import admin
from django.utils.translation import gettext_lazy

from apps.core.admin import ReadOnlyAdmin
from apps.ledger import amounts
from apps.ledger.models import Epoch, EpochShare, Mandate, Slash, Unbonding


class MoneyAdmin(ReadOnlyAdmin):
    """Long tables: no count of everything."""

    show_full_result_count = False


@admin.register(Unbonding)
class UnbondingAdmin(MoneyAdmin):
    """Stake on its way out."""

    list_display = ["account", "mesh", "status", "started_at", "release_at"]
    list_filter = ["status"]
    search_fields = ["=id", "account__owner"]
    list_select_related = ["account"]

    @admin.display(description="MESH", ordering="amount")
    def mesh(self, row: Unbonding) -> str:
        return amounts.show(row.remaining)


@admin.register(Slash)
class SlashAdmin(MoneyAdmin):
    """Stake taken for faults."""

    list_display = ["fault", "account", "mesh", "status", "fault_at", "final_at"]
    list_filter = ["status"]
    search_fields = ["=fault", "account__owner"]
    list_select_related = ["account"]

    @admin.display(description="MESH", ordering="amount")
    def mesh(self, slash: Slash) -> str:
        return amounts.show(slash.amount)


@admin.register(Mandate)
class MandateAdmin(MoneyAdmin):
    """Who may spend whose MESH."""

    list_display = ["id", "payer", "spender", "mesh", "expires_at", "revoked_at"]
    search_fields = ["=id", "payer__owner", "spender", "=wallet"]
    list_select_related = ["payer"]

    @admin.display(description=gettext_lazy("cap, MESH"), ordering="cap")
    def mesh(self, mandate: Mandate) -> str:
        return amounts.show(mandate.cap)


@admin.register(Epoch)
class EpochAdmin(MoneyAdmin):
    """Days and what was minted for them."""

    list_display = ["day", "first_height", "last_height", "mesh", "at"]
    date_hierarchy = "day"
    search_fields = ["=day"]

    @admin.display(description=gettext_lazy("minted, MESH"), ordering="minted")
    def mesh(self, epoch: Epoch) -> str:
        return amounts.show(epoch.minted)


@admin.register(EpochShare)
class EpochShareAdmin(MoneyAdmin):
    """What each node's work was worth."""

    list_display = ["epoch", "node", "owner", "tier", "uptime_ppm", "quality_ppm", "nodes", "mesh"]
    search_fields = ["=node", "=owner"]

    @admin.display(description="MESH", ordering="amount")
    def mesh(self, share: EpochShare) -> str:
        return amounts.show(share.amount)
