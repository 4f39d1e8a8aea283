"""Addresses of the pages of trading."""

from django.urls import path

from apps.trading import views

urlpatterns = [
    path("trading", views.desk, name="trading"),
    path("trading/live", views.desk_live, name="trading_live"),
    path("trading/candles.json", views.candles_json, name="trading_candles"),
    path("trading/pause", views.pause, name="trading_pause"),
    path("trading/resume", views.resume, name="trading_resume"),
    path("trading/flatten", views.flatten, name="trading_flatten"),
    path("trading/signals", views.signals, name="trading_signals"),
    path("trading/signals/<str:signal_id>", views.signal, name="trading_signal"),
    path("trading/decisions", views.decisions, name="trading_decisions"),
    path("trading/decisions/<str:decision_id>", views.decision, name="trading_decision"),
    path("trading/rounds", views.rounds, name="trading_rounds"),
    path("trading/rounds/<str:round_id>", views.round_detail, name="trading_round"),
    path(
        "trading/rounds/<str:round_id>/live",
        views.round_detail,
        {"template": "parts/round_detail"},
        name="trading_round_live",
    ),
    path("trading/rounds/<str:round_id>/certificate.json", views.certificate, name="trading_certificate"),
    path("trading/evidence/<str:digest>", views.evidence, name="trading_evidence"),
    path("trading/evidence/<str:digest>/evidence.json", views.evidence_file, name="trading_evidence_file"),
    path("trading/orders", views.orders, name="trading_orders"),
    path("trading/orders/<str:plan_id>", views.plan, name="trading_plan"),
    path("trading/scans", views.scans, name="trading_scans"),
    path("trading/scans/live", views.scans, {"template": "parts/scans"}, name="trading_scans_live"),
    path("trading/scans/<str:host>", views.target, name="trading_target"),
    path("trading/scans/<str:host>/live", views.target, {"template": "parts/target"}, name="trading_target_live"),
    path("trading/scans/<str:host>/rtt.json", views.rtt_json, name="trading_rtt"),
]
