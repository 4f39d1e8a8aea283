"""The ledger's addresses in the API."""

from django.urls import path

from apps.ledger import api

urlpatterns = [
    path("api/v1/ledger", api.Summary.as_view(), name="api_ledger"),
    path("api/v1/ledger/genesis", api.GenesisDetail.as_view(), name="api_ledger_genesis"),
    path("api/v1/ledger/transfers", api.TransferList.as_view(), name="api_ledger_transfers"),
    path("api/v1/ledger/transfers/<str:transfer_id>", api.TransferDetail.as_view(), name="api_ledger_transfer"),
    path("api/v1/ledger/transfers/<str:transfer_id>/proof", api.TransferProof.as_view(), name="api_ledger_proof"),
    path("api/v1/ledger/accounts/<str:address>", api.AccountDetail.as_view(), name="api_ledger_account"),
    path("api/v1/ledger/blocks", api.BlockList.as_view(), name="api_ledger_blocks"),
    path("api/v1/ledger/blocks/<str:block>", api.BlockDetail.as_view(), name="api_ledger_block"),
    path("api/v1/ledger/audit", api.Audits.as_view(), name="api_ledger_audit"),
    path("api/v1/ledger/audit/export", api.AuditExport.as_view(), name="api_ledger_audit_export"),
]
