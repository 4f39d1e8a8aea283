"""Addresses of money: pages and API of transfers, stakes, rewards and mandates."""

from django.urls import path

from apps.operators import money_api

urlpatterns = [
    path("api/v1/wallets/<str:address>/nonce", money_api.WalletNonce.as_view(), name="api_wallet_nonce"),
    path("api/v1/transfers", money_api.Transfers.as_view(), name="api_transfers"),
    path("api/v1/stakes", money_api.Stakes.as_view(), name="api_stakes"),
    path("api/v1/stakes/<str:unbonding_id>/cancel", money_api.StakeCancel.as_view(), name="api_stake_cancel"),
    path("api/v1/mandates", money_api.Mandates.as_view(), name="api_mandates"),
    path("api/v1/mandates/<str:mandate_id>/revoke", money_api.MandateRevoke.as_view(), name="api_mandate_revoke"),
]
