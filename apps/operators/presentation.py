"""What the operators' pages show, prepared from rows."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Q, Sum
from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.core.models import User
from apps.ledger import accounts
from apps.ledger.models import Transfer
from apps.operators import applications, tiers
from apps.operators.models import (
    Application,
    ApplicationStatus,
    EnrolmentToken,
    EthereumAddress,
    Node,
    NodeStatus,
    Operator,
)

CAUSES_AFTER = timedelta(minutes=2)
TRANSFERS_SHOWN = 20
CLOCK = gettext_lazy("The machine's clock is more than 30 s off: turn on time synchronisation, then try again.")
NOT_ENROLLED = (
    gettext_lazy("The command has not finished: see what it printed, and whether `mesh` is installed there."),
    gettext_lazy(
        "The machine cannot reach the platform: it must be able to open connections to {site} and {node_api}."
    ),
    CLOCK,
)
NOT_RUNNING = (
    gettext_lazy("The agent is not running: start it with `mesh node run` and leave it running."),
    gettext_lazy("The machine cannot reach {gateway}: `mesh node doctor` says which connection is blocked."),
    CLOCK,
)


@dataclass(frozen=True)
class Stage:
    """One step of the way to a node that works; `state` is done, now, todo or failed."""

    title: str | Promise
    detail: str
    state: str


@dataclass(frozen=True)
class Way:
    """How far a user has come on the way to a working node."""

    application: Application | None
    operator: Operator | None
    has_stake: bool
    nodes: list[Node]

    @classmethod
    def of(cls, user: User) -> "Way":
        """Four queries, however many nodes there are."""
        application = Application.objects.filter(user=user).first()
        operator = Operator.objects.select_related("user").filter(user=user).first()
        nodes = list(Node.objects.not_revoked().filter(operator=operator)) if operator else []
        return cls(application, operator, bool(operator and operator.has_stake), nodes)

    @property
    def status(self) -> str:
        """The application's status; a draft before there is one."""
        return self.application.status if self.application else ApplicationStatus.DRAFT

    @property
    def can_apply(self) -> bool:
        """Whether the form is open."""
        return self.application is None or self.application.can_be_edited

    @property
    def online(self) -> int:
        """How many of the nodes are online."""
        return sum(node.status == NodeStatus.ONLINE for node in self.nodes)

    def stages(self) -> list[Stage]:
        """Application → Approved → Stake → Install → Online, as far as it goes."""
        submitted = self.status in {ApplicationStatus.SUBMITTED, ApplicationStatus.APPROVED}
        done = [submitted, self.operator is not None, self.has_stake, bool(self.nodes), self.online > 0]
        titles = [_("Application"), _("Approved"), _("Stake"), _("Install"), _("Online")]
        now = done.index(False) if False in done else len(done)
        stages = [
            Stage(title, detail, "done" if i < now else "now" if i == now else "todo")
            for i, (title, detail) in enumerate(zip(titles, self.details(), strict=True))
        ]
        if self.status == ApplicationStatus.REJECTED:
            stages[0] = Stage(titles[0], _("change it and hand it in again"), "now")
            stages[1] = Stage(titles[1], _("rejected, with a reason"), "failed")
        return stages

    def details(self) -> list[str]:
        """What stands under each stage."""
        handed_in = self.application and self.status != ApplicationStatus.DRAFT
        return [
            _("handed in %(day)s") % {"day": day(self.application.submitted_at)}
            if self.application and handed_in
            else _("tell us about your machine"),
            day(self.operator.approved_at) if self.operator else self.review_detail(),
            _("locked") if self.has_stake else _("lock the tier's stake"),
            _("%(n)d enrolled") % {"n": len(self.nodes)} if self.nodes else _("one command"),
            _("%(n)d online") % {"n": self.online} if self.online else _("self-test, then first task"),
        ]

    def review_detail(self) -> str:
        """Where the application stands in the queue."""
        if self.application is None or self.status != ApplicationStatus.SUBMITTED:
            return _("after a review")
        return _("number %(n)d in the queue") % {"n": applications.place_in_queue(self.application)}


