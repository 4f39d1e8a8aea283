"""Addresses of the operators' pages."""

from django.urls import path, re_path

from apps.operators import views

urlpatterns = [
    path("apply", views.apply, name="apply"),
    path("apply/stake", views.stake, name="stake"),
    path("nodes", views.my_nodes, name="nodes"),
    path("nodes/live", views.my_nodes_live, name="nodes_live"),
    path("nodes/register", views.register, name="node_register"),
    path("nodes/register/waiting", views.register_waiting, name="node_register_waiting"),
    path("nodes/<str:node_id>", views.node_detail, name="node_detail"),
    path("nodes/<str:node_id>/live", views.node_live, name="node_live"),
    re_path(r"^nodes/(?P<node_id>[^/]+)/(?P<action>drain|resume|revoke)$", views.node_action, name="node_action"),
    path("keys", views.keys, name="keys"),
    path("keys/<str:key_id>/revoke", views.key_revoke, name="key_revoke"),
    path("wallet", views.wallet, name="wallet"),
]
