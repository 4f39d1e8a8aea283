"""Accounts and wallets as JSON."""

from typing import Any

from allauth.account.adapter import get_adapter
from django.conf import settings
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.core.models import User
from apps.ledger import accounts, amounts, faucet
from apps.operators import attempts, sybil, wallets
from apps.operators.authentication import HasFreshWalletScope, HasScope, HasWalletScope, make_login_key
from apps.operators.errors import LoginRefused, SecondFactorNeeded, TooManyWrongPasswords, WalletMissing
from apps.operators.models import Operator
from workers.protocol.clock import utcnow

ATTEMPTS_AT_AN_ACCOUNT = 10
ATTEMPTS_OF_AN_ADDRESS = 60


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
    expires_at = serializers.DateTimeField(help_text="Log in again by then.")


class Login(APIView):
    """Makes an API key for a person's command line."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @extend_schema(tags=["account"], request=LoginSerializer, responses={201: MadeKeySerializer}, auth=[])
    def post(self, request: Request) -> Response:
        """Ten attempts a minute at one account, five wrong ones in five minutes; with a second factor, on the site."""
        serializer = LoginSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        data = serializer.validated_data
        network, email = sybil.network_key(sybil.address_of(request)), data["email"].lower()
        attempts.count(f"login:{network}", ATTEMPTS_OF_AN_ADDRESS)
        attempts.count(f"login:{network}:{email}", ATTEMPTS_AT_AN_ACCOUNT)
        user = known_by(request._request, email, data["password"])
        if has_second_factor(user):
            raise SecondFactorNeeded
        row, text = make_login_key(user, data["name"], utcnow())
        body = {"key": text, "prefix": row.prefix, "user": user.email, "expires_at": row.expires_at}
        return Response(body, status=status.HTTP_201_CREATED)


def known_by(request: HttpRequest, email: str, password: str) -> User:
    """Whose e-mail address and password they are. Raises LoginRefused or TooManyWrongPasswords.

    The wrong ones are counted with those of the sign-in page, from wherever they come.
    """
    try:
        user = get_adapter().authenticate(request, email=email, password=password)
    except ValidationError as error:
        raise TooManyWrongPasswords from error
    # The adapter finds closed accounts too.
    if not isinstance(user, User) or not user.is_active:
        raise LoginRefused
    return user


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

    email = serializers.EmailField(allow_null=True)
    name = serializers.CharField()
    balance = serializers.CharField()
    held = serializers.CharField()
    operator = OperatorSerializer(allow_null=True)


class Me(APIView):
    """Whose key this is."""

    permission_classes = (IsAuthenticated, HasScope)

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
    label = serializers.CharField(max_length=80, default="", allow_blank=True)  # type: ignore[assignment]


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

    permission_classes = (IsAuthenticated, HasFreshWalletScope)

    @extend_schema(tags=["wallets"], responses=ChallengeSerializer)
    def get(self, request: Request) -> Response:
        """Sign the canonical form of `message` with the wallet's key."""
        return Response({"message": wallets.challenge(request.user, utcnow())})  # type: ignore[arg-type]


class Wallets(APIView):
    """Binds wallets."""

    permission_classes = (IsAuthenticated, HasFreshWalletScope)

    @extend_schema(tags=["wallets"], request=WalletSerializer, responses={201: BoundSerializer})
    def post(self, request: Request) -> Response:
        """Bind a wallet; the first one of an account claims the testnet's reward at once."""
        serializer = WalletSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        if settings.IS_TESTNET and wallets.first_reward(request.user) is None:  # type: ignore[arg-type]
            # An account is as cheap as an address that nobody reads: the reward is counted as a new account is.
            sybil.count_account(sybil.address_of(request._request))
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

    permission_classes = (IsAuthenticated, HasWalletScope)

    @extend_schema(tags=["wallets"], request=ClaimSerializer, responses=ClaimedSerializer)
    def post(self, request: Request) -> Response:
        """Claim a reward, once each; it needs a bound wallet."""
        serializer = ClaimSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        user: User = request.user  # type: ignore[assignment]
        if not wallets.has_one(user):
            raise WalletMissing
        given = faucet.claim(user, serializer.validated_data["reward"], utcnow())
        return Response({"amount": amounts.show(given.amount)})
