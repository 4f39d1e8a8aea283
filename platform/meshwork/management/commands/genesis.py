"""`meshwork genesis`: makes the platform's keys and writes the network's first block, once."""

import json
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from apps.core import platform_keys
from apps.ledger import genesis
from meshwork.genesis import document
from workers.protocol.clock import utcnow


class Command(BaseCommand):
    """Keys, then block 0; a second run changes nothing."""

    help = "Make the platform's keys and write the genesis block, unless they exist."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--timestamp", help="The network's first moment, ISO-8601; now unless given.")
        parser.add_argument("--show", action="store_true", help="Print the genesis document.")

    def handle(self, *args: Any, **options: Any) -> None:
        now = utcnow()
        start = datetime.fromisoformat(options["timestamp"]).astimezone(UTC) if options["timestamp"] else now
        # The keys must be valid at the moment of the block that they sign first.
        made = platform_keys.create(min(start, now))
        if not genesis.exists():
            genesis.write(document(start), now)
            self.stdout.write("Genesis written.")
        self.stdout.write(f"Root key {platform_keys.root_fingerprint()}{' (new)' if made else ''}")
        if options["show"]:
            self.stdout.write(json.dumps(genesis.stored(), indent=2))
