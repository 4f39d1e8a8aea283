"""Pages of trading: open to everybody to look at; its state is changed by staff alone."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from apps.core.errors import MeshError
from apps.core.models import FaultEvidence, User
from apps.trading import presentation as shared
from apps.trading import presentation_charts as charts
from apps.trading import presentation_desk
from apps.trading import presentation_evidence as evidence_pages
from apps.trading import presentation_orders as order_pages
from apps.trading import presentation_rounds as round_pages
from apps.trading import presentation_scans as scan_pages
from apps.trading import presentation_signals as signal_pages
from apps.trading.forms import ReasonForm
from apps.trading.models import Decision, Plan, Round, ScanTarget, TradingState
from apps.trading.risk import limits as risk_limits
from apps.trading.risk import states
from workers.protocol.clock import utcnow

Change = Callable[[User, str, datetime, datetime], TradingState]


def page(request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
    """A page of trading: with its mode, its market's time and its state."""
    return render(request, template, shared.frame(request.user, utcnow()) | context)


@require_safe
def desk(request: HttpRequest) -> HttpResponse:
    """The trading desk."""
    context = presentation_desk.desk(request.user, request.GET, utcnow())
    return render(request, "trading/desk.html", context | {"controls": presentation_desk.controls()})


@require_safe
def desk_live(request: HttpRequest) -> HttpResponse:
    """The desk's changing part alone."""
    return render(request, "trading/parts/desk.html", presentation_desk.desk(request.user, request.GET, utcnow()))


@require_safe
def candles_json(request: HttpRequest) -> HttpResponse:
    """Bars and fills of one pair, for the chart."""
    pairs = risk_limits.current().allowed_pairs
    pair = request.GET.get("pair", "")
    if pair not in pairs:
        raise Http404
    step = charts.step_named(request.GET.get("step"))
    return JsonResponse(charts.candles(pair, step, shared.market(utcnow())), headers={"Cache-Control": "no-store"})


@require_POST
@login_required
def pause(request: HttpRequest) -> HttpResponse:
    """No entries until somebody resumes."""
    return steer(request, states.pause, _("Trading is paused. Stops and take-profits go on."))


@require_POST
@login_required
def resume(request: HttpRequest) -> HttpResponse:
    """Active again."""
    return steer(request, states.resume, _("Trading is active."))


@require_POST
@login_required
def flatten(request: HttpRequest) -> HttpResponse:
    """No entries, and every position is sold."""
    return steer(request, states.stop_and_flatten, _("Trading is stopped, and every position is being sold."))


def steer(request: HttpRequest, change: Change, done: str) -> HttpResponse:
    """Change the state of trading for staff, with their reason; a refusal is told, not shown as an error page."""
    user = request.user
    if not (isinstance(user, User) and user.acts_as_staff):
        raise PermissionDenied
    form = ReasonForm(request.POST)
    wall = utcnow()
    if not form.is_valid():
        messages.error(request, _("Say why: the reason is kept with the change."))
        return redirect("trading")
    try:
        change(user, form.cleaned_data["reason"], shared.market(wall).at, wall)
    except MeshError as refusal:
        messages.error(request, refusal.detail)
    else:
        messages.success(request, done)
    return redirect("trading")


@require_safe
def signals(request: HttpRequest) -> HttpResponse:
    """Signals, filtered by the URL."""
    return page(request, "trading/signals.html", {"list": signal_pages.signals(request.GET)})


@require_safe
def signal(request: HttpRequest, signal_id: str) -> HttpResponse:
    """One signal, what was decided on it and what came of it."""
    row = get_object_or_404(signal_pages.related().defer(None), pk=signal_id)
    return page(request, "trading/signal.html", signal_pages.signal(row))


@require_safe
def decisions(request: HttpRequest) -> HttpResponse:
    """Decisions, filtered by the URL."""
    found = signal_pages.decisions(request.GET, shared.PER_PAGE)
    context = {"decisions": found, "decisions_url": request.path}
    return page(request, "trading/decisions.html", context)


