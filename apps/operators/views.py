"""The operators' pages."""

from datetime import datetime

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from apps.core.errors import MeshError
from apps.core.models import User
from apps.ledger import accounts
from apps.operators import applications, enrolment, nodes, presentation, stakes, tiers, wallets
from apps.operators.authentication import make_key, revoke_key
from apps.operators.forms import ApiKeyForm, ApplicationForm, NodeNameForm
from apps.operators.models import ApiKey, EnrolmentToken, Node, NodeStatus, Operator, Wallet
from workers.protocol.clock import utcnow


def person(request: HttpRequest) -> User:
    """Whoever is signed in; the pages that call this ask for a login first."""
    if not isinstance(request.user, User):
        raise PermissionDenied
    return request.user


def approved(request: HttpRequest) -> Operator | None:
    """The signed-in operator, or None before approval."""
    return presentation.operator_of(person(request))


@login_required
def apply(request: HttpRequest) -> HttpResponse:
    """Apply, see how the application stands, and do the next step."""
    user = person(request)
    application = presentation.application_of(user)
    editable = application is None or application.can_be_edited
    initial = {**application.hardware, "tier": application.tier, "region": application.region} if application else {}
    if application:
        initial["experience"] = application.experience
    form = ApplicationForm(request.POST or None, initial=initial) if editable else None
    if form is not None and request.method == "POST" and form.is_valid():
        applications.submit(user, form.application(), utcnow())
        messages.success(request, _("Handed in. We write to you when it has been reviewed."))
        return redirect("apply")
    operator = presentation.operator_of(user)
    context = {
        "application": application,
        "operator": operator,
        "form": form,
        "tiers": tiers.table(),
        "stages": presentation.way_online(user),
        "terms": tiers.terms(operator.tier) if operator else None,
        "balance_units": accounts.balance(user),
    }
    return render(request, "operators/apply.html", context)


