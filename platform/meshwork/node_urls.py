"""The node API's addresses: under /api/v1/pool/ and, on its own port, the bare paths of the compute pool."""

from django.urls import include, path

from meshwork import views

api = [path("", include("apps.pool.node_api.urls")), path("", include("apps.trading.node_urls"))]
urlpatterns = [
    path(".well-known/meshwork", views.well_known),
    path("api/v1/pool/", include(api)),
    path("", include(api)),
]
