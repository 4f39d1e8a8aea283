"""Addresses of the explorer."""

from django.urls import path, register_converter
from django.urls.converters import IntConverter

from apps.ledger import views


class HeightConverter(IntConverter):
    """A block's height, as far as a column holds one."""

    regex = "[0-9]{1,18}"


register_converter(HeightConverter, "height")

urlpatterns = [
    path("ledger", views.ledger, name="ledger"),
    path("ledger/live", views.ledger_live, name="ledger_live"),
    path("ledger/audit", views.audit, name="audit"),
    path("ledger/audit/live", views.audit_live, name="audit_live"),
    path("ledger/audit.json", views.audit_json, name="audit_json"),
    path("ledger/audit/run", views.run_audit, name="run_audit"),
    path("ledger/transfers/<str:transfer_id>", views.transfer, name="transfer"),
    path("ledger/blocks/<height:height>", views.block, name="block"),
]
