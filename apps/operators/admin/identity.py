"""Ethereum addresses, the nodes that are bound to them, and hosts of shards, as the admin sees them."""

from typing import Any

from django.contrib import admin

from apps.core.admin import ReadOnlyAdmin
from apps.operators.models import EthereumAddress, NodeBinding, ShardHost


@admin.register(EthereumAddress)
class EthereumAddressAdmin(ReadOnlyAdmin):
    """Who proved to hold which address."""

    list_display = ["address", "user", "created_at"]
    list_select_related = ["user"]
    search_fields = ["address", "user__email", "user__name"]


@admin.register(NodeBinding)
class NodeBindingAdmin(ReadOnlyAdmin):
    """Which node is bound to which address."""

    list_display = ["node", "address", "at"]
    list_select_related = ["node", "address"]
    search_fields = ["node__name", "node__id", "address__address"]

    def history_subject(self, row: Any) -> str:
        """The node's id."""
        return str(row.node_id)


@admin.register(ShardHost)
class ShardHostAdmin(ReadOnlyAdmin):
    """Machines that joined without an application."""

    list_display = ["name", "user", "status", "kid", "joined_at", "left_at"]
    list_filter = ["status"]
    list_select_related = ["user"]
    search_fields = ["name", "id", "kid", "user__email", "user__name", "wallet__address"]
