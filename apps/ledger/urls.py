"""Addresses of the explorer."""

from django.urls import path, register_converter
from django.urls.converters import IntConverter

from apps.ledger import audit_views, views


class HeightConverter(IntConverter):
    """A block's height, as far as a column holds one."""

    regex = "[0-9]{1,18}"


register_converter(HeightConverter, "height")

urlpatterns = [
    path("ledger", views.ledger, name="ledger"),
    path("ledger/live", views.ledger_live, name="ledger_live"),
    path("ledger/search", views.find, name="ledger_search"),
    path("ledger/transfers", views.transfers, name="transfers"),
    path("ledger/transfers/live", views.transfers_live, name="transfers_live"),
    path("ledger/transfers/<str:transfer_id>", views.transfer, name="transfer"),
    path("ledger/transfers/<str:transfer_id>/proof.json", views.transfer_proof, name="transfer_proof"),
    path("ledger/accounts/<str:address>", views.account, name="ledger_account"),
    path("ledger/accounts/<str:address>/live", views.account_live, name="ledger_account_live"),
    path("ledger/blocks", views.chain, name="blocks"),
    path("ledger/blocks/<height:height>", views.block, name="block"),
    path("ledger/audit", audit_views.audit, name="audit"),
    path("ledger/audit/live", audit_views.audit_live, name="audit_live"),
    path("ledger/audit.json", audit_views.audit_json, name="audit_json"),
    path("ledger/audit.csv", audit_views.audit_csv, name="audit_csv"),
    path("ledger/audit/export.zip", audit_views.audit_export, name="audit_export"),
    path("ledger/audit/run", audit_views.run_audit, name="run_audit"),
    path("ledger/audit/<int:run_id>", audit_views.audit_run, name="audit_run"),
    path("ledger/audit/<int:run_id>.json", audit_views.audit_json, name="audit_run_json"),
    path("ledger/audit/<int:run_id>.csv", audit_views.audit_csv, name="audit_run_csv"),
]
