"""Addresses of the catalogue's pages."""

from django.urls import path

from apps.models import views

urlpatterns = [
    path("models", views.models, name="models"),
    path("models/<str:name>", views.model, name="model"),
]
