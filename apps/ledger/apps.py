"""Money: accounts, transfers, holds, blocks."""

from django.apps import AppConfig


class LedgerConfig(AppConfig):
    name = "apps.ledger"
    label = "ledger"
    verbose_name = "Ledger"

    def ready(self) -> None:
        from apps.core import inbox, live
        from apps.ledger import waiting

        inbox.register("audits", waiting.failed_audits)
        live.register_topic("ledger", lambda user, rest: not rest)
