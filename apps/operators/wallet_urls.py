"""Addresses of wallets: pages and API."""

from django.urls import path

from apps.operators import ethereum_api, host_api, wallet_api, wallet_views

urlpatterns = [
    path("wallet/<str:wallet>/remove", wallet_views.wallet_remove, name="wallet_remove"),
    path("wallet/confirm", wallet_views.confirm, name="wallet_confirm"),
    path("wallet/welcome", wallet_views.welcome, name="wallet_welcome"),
    path("api/v1/auth/wallet/challenge", wallet_api.VisitorsChallenge.as_view(), name="api_wallet_visitor"),
    path("api/v1/auth/wallet", wallet_api.KeyByWallet.as_view(), name="api_wallet_key"),
    path("api/v1/auth/wallet/session", wallet_api.SessionByWallet.as_view(), name="api_wallet_session"),
    path("api/v1/auth/ethereum/challenge", ethereum_api.EthereumChallenge.as_view(), name="api_ethereum_visitor"),
    path("api/v1/auth/ethereum/session", ethereum_api.SessionByEthereum.as_view(), name="api_ethereum_session"),
    path("nodes/<str:node_id>/ethereum", wallet_views.node_address, name="node_ethereum"),
    path("hosts", wallet_views.hosts_page, name="hosts"),
    path("hosts/<str:host_id>/leave", wallet_views.host_leave, name="host_leave"),
    path("api/v1/hosts", host_api.Hosts.as_view(), name="api_hosts"),
    path("api/v1/hosts/challenge", host_api.HostChallenge.as_view(), name="api_host_challenge"),
    path("api/v1/hosts/join", host_api.HostJoin.as_view(), name="api_host_join"),
    path("api/v1/hosts/<str:host_id>/leave", host_api.HostLeave.as_view(), name="api_host_leave"),
    path(
        "api/v1/nodes/<str:node_id>/binding/challenge",
        ethereum_api.NodeBindingChallenge.as_view(),
        name="api_node_binding_challenge",
    ),
    path("api/v1/nodes/<str:node_id>/binding", ethereum_api.NodeBindingView.as_view(), name="api_node_binding"),
]
