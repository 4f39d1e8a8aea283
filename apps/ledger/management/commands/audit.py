"""`meshwork audit`: recompute the ledger and say what does not hold."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.ledger import audit
from workers.protocol.clock import utcnow


class Command(BaseCommand):
    """Exits with 1 if a rule is broken."""

    help = "Check every rule of the ledger: entries, balances, supply, holds, chain, roots, signatures."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="Print the report as JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        report = audit.record(utcnow())
        if options["json"]:
            self.stdout.write(json.dumps(report.as_dict(), indent=2))
        else:
            for check in report.checks:
                self.stdout.write(f"{'ok    ' if check.ok else 'BROKEN'} {check.name:<15} {check.detail}")
                for name in check.found:
                    self.stdout.write(f"       {name}")
        if not report.ok:
            broken = ", ".join(check.name for check in report.checks if not check.ok)
            raise CommandError(f"The ledger breaks its rules: {broken}.", returncode=1)
