"""Trading's addresses of the node API, relative to its prefix."""

from django.urls import path

from apps.pool.node_api.http import endpoint
from apps.trading import node_api

urlpatterns = [
    path("consensus/<str:round_id>", endpoint(POST=node_api.consensus)),
    path("consensus/<str:round_id>/prediction", endpoint(POST=node_api.prediction)),
    path("scans", endpoint(POST=node_api.scan)),
]
