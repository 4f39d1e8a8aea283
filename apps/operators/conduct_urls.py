"""Addresses of reputation and bans."""

from django.urls import path

from apps.operators import conduct_views

urlpatterns = [
    path("nodes/<str:node_id>/reputation", conduct_views.node_reputation, name="node_reputation"),
    path("bans", conduct_views.my_bans, name="bans"),
    path("bans/<str:ban_id>/appeal", conduct_views.ban_appeal, name="ban_appeal"),
]
