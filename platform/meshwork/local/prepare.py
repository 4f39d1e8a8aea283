"""Run in a process of its own before the platform starts: the commands that bring a data directory up to date."""

import os

import django
from django.core.management import call_command


def main() -> None:
    """Migrate the database, write the first block unless it exists, collect static files for the site to mount."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "meshwork.settings")
    django.setup()
    call_command("migrate", interactive=False, verbosity=0)
    call_command("genesis")
    call_command("collectstatic", interactive=False, verbosity=0)


if __name__ == "__main__":
    main()
