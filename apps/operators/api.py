"""Accounts, wallets and nodes as JSON."""

from typing import Any

from django.contrib.auth import authenticate
from django.core.cache import cache
from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers, status
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.core.api import CursorPagination
from apps.core.models import User
from apps.ledger import accounts, amounts, faucet
from apps.operators import wallets
from apps.operators.authentication import make_key
from apps.operators.errors import LoginRefused, SecondFactorNeeded, TooManyAttempts
from apps.operators.models import Node, Operator, Scope
from workers.protocol.clock import utcnow

ATTEMPTS_A_MINUTE = 10


class LoginSerializer(serializers.Serializer[Any]):
    """E-mail, password, and a name for the new key."""

    email = serializers.EmailField()
    password = serializers.CharField()
    name = serializers.CharField(max_length=80, default="mesh")


class MadeKeySerializer(serializers.Serializer[Any]):
    """The new key; its text is shown this once."""

    key = serializers.CharField()
    prefix = serializers.CharField()
    user = serializers.CharField()


class Login(APIView):
    """Makes an API key for a person's command line."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @extend_schema(tags=["account"], request=LoginSerializer, responses={201: MadeKeySerializer}, auth=[])
    def post(self, request: Request) -> Response:
        """Ten attempts a minute and address; accounts with a second factor make keys on the site."""
        serializer = LoginSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        data = serializer.validated_data
        address = f"login:{request.META.get('REMOTE_ADDR')}:{data['email'].lower()}"
        cache.add(address, 0, 60)
        if cache.incr(address) > ATTEMPTS_A_MINUTE:
            raise TooManyAttempts
        user = authenticate(request, username=data["email"].lower(), password=data["password"])
        if not isinstance(user, User):
            raise LoginRefused
        if has_second_factor(user):
            raise SecondFactorNeeded
        row, text = make_key(user, data["name"], list(Scope.values), utcnow())
        return Response({"key": text, "prefix": row.prefix, "user": user.email}, status=status.HTTP_201_CREATED)


def has_second_factor(user: User) -> bool:
    """Whether the account has TOTP or another authenticator."""
    from allauth.mfa.utils import is_mfa_enabled

    return bool(is_mfa_enabled(user))


class OperatorSerializer(serializers.Serializer[Any]):
    """An operator in short."""

    tier = serializers.CharField()
    status = serializers.CharField()


class MeSerializer(serializers.Serializer[Any]):
    """An account; amounts in MESH as decimal strings."""

    email = serializers.EmailField()
    name = serializers.CharField()
    balance = serializers.CharField()
    held = serializers.CharField()
    operator = OperatorSerializer(allow_null=True)


class Me(APIView):
    """Whose key this is."""

    @extend_schema(tags=["account"], responses=MeSerializer)
    def get(self, request: Request) -> Response:
        """The account behind the key or session."""
        user: User = request.user  # type: ignore[assignment]
        operator = Operator.objects.filter(user=user).first()
        return Response(
            {
                "email": user.email,
                "name": user.name,
                "balance": amounts.show(accounts.balance(user)),
                "held": amounts.show(accounts.held(user)),
                "operator": {"tier": operator.tier, "status": operator.status} if operator else None,
            }
        )


class WalletSerializer(serializers.Serializer[Any]):
    """A public key and its signature (base64) over the canonical challenge."""

    public = serializers.CharField(max_length=64)
    signature = serializers.CharField(max_length=128)
    message = serializers.DictField()
    label = serializers.CharField(max_length=80, default="", allow_blank=True)


class BoundSerializer(serializers.Serializer[Any]):
    """The bound wallet and what the faucet gave for it."""

    id = serializers.CharField()
    address = serializers.CharField()
    claimed = serializers.CharField()


class ChallengeSerializer(serializers.Serializer[Any]):
    """What to sign."""

    message = serializers.DictField()


class WalletChallenge(APIView):
    """A challenge for one use."""

    @extend_schema(tags=["wallets"], responses=ChallengeSerializer)
    def get(self, request: Request) -> Response:
        """Sign the canonical form of `message` with the wallet's key."""
        return Response({"message": wallets.challenge(request.user, utcnow())})  # type: ignore[arg-type]


class Wallets(APIView):
    """Binds wallets."""

    @extend_schema(tags=["wallets"], request=WalletSerializer, responses={201: BoundSerializer})
    def post(self, request: Request) -> Response:
        """Bind a wallet; the first one of an account claims the testnet's reward at once."""
        serializer = WalletSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        wallet, given = wallets.bind(request.user, serializer.validated_data, utcnow())  # type: ignore[arg-type]
        body = {"id": wallet.pk, "address": wallet.address, "claimed": amounts.show(given.amount if given else 0)}
        return Response(body, status=status.HTTP_201_CREATED)


class ClaimSerializer(serializers.Serializer[Any]):
    """Which reward."""

    reward = serializers.CharField()


class ClaimedSerializer(serializers.Serializer[Any]):
    """What was given, in MESH."""

    amount = serializers.CharField()


class FaucetClaim(APIView):
    """The testnet's faucet."""

    @extend_schema(tags=["wallets"], request=ClaimSerializer, responses=ClaimedSerializer)
    def post(self, request: Request) -> Response:
        """Claim a reward, once each."""
        serializer = ClaimSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        given = faucet.claim(request.user, serializer.validated_data["reward"], utcnow())  # type: ignore[arg-type]
        return Response({"amount": amounts.show(given.amount)})


class NodeSerializer(serializers.ModelSerializer[Node]):
    """What everybody may know of a node."""

    tier = serializers.CharField(source="operator.tier")
    region = serializers.CharField(source="operator.region")
    gpu_type = serializers.CharField(source="probe.gpu_type", default="cpu")
    gflops = serializers.IntegerField()
    created_at = serializers.DateTimeField(source="enrolled_at")

    class Meta:
        model = Node
        fields = (
            "id",
            "name",
            "tier",
            "region",
            "status",
            "reason",
            "next_step",
            "gpu_type",
            "gflops",
            "lanes",
            "load",
            "reputation",
            "last_seen_at",
            "created_at",
        )


class NodePagination(CursorPagination):
    """Newest first."""

    ordering = "-enrolled_at"


@extend_schema(tags=["nodes"], summary="Nodes of the network")
class NodeList(generics.ListAPIView[Node]):
    """Public; `?status=online` filters."""

    permission_classes = (AllowAny,)
    pagination_class = NodePagination
    serializer_class = NodeSerializer

    def get_queryset(self) -> QuerySet[Node]:
        """Nodes that were not revoked."""
        nodes = Node.objects.not_revoked().select_related("operator")
        wanted = self.request.query_params.get("status")
        return nodes.filter(status=wanted) if wanted else nodes


@extend_schema(tags=["nodes"], summary="One node")
class NodeDetail(generics.RetrieveAPIView[Node]):
    """Public."""

    permission_classes = (AllowAny,)
    serializer_class = NodeSerializer

    def get_object(self) -> Node:
        """By id."""
        return get_object_or_404(Node.objects.select_related("operator"), pk=self.kwargs["node_id"])
