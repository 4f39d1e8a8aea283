"""Addresses of wallets: pages and API."""

from django.urls import path

from apps.operators import wallet_api, wallet_views

urlpatterns = [
    path("wallet/welcome", wallet_views.welcome, name="wallet_welcome"),
    path("api/v1/auth/wallet/challenge", wallet_api.VisitorsChallenge.as_view(), name="api_wallet_visitor"),
    path("api/v1/auth/wallet", wallet_api.KeyByWallet.as_view(), name="api_wallet_key"),
    path("api/v1/auth/wallet/session", wallet_api.SessionByWallet.as_view(), name="api_wallet_session"),
]
