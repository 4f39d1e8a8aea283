"""From scans and markets to signals, agreed decisions and orders."""

from django.apps import AppConfig


class TradingConfig(AppConfig):
    name = "apps.trading"
    label = "trading"
    verbose_name = "Trading"
