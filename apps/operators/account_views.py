"""The pages of API keys and of the wallet."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.ledger import amounts
from apps.operators import presentation, wallets
from apps.operators.authentication import make_key, revoke_key
from apps.operators.errors import WalletMissing
from apps.operators.forms import ApiKeyForm
from apps.operators.freshness import is_fresh, sure
from apps.operators.models import ApiKey, Scope
from apps.operators.views import FORM_METHODS, person
from workers.protocol.clock import utcnow


@login_required
@never_cache
@require_http_methods(FORM_METHODS)
def keys(request: HttpRequest) -> HttpResponseBase:
    """API keys: make one, see it this once, revoke."""
    user, now = person(request), utcnow()
    form = ApiKeyForm(request.POST or None)
    made = ""
    if request.method == "POST" and form.is_valid():
        # Such a key can bind a wallet, which needs a fresh proof in person too.
        if Scope.WALLET_WRITE in form.cleaned_data["scopes"] and not is_fresh(request):
            return sure(keys)(request)
        chosen = form.cleaned_data
        _row, made = make_key(user, chosen["name"], chosen["scopes"], now, expires_at=form.expires_at(now))
        form = ApiKeyForm()
    rows = [{"key": key, "standing": key.standing(now)} for key in ApiKey.objects.filter(user=user)]
    context = {"keys": rows, "form": form, "made": made}
    return render(request, "operators/keys.html", context)


@login_required
@require_POST
def key_revoke(request: HttpRequest, key_id: str) -> HttpResponse:
    """End one's own key."""
    key = get_object_or_404(ApiKey, pk=key_id, user=person(request))
    if revoke_key(key, utcnow(), person(request)):
        messages.success(request, _("Revoked. Programs that use it are refused from now on."))
    return redirect("keys")


@login_required
@require_http_methods(FORM_METHODS)
def wallet(request: HttpRequest) -> HttpResponse:
    """Balance, bound keys, newest transfers, and the testnet's first reward."""
    user = person(request)
    if request.method == "POST":
        try:
            given = wallets.claim_first(user, utcnow())
        except WalletMissing as error:
            messages.error(request, error.detail)
            return redirect("wallet")
        if given:
            messages.success(request, _("%(n)s MESH of the faucet are yours.") % {"n": amounts.show(given.amount)})
        else:
            messages.info(request, _("The faucet gives this once, and only while it has MESH left."))
        return redirect("wallet")
    return render(request, "operators/wallet.html", presentation.wallet_context(user))


@login_required
@require_GET
def wallet_live(request: HttpRequest) -> HttpResponse:
    """The changing part alone."""
    return render(request, "operators/parts/wallet.html", presentation.wallet_context(person(request)))
