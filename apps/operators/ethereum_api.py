"""Ethereum wallets as JSON: coming in by one, and binding an address to a node of one's own."""

from typing import Any

from django.shortcuts import get_object_or_404
from django.utils.decorators import method_decorator
from django.views.decorators.csrf import csrf_protect
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.ledger import amounts
from apps.operators import entering, ethereum
from apps.operators.authentication import HasFreshWalletScope
from apps.operators.models import Node
from apps.operators.wallet_api import (
    CHALLENGES_OF_AN_ADDRESS,
    ENTRIES_OF_AN_ADDRESS,
    EnteredSerializer,
    count,
)
from workers.protocol.clock import utcnow


class AddressSerializer(serializers.Serializer[Any]):
    """Which address is going to sign."""

    address = serializers.CharField(max_length=42)


class TypedDataSerializer(serializers.Serializer[Any]):
    """EIP-712 typed data for `eth_signTypedData_v4`; the nonce is good once, for ten minutes."""

    typed_data = serializers.DictField()


class SignedSerializer(serializers.Serializer[Any]):
    """The nonce of the challenge and its signature: 65 bytes in hexadecimal."""

    nonce = serializers.CharField(max_length=64)
    signature = serializers.CharField(max_length=200)


class EthereumEntrySerializer(SignedSerializer):
    """The same, and where to go afterwards."""

    next = serializers.CharField(max_length=500, default="", allow_blank=True)


class BindingSerializer(serializers.Serializer[Any]):
    """A node's address."""

    node = serializers.CharField()
    address = serializers.CharField()


class EthereumChallenge(APIView):
    """A challenge for a visitor with an Ethereum wallet."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @extend_schema(tags=["wallets"], request=AddressSerializer, responses=TypedDataSerializer, auth=[])
    def post(self, request: Request) -> Response:
        """Typed data of the kind SignIn."""
        serializer = AddressSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        count(request._request, "wallet-challenge", CHALLENGES_OF_AN_ADDRESS)
        ethereum.warm()
        return Response({"typed_data": ethereum.sign_in_challenge(serializer.validated_data["address"], utcnow())})


# The session that this opens is the browser's, so that no other site may post it.
@method_decorator(csrf_protect, name="dispatch")
class SessionByEthereum(APIView):
    """Signs a browser in by an Ethereum wallet."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @extend_schema(tags=["wallets"], request=EthereumEntrySerializer, responses=EnteredSerializer, auth=[])
    def post(self, request: Request) -> Response:
        """An address that no account has gets an account, without an e-mail address, and the faucet's first reward."""
        serializer = EthereumEntrySerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        source = count(request._request, "wallet-entry", ENTRIES_OF_AN_ADDRESS)
        data = serializer.validated_data
        entry = ethereum.enter(data["nonce"], data["signature"], utcnow(), source=source)
        place = entering.begin_session(request._request, entry.user, "ethereum", data["next"], made=entry.made)
        claimed = amounts.show(entry.given.amount if entry.given else 0)
        return Response({"made": entry.made, "claimed": claimed, "next": place})


def own_node(request: Request, node_id: str) -> Node:
    """A node of the caller's; 404 otherwise, whether or not it exists."""
    return get_object_or_404(Node.objects.select_related("operator"), pk=node_id, operator__user=request.user)


class NodeBindingChallenge(APIView):
    """A challenge for binding an address to a node."""

    permission_classes = (IsAuthenticated, HasFreshWalletScope)

    @extend_schema(tags=["nodes"], request=AddressSerializer, responses=TypedDataSerializer)
    def post(self, request: Request, node_id: str) -> Response:
        """Typed data of the kind NodeBinding, for the address to sign."""
        node = own_node(request, node_id)
        serializer = AddressSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        ethereum.warm()
        address = serializer.validated_data["address"]
        typed = ethereum.binding_challenge(request.user, node, address, utcnow())  # type: ignore[arg-type]
        return Response({"typed_data": typed})


class NodeBindingView(APIView):
    """The Ethereum address of a node of one's own."""

    permission_classes = (IsAuthenticated, HasFreshWalletScope)

    @extend_schema(tags=["nodes"], request=SignedSerializer, responses={200: BindingSerializer})
    def put(self, request: Request, node_id: str) -> Response:
        """Bind the address that signed, in place of any before."""
        node = own_node(request, node_id)
        serializer = SignedSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        data = serializer.validated_data
        bound = ethereum.bind_node(request.user, node, data["nonce"], data["signature"], utcnow())  # type: ignore[arg-type]
        return Response({"node": bound.node_id, "address": bound.address_id})

    @extend_schema(tags=["nodes"], request=None, responses={204: None})
    def delete(self, request: Request, node_id: str) -> Response:
        """Take the address away."""
        ethereum.unbind_node(request.user, own_node(request, node_id), utcnow())  # type: ignore[arg-type]
        return Response(status=status.HTTP_204_NO_CONTENT)
