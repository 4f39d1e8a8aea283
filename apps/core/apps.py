"""What every app stands on."""

from django.apps import AppConfig


class CoreConfig(AppConfig):
    name = "apps.core"
    label = "core"
    verbose_name = "Core"

    def ready(self) -> None:
        from apps.core import live

        live.register_topic("network", lambda user, rest: True)
        live.register_topic("user", lambda user, rest: str(user.pk) == rest)
        live.register_topic("admin", lambda user, rest: bool(getattr(user, "acts_as_staff", False)))
