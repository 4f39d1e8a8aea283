"""A wallet's signed order pays once, in order, in time, and only its own money; everything else has its code."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from apps.core.errors import MeshError
from apps.core.models import Event, User
from apps.ledger import accounts, audit, leaves, orders, user_transfers
from apps.ledger.amounts import MESH
from apps.ledger.errors import AmountMalformed, InsufficientFunds, NonceWrong, OrderMalformed
from apps.ledger.ids import named
from apps.ledger.models import Account, Block, SignerNonce, Transfer
from apps.ledger.retries import retried
from tests.apps.ledger.cast import NOW, Fund, balances
from tests.apps.ledger.signing import Hand, known
from tests.apps.ledger.test_races import at_once
from workers.protocol.canonical import dumps
from workers.protocol.keys import unb64, verify
from workers.protocol.transfers import order_fault, order_of


@pytest.fixture
def hands(ada: Account, bert: Account, started: Block, fund: Fund) -> Iterator[tuple[Hand, Hand]]:
    made = [Hand(User.objects.get(email=f"{name}@example.org")) for name in ("ada", "bert")]
    fund(ada, 10 * MESH)
    with known(*made):
        yield made[0], made[1]


def order(hand: Hand, to: str, **changes: Any) -> dict[str, Any]:
    return hand.document("transfer", **({"to": to, "amount": "1.25", "memo": "for lunch"} | changes))


def send(hand: Hand, document: dict[str, Any]) -> user_transfers.Sent:
    return user_transfers.send(hand.user, document, hand.sign(document), NOW)


def refusal(hand: Hand, document: Any, signature: str | None = None) -> str:
    """The code, once it is seen that nothing has changed."""
    before = state()
    with pytest.raises(MeshError) as refused:
        user_transfers.send(hand.user, document, signature or hand.sign(document), NOW)
    assert state() == before
    assert refused.value.detail.endswith((".", "?"))
    return refused.value.code


def state() -> list[object]:
    return [sorted(model.objects.values_list()) for model in (Account, Transfer, SignerNonce, Event)]  # type: ignore[attr-defined]


def test_a_signed_order_pays_the_wallets_owner(hands: tuple[Hand, Hand], ada: Account, bert: Account) -> None:
    payer, payee = hands
    asked = order(payer, payee.address)
    sent = send(payer, asked)
    assert (sent.code, sent.transfer.kind, sent.transfer.memo) == ("created", "transfer", "for lunch")
    assert sent.transfer.pk == named("transfer", payer.address, "order-1")
    assert balances(ada, bert) == [8 * MESH + 75 * MESH // 100, 125 * MESH // 100]
    by = sent.transfer.authorisation
    assert verify(unb64(by["public"]), unb64(by["signature"]), dumps(by["document"]))
    assert by["document"] == asked
    assert orders.next_nonce(payer.address) == 2
    assert audit.run(NOW).ok


def test_a_ledger_account_can_be_paid_as_well(hands: tuple[Hand, Hand], bert: Account) -> None:
    assert send(hands[0], order(hands[0], bert.address, amount="2")).transfer.credit == bert
    assert balances(bert) == [2 * MESH]


def test_the_same_order_again_is_the_same_transfer(hands: tuple[Hand, Hand], bert: Account) -> None:
    asked = order(hands[0], bert.address)
    first, again = send(hands[0], asked), send(hands[0], asked)
    assert (first.code, again.code) == ("created", "exists")
    assert first.transfer == again.transfer
    late = {**asked, "deadline": 0}
    assert send(hands[0], late).code == "exists"
    assert balances(bert) == [125 * MESH // 100]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"amount": "1.26"}, "exists_with_different_amount"),
        ({"memo": "for dinner"}, "exists_with_different_memo"),
    ],
)
def test_an_altered_replay_says_what_differs(
    hands: tuple[Hand, Hand], bert: Account, changes: dict[str, str], code: str
) -> None:
    asked = order(hands[0], bert.address)
    send(hands[0], asked)
    assert refusal(hands[0], {**asked, **changes}) == code
    assert refusal(hands[0], {**asked, **changes, "nonce": 2}) == code


def test_an_altered_replay_to_somebody_else_says_so(hands: tuple[Hand, Hand], bert: Account) -> None:
    cleo = User.objects.create_user(email="cleo@example.org", password="x")
    asked = order(hands[0], bert.address)
    send(hands[0], asked)
    wallet = accounts.wallet(cleo)
    assert refusal(hands[0], {**asked, "to": wallet.address}) == "exists_with_different_credit"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"amount": "10.00000001"}, "insufficient_funds"),
        ({"amount": "0"}, "amount_not_positive"),
        ({"amount": "0.00000000"}, "amount_not_positive"),
        ({"amount": "-1"}, "amount_not_positive"),
        ({"amount": "0.000000001"}, "amount_too_precise"),
        ({"amount": "21000000.00000001"}, "amount_too_large"),
        ({"amount": "92233720368.54775808"}, "amount_too_large"),
        ({"amount": str(2**63)}, "amount_too_large"),
        ({"amount": str(2**64 + 5)}, "amount_too_large"),
        ({"amount": "1e3"}, "amount_malformed"),
        ({"amount": ""}, "amount_malformed"),
        ({"amount": "05"}, "amount_malformed"),
        ({"amount": " 5"}, "amount_malformed"),
        ({"amount": "5 "}, "amount_malformed"),
        ({"amount": "00.00000001"}, "amount_malformed"),
        ({"amount": 1}, "order_malformed"),
        ({"nonce": 0}, "nonce_wrong"),
        ({"nonce": 2}, "nonce_wrong"),
        ({"nonce": -1}, "nonce_wrong"),
        ({"nonce": True}, "order_malformed"),
        ({"nonce": 2**63}, "order_malformed"),
        ({"deadline": 1}, "order_expired"),
        ({"net": "another"}, "wrong_network"),
        ({"purpose": "stake"}, "wrong_purpose"),
        ({"wallet": "0" * 64}, "signer_unknown"),
        ({"to": "0" * 64}, "payee_unknown"),
        ({"to": "wallet:user:987654"}, "payee_unknown"),
        ({"to": "treasury:system"}, "payee_unknown"),
        ({"to": "stake:user:1"}, "payee_unknown"),
        ({"to": "wallet:user:01"}, "payee_unknown"),
        ({"memo": "x" * 201}, "order_malformed"),
        ({"memo": "a\x00b"}, "order_malformed"),
        ({"id": ""}, "order_malformed"),
        ({"id": "a b"}, "order_malformed"),
        ({"extra": "x"}, "order_malformed"),
    ],
)
def test_a_faulty_order_is_refused_by_its_code(
    hands: tuple[Hand, Hand], bert: Account, changes: dict[str, Any], code: str
) -> None:
    payer = hands[0]
    faulty = order(payer, bert.address) | changes
    signature = payer.sign(order(payer, bert.address)) if code == "order_malformed" else payer.sign(faulty)
    assert refusal(payer, faulty, signature) == code


ZEROS = st.sampled_from(["", "0", "00"])
WRITTEN = st.tuples(
    st.sampled_from(["", " ", "+", "-"]),
    ZEROS,
    st.integers(0, 12).map(str),
    st.sampled_from(["", ".", ".5", ".50", ".00000001", ".000000001"]),
    ZEROS,
    st.sampled_from(["", " ", "\u2003"]),
).map("".join)
DIGITS = st.text("0123456789.٣-e ", max_size=12)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(amount=st.one_of(WRITTEN, DIGITS))
@example(amount="05")
@example(amount=" 5")
@example(amount="00.00000001")
def test_however_an_amount_is_written_an_auditor_reads_what_was_paid_or_nothing_was(
    hands: tuple[Hand, Hand], bert: Account, amount: str
) -> None:
    asked = order(hands[0], bert.address, amount=amount)
    before = state()
    with transaction.atomic():
        try:
            paid = send(hands[0], asked).transfer
        except (AmountMalformed, OrderMalformed, InsufficientFunds):
            assert state() == before
            return
        form = leaves.public_form(leaves.Row.of(paid))
        assert order_fault(order_of(paid.authorisation) or {}, form, asked["net"]) == ""
        transaction.set_rollback(True)


@pytest.mark.parametrize("document", [None, [], "x", {}, {"net": 1}])
def test_what_is_no_order_is_refused(hands: tuple[Hand, Hand], document: Any) -> None:
    assert refusal(hands[0], document, "AAAA") == "order_malformed"


def test_a_forged_or_altered_order_is_refused(hands: tuple[Hand, Hand], bert: Account) -> None:
    payer, other = hands
    asked = order(payer, bert.address)
    assert refusal(payer, asked, other.sign(asked)) == "signature_invalid"
    assert refusal(payer, asked, "not base64!") == "signature_invalid"
    assert refusal(payer, {**asked, "amount": "9"}, payer.sign(asked)) == "signature_invalid"


def test_nobody_spends_from_a_foreign_account(hands: tuple[Hand, Hand], bert: Account) -> None:
    payer, other = hands
    asked = order(payer, bert.address)
    before = state()
    with pytest.raises(MeshError) as refused:
        user_transfers.send(other.user, asked, payer.sign(asked), NOW)
    assert (refused.value.code, refused.value.status) == ("foreign_account", 403)
    assert state() == before


def test_a_wallet_cannot_pay_itself(hands: tuple[Hand, Hand], ada: Account) -> None:
    assert refusal(hands[0], order(hands[0], ada.address)) == "same_account"


def test_somebody_who_has_left_is_not_paid(hands: tuple[Hand, Hand], bert: Account) -> None:
    User.objects.filter(email="bert@example.org").update(is_active=False)
    assert refusal(hands[0], order(hands[0], bert.address)) == "payee_unknown"


def test_a_makers_word_never_takes_the_id_of_another_transfer(hands: tuple[Hand, Hand], bert: Account) -> None:
    sent = send(hands[0], order(hands[0], bert.address, id="emission"))
    assert sent.transfer.pk not in {named("emission"), UUID(int=0), named("transfer", "emission")}


@pytest.mark.django_db(transaction=True)
def test_one_order_sent_many_times_at_once_pays_once(hands: tuple[Hand, Hand], bert: Account) -> None:
    asked = order(hands[0], bert.address)
    codes = Counter(sent.code for sent in at_once(lambda i: send(hands[0], asked)))
    assert codes == {"created": 1, "exists": 7}
    assert balances(bert) == [125 * MESH // 100]


@pytest.mark.django_db(transaction=True)
def test_of_many_orders_with_one_nonce_one_is_obeyed(hands: tuple[Hand, Hand], bert: Account) -> None:
    def work(i: int) -> str:
        try:
            return send(hands[0], order(hands[0], bert.address, nonce=1, id=f"o-{i}")).code
        except MeshError as error:
            return error.code

    assert Counter(at_once(work)) == {"created": 1, "nonce_wrong": 7}
    assert balances(bert) == [125 * MESH // 100]


@pytest.mark.django_db(transaction=True)
def test_people_who_pay_each_other_at_once_never_meet_a_deadlock(
    hands: tuple[Hand, Hand], ada: Account, bert: Account, fund: Fund
) -> None:
    fund(bert, 10 * MESH)

    def work(i: int) -> int:
        hand, to = (hands[0], bert) if i % 2 else (hands[1], ada)
        sent = 0
        while sent < 5:
            with suppress(NonceWrong):
                send(hand, order(hand, to.address, id=f"{i}-{sent}", amount="0.01"))
                sent += 1
        return sent

    assert sum(at_once(work)) == 40
    assert sum(balances(ada, bert)) == 20 * MESH
    assert audit.run(NOW).ok


@pytest.mark.django_db(transaction=True)
def test_a_deadlock_is_tried_again_where_it_happens(ada: Account, bert: Account) -> None:
    met = []

    @retried
    def lock_both(first: int, second: int) -> None:
        with transaction.atomic():
            met.append(1)
            Account.objects.select_for_update().get(pk=first)
            with connection.cursor() as cursor:
                cursor.execute("select pg_sleep(%s)", [0.3 if len(met) <= 2 else 0])
            Account.objects.select_for_update().get(pk=second)

    at_once(lambda i: lock_both(*((ada.pk, bert.pk) if i else (bert.pk, ada.pk))), 2)
    assert len(met) > 2
