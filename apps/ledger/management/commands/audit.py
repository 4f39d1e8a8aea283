"""`meshwork audit`: recompute the ledger and say what does not hold."""

import csv
import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.core.errors import MeshError
from apps.ledger import audit
from apps.ledger.audit.report import HEAD, AuditReport, table
from workers.protocol.clock import utcnow


class Command(BaseCommand):
    """Exits with 1 if a rule is broken."""

    help = "Check every rule of the ledger: entries, balances, supply, holds, chain, roots, signatures, ids."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="Print the report as JSON.")
        parser.add_argument("--csv", action="store_true", help="Print the report as CSV.")
        parser.add_argument("--export", type=Path, metavar="FILE", help="Write the ledger for `mesh audit verify` too.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            report = audit.record(utcnow(), export=options["export"])
        except MeshError as error:
            raise CommandError(error.detail, returncode=1) from error
        if options["json"]:
            self.stdout.write(json.dumps(report.as_dict(), indent=2))
        elif options["csv"]:
            csv.writer(self.stdout, lineterminator="\n").writerows([HEAD, *table(report.as_dict()["checks"])])
        else:
            self._print(report)
        if options["export"]:
            self.stderr.write(
                f"Exported to {options['export']}. Check it anywhere: mesh audit verify {options['export']}"
            )
        if not report.ok:
            broken = ", ".join(check.name for check in report.checks if not check.ok)
            raise CommandError(f"The ledger breaks its rules: {broken}.", returncode=1)

    def _print(self, report: AuditReport) -> None:
        for check in report.checks:
            self.stdout.write(f"{'ok    ' if check.ok else 'BROKEN'} {check.name:<15} {check.detail}")
            for name in check.found:
                self.stdout.write(f"       {name}")
