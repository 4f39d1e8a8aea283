"""Whatever people order, stake, earn and spend in whatever order, the ledger agrees with a few dictionaries."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from apps.core.errors import MeshError
from apps.core.models import User
from apps.ledger import accounts, audit, escrow, holds, mandates, rewards, slashing, staking, user_transfers
from apps.ledger.amounts import MAX_SUPPLY, MESH, show
from apps.ledger.ids import named
from apps.ledger.models import Account, Block, Genesis, Mandate, SignerNonce, Unbonding
from apps.ledger.posting import post_all
from tests.apps.ledger.cast import BY, NOW, move
from tests.apps.ledger.money_model import Drawn, Given, Leaving, Money, Part
from tests.apps.ledger.signing import Hand, known
from workers.protocol.clock import unix_ms
from workers.protocol.ids import show_uuid

NAMES = ("ada", "bert", "cleo")
FIRST_DAY = date(2026, 3, 2)
START = {"ada": 200 * MESH, "bert": 100 * MESH, "cleo": 50 * MESH}
# So near to the cap that the third epoch meets it.
RESERVE = MAX_SUPPLY - (2_100_000 + 350 + 1_000_000) * MESH
people = st.sampled_from(NAMES)
amounts = st.one_of(st.integers(1, 120).map(lambda n: n * MESH), st.integers(1, 999), st.just(MESH // 3))
words = st.sampled_from(["a", "b", "c"])
off = st.sampled_from([0, 0, 0, 0, 1, -1])


class MoneyMachine(RuleBasedStateMachine):
    """Does everything on both."""

    def __init__(self) -> None:
        super().__init__()
        self.sandbox = transaction.atomic()
        self.sandbox.__enter__()
        self.hands = {
            name: Hand(User.objects.create_user(email=f"{name}@machine.example", password="x")) for name in NAMES
        }
        self.asking = known(*self.hands.values())
        self.asking.__enter__()
        self.sources = list(rewards._sources)
        self.parts: list[Part] = []
        rewards.register(lambda start, end: self.work())
        self.money = Money()
        self.leaving: list[tuple[Leaving, UUID]] = []
        self.draws: list[tuple[Given, Drawn, UUID]] = []
        self.fill()

    def fill(self) -> None:
        """What genesis did, and what everybody has at the beginning."""
        for account in Account.objects.exclude(balance=0):
            self.money.balance[account.kind, account.owner] = account.balance
        mint, reserve = accounts.system("mint"), accounts.account("wallet", "reserve")
        filled = [(self.wallet(name), units) for name, units in START.items()] + [(reserve, RESERVE)]
        post_all([move(mint, account, units, kind="mint") for account, units in filled], now=NOW)
        for name, units in {**START, "reserve": RESERVE}.items():
            self.money.move(("mint", "system"), ("wallet", name), units)

    def teardown(self) -> None:
        try:
            report = audit.run(self.now)
            assert [check for check in report.checks if not check.ok] == []
        finally:
            rewards._sources[:] = self.sources
            self.asking.__exit__(None, None, None)
            transaction.set_rollback(True)
            self.sandbox.__exit__(None, None, None)

    @property
    def now(self) -> datetime:
        return NOW + timedelta(minutes=self.money.now)

    def wallet(self, name: str) -> Account:
        return accounts.wallet(self.hands[name].user)

    def user(self, name: str) -> User:
        return self.hands[name].user

    def work(self) -> list[rewards.Work]:
        return [
            rewards.Work(f"node_{i:02}", accounts.owner_of(self.user(part.who)), part.weight, 1, 1, 1, part.is_new)
            for i, part in enumerate(self.parts)
        ]

    def agree(self, expected: str, act: Callable[[], Any], done: str = "done") -> Any:
        """The real one does the same, or refuses by the same code."""
        try:
            result, code = act(), done
        except MeshError as error:
            result, code = None, error.code
        assert code == expected
        return result

    def document(self, name: str, purpose: str, word: str, nonce: int, **fields: Any) -> tuple[dict[str, Any], str]:
        deadline = unix_ms(self.now) + 1
        document = self.hands[name].document(purpose, id=word, nonce=nonce, deadline=deadline, **fields)
        return document, self.hands[name].sign(document)

    @rule(who=people, to=people, units=st.one_of(amounts, st.just(0)), word=words, shift=off)
    def send(self, who: str, to: str, units: int, word: str, shift: int) -> None:
        nonce = self.money.nonces[who] + 1 + shift
        expected = self.money.send(who, to, units, word, nonce)
        document, signature = self.document(
            who, "transfer", word, nonce, to=self.hands[to].address, amount=show(units), memo=""
        )
        sent = self.agree(
            "done" if expected in {"created", "exists"} else expected,
            lambda: user_transfers.send(self.user(who), document, signature, self.now),
        )
        assert sent is None or sent.code == expected

    @rule(who=people, units=amounts)
    def stake(self, who: str, units: int) -> None:
        self.agree(
            self.money.stake(who, units),
            lambda: staking.stake(self.user(who), units, id=uuid4(), authorisation=BY, now=self.now),
        )

    @rule(who=people, units=amounts)
    def unstake(self, who: str, units: int) -> None:
        # In the order of their ids, as the real one charges them among equals.
        key = UUID(int=len(self.leaving) + 1)
        expected = self.money.unstake(who, units)
        row = self.agree(
            expected, lambda: staking.unstake(self.user(who), units, id=key, authorisation=BY, now=self.now)
        )
        if row is not None:
            self.leaving.append((self.money.leaving[-1], row.pk))

    @precondition(lambda self: self.leaving)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        row, key = data.draw(st.sampled_from(self.leaving))
        self.agree(self.money.cancel(row), lambda: staking.cancel(self.user(row.who), key, now=self.now))

    @rule(who=people, fault=words, share=st.sampled_from([1, 1_000, 5_000, 10_000]), ago=st.integers(0, 200))
    def slash(self, who: str, fault: str, share: int, ago: int) -> None:
        at = max(0, self.money.now - ago)
        expected = self.money.slash(who, fault, share, at)
        moment = NOW + timedelta(minutes=at)
        self.agree(expected, lambda: slashing.slash(self.user(who), fault, share, moment, self.now))

    @rule(minutes=st.sampled_from([0, 1, 30, 59, 60, 61, 3 * 24 * 60, 7 * 24 * 60]))
    def time_passes(self, minutes: int) -> None:
        self.money.pass_time(minutes)
        for _ in range(2):
            staking.release_due(now=self.now)
            slashing.execute_due(now=self.now)
            escrow.release_due(now=self.now)

    @rule(day=st.integers(0, 5), parts=st.lists(st.tuples(people, st.integers(0, 10**6), st.booleans()), max_size=5))
    def close(self, day: int, parts: list[tuple[str, int, bool]]) -> None:
        self.parts = [Part(*part) for part in parts]
        expected = self.money.close(day, self.parts)
        document = Genesis.objects.get().document
        assert rewards.close(FIRST_DAY + timedelta(days=day), document, self.now).minted == expected

    @rule(giver=people, spender=people, cap=amounts, minutes=st.integers(1, 100), word=words, shift=off)
    def give(self, giver: str, spender: str, cap: int, minutes: int, word: str, shift: int) -> None:
        nonce = self.money.nonces[giver] + 1 + shift
        expires = self.money.now + minutes
        expected = self.money.give(giver, spender, cap, expires, word, nonce)
        document, signature = self.document(
            giver,
            "mandate",
            word,
            nonce,
            spender=self.hands[spender].address,
            cap=show(cap),
            expires=unix_ms(NOW) + expires * 60_000,
        )
        self.agree(expected, lambda: mandates.give(self.user(giver), document, signature, self.now))

    def mandate_of(self, name: str) -> tuple[Given, str]:
        giver, _, word = name.partition("/")
        return self.money.mandates[name], show_uuid("mdt", named("mandate", self.hands[giver].address, word))

    @precondition(lambda self: self.money.mandates)
    @rule(data=st.data(), who=people, units=amounts)
    def draw(self, data: st.DataObject, who: str, units: int) -> None:
        mandate, key = self.mandate_of(data.draw(st.sampled_from(sorted(self.money.mandates))))
        spender = data.draw(st.sampled_from([mandate.spender, mandate.spender, who]))
        asked = mandates.Draw(uuid4(), units, "job", "job:x", NOW + timedelta(days=900))
        expected = self.money.draw(mandate, spender, units)
        if self.agree(expected, lambda: mandates.place(key, self.user(spender), asked, self.now)):
            self.draws.append((mandate, mandate.draws[-1], asked.id))

    @precondition(lambda self: self.money.mandates)
    @rule(data=st.data())
    def revoke(self, data: st.DataObject) -> None:
        mandate, key = self.mandate_of(data.draw(st.sampled_from(sorted(self.money.mandates))))
        mandate.revoked = True
        mandates.revoke(key, self.user(mandate.giver), self.now)

    @precondition(lambda self: self.draws)
    @rule(data=st.data(), to=people, units=amounts)
    def settle(self, data: st.DataObject, to: str, units: int) -> None:
        mandate, draw, key = data.draw(st.sampled_from(self.draws))
        expected = self.money.settle(mandate, draw, to, units)
        leg = holds.Leg(uuid4(), self.wallet(to).pk, units, "test")
        [outcome] = holds.settle_many([holds.Settlement(key, [leg])], now=self.now)
        assert outcome.code == expected

    @precondition(lambda self: self.draws)
    @rule(data=st.data())
    def void(self, data: st.DataObject) -> None:
        mandate, draw, key = data.draw(st.sampled_from(self.draws))
        self.money.void(mandate, draw)
        holds.void(key, now=self.now)

    def name_of(self, owner: str) -> str:
        """A person's own name in the place of `user:7`."""
        for name, hand in self.hands.items():
            owner = owner.replace(accounts.owner_of(hand.user), name)
        return owner

    @invariant()
    def balances_agree(self) -> None:
        real = Account.objects.exclude(balance=0).values_list("kind", "owner", "balance")
        assert {(kind, self.name_of(owner)): units for kind, owner, units in real} == {
            account: units for account, units in self.money.balance.items() if units
        }

    @invariant()
    def nonces_agree(self) -> None:
        used = dict(SignerNonce.objects.exclude(used=0).values_list("address", "used"))
        assert used == {self.hands[name].address: n for name, n in self.money.nonces.items() if n}

    @invariant()
    def stakes_agree(self) -> None:
        assert [staking.bonded(self.user(name)) for name in NAMES] == [self.money.bonded(name) for name in NAMES]
        real = {row.pk: (row.remaining, row.status) for row in Unbonding.objects.all()}
        assert real == {key: (row.remaining, row.status) for row, key in self.leaving}

    @invariant()
    def mandates_agree(self) -> None:
        real = {mandate.pk: mandates.used(mandate) for mandate in Mandate.objects.all()}
        expected = {}
        for name, mandate in self.money.mandates.items():
            giver, _, word = name.partition("/")
            expected[named("mandate", self.hands[giver].address, word)] = mandate.used
        assert real == expected


def play(examples: int, steps: int) -> None:
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        MoneyMachine,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=checks
        ),
    )


def test_money_agrees_with_its_model(started: Block) -> None:
    play(examples=8, steps=25)


@pytest.mark.long
def test_money_agrees_with_its_model_for_long(started: Block) -> None:
    play(examples=150, steps=60)