@require_safe
def decision(request: HttpRequest, decision_id: str) -> HttpResponse:
    """One decision with every rule that was asked."""
    row = get_object_or_404(Decision.objects.select_related("signal"), pk=decision_id)
    return page(request, "trading/decision.html", signal_pages.decision(row))


@require_safe
def rounds(request: HttpRequest) -> HttpResponse:
    """Consensus rounds, the newest first."""
    found = shared.listing(round_pages.recent(), [], request.GET.get("page"))
    return page(request, "trading/rounds.html", {"list": found})


def round_detail(request: HttpRequest, round_id: str, template: str = "round") -> HttpResponse:
    """One round with its messages, certificate and evidence."""
    row = get_object_or_404(Round.objects.select_related("signal"), pk=round_id)
    return page(request, f"trading/{template}.html", round_pages.detail(row))


@require_safe
def certificate(request: HttpRequest, round_id: str) -> HttpResponse:
    """The certificate, as `mesh verify` takes it."""
    row = get_object_or_404(Round.objects.only("certificate"), pk=round_id, certificate__isnull=False)
    answer = JsonResponse(row.certificate, json_dumps_params={"indent": 1})
    answer["Content-Disposition"] = f'attachment; filename="{row.pk}.certificate.json"'
    return answer


@require_safe
def evidence(request: HttpRequest, digest: str) -> HttpResponse:
    """Two signed messages that conflict, and what came of them."""
    row = get_object_or_404(FaultEvidence, digest=digest)
    return page(request, "trading/evidence.html", evidence_pages.detail(row))


@require_safe
def evidence_file(request: HttpRequest, digest: str) -> HttpResponse:
    """The evidence, as `mesh verify` takes it."""
    row = get_object_or_404(FaultEvidence, digest=digest)
    found = evidence_pages.file_of(row)
    if found is None:
        raise Http404
    answer = JsonResponse(found, json_dumps_params={"indent": 1})
    answer["Content-Disposition"] = f'attachment; filename="{evidence_pages.filename(row)}"'
    return answer


@require_safe
def orders(request: HttpRequest) -> HttpResponse:
    """Plans, filtered by the URL."""
    return page(request, "trading/orders.html", {"list": order_pages.plans(request.GET)})


@require_safe
def plan(request: HttpRequest, plan_id: str) -> HttpResponse:
    """One plan with its slices and fills."""
    row = get_object_or_404(Plan.objects.select_related("signal", "round", "position"), pk=plan_id)
    return page(request, "trading/plan.html", order_pages.plan_detail(row))


@require_safe
def scans(request: HttpRequest, template: str = "scans") -> HttpResponse:
    """Targets with a day of their series."""
    market = shared.market(utcnow())
    context = {
        "list": scan_pages.targets(request.GET, market),
        "totals": scan_pages.totals(market),
        "alarms": scan_pages.alarms(),
        "alarms_note": scan_pages.measured_alarms(),
    }
    return page(request, f"trading/{template}.html", context)


@require_safe
def target(request: HttpRequest, host: str, template: str = "target") -> HttpResponse:
    """One target: its series, the last path, changes of the route, history."""
    row = get_object_or_404(ScanTarget, host=host)
    return page(request, f"trading/{template}.html", scan_pages.detail(row, request.GET, shared.market(utcnow())))


@require_safe
def rtt_json(request: HttpRequest, host: str) -> HttpResponse:
    """Round-trip times of one target from one vantage, as the chart has them."""
    row = get_object_or_404(ScanTarget, host=host)
    context = scan_pages.detail(row, request.GET, shared.market(utcnow()))
    answer = {"host": row.host, "vantage": context["chosen"], "series": context["chart"]}
    return JsonResponse(answer, headers={"Cache-Control": "no-store"})
