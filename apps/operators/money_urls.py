"""Addresses of money: pages and API of transfers, stakes, rewards and mandates."""

from django.urls import path

from apps.operators import money_api, money_views, slash_views

urlpatterns = [
    path("rewards", money_views.rewards, name="rewards"),
    path("rewards/live", money_views.rewards_live, name="rewards_live"),
    path("rewards/stake", money_views.stake_add, name="stake_add"),
    path("rewards/unstake", money_views.stake_leave, name="stake_leave"),
    path("rewards/unstake/<str:unbonding_id>/cancel", money_views.stake_keep, name="stake_keep"),
    path("rewards/slashes/<str:slash_id>", slash_views.slash, name="slash"),
    path("rewards/slashes/<str:slash_id>/appeal", slash_views.slash_appeal, name="slash_appeal"),
    path("rewards/faucet/<str:reward>", money_views.faucet_claim, name="faucet_claim"),
    path("transfers/new", money_views.send, name="send"),
    path("transfers/signed", money_views.send_signed, name="send_signed"),
    path("mandates", money_views.mandate_list, name="mandates"),
    path("mandates/new", money_views.mandate_new, name="mandate_new"),
    path("mandates/signed", money_views.mandate_signed, name="mandate_signed"),
    path("mandates/<str:mandate_id>/revoke", money_views.mandate_revoke, name="mandate_revoke"),
    path("api/v1/wallets/<str:address>/nonce", money_api.WalletNonce.as_view(), name="api_wallet_nonce"),
    path("api/v1/transfers", money_api.Transfers.as_view(), name="api_transfers"),
    path("api/v1/stakes", money_api.Stakes.as_view(), name="api_stakes"),
    path("api/v1/stakes/<str:unbonding_id>/cancel", money_api.StakeCancel.as_view(), name="api_stake_cancel"),
    path("api/v1/mandates", money_api.Mandates.as_view(), name="api_mandates"),
    path("api/v1/mandates/<str:mandate_id>/revoke", money_api.MandateRevoke.as_view(), name="api_mandate_revoke"),
]
