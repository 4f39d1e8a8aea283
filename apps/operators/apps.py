"""People who run nodes: applications, stakes, nodes and their keys, wallets, API keys."""

from typing import Any

from django.apps import AppConfig


class OperatorsConfig(AppConfig):
    name = "apps.operators"
    label = "operators"
    verbose_name = "Operators"

    def ready(self) -> None:
        from apps.core import inbox, live
        from apps.ledger import holds, signers
        from apps.operators import bans, ethereum, ledger_links, slash_appeals, waiting

        live.register_topic("node", may_watch_node)
        inbox.register("reviews", waiting.reviews)
        inbox.register("appeals", waiting.open_appeals)
        inbox.register("slash_appeals", waiting.slash_appeals)
        inbox.register("fallen", waiting.fallen)
        inbox.register("mail", waiting.lost_mail)
        signers.register(ledger_links.signer_of)
        bans.held_by(ethereum.holders)
        holds.keep_while(slash_appeals.PURPOSE, slash_appeals.in_use)


def may_watch_node(user: Any, node_id: str) -> bool:
    """A node's own operator and staff."""
    from apps.operators.models import Node

    return Node.objects.visible_to(user).filter(pk=node_id).exists()
