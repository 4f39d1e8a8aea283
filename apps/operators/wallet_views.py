"""The pages around a wallet."""

from allauth.account.adapter import get_adapter
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from apps.ledger import accounts, amounts
from apps.operators import wallets
from apps.operators.views import person
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
