"""`meshwork publish_models [NAME…]`: fetches, packages and publishes the listed models, once."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.models import publishing
from apps.models.errors import CatalogError
from workers.protocol.clock import utcnow


class Command(BaseCommand):
    """A second run changes nothing."""

    help = "Publish the models that data.lock pins: those named, or every one that is not optional."

    def add_arguments(self, parser: CommandParser) -> None:
        optional = ", ".join(listing.name for listing in publishing.LISTINGS if listing.optional)
        parser.add_argument("names", nargs="*", help=f"Optional models: {optional} (needs meshwork[gguf]).")

    def handle(self, *args: Any, **options: Any) -> None:
        now = utcnow()
        try:
            named = [publishing.publish(publishing.listed(name), now) for name in options["names"]]
            versions = named or publishing.publish_all(now)
        except CatalogError as error:
            raise CommandError(str(error)) from error
        for version in versions:
            self.stdout.write(f"{version.manifest['model']} {version.version}")
