"""The site itself, as Django sees it: its static files and management commands."""

from django.apps import AppConfig


class MeshworkConfig(AppConfig):
    name = "meshwork"
    label = "meshwork"

    def ready(self) -> None:
        # Tasks belong to our Celery application in every process that queues them, not only in its workers.
        from meshwork import celery  # noqa: F401
