"""Addresses of the operators' pages."""

from django.urls import path, re_path

from apps.operators import account_views, install_views, node_views, views

urlpatterns = [
    path("apply", views.apply, name="apply"),
    path("apply/live", views.apply_live, name="apply_live"),
    path("apply/stages", views.stages_live, name="stages_live"),
    path("apply/stake", views.stake, name="stake"),
    path("install", install_views.install, name="install"),
    path("install/<str:name>", install_views.install_file, name="install_file"),
    path("nodes", views.my_nodes, name="nodes"),
    path("nodes/live", views.my_nodes_live, name="nodes_live"),
    path("nodes/register", views.register, name="node_register"),
    path("nodes/register/<str:token_id>", views.register_waiting, name="node_register_waiting"),
    path("nodes/<str:node_id>", node_views.node_detail, name="node_detail"),
    path("nodes/<str:node_id>/limits", node_views.node_limits, name="node_limits"),
    path("nodes/<str:node_id>/live", node_views.node_live, name="node_live"),
    re_path(r"^nodes/(?P<node_id>[^/]+)/(?P<action>drain|resume|revoke)$", node_views.node_action, name="node_action"),
    path("keys", account_views.keys, name="keys"),
    path("keys/<str:key_id>/revoke", account_views.key_revoke, name="key_revoke"),
    path("wallet", account_views.wallet, name="wallet"),
    path("wallet/live", account_views.wallet_live, name="wallet_live"),
]
