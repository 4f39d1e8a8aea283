"""`meshwork publish_models`: fetches, packages and publishes the listed models, once."""

from typing import Any

from django.core.management.base import BaseCommand

from apps.models import publishing
from workers.protocol.clock import utcnow


class Command(BaseCommand):
    """A second run changes nothing."""

    help = "Publish the models that data.lock pins."

    def handle(self, *args: Any, **options: Any) -> None:
        for version in publishing.publish_all(utcnow()):
            self.stdout.write(f"{version.manifest['model']} {version.version}")
