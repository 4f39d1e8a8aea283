"""The explorer: the ledger, its transfers, accounts and blocks, for everybody."""

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from apps.core.errors import MeshError
from apps.ledger import presentation, proofs, search
from apps.ledger.models import Block
from workers.protocol.ids import show_uuid

FILTERS = {"account", "kind", "state"}


@require_safe
def ledger(request: HttpRequest) -> HttpResponse:
    """Figures, the newest blocks and the newest transfers. What asks for transfers is led to their list."""
    if FILTERS & set(request.GET):
        return redirect(f"{reverse('transfers')}?{request.GET.urlencode()}")
    return render(request, "ledger/ledger.html", presentation.overview(request.user))


@require_safe
def ledger_live(request: HttpRequest) -> HttpResponse:
    """The same without the frame, for a page that watches."""
    return render(request, "ledger/parts/ledger_live.html", presentation.overview(request.user))


@require_safe
def transfers(request: HttpRequest) -> HttpResponse:
    """The transfers that the address asks for."""
    return render(request, "ledger/transfers.html", presentation.transfers(request.GET))


@require_safe
def transfers_live(request: HttpRequest) -> HttpResponse:
    """The same without the frame."""
    return render(request, "ledger/parts/transfers_live.html", presentation.transfers(request.GET))


@require_safe
def transfer(request: HttpRequest, transfer_id: str) -> HttpResponse:
    """One transfer by its `txn_…` id."""
    return render(request, "ledger/transfer.html", presentation.transfer(search.found_transfer(transfer_id)))


@require_safe
def transfer_proof(request: HttpRequest, transfer_id: str) -> HttpResponse:
    """The proof that it stands in its block, to keep and to check offline."""
    found = search.found_transfer(transfer_id)
    try:
        document = proofs.proof_document(found)
    except MeshError:
        raise Http404 from None
    name = f"proof-{show_uuid('txn', found.pk)}.json"
    return JsonResponse(document, headers={"Content-Disposition": f'attachment; filename="{name}"'})


@require_safe
def account(request: HttpRequest, address: str) -> HttpResponse:
    """One account by its address."""
    context = presentation.account(search.found_account(address), request.GET.get("page"))
    return render(request, "ledger/account.html", context)


@require_safe
def account_live(request: HttpRequest, address: str) -> HttpResponse:
    """The same without the frame."""
    context = presentation.account(search.found_account(address), request.GET.get("page"))
    return render(request, "ledger/parts/account_live.html", context)


@require_safe
def chain(request: HttpRequest) -> HttpResponse:
    """All blocks."""
    return render(request, "ledger/blocks.html", presentation.chain(request.GET.get("page")))


@require_safe
def block(request: HttpRequest, height: int) -> HttpResponse:
    """One block by its height."""
    found = get_object_or_404(Block, pk=height)
    return render(request, "ledger/block.html", presentation.block(found, request.GET.get("page")))


@require_safe
def find(request: HttpRequest) -> HttpResponse:
    """Go to whatever of the ledger has this id; the site's own search answers for everything else."""
    wanted = request.GET.get("q", "").strip()
    return redirect(search.place_of(wanted) or f"{reverse('search')}?{request.GET.urlencode()}")
