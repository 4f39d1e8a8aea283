"""Coming in by a wallet, as JSON: for browsers with a session, for the command line with a new API key."""

from typing import Any

from django.http import HttpRequest
from django.utils.decorators import method_decorator
from django.views.decorators.csrf import csrf_protect
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.ledger import amounts
from apps.operators import attempts, entering, sybil, wallets
from apps.operators.api import ChallengeSerializer, MadeKeySerializer, WalletSerializer, has_second_factor
from apps.operators.authentication import make_login_key
from apps.operators.errors import SecondFactorNeeded
from workers.protocol.clock import utcnow

CHALLENGES_OF_AN_ADDRESS = 60
ENTRIES_OF_AN_ADDRESS = 30


def count(request: HttpRequest, what: str, most: int) -> str:
    """Count an attempt; returns where it came from. Raises TooManyAttempts."""
    address = sybil.address_of(request)
    attempts.count(f"{what}:{sybil.network_key(address)}", most)
    return address


class PurposeSerializer(serializers.Serializer[Any]):
    """What the signature is for."""

    purpose = serializers.ChoiceField(wallets.VISITORS_PURPOSES)


class VisitorsChallenge(APIView):
    """A challenge for somebody who is not signed in."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @extend_schema(tags=["wallets"], request=PurposeSerializer, responses=ChallengeSerializer, auth=[])
    def post(self, request: Request) -> Response:
        """Sign the canonical form of `message` with the wallet's key; it works once, for ten minutes."""
        serializer = PurposeSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        count(request._request, "wallet-challenge", CHALLENGES_OF_AN_ADDRESS)
        return Response({"message": wallets.visitors_challenge(serializer.validated_data["purpose"], utcnow())})


class KeyByWalletSerializer(WalletSerializer):
    """The signed challenge of purpose `wallet.key`, and a name for the new key."""

    name = serializers.CharField(max_length=80, default="mesh")


class MadeByWalletSerializer(MadeKeySerializer):
    """The new key, and what the faucet gave where the account was made with it."""

    user = serializers.CharField()
    claimed = serializers.CharField()


class KeyByWallet(APIView):
    """Makes an API key for a command line that has a wallet."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @extend_schema(tags=["wallets"], request=KeyByWalletSerializer, responses={201: MadeByWalletSerializer}, auth=[])
    def post(self, request: Request) -> Response:
        """A wallet that no account has gets an account, without an e-mail address, and the faucet's first reward."""
        serializer = KeyByWalletSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        address = count(request._request, "wallet-entry", ENTRIES_OF_AN_ADDRESS)
        now, data = utcnow(), serializer.validated_data
        entry = wallets.enter(data, wallets.MAKE_KEY, now, address=address)
        if has_second_factor(entry.user):
            raise SecondFactorNeeded
        row, text = make_login_key(entry.user, data["name"], now)
        claimed = amounts.show(entry.given.amount if entry.given else 0)
        body = {"key": text, "prefix": row.prefix, "user": str(entry.user), "expires_at": row.expires_at}
        body["claimed"] = claimed
        return Response(body, status=status.HTTP_201_CREATED)


class EntrySerializer(WalletSerializer):
    """The signed challenge of purpose `wallet.sign-in`, and where to go afterwards."""

    next = serializers.CharField(max_length=500, default="", allow_blank=True)


class EnteredSerializer(serializers.Serializer[Any]):
    """Whether an account was made, what the faucet gave it, and the page to go to."""

    made = serializers.BooleanField()
    claimed = serializers.CharField()
    next = serializers.CharField()


# The session that this opens is the browser's, so that no other site may post it.
@method_decorator(csrf_protect, name="dispatch")
class SessionByWallet(APIView):
    """Signs a browser in by its wallet."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @extend_schema(tags=["wallets"], request=EntrySerializer, responses=EnteredSerializer, auth=[])
    def post(self, request: Request) -> Response:
        """A wallet that no account has gets an account, without an e-mail address, and the faucet's first reward."""
        serializer = EntrySerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        address = count(request._request, "wallet-entry", ENTRIES_OF_AN_ADDRESS)
        data = serializer.validated_data
        entry = wallets.enter(data, wallets.SIGN_IN, utcnow(), address=address)
        place = entering.begin_session(request._request, entry.user, "wallet", data["next"], made=entry.made)
        claimed = amounts.show(entry.given.amount if entry.given else 0)
        return Response({"made": entry.made, "claimed": claimed, "next": place})
