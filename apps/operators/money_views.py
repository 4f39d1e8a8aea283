"""The pages of stakes and rewards, transfers and mandates."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timesince
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.core.errors import MeshError
from apps.ledger import amounts, faucet, mandates, staking, user_transfers
from apps.operators import money_presentation, stakes, wallets
from apps.operators.errors import WalletMissing
from apps.operators.money_forms import MandateForm, SendForm, SignedForm, StakeForm
from apps.operators.views import FORM_METHODS, person
from workers.protocol.clock import from_unix_ms, utcnow
from workers.protocol.ids import parse_uuid, show_uuid

DAY_MS = 86_400_000


@login_required
@require_GET
def rewards(request: HttpRequest) -> HttpResponse:
    """What one has at stake, what is on its way, what was earned, what the faucet offers."""
    return render(request, "operators/rewards.html", money_presentation.rewards_context(person(request), utcnow()))


@login_required
@require_GET
def rewards_live(request: HttpRequest) -> HttpResponse:
    """The changing part alone."""
    context = money_presentation.rewards_context(person(request), utcnow())
    return render(request, "operators/parts/rewards.html", context)


def first_error(form: StakeForm | SignedForm) -> str:
    """What is wrong with a form that is not shown again."""
    return next((str(words[0]) for words in form.errors.values()), "")


@login_required
@require_POST
def stake_add(request: HttpRequest) -> HttpResponse:
    """Lock more."""
    form = StakeForm(request.POST)
    if not form.is_valid():
        messages.error(request, first_error(form))
        return redirect("rewards")
    given = form.cleaned_data
    try:
        moved = stakes.add(person(request), given["amount"], utcnow(), request=given["request"])
    except MeshError as error:
        messages.error(request, error.detail)
    else:
        messages.success(request, _("%(amount)s MESH are locked.") % {"amount": amounts.show(moved.amount)})
    return redirect("rewards")


@login_required
@require_POST
def stake_leave(request: HttpRequest) -> HttpResponse:
    """Begin to take stake back, once the page has said what that means."""
    form = StakeForm(request.POST)
    if not form.is_valid():
        messages.error(request, first_error(form))
        return redirect("rewards")
    given = form.cleaned_data
    if "sure" not in request.POST:
        wait = timesince.timesince(utcnow() - staking.unbonding_time())
        context = {"form": form, "units": given["amount"], "wait": wait}
        return render(request, "operators/unstake.html", context)
    try:
        row = stakes.take_back(person(request), given["amount"], utcnow(), request=given["request"])
    except MeshError as error:
        messages.error(request, error.detail)
    else:
        shown = {"amount": amounts.show(row.amount), "at": date_format(row.release_at, "j M Y H:i")}
        messages.success(request, _("%(amount)s MESH come back on %(at)s UTC.") % shown)
    return redirect("rewards")


@login_required
@require_POST
def stake_keep(request: HttpRequest, unbonding_id: str) -> HttpResponse:
    """Leave at stake what was asked back."""
    try:
        kept = stakes.cancel(person(request), parse_uuid("unb", unbonding_id), utcnow())
    except ValueError:
        raise Http404 from None
    except MeshError as error:
        messages.error(request, error.detail)
    else:
        messages.success(request, _("%(amount)s MESH stay at stake.") % {"amount": amounts.show(kept.remaining)})
    return redirect("rewards")


@login_required
@require_POST
def faucet_claim(request: HttpRequest, reward: str) -> HttpResponse:
    """Claim a reward of the faucet."""
    user = person(request)
    try:
        if not wallets.has_one(user):
            raise WalletMissing
        given = faucet.claim(user, reward, utcnow())
    except MeshError as error:
        messages.error(request, error.detail)
    else:
        messages.success(request, _("%(n)s MESH of the faucet are yours.") % {"n": amounts.show(given.amount)})
    return redirect("rewards")


@login_required
@never_cache
@require_http_methods(FORM_METHODS)
def send(request: HttpRequest) -> HttpResponse:
    """Whom to pay and how much; then the order to read and sign."""
    user = person(request)
    # A link may name whom to pay, as an invoice does.
    form = SendForm(user, request.POST or None, initial={"to": request.GET.get("to", "")})
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        words = amounts.show(given["amount"])
        order = money_presentation.document(
            user_transfers.PURPOSE, given["wallet"], utcnow(), to=given["to"], amount=words, memo=given["memo"]
        )
        facts = [
            (_("From"), user_transfers.payee(given["wallet"]).address),
            (_("To"), user_transfers.payee(given["to"]).address),
            (_("Amount"), f"{words} MESH"),
            (_("Memo"), given["memo"]),
        ]
        memo = f" --memo {quoted(given['memo'])}" if given["memo"] else ""
        command = f"mesh wallet send {given['to']} {words}{memo}"
        context = money_presentation.signing_context(order, facts, command)
        return render(request, "operators/send_sign.html", context)
    return render(request, "operators/send.html", {"form": form, "has_wallet": user.wallets.bound().exists()})


def quoted(text: str) -> str:
    """The text as one word of a shell."""
    return "'" + text.replace("'", "'\\''") + "'"


@login_required
@require_POST
def send_signed(request: HttpRequest) -> HttpResponse:
    """Obey the signed order."""
    form = SignedForm(request.POST)
    if not form.is_valid():
        messages.error(request, first_error(form))
        return redirect("send")
    try:
        sent = user_transfers.send(
            person(request), form.cleaned_data["document"], form.cleaned_data["signature"], utcnow()
        )
    except MeshError as error:
        messages.error(request, error.detail)
        return redirect("send")
    messages.success(request, _("%(amount)s MESH are sent.") % {"amount": amounts.show(sent.transfer.amount)})
    return redirect("transfer", transfer_id=show_uuid("txn", sent.transfer.pk))


@login_required
@require_GET
def mandate_list(request: HttpRequest) -> HttpResponse:
    """The mandates that one gave or may spend."""
    return render(request, "operators/mandates.html", money_presentation.mandates_context(person(request), utcnow()))


@login_required
@never_cache
@require_http_methods(FORM_METHODS)
def mandate_new(request: HttpRequest) -> HttpResponse:
    """Who may spend how much until when; then the order to read and sign."""
    user = person(request)
    form = MandateForm(user, request.POST or None)
    if request.method == "POST" and form.is_valid():
        return render(request, "operators/mandate_sign.html", mandate_order(form.cleaned_data))
    return render(request, "operators/mandate_new.html", {"form": form, "has_wallet": user.wallets.bound().exists()})


def mandate_order(given: dict[str, Any]) -> dict[str, Any]:
    """The signing page of a mandate."""
    now = utcnow()
    cap = amounts.show(given["cap"])
    order = money_presentation.document(mandates.PURPOSE, given["wallet"], now, spender=given["spender"], cap=cap)
    # In whole seconds, as the page and the command show it.
    order["expires"] = (order["deadline"] + given["days"] * DAY_MS) // 1000 * 1000
    facts = [
        (_("Payer"), user_transfers.payee(given["wallet"]).address),
        (_("Spender"), user_transfers.payee(given["spender"]).address),
        (_("At most"), f"{cap} MESH"),
        (_("Until"), f"{date_format(from_unix_ms(order['expires']), 'j M Y H:i')} UTC"),
    ]
    command = f"mesh wallet mandate {given['spender']} {cap} --days {given['days']}"
    return money_presentation.signing_context(order, facts, command)


@login_required
@require_POST
def mandate_signed(request: HttpRequest) -> HttpResponse:
    """Take the signed mandate."""
    form = SignedForm(request.POST)
    if not form.is_valid():
        messages.error(request, first_error(form))
        return redirect("mandate_new")
    try:
        mandates.give(person(request), form.cleaned_data["document"], form.cleaned_data["signature"], utcnow())
    except MeshError as error:
        messages.error(request, error.detail)
        return redirect("mandate_new")
    messages.success(request, _("The mandate is given. Its spender names it when submitting jobs."))
    return redirect("mandates")


@login_required
@require_POST
def mandate_revoke(request: HttpRequest, mandate_id: str) -> HttpResponse:
    """End a mandate of one's own."""
    try:
        mandates.revoke(mandate_id, person(request), utcnow())
    except MeshError as error:
        messages.error(request, error.detail)
    else:
        messages.success(request, _("Revoked. Nothing more can be held on it."))
    return redirect("mandates")
