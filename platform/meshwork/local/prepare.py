"""Run in a process of its own before the platform starts: the commands that bring a data directory up to date."""

import os

import django
from django.conf import settings
from django.core.management import call_command


def main() -> None:
    """Migrate the database, write the first block unless it exists, collect static files for the site to mount.

    The demo's models come first, since the first block names the catalogue that a network begins with.
    """
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "meshwork.settings")
    django.setup()
    call_command("migrate", interactive=False, verbosity=0)
    if settings.ENVIRONMENT == "demo":
        call_command("publish_models")
    call_command("genesis")
    call_command("collectstatic", interactive=False, verbosity=0)


if __name__ == "__main__":
    main()
