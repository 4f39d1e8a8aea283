"""From scans and markets to signals, agreed decisions and orders."""

from django.apps import AppConfig


class TradingConfig(AppConfig):
    name = "apps.trading"
    label = "trading"
    verbose_name = "Trading"

    def ready(self) -> None:
        from apps.core import inbox, live
        from apps.trading import kinds, waiting

        kinds.register()
        inbox.register("faults", waiting.unjudged)
        live.register_topic("desk", lambda user, rest: not rest)
        live.register_topic("scans", lambda user, rest: not rest)