def day(moment: datetime | None) -> str:
    """A date as the page prints it."""
    return date_format(moment, "j M Y") if moment else ""


def way_context(user: User) -> dict[str, Any]:
    """The stepper and what stands next."""
    way = Way.of(user)
    return {
        "way": way,
        "application": way.application,
        "operator": way.operator,
        "stages": way.stages(),
        "terms": tiers.terms(way.operator.tier) if way.operator else None,
        "balance_units": accounts.balance(user),
    }


def waiting(token: EnrolmentToken, now: datetime) -> dict[str, Any]:
    """Where a token's machine is: silent, expired, enrolled, reported or online; after two minutes, why perhaps."""
    node = token.node
    causes: tuple[Promise, ...] = ()
    since = now
    if node is None:
        state, since, causes = ("silent" if token.is_open(now) else "expired"), token.created_at, NOT_ENROLLED
    elif node.status == NodeStatus.ONLINE:
        state = "online"
    elif node.last_seen_at is None and node.status == NodeStatus.PENDING:
        state, since, causes = "enrolled", node.enrolled_at, NOT_RUNNING
    else:
        state = "reported"
    late = state in {"silent", "enrolled"} and now - since >= CAUSES_AFTER
    places = {"site": settings.SITE_URL, "node_api": settings.NODE_API_URL, "gateway": settings.GATEWAY_URL}
    return {
        "waiting": token,
        "state": state,
        "node": node,
        "causes": [str(cause).format(**places) for cause in causes] if late else [],
    }


def nodes_context(user: User, now: datetime) -> dict[str, Any]:
    """One's nodes, those that can still work first, and what they earned."""
    nodes = Node.objects.filter(operator__user=user).select_related("operator")
    return {
        "nodes": sorted(nodes, key=lambda node: (node.status == NodeStatus.REVOKED, node.name)),
        "operator": Operator.objects.filter(user=user).first(),
        "earned": earnings(user, now),
    }


def earnings(user: User, now: datetime) -> dict[str, int]:
    """What the account was paid for work, in base units: today (UTC), in sealed blocks, not sealed yet."""
    paid = Transfer.objects.filter(credit=accounts.wallet(user), kind="fee.provider")
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return paid.aggregate(
        today=Sum("amount", default=0, filter=Q(at__gte=midnight)),
        settled=Sum("amount", default=0, filter=Q(sealing__isnull=False)),
        pending=Sum("amount", default=0, filter=Q(sealing__isnull=True)),
    )


def wallet_context(user: User) -> dict[str, Any]:
    """Balance, holds, stake, bound keys, and the newest transfers with the sign they have for this account."""
    account = accounts.wallet(user)
    transfers = Transfer.objects.touching([account]).select_related("debit", "credit", "sealing")[:TRANSFERS_SHOWN]
    faucet = Transfer.objects.filter(credit=account, kind__startswith="faucet.")
    wallets = list(user.wallets.bound())
    return {
        "wallets": wallets,
        "addresses": [wallet.address for wallet in wallets],
        "ethereum": list(EthereumAddress.objects.bound().filter(user=user).prefetch_related("bindings__node")),
        "balance_units": account.balance,
        "held_units": accounts.held(user),
        "stake_units": accounts.stake(user).balance,
        "given_units": faucet.aggregate(units=Sum("amount", default=0))["units"],
        "address": account.address,
        "moves": [move_of(transfer, account.pk) for transfer in transfers],
    }


def move_of(transfer: Transfer, account_id: int) -> dict[str, Any]:
    """A transfer as this account sees it."""
    incoming = transfer.credit_id == account_id
    return {
        "at": transfer.at,
        "kind": transfer.kind,
        "memo": transfer.memo,
        "other": str(transfer.debit if incoming else transfer.credit),
        "units": transfer.amount if incoming else -transfer.amount,
        "sealed": getattr(transfer, "sealing", None) is not None,
    }
