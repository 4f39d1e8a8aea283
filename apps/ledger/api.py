"""The ledger over the API, for everybody; only staff ask for an audit."""

from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.http import Http404, HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics
from rest_framework.permissions import AllowAny, BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.core import platform_keys
from apps.core.api import ActsAsStaff, CursorPagination
from apps.core.models import User
from apps.core.streams import attached
from apps.ledger import accounts, amounts, blocks, presentation_audit, proofs
from apps.ledger.errors import GenesisMissing, NotExported
from apps.ledger.forms import TransferFilter
from apps.ledger.models import Account, AccountKind, AuditRun, Block, Genesis, Pending, Transfer
from apps.ledger.search import found_account, found_transfer
from apps.ledger.serializers import (
    AccountSerializer,
    BlockSerializer,
    GenesisSerializer,
    ProofSerializer,
    QueuedSerializer,
    ReportSerializer,
    SummarySerializer,
    TransferFormSerializer,
)
from apps.ledger.tasks import ask_for_audit
from workers.protocol.clock import utcnow

FILTERS = [
    OpenApiParameter("account", str, description="Only transfers that touch this account, such as treasury:system."),
    OpenApiParameter("kind", str, description="Only this type, or family of types: `fee` finds `fee.burn` too."),
    OpenApiParameter("state", str, enum=["pending", "sealed"]),
    OpenApiParameter("block", int, description="Only what this block sealed."),
]


class Newest(CursorPagination):
    """The newest transfer first."""

    ordering = "-seq"


class Highest(CursorPagination):
    """The highest block first."""

    ordering = "-height"


class Summary(APIView):
    """The ledger at a glance."""

    permission_classes = (AllowAny,)

    @extend_schema(tags=["ledger"], summary="Supply, height, treasury and faucet", responses=SummarySerializer)
    def get(self, request: Request) -> Response:
        """Counted now."""
        minted, burned = blocks.supply()
        last = Block.objects.defer("document").first()
        kinds = (AccountKind.TREASURY, AccountKind.FAUCET)
        held = dict(Account.objects.filter(kind__in=kinds, owner=accounts.SYSTEM).values_list("kind", "balance"))
        return Response(
            {
                "network": platform_keys.network_id(),
                "height": last.height if last else None,
                "head": last.hash if last else None,
                "pending": Pending.objects.count(),
                "minted": str(minted),
                "burned": str(burned),
                "supply": str(minted - burned),
                "max_supply": str(amounts.MAX_SUPPLY),
                "treasury": str(held.get(AccountKind.TREASURY, 0)),
                "faucet": str(held.get(AccountKind.FAUCET, 0)) if settings.IS_TESTNET else None,
            }
        )


@extend_schema(tags=["ledger"], summary="Transfers, the newest first", parameters=FILTERS)
class TransferList(generics.ListAPIView[Transfer]):
    """What cannot be read filters nothing."""

    permission_classes = (AllowAny,)
    serializer_class = TransferFormSerializer
    pagination_class = Newest

    def get_queryset(self) -> QuerySet[Transfer]:
        """Those asked for, whole."""
        if getattr(self, "swagger_fake_view", False):
            return Transfer.objects.none()
        query = self.request.query_params
        found = TransferFilter(query).found().transfers
        block = query.get("block", "")
        if block.isdecimal() and len(block) < 19:
            found = found.filter(sealing__block=int(block))
        return found.whole()


class TransferDetail(APIView):
    """One transfer."""

    permission_classes = (AllowAny,)

    @extend_schema(tags=["ledger"], summary="One transfer", responses=TransferFormSerializer)
    def get(self, request: Request, transfer_id: str) -> Response:
        """By `txn_…` or its UUID."""
        return Response(TransferFormSerializer(found_transfer(transfer_id)).data)


class TransferProof(APIView):
    """One transfer's way up to a signed block."""

    permission_classes = (AllowAny,)

    @extend_schema(tags=["ledger"], summary="The proof that a transfer stands in its block", responses=ProofSerializer)
    def get(self, request: Request, transfer_id: str) -> Response:
        """409 with the code `not_sealed` while the transfer is pending."""
        return Response(proofs.proof_document(found_transfer(transfer_id)))


class AccountDetail(APIView):
    """One account."""

    permission_classes = (AllowAny,)

    @extend_schema(tags=["ledger"], summary="One account", responses=AccountSerializer)
    def get(self, request: Request, address: str) -> Response:
        """By its address, such as `treasury:system`."""
        return Response(AccountSerializer(found_account(address)).data)


@extend_schema(tags=["ledger"], summary="Blocks, the highest first")
class BlockList(generics.ListAPIView[Block]):
    """Heights have gaps where a slot was sealed by nobody."""

    permission_classes = (AllowAny,)
    serializer_class = BlockSerializer
    pagination_class = Highest
    queryset = Block.objects.all()


class BlockDetail(APIView):
    """One block."""

    permission_classes = (AllowAny,)

    @extend_schema(tags=["ledger"], summary="One block, by height or hash", responses=BlockSerializer)
    def get(self, request: Request, block: str) -> Response:
        """Its transfers are at `/api/v1/ledger/transfers?block=`."""
        by_height = block.isdecimal() and len(block) < 19
        found = Block.objects.filter(pk=int(block)) if by_height else Block.objects.filter(hash=block.lower())
        one = found.first() if "\x00" not in block else None
        if one is None:
            raise Http404
        return Response(BlockSerializer(one).data)


class GenesisDetail(APIView):
    """Where the chain starts."""

    permission_classes = (AllowAny,)

    @extend_schema(tags=["ledger"], summary="The genesis document and its signature", responses=GenesisSerializer)
    def get(self, request: Request) -> Response:
        """503 with the code `genesis_missing` before the network has started."""
        kept = Genesis.objects.first()
        if kept is None:
            raise GenesisMissing
        return Response(GenesisSerializer(kept).data)


class Audits(APIView):
    """The newest report, and the way to ask for another one."""

    def get_permissions(self) -> list[BasePermission]:
        """Everybody reads; staff ask."""
        return [ActsAsStaff() if self.request.method == "POST" else AllowAny()]

    @extend_schema(tags=["ledger"], summary="The newest audit's report", responses=ReportSerializer)
    def get(self, request: Request) -> Response:
        """404 before the first audit."""
        run = AuditRun.objects.reported().first()
        if run is None:
            raise Http404
        return Response(run.report)

    @extend_schema(tags=["ledger"], summary="Ask for an audit", request=None, responses={202: QueuedSerializer})
    def post(self, request: Request) -> Response:
        """409 with the code `audit_running` while another one waits or runs."""
        by = request.user if isinstance(request.user, User) else None
        return Response({"audit": ask_for_audit(by, utcnow()).pk}, status=202)


class AuditExport(APIView):
    """The whole ledger in one file."""

    permission_classes = (AllowAny,)

    @extend_schema(
        tags=["ledger"],
        summary="The newest export, for `mesh audit verify`",
        responses={(200, "application/zip"): OpenApiTypes.BINARY},
    )
    def get(self, request: Request) -> HttpResponseBase:
        """404 with the code `not_exported` before the first one."""
        export: dict[str, Any] | None = presentation_audit.newest_export()
        if export is None:
            raise NotExported
        return attached(request._request, export["path"], "application/zip")
