"""`meshwork demo_setup setup | grant EMAIL AMOUNT | audit | trading`: the owner's part of the demo."""

import json
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.core import parameters
from apps.core.models import FaultEvidence, FaultStatus, User
from apps.ledger import amounts, audit, faucet
from apps.trading import kinds, market_time
from apps.trading.faults import EQUIVOCATION
from apps.trading.models import Decision, Order, OrderStatus, Round, RoundStatus, Scan, Signal
from meshwork.local.demo_cast import ADMIN, PASSWORD
from workers.protocol.clock import utcnow

# One requester plays many here.
LIMITS = {"pool.jobs_per_minute": 1_000, "pool.jobs_per_hour": 100_000, "pool.heartbeat_s": 5}


class Command(BaseCommand):
    """Refuses to run anywhere but on a demo network."""

    help = "Prepare the demo's network."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("what", choices=["setup", "grant", "audit", "trading"])
        parser.add_argument("email", nargs="?")
        parser.add_argument("amount", nargs="?")

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.ENVIRONMENT != "demo":
            raise CommandError("This is for the demo's own network (MESH_ENV=demo).")
        getattr(self, options["what"])(options)

    def setup(self, options: dict[str, Any]) -> None:
        """Analyses, recordings, the admin, and limits that fit a demo; models and genesis are there."""
        kinds.offer(utcnow())
        # From the first moment on the market's time is the recordings', so that nothing is measured meanwhile.
        call_command("replay", history=True, stdout=self.stdout)
        now = utcnow()
        if not User.objects.filter(email=ADMIN).exists():
            User.objects.create_superuser(ADMIN, PASSWORD, name="Ada Admin")
        for name, value in LIMITS.items():
            if parameters.get(name) != value:
                parameters.set_parameter(name, value, actor=None, reason="the demo's own network", now=now)

    def grant(self, options: dict[str, Any]) -> None:
        """MESH from the treasury for a requester."""
        user, admin = User.objects.get(email=options["email"]), User.objects.get(email=ADMIN)
        faucet.treasury_grant(
            user, amounts.parse(options["amount"]), actor=admin, reason="another round of the demo", now=utcnow()
        )

    def audit(self, options: dict[str, Any]) -> None:
        """The audit's report as JSON."""
        self.stdout.write(json.dumps(audit.run(utcnow()).as_dict()))

    def trading(self, options: dict[str, Any]) -> None:
        """What came of the second act, counted from rows, as JSON."""
        certified = Round.objects.filter(status=RoundStatus.CERTIFIED).order_by("-finished_at")
        newest = certified.first()
        facts = {
            "scans": Scan.objects.count(),
            "signals": Signal.objects.count(),
            "decisions": Decision.objects.count(),
            "rounds_certified": certified.count(),
            "orders_filled": Order.objects.filter(status=OrderStatus.FILLED).count(),
            "equivocation_caught": FaultEvidence.objects.filter(kind=EQUIVOCATION).exists(),
            "equivocation_slashed": FaultEvidence.objects.filter(status=FaultStatus.SLASHED).exists(),
            "source": market_time.clock().source,
            "round": newest.pk if newest else None,
        }
        self.stdout.write(json.dumps(facts))
