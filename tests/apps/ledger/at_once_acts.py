"""People who act on the ledger, and what each act is on the ledger and on its model."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from django.db import transaction

from apps.core.models import User
from apps.ledger import accounts, faucet, holds, mandates, slashing, staking, user_transfers
from apps.ledger.amounts import MESH, show
from apps.ledger.ids import named
from apps.ledger.models import Account, Hold, Mandate, SignerNonce, Unbonding
from apps.ledger.posting import post_all
from apps.operators import account_deletion, stakes
from apps.operators.models import Operator, Stake
from tests.apps.ledger.at_once_model import Given, World
from tests.apps.ledger.cast import BY, NOW, move
from tests.apps.ledger.signing import Hand
from workers.protocol.clock import unix_ms
from workers.protocol.ids import show_uuid

NAMES = ("ada", "bert", "cleo")
OPERATORS = ("ada", "bert")
START = {"ada": 2_500 * MESH, "bert": 1_400 * MESH, "cleo": 300 * MESH}
FOR_EVER = unix_ms(NOW) + 10**9
KINDS = (
    *("send", "send", "send", "give", "draw", "draw", "revoke", "place", "settle", "settle", "void", "expire"),
    *("lock", "lock", "add", "take_back", "take_back", "cancel", "release", "slash", "claim", "delete", "again"),
)
# What stands in each other's way.
FAMILIES = (
    ("send", "send", "place", "add", "lock"),
    ("draw", "draw", "draw", "revoke", "void"),
    ("settle", "settle", "void", "expire"),
    ("take_back", "take_back", "slash", "add", "again"),
    ("cancel", "release", "slash", "take_back", "again"),
    ("delete", "add", "lock", "give", "send"),
    ("claim", "claim", "slash", "again", "delete"),
)
# A kind, who, to whom, how much (MOST: so much of it that it cannot be had twice), and a number to choose by.
Wish = tuple[str, str, str, int, int]
MOST = 0
# What everybody has done when the scene begins.
FIRST: tuple[Wish, ...] = (
    ("lock", "ada", "ada", MESH, 0),
    ("take_back", "ada", "ada", 150 * MESH, 1),
    ("add", "bert", "bert", 60 * MESH, 0),
    ("take_back", "bert", "bert", 1, 1),
    ("give", "ada", "bert", 400 * MESH, 1),
    ("give", "bert", "cleo", 150 * MESH, 1),
    ("place", "bert", "bert", 60 * MESH, 6),
    ("draw", "cleo", "cleo", 60 * MESH, 0),
)


@dataclass(frozen=True)
class Act:
    """What somebody does, on the ledger and on its model; `touches` is the hold that it may have locked."""

    name: str
    really: Callable[[], object]
    supposedly: Callable[[World], str]
    touches: UUID | None = None


@dataclass
class Cast:
    """Three people who are in the database and in the model."""

    world: World = field(default_factory=World)
    hands: dict[str, Hand] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in NAMES:
            self.join(name, START[name])
            if name in OPERATORS:
                made = {"user": self.user(name), "tier": "ALL", "region": "eu", "approved_at": NOW}
                Operator.objects.create(id=f"op_{uuid4().hex}", **made)
                self.world.operators[name] = None

    def join(self, name: str, units: int) -> None:
        """One more, who has so much."""
        user = User.objects.create_user(email=f"{name}-{uuid4().hex}@example.org")
        self.hands[name] = Hand(user)
        with transaction.atomic():
            post_all([move(accounts.system("mint"), accounts.wallet(user), units, kind="mint")], now=NOW)
        self.world.balance["wallet", name] = units

    @property
    def now(self) -> datetime:
        return NOW + timedelta(minutes=self.world.now)

    def user(self, name: str) -> User:
        return self.hands[name].user

    def signed(self, name: str, purpose: str, word: str, nonce: int, **fields: Any) -> tuple[dict[str, Any], str]:
        document = self.hands[name].document(purpose, id=word, nonce=nonce, deadline=FOR_EVER, **fields)
        return document, self.hands[name].sign(document)

    def seen(self) -> dict[str, Any]:
        """The rows, as `World.seen` has them."""
        owners = {accounts.owner_of(hand.user): name for name, hand in self.hands.items()}
        owners |= {f"slash:{owner}": f"slash:{name}" for owner, name in owners.items()}
        wallets = {hand.address: name for name, hand in self.hands.items()}
        ids = {hand.user.pk: name for name, hand in self.hands.items()}
        held = Account.objects.filter(owner__in=owners).exclude(balance=0)
        leaving = Unbonding.objects.filter(account__owner__in=owners)
        given = Mandate.objects.filter(wallet__in=wallets)
        nonces = SignerNonce.objects.filter(address__in=wallets, used__gt=0)
        rows = Hold.objects.filter(payer__owner__in=owners)
        live = Stake.objects.live().filter(operator__user__in=ids)
        return {
            "balances": {(kind, owners[owner]): units for kind, owner, units in held.values_list(*ACCOUNT)},
            "nonces": {wallets[address]: used for address, used in nonces.values_list("address", "used")},
            "leaving": {row.pk: (row.remaining, row.status) for row in leaving},
            "mandates": {row.pk: (row.revoked_at is not None, mandates.used(row)) for row in given},
            "holds": {row.pk: (row.settled, row.released, row.status) for row in rows},
            "stakes": {ids[user]: (state, units) for user, state, units in live.values_list(*STAKE)},
            "closed": {ids[pk] for pk in User.objects.filter(pk__in=ids, is_active=False).values_list("pk", flat=True)},
        }


ACCOUNT = ("kind", "owner", "balance")
STAKE = ("operator__user", "status", "amount")


class Making:
    """Acts out of wishes, from what there is before any of them begins."""

    def __init__(self, cast: Cast) -> None:
        self.cast, self.world, self.now = cast, cast.world, cast.now
        self.orders = dict(cast.world.nonces)
        self.made: list[Act] = []

    def of(self, wish: Wish) -> None:
        """One more act, if there is what it needs."""
        kind, who, to, units, pick = wish
        if kind == "again":
            self.made += self.made[-1:]
            return
        act = getattr(self, kind)(who, to, units, pick)
        if act is not None:
            self.made.append(act)

    def nonce(self, who: str, pick: int) -> int:
        """The next one; or, now and then, the one that another order of this moment bears too."""
        next_one = self.orders.get(who, 0) + 1
        if pick % 3:
            self.orders[who] = next_one
        return next_one

    def units(self, units: int, whole: int) -> int:
        """So much; or most of what there is."""
        return units if units != MOST else max(1, whole * 2 // 3)

    def funds(self, who: str) -> int:
        return self.world.balance["wallet", who]

    def send(self, who: str, to: str, units: int, pick: int) -> Act:
        units = self.units(units, self.funds(who))
        word, nonce = uuid4().hex, self.nonce(who, pick)
        address = self.cast.hands[to].address
        order = self.cast.signed(who, "transfer", word, nonce, to=address, amount=show(units), memo="")
        user = self.cast.user(who)
        return Act(
            f"send {who} {to} {units} {nonce}",
            lambda: user_transfers.send(user, *order, self.now).code,
            lambda world: world.send(who, to, units, word, nonce),
        )

    def give(self, who: str, to: str, units: int, pick: int) -> Act:
        units = self.units(units, 150 * MESH)
        word, nonce = uuid4().hex, self.nonce(who, pick)
        hand = self.cast.hands[who]
        address = self.cast.hands[to].address
        order = self.cast.signed(who, "mandate", word, nonce, spender=address, cap=show(units), expires=FOR_EVER)
        key = named("mandate", hand.address, word)
        return Act(
            f"give {who} {to} {units} {nonce}",
            lambda: mandates.give(hand.user, *order, self.now),
            lambda world: world.give(key, Given(who, to, units), word, nonce),
        )

    def draw(self, who: str, to: str, units: int, pick: int) -> Act | None:
        key = self.some(self.world.mandates, pick)
        if key is None:
            return None
        given = self.world.mandates[key]
        spender = given.spender if pick % 5 else who
        units = self.units(units, min(given.cap - self.world.used(key), self.funds(given.giver)))
        asked = mandates.Draw(uuid4(), units, "job", "job:x", self.now + timedelta(minutes=30))
        user, due = self.cast.user(spender), self.world.now + 30
        return Act(
            f"draw {spender} {key} {units}",
            lambda: mandates.place(show_uuid("mdt", key), user, asked, self.now),
            lambda world: world.draw(asked.id, key, spender, units, due),
        )

    def revoke(self, who: str, to: str, units: int, pick: int) -> Act | None:
        key = self.some(self.world.mandates, pick)
        if key is None:
            return None
        giver = self.world.mandates[key].giver if pick % 5 else who
        return Act(
            f"revoke {giver} {key}",
            lambda: mandates.revoke(show_uuid("mdt", key), self.cast.user(giver), self.now),
            lambda world: world.revoke(key, giver),
        )

    def place(self, who: str, to: str, units: int, pick: int) -> Act:
        units = self.units(units, self.funds(who))
        payer, key, minutes = accounts.wallet(self.cast.user(who)), uuid4(), 5 * pick + 1
        held = {"id": key, "payer": payer, "amount": units, "purpose": "job", "authorisation": BY}
        times = {"expires_at": self.now + timedelta(minutes=minutes), "now": self.now}
        due = self.world.now + minutes
        return Act(
            f"place {who} {units} {key}",
            lambda: holds.place(**held, **times),  # type: ignore[arg-type]
            lambda world: world.place(key, who, units, due),
        )

    def settle(self, who: str, to: str, units: int, pick: int) -> Act | None:
        key = self.some(self.world.holds, pick)
        if key is None:
            return None
        units = self.units(units, self.world.holds[key].left) if pick % 3 else max(1, self.world.holds[key].left)
        leg = holds.Leg(uuid4(), accounts.wallet(self.cast.user(to)).pk, units, "test")
        return Act(
            f"settle {key} {to} {units}",
            lambda: holds.settle(key, [leg], now=self.now),
            lambda world: world.settle(key, leg.id, to, units),
            touches=key,
        )

    def void(self, who: str, to: str, units: int, pick: int) -> Act | None:
        key = self.some(self.world.holds, pick)
        if key is None:
            return None
        return Act(f"void {key}", lambda: holds.void(key, now=self.now), lambda world: world.void(key), touches=key)

    def expire(self, who: str, to: str, units: int, pick: int) -> Act:
        owners = {accounts.owner_of(hand.user) for hand in self.cast.hands.values()}

        def expire() -> set[UUID]:
            return {hold.pk for hold in holds.expire_due(now=self.now) if hold.payer.owner in owners}

        # What it says is looked at apart: it leaves out what others have locked.
        return Act("expire", expire, lambda world: "expired")

    def lock(self, who: str, to: str, units: int, pick: int) -> Act:
        who = OPERATORS[pick % 2]
        operator = Operator.objects.get(user=self.cast.user(who))
        return Act(f"lock {who}", lambda: stakes.lock(operator, self.now), lambda world: world.lock(who))

    def add(self, who: str, to: str, units: int, pick: int) -> Act:
        request, user = uuid4(), self.cast.user(who)
        units = self.units(units, self.funds(who))
        return Act(
            f"add {who} {units}",
            lambda: stakes.add(user, units, self.now, request=request),
            lambda world: world.add(request, who, units),
        )

    def take_back(self, who: str, to: str, units: int, pick: int) -> Act:
        request, user = uuid4(), self.cast.user(who)
        units = self.units(units, self.world.bonded(who)) if pick % 3 else max(1, self.world.bonded(who))
        key = named("unstake", accounts.owner_of(user), str(request))
        return Act(
            f"take_back {who} {units}",
            lambda: stakes.take_back(user, units, self.now, request=request),
            lambda world: world.take_back(key, who, units),
        )

    def cancel(self, who: str, to: str, units: int, pick: int) -> Act | None:
        key = self.some(self.world.leaving, pick)
        if key is None:
            return None
        user = self.cast.user(self.world.leaving[key].who)
        return Act(f"cancel {key}", lambda: stakes.cancel(user, key, self.now), lambda world: world.cancel(key))

    def release(self, who: str, to: str, units: int, pick: int) -> Act | None:
        due = {key: row for key, row in self.world.leaving.items() if row.due <= self.world.now}
        key = self.some(due or self.world.leaving, pick)
        if key is None:
            return None
        return Act(
            f"release {key}",
            lambda: "done" if staking.release(key, now=self.now) else "not_due",
            lambda world: world.release(key),
        )

    def slash(self, who: str, to: str, units: int, pick: int) -> Act:
        fault = f"{self.cast.hands['ada'].address[:20]}-{pick % 4}"
        share, at = (1_000, 5_000, 10_000)[pick % 3], max(0, self.world.now - 10 * pick)
        user, moment = self.cast.user(who), NOW + timedelta(minutes=at)
        return Act(
            f"slash {who} {fault} {share}",
            lambda: slashing.slash(user, fault, share, moment, self.now),
            lambda world: world.slash(who, fault, share, at),
        )

    def claim(self, who: str, to: str, units: int, pick: int) -> Act:
        user = self.cast.user(who)
        return Act(
            f"claim {who}",
            lambda: faucet.claim(user, "wallet_connect", self.now),
            lambda world: world.claim(who),
        )

    def delete(self, who: str, to: str, units: int, pick: int) -> Act:
        user = self.cast.user(who)
        return Act(f"delete {who}", lambda: account_deletion.delete(user, self.now), lambda world: world.delete(who))

    @staticmethod
    def some(rows: dict[UUID, Any], pick: int) -> UUID | None:
        """One of the rows, of the latest rather than of the oldest."""
        return list(rows)[-1 - pick % min(len(rows), 4)] if rows else None
