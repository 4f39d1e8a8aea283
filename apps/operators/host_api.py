"""Hosts of shards as JSON. Joining needs no key and no session: wallet and machine sign."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.core import parameters
from apps.ledger import amounts
from apps.operators import hosts
from apps.operators.api import ChallengeSerializer, WalletSerializer
from apps.operators.authentication import HasWalletScope
from apps.operators.models import ShardHost
from apps.operators.wallet_api import CHALLENGES_OF_AN_ADDRESS, ENTRIES_OF_AN_ADDRESS, count
from workers.protocol.clock import utcnow


class NewHostSerializer(serializers.Serializer[Any]):
    """The machine's name and its two public keys, base64."""

    name = serializers.CharField(max_length=40)
    sign_public = serializers.CharField(max_length=64)
    seal_public = serializers.CharField(max_length=64)


class JoiningSerializer(WalletSerializer):
    """The message signed by wallet (`signature`) and machine (`host_signature`), the work, and the machine's probe."""

    host_signature = serializers.CharField(max_length=128)
    work = serializers.CharField(max_length=64)
    probe = serializers.DictField(default=dict)


class HostSerializer(serializers.Serializer[Any]):
    """A host; its stake in MESH."""

    id = serializers.CharField()
    name = serializers.CharField()
    status = serializers.CharField()
    wallet = serializers.CharField()
    stake = serializers.CharField()
    joined_at = serializers.DateTimeField()


def shown(host: ShardHost) -> dict[str, Any]:
    """A host as its owner sees it."""
    return {
        "id": host.pk,
        "name": host.name,
        "status": host.status,
        "wallet": host.wallet.address,
        "stake": amounts.show(parameters.get("operators.host_stake")),
        "joined_at": host.joined_at,
    }


class HostChallenge(APIView):
    """A challenge for a machine that wants to host shards."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @extend_schema(tags=["hosts"], request=NewHostSerializer, responses=ChallengeSerializer, auth=[])
    def post(self, request: Request) -> Response:
        """Wallet and machine sign the canonical form of `message`; the work is over its nonce and `sign_public`."""
        serializer = NewHostSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        count(request._request, "wallet-challenge", CHALLENGES_OF_AN_ADDRESS)
        return Response({"message": hosts.challenge(**serializer.validated_data, now=utcnow())})


class HostJoin(APIView):
    """Joining as a host."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @extend_schema(tags=["hosts"], request=JoiningSerializer, responses={201: HostSerializer}, auth=[])
    def post(self, request: Request) -> Response:
        """Locks what the stake lacks from the wallet's account."""
        serializer = JoiningSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        address, data = count(request._request, "wallet-entry", ENTRIES_OF_AN_ADDRESS), serializer.validated_data
        asked = hosts.Request(data, data["host_signature"], data["work"], data["probe"], address)
        return Response(shown(hosts.join(asked, utcnow())), status=status.HTTP_201_CREATED)


class Hosts(APIView):
    """One's own hosts."""

    permission_classes = (IsAuthenticated, HasWalletScope)

    @extend_schema(tags=["hosts"], responses=HostSerializer(many=True))
    def get(self, request: Request) -> Response:
        """All of them, the newest first."""
        rows = ShardHost.objects.select_related("wallet").filter(user=request.user)  # type: ignore[misc]
        return Response({"results": [shown(host) for host in rows]})


class HostLeave(APIView):
    """Letting a host go."""

    permission_classes = (IsAuthenticated, HasWalletScope)

    @extend_schema(tags=["hosts"], request=None, responses=HostSerializer)
    def post(self, request: Request, host_id: str) -> Response:
        """Its stake stays at stake until you take it back."""
        return Response(shown(hosts.leave(request.user, host_id, utcnow())))  # type: ignore[arg-type]
