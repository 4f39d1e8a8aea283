"""Money over the API: signed transfers, stakes and mandates. The wallet signs; the key says on whose behalf."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers, status
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.core import platform_keys
from apps.core.models import User
from apps.ledger import accounts, amounts, mandates, orders, staking, user_transfers
from apps.ledger.errors import UnbondingUnknown, WrongPurpose
from apps.ledger.models import Mandate, Transfer, Unbonding
from apps.operators import stakes
from apps.operators.authentication import HasWalletScope
from workers.protocol.clock import utcnow
from workers.protocol.ids import parse_uuid, show_uuid

AT_MOST = 200


def person(request: Request) -> User:
    """Whose key or session it is; the views here ask for one."""
    user: User = request.user  # type: ignore[assignment]
    return user


@extend_schema_field(OpenApiTypes.OBJECT)
class DocumentField(serializers.JSONField):
    """An order's document, checked by the ledger."""


class SignedOrderSerializer(serializers.Serializer[Any]):
    """An order and the wallet's Ed25519 signature (base64) over its canonical form (RFC 8785)."""

    document = DocumentField()
    signature = serializers.CharField(max_length=128)

    @classmethod
    def read(cls, request: Request) -> tuple[Any, str]:
        """The document and its signature."""
        given = cls(data=request.data)
        given.is_valid(raise_exception=True)
        return given.validated_data["document"], given.validated_data["signature"]


class NonceSerializer(serializers.Serializer[Any]):
    """What the next order of a wallet must say."""

    net = serializers.CharField()
    wallet = serializers.CharField()
    nonce = serializers.IntegerField()


class SentSerializer(serializers.Serializer[Any]):
    """A transfer; `code` is `created`, or `exists` for one that was sent before. Amounts in MESH."""

    id = serializers.CharField()
    code = serializers.ChoiceField(choices=["created", "exists"])
    payer = serializers.CharField()
    payee = serializers.CharField()
    amount = serializers.CharField()
    memo = serializers.CharField()
    at = serializers.DateTimeField()


class StakeOrderedSerializer(serializers.Serializer[Any]):
    """What a stake order did; `release_at` is null for stake that was locked. Amounts in MESH."""

    id = serializers.CharField()
    amount = serializers.CharField()
    release_at = serializers.DateTimeField(allow_null=True)


class LeavingSerializer(serializers.Serializer[Any]):
    """Stake on its way out."""

    id = serializers.CharField()
    amount = serializers.CharField()
    release_at = serializers.DateTimeField()


class StakeSerializer(serializers.Serializer[Any]):
    """What one has at stake, in MESH."""

    bonded = serializers.CharField()
    leaving = LeavingSerializer(many=True)


class MandateSerializer(serializers.Serializer[Any]):
    """A mandate, in MESH."""

    id = serializers.CharField()
    payer = serializers.CharField()
    spender = serializers.CharField()
    cap = serializers.CharField()
    used = serializers.CharField()
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    revoked_at = serializers.DateTimeField(allow_null=True)


def transfer_form(transfer: Transfer, code: str) -> dict[str, Any]:
    """A transfer as SentSerializer documents it."""
    return {
        "id": show_uuid("txn", transfer.pk),
        "code": code,
        "payer": transfer.debit.address,
        "payee": transfer.credit.address,
        "amount": amounts.show(transfer.amount),
        "memo": transfer.memo,
        "at": transfer.at,
    }


def mandate_form(mandate: Mandate) -> dict[str, Any]:
    """A mandate as MandateSerializer documents it."""
    return {
        "id": show_uuid(mandates.PREFIX, mandate.pk),
        "payer": mandate.payer.address,
        "spender": f"wallet:{mandate.spender}",
        "cap": amounts.show(mandate.cap),
        "used": amounts.show(mandates.used(mandate)),
        "created_at": mandate.created_at,
        "expires_at": mandate.expires_at,
        "revoked_at": mandate.revoked_at,
    }


def leaving_form(row: Unbonding) -> dict[str, Any]:
    """Stake on its way out as LeavingSerializer documents it."""
    return {"id": show_uuid("unb", row.pk), "amount": amounts.show(row.remaining), "release_at": row.release_at}


class MoneyView(APIView):
    """Needs somebody, and a key with the scope."""

    permission_classes = (IsAuthenticated, HasWalletScope)


