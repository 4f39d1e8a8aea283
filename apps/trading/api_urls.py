"""Trading's addresses in the API."""

from django.urls import path

from apps.trading import api

urlpatterns = [
    path("api/v1/scans", api.ScanList.as_view(), name="api_scans"),
    path("api/v1/signals", api.SignalList.as_view(), name="api_signals"),
    path("api/v1/signals/accuracy", api.SignalAccuracy.as_view(), name="api_signals_accuracy"),
]
