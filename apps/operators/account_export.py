"""Everything that the platform holds of a person, as one JSON document, written piece by piece.

Secrets are no part of it: of keys and second factors it has what they are called and when they were used. Other rooms
add their sections when they are loaded.
"""

import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from datetime import date, datetime
from typing import Any
from uuid import UUID

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from asgiref.sync import sync_to_async
from django.db.models import Model, Q, QuerySet

from apps.core.models import Event, User
from apps.ledger import accounts, amounts
from apps.ledger.models import Account, Transfer
from apps.ledger.money_models import EpochShare, Mandate, Slash, Unbonding
from apps.operators.models import (
    ApiKey,
    Appeal,
    Application,
    Ban,
    EnrolmentToken,
    EthereumAddress,
    Node,
    NodeBinding,
    NodeEvent,
    Notification,
    Operator,
    ReputationChange,
    RetiredKey,
    ShardHost,
    SlashAppeal,
    Stake,
    Wallet,
)
from workers.protocol.ids import show_uuid

Row = dict[str, Any]
Section = Callable[[User], Iterable[Row]]
_sections: dict[str, Section] = {}
AT_ONCE = 500
PIECE = 2**16


def register(name: str, section: Section) -> None:
    """Add a section: `section(user)` gives rows, lazily where there can be many."""
    _sections[name] = section


def rows(found: "QuerySet[Any]", *fields: str, key: str = "id", money: Iterable[str] = ()) -> Iterator[Row]:
    """The fields of many rows, a few hundred a query, in the order of `key`; `money` names amounts in base units."""
    ordered = found.order_by(key)
    page = ordered
    while batch := list(page.values(key, *fields)[:AT_ONCE]):
        for row in batch:
            yield {name: amounts.show(value) if name in money else value for name, value in row.items()}
        page = ordered.filter(**{f"{key}__gt": batch[-1][key]})


def document(user: User, now: datetime) -> Iterator[str]:
    """The document's text in pieces."""
    head = {"exported_at": now, "profile": profile(user)}
    yield dumps(head)[:-1]
    for name, section in {**OWN, **_sections}.items():
        yield f', "{name}": ['
        for number, row in enumerate(section(user)):
            yield (",\n" if number else "\n") + dumps(row)
        yield "]"
    yield "}\n"


def pieces(user: User, now: datetime) -> Iterator[bytes]:
    """The document as bytes, some 64 KiB each."""
    waiting: list[str] = []
    size = 0
    for text in document(user, now):
        waiting.append(text)
        size += len(text)
        if size >= PIECE:
            yield "".join(waiting).encode()
            waiting, size = [], 0
    yield "".join(waiting).encode()


async def pieces_async(user: User, now: datetime) -> AsyncIterator[bytes]:
    """The same for an asynchronous server, which would gather a plain iterator in memory first."""
    reading = pieces(user, now)

    def following() -> bytes:
        return next(reading, b"")

    # In the request's own thread, whose database connection the handler closes.
    while data := await sync_to_async(following)():
        yield data


def dumps(value: Any) -> str:
    """JSON with times as ISO 8601 in UTC."""
    return json.dumps(value, default=plain, ensure_ascii=False)


def plain(value: Any) -> str:
    """A moment, a day, or an id, as text."""
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, date | UUID):
        return str(value)
    raise TypeError(f"{type(value)} has no form in an export")


def profile(user: User) -> Row:
    """The account itself."""
    fields = ("id", "email", "name", "time_zone", "date_joined", "last_login", "is_staff")
    return {name: getattr(user, name) for name in fields}


def authenticators(user: User) -> Iterator[Row]:
    """Second factors and passkeys by kind and name."""
    for row in Authenticator.objects.filter(user=user).order_by("pk"):
        name = row.data.get("name", "")
        yield {"type": row.type, "name": name, "created_at": row.created_at, "last_used_at": row.last_used_at}


def transfers(user: User) -> Iterator[Row]:
    """Every movement of the account's money."""
    own = Account.objects.filter(owner=accounts.owner_of(user))
    found = Transfer.objects.touching(own).select_related("debit", "credit").order_by("seq")
    page = found
    while batch := list(page[:AT_ONCE]):
        for transfer in batch:
            yield {
                "id": show_uuid("txn", transfer.pk),
                "kind": transfer.kind,
                "from": transfer.debit.address,
                "to": transfer.credit.address,
                "amount": amounts.show(transfer.amount),
                "memo": transfer.memo,
                "at": transfer.at,
            }
        page = found.filter(seq__gt=batch[-1].seq)


def events(user: User) -> Iterator[Row]:
    """What the person did, and what happened to what is theirs."""
    subjects = [f"user:{user.pk}"]
    owned: tuple[tuple[type[Model], str], ...] = (
        (Application, "user"),
        (Operator, "user"),
        (Wallet, "user"),
        (Node, "operator__user"),
    )
    for model, owner in owned:
        subjects += model._default_manager.filter(**{owner: user}).values_list("pk", flat=True)
    found = Event.objects.filter(Q(actor=user) | Q(subject__in=subjects))
    return rows(found, "kind", "subject", "data", "at")


