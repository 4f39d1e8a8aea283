"""The pages around a wallet."""

from allauth.account.adapter import get_adapter
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.core import parameters
from apps.ledger import accounts, amounts, staking
from apps.operators import ethereum, hosts, wallet_removal, wallets
from apps.operators.freshness import fresh, sure
from apps.operators.models import Node, NodeBinding, ShardHost
from apps.operators.sybil_errors import HostUnknown
from apps.operators.views import FORM_METHODS, person
from apps.operators.wallet_errors import WalletLast, WalletUnknown
from workers.protocol.clock import utcnow
from workers.protocol.ids import show_uuid


@login_required
@never_cache
@require_GET
def welcome(request: HttpRequest) -> HttpResponse:
    """What a new wallet has, how to keep it, and where to go from here."""
    user = person(request)
    given, wanted = wallets.first_reward(user), request.GET.get("next", "")
    context = {
        "given": amounts.show(given.amount) if given else "",
        "transfer": show_uuid("txn", given.pk) if given else "",
        "balance_units": accounts.balance(user),
        "addresses": wallets.addresses(user),
        "next": wanted if wanted and get_adapter().is_safe_url(wanted) else "",
    }
    return render(request, "operators/wallet_welcome.html", context)


@login_required
@never_cache
@require_GET
@sure
def confirm(request: HttpRequest) -> HttpResponse:
    """Ask who it is, then go back to where a wallet was to be bound."""
    wanted = request.GET.get("next", "")
    return redirect(wanted if wanted and get_adapter().is_safe_url(wanted) else "wallet")


@login_required
@never_cache
@require_http_methods(FORM_METHODS)
def node_address(request: HttpRequest, node_id: str) -> HttpResponseBase:
    """The Ethereum address of a node of one's own: bind one, or take it away."""
    user = person(request)
    node = get_object_or_404(Node.objects.not_revoked().select_related("operator"), pk=node_id, operator__user=user)
    if request.method == "POST":
        return node_address_away(request, node)
    context = {
        "node": node,
        "binding": NodeBinding.objects.filter(node=node).first(),
        "most": parameters.get("ethereum.nodes_per_address"),
        "chain": parameters.get("ethereum.chain_id"),
    }
    return render(request, "operators/node_ethereum.html", context)


@fresh
def node_address_away(request: HttpRequest, node: Node) -> HttpResponse:
    """Take the address away."""
    if ethereum.unbind_node(person(request), node, utcnow()):
        messages.success(request, _("The address is not bound to the node any more."))
    return redirect("node_ethereum", node_id=node.pk)


@login_required
@require_POST
@fresh
def wallet_remove(request: HttpRequest, wallet: str) -> HttpResponse:
    """Take a wallet, or an Ethereum address, off one's account."""
    try:
        wallet_removal.remove(person(request), wallet, utcnow())
    except WalletUnknown:
        raise Http404 from None
    except WalletLast as error:
        messages.error(request, error.detail)
    else:
        messages.success(request, _("The wallet is removed. It opens and signs nothing here any more."))
    return redirect("wallet")


@login_required
@require_GET
def hosts_page(request: HttpRequest) -> HttpResponse:
    """One's hosts of shards, their stake, and the command that makes one."""
    user = person(request)
    rows = list(ShardHost.objects.select_related("wallet").filter(user=user))
    context = {
        "hosts": rows,
        "needed_units": parameters.get("operators.host_stake"),
        "bonded_units": staking.bonded(user),
        "site": f"{request.scheme}://{request.get_host()}",
    }
    return render(request, "operators/hosts.html", context)


@login_required
@require_POST
def host_leave(request: HttpRequest, host_id: str) -> HttpResponse:
    """Let a host go."""
    try:
        left = hosts.leave(person(request), host_id, utcnow())
    except HostUnknown as error:
        messages.error(request, error.detail)
    else:
        messages.success(request, _("%(name)s hosts no shards any more.") % {"name": left.name})
    return redirect("hosts")