class WalletNonce(MoneyView):
    """What to sign next."""

    @extend_schema(operation_id="wallets_nonce", tags=["wallets"], responses=NonceSerializer)
    def get(self, request: Request, address: str) -> Response:
        """The network and the nonce of a wallet's next order."""
        return Response({"net": platform_keys.network_id(), "wallet": address, "nonce": orders.next_nonce(address)})


class Transfers(MoneyView):
    """Payments from wallet to wallet."""

    @extend_schema(
        operation_id="transfers_create",
        summary="Send a signed transfer",
        tags=["wallets"],
        request=SignedOrderSerializer,
        responses={201: SentSerializer, 200: SentSerializer},
    )
    def post(self, request: Request) -> Response:
        """201 for a new transfer, 200 for the same order again; every refusal has its code and changes nothing."""
        document, signature = SignedOrderSerializer.read(request)
        sent = user_transfers.send(person(request), document, signature, utcnow())
        made = status.HTTP_201_CREATED if sent.code == "created" else status.HTTP_200_OK
        return Response(transfer_form(sent.transfer, sent.code), status=made)


class Stakes(MoneyView):
    """One's stake."""

    @extend_schema(operation_id="stakes_read", tags=["wallets"], responses=StakeSerializer)
    def get(self, request: Request) -> Response:
        """What is bonded and what is on its way out."""
        user = person(request)
        rows = Unbonding.objects.waiting().filter(account=accounts.stake(user))
        return Response(
            {
                "bonded": amounts.show(staking.bonded(user)),
                "leaving": [leaving_form(row) for row in rows[:AT_MOST]],
            }
        )

    @extend_schema(
        operation_id="stakes_create",
        summary="Lock stake or begin to take it back",
        tags=["wallets"],
        request=SignedOrderSerializer,
        responses={201: StakeOrderedSerializer},
    )
    def post(self, request: Request) -> Response:
        """A signed order of purpose `stake` or `unstake`."""
        document, signature = SignedOrderSerializer.read(request)
        purpose = document.get("purpose") if isinstance(document, dict) else None
        body: dict[str, Any]
        if purpose == stakes.PURPOSE_UNSTAKE:
            body = leaving_form(stakes.obey_unstake(person(request), document, signature, utcnow()))
        elif purpose in {stakes.PURPOSE_STAKE, None}:
            moved = stakes.obey_stake(person(request), document, signature, utcnow())
            body = {"id": show_uuid("txn", moved.pk), "amount": amounts.show(moved.amount), "release_at": None}
        else:
            raise WrongPurpose("Here orders are for the purpose stake or unstake.")
        return Response(body, status=status.HTTP_201_CREATED)


class StakeCancel(MoneyView):
    """Stake that stays after all."""

    @extend_schema(operation_id="stakes_keep", tags=["wallets"], request=None, responses=LeavingSerializer)
    def post(self, request: Request, unbonding_id: str) -> Response:
        """Leave at stake what was asked back, while its time is not over."""
        try:
            key = parse_uuid("unb", unbonding_id)
        except ValueError:
            raise UnbondingUnknown from None
        return Response(leaving_form(stakes.cancel(person(request), key, utcnow())))


class Mandates(MoneyView):
    """Spending mandates."""

    @extend_schema(operation_id="mandates_list", tags=["wallets"], responses=MandateSerializer(many=True))
    def get(self, request: Request) -> Response:
        """Those that one gave or may spend, the newest first; at most 200."""
        return Response([mandate_form(mandate) for mandate in mandates.of(person(request))[:AT_MOST]])

    @extend_schema(
        operation_id="mandates_create",
        summary="Give a signed mandate",
        tags=["wallets"],
        request=SignedOrderSerializer,
        responses={201: MandateSerializer},
    )
    def post(self, request: Request) -> Response:
        """The spender may then submit jobs with `mandate` until the cap is used or the mandate ends."""
        document, signature = SignedOrderSerializer.read(request)
        made = mandates.give(person(request), document, signature, utcnow())
        return Response(mandate_form(made), status=status.HTTP_201_CREATED)


class MandateRevoke(MoneyView):
    """The end of a mandate."""

    @extend_schema(operation_id="mandates_revoke", tags=["wallets"], request=None, responses=MandateSerializer)
    def post(self, request: Request, mandate_id: str) -> Response:
        """Nothing more is held on it; what is held runs its course."""
        return Response(mandate_form(mandates.revoke(mandate_id, person(request), utcnow())))