OWN: dict[str, Section] = {
    "emails": lambda user: rows(EmailAddress.objects.filter(user=user), "email", "verified", "primary"),
    "sign_in_methods": authenticators,
    "sessions": lambda user: rows(
        UserSession.objects.filter(user=user), "ip", "user_agent", "created_at", "last_seen_at"
    ),
    "api_keys": lambda user: rows(
        ApiKey.objects.filter(user=user),
        *("name", "prefix", "scopes", "created_at", "expires_at", "last_used_at", "revoked_at"),
    ),
    "wallets": lambda user: rows(
        Wallet.objects.filter(user=user), "address", "public", "label", "created_at", "removed_at"
    ),
    "ethereum_addresses": lambda user: rows(
        EthereumAddress.objects.filter(user=user), "created_at", "removed_at", key="address"
    ),
    "applications": lambda user: rows(
        Application.objects.filter(user=user),
        *("tier", "region", "hardware", "probe", "experience", "status", "criterion", "reason"),
        *("submitted_at", "reviewed_at", "created_at"),
    ),
    "operators": lambda user: rows(
        Operator.objects.filter(user=user), "tier", "region", "status", "reason", "approved_at"
    ),
    "stakes": lambda user: rows(
        Stake.objects.filter(operator__user=user), "amount", "status", "locked_at", money=("amount",)
    ),
    "nodes": lambda user: rows(
        Node.objects.filter(operator__user=user),
        *("name", "status", "reason", "sign_public", "seal_public", "probe", "lanes", "reputation"),
        *("enrolled_at", "last_seen_at", "revoked_at"),
    ),
    "node_bindings": lambda user: rows(
        NodeBinding.objects.filter(node__operator__user=user), "address_id", "at", key="node_id"
    ),
    "retired_keys": lambda user: rows(
        RetiredKey.objects.filter(node__operator__user=user), "node_id", "kid", "sign_public", "retired_at"
    ),
    "shard_hosts": lambda user: rows(
        ShardHost.objects.filter(user=user),
        *("name", "status", "sign_public", "seal_public", "probe", "joined_at", "left_at"),
    ),
    "node_events": lambda user: rows(
        NodeEvent.objects.filter(node__operator__user=user), "node_id", "at", "old", "new", "reason"
    ),
    "reputation_changes": lambda user: rows(
        ReputationChange.objects.filter(node__operator__user=user), "node_id", "at", "kind", "change", "score", "detail"
    ),
    "bans": lambda user: rows(
        Ban.objects.filter(Q(user=user) | Q(node__operator__user=user)),
        *("kind", "node_id", "address", "reason", "evidence", "at", "ends_at", "lifted_at", "lift_reason"),
    ),
    "appeals": lambda user: rows(
        Appeal.objects.filter(by=user), "ban_id", "text", "at", "granted", "answer", "answered_at"
    ),
    "slash_appeals": lambda user: rows(
        SlashAppeal.objects.filter(by=user),
        *("case_id", "text", "at", "bond", "granted", "answer", "answered_at"),
        money=("bond",),
    ),
    "enrolment_tokens": lambda user: rows(
        EnrolmentToken.objects.filter(operator__user=user), "name", "created_at", "expires_at", "used_at"
    ),
    "messages": lambda user: rows(
        Notification.objects.filter(user=user), "kind", "subject", "body", "created_at", "sent_at"
    ),
    "balances": lambda user: rows(
        Account.objects.filter(owner=accounts.owner_of(user)), "kind", "balance", money=("balance",)
    ),
    "transfers": transfers,
    "unbondings": lambda user: rows(
        Unbonding.objects.filter(account__owner=accounts.owner_of(user)),
        *("amount", "slashed", "status", "started_at", "release_at", "ended_at"),
        money=("amount", "slashed"),
    ),
    "slashes": lambda user: rows(
        Slash.objects.filter(account__owner=accounts.owner_of(user)),
        *("fault", "at_stake", "share_bp", "amount", "status", "fault_at", "at", "final_at", "ended_at"),
        money=("at_stake", "amount"),
    ),
    "mandates": lambda user: rows(
        Mandate.objects.filter(payer__owner=accounts.owner_of(user)),
        *("spender", "wallet", "cap", "document", "signature", "created_at", "expires_at", "revoked_at"),
        money=("cap",),
    ),
    "epoch_shares": lambda user: rows(
        EpochShare.objects.filter(owner=accounts.owner_of(user)),
        *("epoch_id", "node", "tier", "uptime_ppm", "quality_ppm", "nodes", "weight", "amount", "escrowed"),
        money=("amount", "escrowed"),
    ),
    "events": events,
}
