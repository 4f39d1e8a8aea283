"""The catalogue's addresses in the API."""

from django.urls import path

from apps.models import api, downloads

urlpatterns = [
    path("api/v1/models", api.ModelList.as_view(), name="api_models"),
    path("api/v1/models/<str:name>", api.ModelDetail.as_view(), name="api_model"),
    path("api/v1/artifacts/<str:sha256>", downloads.artifact, name="artifact"),
]
