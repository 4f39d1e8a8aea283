"""Ethereum addresses that accounts proved to hold, and the nodes that are bound to them."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from apps.operators.models.accounts import KeyQuerySet
from apps.operators.models.nodes import Node


class EthereumAddress(models.Model):
    """An address that an account proved to hold: lower case, 0x and 40 hex digits."""

    address = models.CharField(primary_key=True, max_length=42)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="ethereum_addresses")
    created_at = models.DateTimeField()
    removed_at = models.DateTimeField(null=True)

    objects = KeyQuerySet.as_manager()

    class Meta:
        ordering = ["created_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(address__regex=r"^0x[0-9a-f]{40}$"), name="operators_ethereum_lower_case"
            )
        ]

    def __str__(self) -> str:
        return self.address


class NodeBinding(models.Model):
    """A node is bound to one address; an address to a governed number of nodes at most."""

    node = models.OneToOneField(Node, primary_key=True, on_delete=models.CASCADE, related_name="binding")
    address = models.ForeignKey(EthereumAddress, on_delete=models.PROTECT, related_name="bindings")
    at = models.DateTimeField()

    class Meta:
        ordering = ["at"]

    def __str__(self) -> str:
        return f"{self.node_id} → {self.address_id}"
