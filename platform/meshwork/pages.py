"""The network's own pages: landing, overview, and the search for any id."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import Resolver404, resolve
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from apps.core import platform_keys
from apps.core.errors import KeysMissing
from apps.ledger import search as ledger_search
from apps.operators import search as operators_search
from apps.pool.models import Task
from meshwork import figures
from workers.protocol.clock import utcnow

STEPS = (
    {
        "icon": "lock",
        "title": _("Sealed"),
        "text": _("A job travels encrypted for the one node that runs it, and every message is signed by its sender."),
    },
    {
        "icon": "network",
        "title": _("Split"),
        "text": _("Chunks are leased to machines that fit. A machine that dies loses a chunk, not the job."),
    },
    {
        "icon": "scale",
        "title": _("Settled"),
        "text": _("The fee is held at submit and paid per accepted chunk, in a ledger that anyone may audit."),
    },
)
EMBEDDING = """\
curl {site}/v1/embeddings \\
  -H 'Authorization: Bearer mk_…' \\
  -H 'Content-Type: application/json' \\
  -d '{{"model": "all-MiniLM-L6-v2", "input": ["hello"]}}'"""
VERIFYING = """\
mesh receipt job_… --output receipt.json
mesh verify receipt.json --root {root}"""
# Where a whole id leads, by its prefix.
PLACES = {
    "job": "/jobs/{id}",
    "node": "/nodes/{id}",
    "mdl": "/models/{id}",
    "sig": "/trading/signals/{id}",
    "dec": "/trading/decisions/{id}",
    "rnd": "/trading/rounds/{id}",
    "pln": "/trading/orders/{id}",
}


def landing(request: HttpRequest) -> HttpResponse:
    """What the network is, how it stands, and the one way in."""
    context = {
        "totals": figures.totals(utcnow()),
        "steps": STEPS,
        "join_url": "/apply" if request.user.is_authenticated else "/accounts/signup/?next=/apply",
        "use_command": EMBEDDING.format(site=settings.SITE_URL),
        "verify_command": VERIFYING.format(root=root_fingerprint()),
    }
    return render(request, "pages/landing.html", context)


def root_fingerprint() -> str:
    """The root key that receipts are checked against; a placeholder until genesis is written."""
    try:
        return platform_keys.root_fingerprint()
    except KeysMissing:
        return "…"


def totals(request: HttpRequest) -> HttpResponse:
    """The landing page's figures, fetched again when something happens."""
    return render(request, "pages/parts/totals.html", {"totals": figures.totals(utcnow())})


def overview(request: HttpRequest) -> HttpResponse:
    """Figures, throughput, current jobs and the nodes."""
    context = overview_context(request)
    count = context["page"].paginator.count
    context["lead"] = ngettext("%(count)d node listed", "%(count)d nodes listed", count) % {"count": count}
    return render(request, "pages/overview.html", context)


def overview_live(request: HttpRequest) -> HttpResponse:
    """The overview without its frame."""
    return render(request, "pages/parts/overview_live.html", overview_context(request))


def overview_context(request: HttpRequest) -> dict[str, Any]:
    """What the overview shows for this URL's span, filters and page."""
    now = utcnow()
    span = figures.span_named(request.GET.get("span"))
    filters = figures.node_filters(request.GET)
    return {
        "totals": figures.totals(now),
        "spans": figures.SPANS,
        "span": span,
        "chart": figures.throughput(span, now),
        "jobs": figures.current_jobs(request.user),
        "filters": filters,
        "filtered": any(one.chosen for one in filters),
        "page": figures.nodes_page(filters, request.GET.get("page")),
    }


def search(request: HttpRequest) -> HttpResponse:
    """Go to whatever has this id; say so where nothing has."""
    query = request.GET.get("q", "").strip()
    place = place_of(query, request.user)
    return redirect(place) if place else render(request, "pages/search.html", {"query": query})


def place_of(identifier: str, user: object) -> str | None:
    """The page of an id, if the site has such pages. The page itself says whether it exists.

    What is private is found by those who may see it; to others it is not there.
    """
    if found := ledger_search.place_of(identifier) or operators_search.place_of(identifier, user):
        return found
    prefix, _sep, rest = identifier.partition("_")
    if prefix == "tsk" and (job := Task.objects.filter(pk=identifier).values_list("job_id", flat=True).first()):
        return place_of(job, user)
    if prefix not in PLACES or not rest.isalnum():
        return None
    place = PLACES[prefix].format(id=identifier)
    try:
        resolve(place)
    except Resolver404:
        return None
    return place
