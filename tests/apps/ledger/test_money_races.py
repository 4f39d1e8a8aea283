"""Orders, stakes, epochs and mandates under many connections, and under processes killed between two statements."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction
from django.db.models import F, Sum

from apps.core.errors import MeshError
from apps.core.models import User
from apps.ledger import (
    accounts,
    audit,
    escrow,
    faucet,
    holds,
    mandates,
    orders,
    rewards,
    slashing,
    staking,
    user_transfers,
)
from apps.ledger.amounts import MESH, show
from apps.ledger.models import (
    Account,
    Block,
    Entry,
    Epoch,
    EpochShare,
    Genesis,
    Hold,
    Mandate,
    MandateDraw,
    Pending,
    SignerNonce,
    Slash,
    Transfer,
    Unbonding,
)
from tests.apps.ledger.cast import BY, NOW, Fund
from tests.apps.ledger.killing import kill_and_end, kill_everywhere
from tests.apps.ledger.signing import Hand, known
from tests.apps.ledger.test_races import at_once
from workers.protocol.clock import unix_ms
from workers.protocol.ids import show_uuid

pytestmark = pytest.mark.django_db(transaction=True)
HOUR = timedelta(hours=1)
WEEK = timedelta(days=7)
DAY = date(2026, 3, 2)
AFTER = datetime(2026, 3, 3, 0, 10, tzinfo=UTC)
ROWS = (
    Account,
    Transfer,
    Entry,
    Hold,
    Pending,
    SignerNonce,
    Unbonding,
    Slash,
    Mandate,
    MandateDraw,
    Epoch,
    EpochShare,
)


@pytest.fixture
def hands(ada: Account, bert: Account, started: Block, fund: Fund) -> Iterator[list[Hand]]:
    made = [Hand(User.objects.get(email=f"{name}@example.org")) for name in ("ada", "bert")]
    for account in (ada, bert):
        fund(account, 1_000 * MESH)
    before = list(rewards._sources)
    rewards.register(lambda start, end: work(made))
    with known(*made):
        yield made
    rewards._sources[:] = before


def work(hands: list[Hand]) -> list[rewards.Work]:
    """One node of each, that of the second new."""
    return [
        rewards.Work(f"node_{i}", accounts.owner_of(hand.user), 1 + i, 999_983, 999_979, 1, i == 1)
        for i, hand in enumerate(hands)
    ]


def signed(hand: Hand, purpose: str, **fields: Any) -> tuple[dict[str, Any], str]:
    document = hand.document(purpose, **({"id": uuid4().hex} | fields))
    return document, hand.sign(document)


def send(hand: Hand, to: Hand, units: int) -> str:
    document, signature = signed(hand, "transfer", to=to.address, amount=show(units), memo="")
    return user_transfers.send(hand.user, document, signature, NOW).code


def give(hand: Hand, to: Hand) -> Mandate:
    expires = unix_ms(NOW) + 10**9
    document, signature = signed(hand, "mandate", spender=to.address, cap="40", expires=expires)
    return mandates.give(hand.user, document, signature, NOW)


def draw(mandate: Mandate, hand: Hand, units: int) -> Hold:
    asked = mandates.Draw(uuid4(), units, "job", "job:x", NOW + WEEK)
    return mandates.place(show_uuid("mdt", mandate.pk), hand.user, asked, NOW)


def put(hand: Hand, units: int) -> Transfer:
    return staking.stake(hand.user, units, id=uuid4(), authorisation=BY, now=NOW)


def ask_back(hand: Hand, units: int) -> Unbonding:
    return staking.unstake(hand.user, units, id=uuid4(), authorisation=BY, now=NOW)


def state() -> list[object]:
    return [sorted(model.objects.values_list()) for model in ROWS]  # type: ignore[attr-defined]


class Scene:
    """A ledger in which each step can be taken next."""

    def __init__(self, hands: list[Hand]) -> None:
        self.ada, self.bert = hands
        accounts.escrow(f"slash:{accounts.owner_of(self.ada.user)}")
        accounts.escrow("epoch")
        put(self.ada, 100 * MESH)
        self.leaving = ask_back(self.ada, 60 * MESH)
        slashing.slash(self.bert.user, "old", 1, NOW, NOW)
        self.slashed = slashing.slash(self.ada.user, "first", 1_000, NOW, NOW)
        self.mandate = give(self.ada, self.bert)
        self.hold = draw(self.mandate, self.bert, 10 * MESH)
        self.document = Genesis.objects.get().document
        rewards.close(DAY - timedelta(days=1), self.document, AFTER)

    def steps(self) -> dict[str, Callable[[], object]]:
        ada, bert = self.ada, self.bert
        order = signed(ada, "transfer", to=bert.address, amount="1", memo="")
        asked = mandates.Draw(uuid4(), MESH, "job", "job:x", NOW + WEEK)
        key = show_uuid("mdt", self.mandate.pk)
        return {
            "send": lambda: user_transfers.send(ada.user, *order, NOW),
            "stake": lambda: put(ada, MESH),
            "unstake": lambda: ask_back(ada, MESH),
            "keep": lambda: staking.cancel(ada.user, self.leaving.pk, now=NOW),
            "release": lambda: staking.release(self.leaving.pk, now=NOW + HOUR),
            "slash": lambda: slashing.slash(ada.user, "flt_1", 9_000, NOW, NOW),
            "execute": lambda: slashing.execute(self.slashed.pk, now=NOW + WEEK),
            "epoch": lambda: rewards.close(DAY, self.document, AFTER),
            "escrow": lambda: escrow.release_due(now=AFTER + WEEK),
            "mandate": lambda: give(bert, ada),
            "draw": lambda: mandates.place(key, bert.user, asked, NOW),
            "revoke": lambda: mandates.revoke(key, ada.user, NOW),
            "faucet": lambda: faucet.claim(ada.user, "wallet_connect", NOW),
        }


STEPS = (
    *("send", "stake", "unstake", "keep", "release", "slash", "execute", "epoch", "escrow", "mandate", "draw"),
    *("revoke", "faucet"),
)


@pytest.mark.parametrize("step", STEPS)
def test_a_process_killed_before_its_commit_leaves_nothing_half_done(hands: list[Hand], step: str) -> None:
    kill_and_end(Scene(hands).steps()[step], state)
    assert [check for check in audit.run(AFTER).checks if not check.ok] == []


@pytest.mark.long
@pytest.mark.parametrize("step", STEPS)
def test_a_process_killed_between_any_two_statements_leaves_nothing_half_done(hands: list[Hand], step: str) -> None:
    kill_everywhere(Scene(hands).steps()[step], state)
    assert [check for check in audit.run(AFTER).checks if not check.ok] == []


class Crowd:
    """Everybody does anything at once, each by a dice of their own."""

    def __init__(self, hands: list[Hand], seed: int) -> None:
        self.hands, self.seed = hands, seed
        for hand in hands:
            put(hand, 300 * MESH)
        self.mandates = [give(hands[0], hands[1]), give(hands[1], hands[0])]
        self.document = Genesis.objects.get().document

    def act(self, dice: random.Random) -> object:
        """One thing."""
        who, to = dice.sample(self.hands, 2)
        units = dice.randrange(1, 20 * MESH)
        things: list[Callable[[], object]] = [
            lambda: send(who, to, units),
            lambda: send(who, to, units),
            lambda: put(who, units),
            lambda: ask_back(who, units),
            lambda: staking.cancel(who.user, self.some(dice, Unbonding), now=NOW),
            lambda: staking.release_due(now=NOW + HOUR),
            lambda: slashing.slash(who.user, f"flt_{dice.randrange(4)}", 1_000, NOW, NOW),
            lambda: slashing.execute_due(now=NOW + WEEK),
            lambda: rewards.close(DAY + timedelta(days=dice.randrange(3)), self.document, AFTER),
            lambda: escrow.release_due(now=AFTER + WEEK),
            lambda: self.drawn(dice, units),
            lambda: holds.void(self.some(dice, Hold), now=NOW),
            lambda: faucet.claim(who.user, "wallet_connect", NOW),
        ]
        return dice.choice(things)()

    def drawn(self, dice: random.Random, units: int) -> Hold:
        n = dice.randrange(2)
        return draw(self.mandates[n], self.hands[1 - n], units)

    def some(self, dice: random.Random, model: Any) -> UUID:
        return dice.choice(list(model.objects.values_list("pk", flat=True)) or [uuid4()])

    def run(self, i: int, count: int) -> Counter[str]:
        """Many things; how often each code came back. Whatever is no refusal fails the test."""
        dice, codes = random.Random(self.seed * 100 + i), Counter[str]()
        for _ in range(count):
            try:
                self.act(dice)
            except MeshError as error:
                codes[error.code] += 1
            else:
                codes["done"] += 1
        return codes


def play(hands: list[Hand], seed: int, threads: int, count: int) -> Counter[str]:
    crowd = Crowd(hands, seed)
    codes = sum(at_once(lambda i: crowd.run(i, count), threads), Counter[str]())
    check_everything(hands)
    return codes


def check_everything(hands: list[Hand]) -> None:
    """What must hold whatever the order was."""
    assert [check for check in audit.run(AFTER).checks if not check.ok] == []
    for hand in hands:
        stake = accounts.stake(hand.user)
        assert staking.bonded(hand.user) >= 0
        assert stake.balance == staking.bonded(hand.user) + staking.leaving(stake)
        kept = escrow.waiting(accounts.owner_of(hand.user))
        assert sum(part.amount for part in kept) == accounts.escrow(accounts.owner_of(hand.user)).balance
        sent = Transfer.objects.filter(debit__owner=accounts.owner_of(hand.user), kind="transfer").count()
        assert orders.next_nonce(hand.address) == 1 + sent + Mandate.objects.filter(wallet=hand.address).count()
        waiting = Slash.objects.filter(account=stake, status="escrowed").aggregate(units=Sum("amount", default=0))
        assert accounts.escrow(f"slash:{accounts.owner_of(hand.user)}").balance == waiting["units"]
    for mandate in Mandate.objects.all():
        assert 0 <= mandates.used(mandate) <= mandate.cap
    for epoch in Epoch.objects.all():
        shares = epoch.shares.aggregate(units=Sum("amount", default=0))["units"]
        minted = Transfer.objects.filter(pk=rewards.mint_id(epoch.day)).aggregate(units=Sum("amount", default=0))
        assert epoch.minted == shares == minted["units"]
    assert accounts.escrow("epoch").balance == 0
    assert not Unbonding.objects.filter(slashed__gt=F("amount")).exists()


def test_many_people_at_once_never_break_a_rule_and_never_meet_a_deadlock(hands: list[Hand]) -> None:
    codes = play(hands, seed=1, threads=6, count=12)
    assert codes["done"] > 20


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 12))
def test_many_people_at_once_for_long(hands: list[Hand], seed: int) -> None:
    play(hands, seed=seed, threads=8, count=150)


def test_a_transaction_that_fails_leaves_nothing(hands: list[Hand]) -> None:
    scene = Scene(hands)
    steps = scene.steps()
    before = state()
    with transaction.atomic():
        for act in steps.values():
            act()
        transaction.set_rollback(True)
    assert state() == before
    assert connection.in_atomic_block is False
