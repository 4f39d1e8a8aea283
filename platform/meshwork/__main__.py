"""The console script `meshwork`: Django's management commands, and `meshwork local` for a whole local network."""

import os
import sys


def main() -> None:
    """Run a management command; `meshwork local …` starts services before Django is configured."""
    if sys.argv[1:2] == ["local"]:
        from meshwork.local.__main__ import main as local_main

        sys.exit(local_main(sys.argv[2:]))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "meshwork.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
