"""A mandate lets its spender have money held, up to its cap, until its day, and not beyond either."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from apps.core.errors import MeshError
from apps.core.models import User
from apps.ledger import accounts, audit, holds, mandates
from apps.ledger.amounts import MESH
from apps.ledger.models import Account, Block, Hold, Mandate
from tests.apps.ledger.cast import NOW, Fund, balances
from tests.apps.ledger.signing import Hand, known
from tests.apps.ledger.test_races import at_once
from workers.protocol.clock import unix_ms
from workers.protocol.ids import show_uuid

LATER = NOW + timedelta(hours=1)
EXPIRES = NOW + timedelta(days=1)


@pytest.fixture
def hands(ada: Account, bert: Account, started: Block, fund: Fund) -> Iterator[tuple[Hand, Hand]]:
    made = [Hand(User.objects.get(email=f"{name}@example.org")) for name in ("ada", "bert")]
    fund(ada, 100 * MESH)
    with known(*made):
        yield made[0], made[1]


def document(giver: Hand, to: Hand, **changes: Any) -> dict[str, Any]:
    fields = {"spender": to.address, "cap": "10", "expires": unix_ms(EXPIRES)}
    return giver.document("mandate", **fields) | changes


def give(hand: Hand, to: Hand, **changes: Any) -> Mandate:
    asked = document(hand, to, **changes)
    return mandates.give(hand.user, asked, hand.sign(asked), NOW)


def draw(mandate: Mandate, who: Hand, mesh: int, now: datetime = NOW) -> Hold:
    asked = mandates.Draw(uuid4(), mesh * MESH, "job", "job:x", LATER)
    return mandates.place(show_uuid("mdt", mandate.pk), who.user, asked, now)


def code_of(mandate: Mandate, who: Hand, mesh: int, now: datetime = NOW) -> str:
    try:
        draw(mandate, who, mesh, now)
    except MeshError as error:
        return error.code
    return "placed"


def test_a_spender_has_the_wallets_money_held_up_to_the_cap(
    hands: tuple[Hand, Hand], ada: Account, bert: Account
) -> None:
    giver, spender = hands
    mandate = give(giver, spender)
    hold = draw(mandate, spender, 7)
    assert hold.authorisation == {
        "by": "mandate",
        "mandate": show_uuid("mdt", mandate.pk),
        "request": "job:x",
        "user": spender.user.pk,
    }
    assert code_of(mandate, spender, 4) == "mandate_exceeded"
    assert code_of(mandate, spender, 3) == "placed"
    assert balances(ada, bert) == [90 * MESH, 0]
    assert audit.run(NOW).ok


def test_what_a_hold_gives_back_can_be_drawn_again(hands: tuple[Hand, Hand], bert: Account) -> None:
    giver, spender = hands
    mandate = give(giver, spender)
    hold = draw(mandate, spender, 10)
    holds.settle(hold.pk, [holds.Leg(uuid4(), bert.pk, 4 * MESH, "fee.provider")], now=NOW)
    assert code_of(mandate, spender, 1) == "mandate_exceeded"
    holds.void(hold.pk, now=NOW)
    assert mandates.used(mandate) == 4 * MESH
    assert [code_of(mandate, spender, n) for n in (7, 6, 1)] == ["mandate_exceeded", "placed", "mandate_exceeded"]


def test_a_mandate_ends_with_its_day(hands: tuple[Hand, Hand]) -> None:
    mandate = give(*hands)
    assert code_of(mandate, hands[1], 1, EXPIRES - timedelta(seconds=1)) == "placed"
    assert code_of(mandate, hands[1], 1, EXPIRES) == "mandate_expired"


def test_a_revoked_mandate_holds_nothing_more(hands: tuple[Hand, Hand]) -> None:
    giver, spender = hands
    mandate = give(giver, spender)
    hold, name = draw(mandate, spender, 2), show_uuid("mdt", mandate.pk)
    with pytest.raises(MeshError) as refused:
        mandates.revoke(name, spender.user, NOW)
    assert refused.value.code == "mandate_unknown"
    for _ in range(2):
        assert mandates.revoke(name, giver.user, NOW).revoked_at == NOW
    assert code_of(mandate, spender, 1) == "mandate_revoked"
    hold.refresh_from_db()
    assert hold.status == "open"


def test_a_closed_account_gives_and_pays_nothing(hands: tuple[Hand, Hand]) -> None:
    giver, spender = hands
    mandate = give(giver, spender)
    User.objects.filter(pk=giver.user.pk).update(is_active=False)
    assert code_of(mandate, spender, 1) == "mandate_revoked"
    with pytest.raises(MeshError) as refused:
        give(giver, spender, id="another")
    assert refused.value.code == "signer_unknown"
    assert Mandate.objects.get() == mandate


def test_a_mandate_is_its_spenders_alone(hands: tuple[Hand, Hand]) -> None:
    giver, spender = hands
    assert code_of(give(giver, spender), giver, 1) == "mandate_unknown"
    own = give(giver, giver, id="own")
    assert code_of(own, giver, 1) == "placed"
    for name in ("mdt_x", "", show_uuid("mdt", uuid4()), show_uuid("txn", own.pk)):
        with pytest.raises(MeshError) as refused:
            mandates.place(name, giver.user, mandates.Draw(uuid4(), 1, "job", "job:x", LATER), NOW)
        assert refused.value.code == "mandate_unknown"


def test_a_mandate_promises_no_money_that_is_not_there(hands: tuple[Hand, Hand]) -> None:
    giver, spender = hands
    mandate = give(giver, spender, cap="1000")
    assert code_of(mandate, spender, 101) == "insufficient_funds"
    assert mandates.used(mandate) == 0


def test_the_same_order_is_the_same_mandate(hands: tuple[Hand, Hand]) -> None:
    giver, spender = hands
    asked = document(giver, spender)
    made = [mandates.give(giver.user, asked, giver.sign(asked), NOW) for _ in range(2)]
    assert made[0] == made[1]
    altered = {**asked, "cap": "11"}
    with pytest.raises(MeshError) as refused:
        mandates.give(giver.user, altered, giver.sign(altered), NOW)
    assert refused.value.code == "mandate_differs"
    assert Mandate.objects.get().cap == 10 * MESH


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"cap": "0"}, "amount_not_positive"),
        ({"cap": "010"}, "amount_malformed"),
        ({"cap": "21000001"}, "amount_too_large"),
        ({"expires": unix_ms(NOW)}, "order_expired"),
        ({"expires": 2**52}, "order_malformed"),
        ({"expires": -1}, "order_expired"),
        ({"spender": "0" * 64}, "payee_unknown"),
        ({"nonce": 5}, "nonce_wrong"),
        ({"deadline": 1}, "order_expired"),
        ({"purpose": "transfer"}, "wrong_purpose"),
        ({"payee": "x"}, "order_malformed"),
    ],
)
def test_a_faulty_mandate_is_refused_by_its_code(hands: tuple[Hand, Hand], changes: dict[str, Any], code: str) -> None:
    with pytest.raises(MeshError) as refused:
        give(*hands, **changes)
    assert refused.value.code == code
    assert not Mandate.objects.exists()


def test_another_wallet_gives_nothing_of_mine(hands: tuple[Hand, Hand]) -> None:
    giver, spender = hands
    asked = document(giver, spender)
    with pytest.raises(MeshError) as refused:
        mandates.give(spender.user, asked, giver.sign(asked), NOW)
    assert refused.value.code == "foreign_account"


@pytest.mark.django_db(transaction=True)
def test_many_draws_at_once_keep_within_the_cap(hands: tuple[Hand, Hand], ada: Account) -> None:
    mandate = give(*hands)
    codes = Counter(at_once(lambda i: code_of(mandate, hands[1], 3)))
    assert codes == {"placed": 3, "mandate_exceeded": 5}
    assert balances(ada, accounts.held_for(ada)) == [91 * MESH, 9 * MESH]
    assert audit.run(NOW).ok


@pytest.mark.django_db(transaction=True)
def test_draws_and_a_revocation_at_once_end_in_some_order(hands: tuple[Hand, Hand]) -> None:
    mandate = give(*hands)
    name = show_uuid("mdt", mandate.pk)

    def work(i: int) -> str:
        if i == 3:
            return str(mandates.revoke(name, hands[0].user, NOW).revoked_at)
        return code_of(mandate, hands[1], 1)

    codes = Counter(at_once(work))
    assert codes["placed"] + codes["mandate_revoked"] == 7
    assert mandates.used(mandate) == codes["placed"] * MESH
    assert code_of(mandate, hands[1], 1) == "mandate_revoked"
