"""Money: accounts, transfers, holds, blocks."""

from django.apps import AppConfig


class LedgerConfig(AppConfig):
    name = "apps.ledger"
    label = "ledger"
    verbose_name = "Ledger"

    def ready(self) -> None:
        from apps.core import live

        live.register_topic("ledger", lambda user, rest: not rest)