@login_required
@require_POST
def stake(request: HttpRequest) -> HttpResponse:
    """Lock the tier's stake."""
    operator = approved(request)
    if operator is None:
        raise PermissionDenied
    try:
        locked = stakes.lock(operator, utcnow())
    except MeshError as error:
        messages.error(request, error.detail)
        return redirect("apply")
    messages.success(
        request, _("%(n)s MESH locked. Now install your node.") % {"n": locked.amount // tiers.parameters.MESH}
    )
    return redirect("node_register")


@login_required
@require_GET
def my_nodes(request: HttpRequest) -> HttpResponse:
    """All of one's nodes."""
    return render(request, "operators/nodes.html", nodes_context(request))


@login_required
@require_GET
def my_nodes_live(request: HttpRequest) -> HttpResponse:
    """The table alone."""
    return render(request, "operators/parts/nodes.html", nodes_context(request))


def nodes_context(request: HttpRequest) -> dict[str, object]:
    """What the table shows."""
    return {"nodes": presentation.node_rows(person(request)), "operator": approved(request)}


@login_required
def register(request: HttpRequest) -> HttpResponse:
    """Make a one-use token and show the one command that uses it."""
    operator = approved(request)
    if operator is None or not operator.has_stake:
        messages.info(request, _("First your application and stake."))
        return redirect("apply")
    form = NodeNameForm(request.POST or None)
    token, name = "", ""
    if request.method == "POST" and form.is_valid():
        name = form.cleaned_data["name"]
        try:
            token = enrolment.issue_token(operator, name, utcnow())
        except MeshError as error:
            form.add_error("name", error.detail)
    context = {
        "form": form,
        "token": token,
        "name": name,
        "site": request.build_absolute_uri("/").rstrip("/"),
        "stages": presentation.way_online(person(request)),
        "terms": tiers.terms(operator.tier),
        "waiting_url": f"/nodes/register/waiting?name={name}" if token else "",
        **presentation.waiting(None, None, utcnow()),
    }
    return render(request, "operators/register.html", context)


@login_required
@require_GET
def register_waiting(request: HttpRequest) -> HttpResponse:
    """Whether the node of the last token has arrived."""
    token = (
        EnrolmentToken.objects.select_related("node")
        .filter(operator__user=person(request), name=request.GET.get("name", ""))
        .order_by("-created_at")
        .first()
    )
    node: Node | None = token.node if token else None
    issued: datetime | None = token.created_at if token else None
    return render(request, "operators/parts/waiting.html", presentation.waiting(node, issued, utcnow()))


def own_node(request: HttpRequest, node_id: str) -> Node:
    """The node, where the user may see its insides; 404 otherwise."""
    return get_object_or_404(Node.objects.visible_to(request.user).select_related("operator__user"), pk=node_id)


@login_required
@require_GET
def node_detail(request: HttpRequest, node_id: str) -> HttpResponse:
    """One node: state, reason, next step, history, keys."""
    return render(request, "operators/node.html", node_context(request, node_id))


@login_required
@require_GET
def node_live(request: HttpRequest, node_id: str) -> HttpResponse:
    """The changing part alone."""
    return render(request, "operators/parts/node.html", node_context(request, node_id))


def node_context(request: HttpRequest, node_id: str) -> dict[str, object]:
    """What the page shows."""
    node = own_node(request, node_id)
    return {
        "node": node,
        "facts": presentation.facts_of(node),
        "events": node.events.all()[:50],
        "is_draining": node.status == NodeStatus.DRAINING,
        "can_drain": node.status in {NodeStatus.ONLINE, NodeStatus.DEGRADED},
        "can_revoke": node.status != NodeStatus.REVOKED,
    }


@login_required
@require_POST
def node_action(request: HttpRequest, node_id: str, action: str) -> HttpResponse:
    """Drain, resume or revoke."""
    node = own_node(request, node_id)
    now = utcnow()
    try:
        if action == "drain":
            nodes.drain(node, now=now)
        elif action == "resume":
            nodes.resume(node, now=now)
        else:
            nodes.revoke(node, reason=_("Revoked by %(who)s.") % {"who": person(request)}, now=now)
    except MeshError as error:
        messages.error(request, error.detail)
    return redirect("node_detail", node_id=node.pk)


@login_required
def keys(request: HttpRequest) -> HttpResponse:
    """API keys: make one, see it once, revoke."""
    user = person(request)
    form = ApiKeyForm(request.POST or None)
    made = ""
    if request.method == "POST" and form.is_valid():
        _row, made = make_key(user, form.cleaned_data["name"], form.cleaned_data["scopes"], utcnow())
        form = ApiKeyForm()
    context = {"keys": ApiKey.objects.filter(user=user), "form": form, "made": made}
    return render(request, "operators/keys.html", context)


@login_required
@require_POST
def key_revoke(request: HttpRequest, key_id: str) -> HttpResponse:
    """End one's own key."""
    key = get_object_or_404(ApiKey, pk=key_id, user=person(request))
    revoke_key(key, utcnow())
    messages.success(request, _("Revoked. Programs that use it are refused from now on."))
    return redirect("keys")


@login_required
def wallet(request: HttpRequest) -> HttpResponse:
    """Balance, bound wallets, and the testnet's first reward."""
    user = person(request)
    if request.method == "POST":
        given = wallets.claim_first(user, utcnow())
        if given:
            messages.success(request, _("10 MESH of the testnet's faucet are yours."))
        else:
            messages.info(request, _("The faucet gives this once, and only while it has MESH left."))
        return redirect("wallet")
    context = {
        "wallets": Wallet.objects.filter(user=user),
        "balance_units": accounts.balance(user),
        "held_units": accounts.held(user),
        "stake_units": accounts.stake(user).balance,
        "address": f"wallet:{accounts.owner_of(user)}",
    }
    return render(request, "operators/wallet.html", context)
