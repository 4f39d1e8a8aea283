"""Addresses of the operators' API."""

from django.urls import path

from apps.operators import api, operating_api

urlpatterns = [
    path("api/v1/auth/login", api.Login.as_view(), name="api_login"),
    path("api/v1/me", api.Me.as_view(), name="api_me"),
    path("api/v1/wallets", api.Wallets.as_view(), name="api_wallets"),
    path("api/v1/wallets/challenge", api.WalletChallenge.as_view(), name="api_wallet_challenge"),
    path("api/v1/faucet/claim", api.FaucetClaim.as_view(), name="api_faucet_claim"),
    path("api/v1/application", operating_api.ApplicationView.as_view(), name="api_application"),
    path("api/v1/nodes", operating_api.NodeList.as_view(), name="api_nodes"),
    path("api/v1/nodes/<str:node_id>", operating_api.NodeDetail.as_view(), name="api_node"),
]
