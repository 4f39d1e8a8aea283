"""Posting: every result code, linking, netting, and what the database itself refuses."""

from dataclasses import replace
from datetime import datetime
from uuid import UUID, uuid4

import pytest
from django.db import IntegrityError, connection, transaction

from apps.ledger import accounts
from apps.ledger.amounts import MAX_SUPPLY
from apps.ledger.errors import InsufficientFunds, PostingRefused
from apps.ledger.models import Account, Entry, Transfer
from apps.ledger.posting import NewTransfer, post, post_all
from tests.apps.ledger.cast import NOW, Fund, balances, move


def codes(*transfers: NewTransfer, linked: bool = True) -> list[str]:
    return [result.code for result in post(transfers, now=NOW, linked=linked)]


def test_a_transfer_moves_its_amount_and_leaves_two_entries(ada: Account, bert: Account, fund: Fund) -> None:
    fund(ada, 100)
    transfer = move(ada, bert, 30)
    assert codes(transfer) == ["created"]
    assert balances(ada, bert) == [70, 30]
    entries = Transfer.objects.get(pk=transfer.id).entries.order_by("amount")
    assert [(e.account_id, e.amount) for e in entries] == [(ada.pk, -30), (bert.pk, 30)]


def test_the_same_transfer_again_exists_and_moves_nothing(ada: Account, bert: Account, fund: Fund) -> None:
    fund(ada, 100)
    transfer = move(ada, bert, 30)
    assert codes(transfer) == ["created"]
    assert codes(replace(transfer, authorisation={"by": "platform", "request": "a retry"})) == ["exists"]
    assert balances(ada, bert) == [70, 30]


@pytest.mark.parametrize("field", ["debit", "credit", "amount", "kind", "memo", "hold"])
def test_the_same_id_with_other_content_is_refused_by_field(
    ada: Account, bert: Account, fund: Fund, field: str
) -> None:
    fund(ada, 100)
    fund(bert, 100)
    treasury = accounts.system("treasury")
    transfer = move(ada, bert, 30)
    codes(transfer)
    other = {"debit": treasury.pk, "credit": treasury.pk, "amount": 31, "kind": "b", "memo": "b", "hold": uuid4()}
    assert codes(replace(transfer, **{field: other[field]})) == [f"exists_with_different_{field}"]
    assert balances(ada, bert, treasury) == [70, 130, 0]


def test_more_than_the_account_holds_is_an_overdraft(ada: Account, bert: Account, fund: Fund) -> None:
    fund(ada, 100)
    assert codes(move(ada, bert, 101)) == ["overdraft"]
    assert codes(move(ada, bert, 100)) == ["created"]
    assert balances(ada, bert) == [0, 100]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"amount": 0}, "amount_not_positive"),
        ({"amount": -1}, "amount_not_positive"),
        ({"amount": MAX_SUPPLY + 1}, "amount_too_large"),
        ({"debit": 987_654_321}, "account_not_found"),
        ({"credit": 987_654_321}, "account_not_found"),
    ],
)
def test_an_impossible_transfer_is_refused(ada: Account, bert: Account, changes: dict[str, int], code: str) -> None:
    assert codes(move(ada, bert, 1, **changes)) == [code]
    assert not Transfer.objects.exists()


def test_an_account_cannot_pay_itself(ada: Account, fund: Fund) -> None:
    fund(ada, 10)
    assert codes(move(ada, ada, 1)) == ["same_account"]


def test_an_id_stands_once_in_a_batch(ada: Account, bert: Account, fund: Fund) -> None:
    fund(ada, 10)
    transfer = move(ada, bert, 1)
    assert codes(transfer, transfer, linked=False) == ["created", "id_repeated"]


def test_linked_transfers_are_posted_all_or_not_at_all(ada: Account, bert: Account, fund: Fund) -> None:
    fund(ada, 100)
    assert codes(move(ada, bert, 10), move(ada, bert, 0)) == ["linked_failed", "amount_not_positive"]
    assert codes(move(ada, bert, 60), move(ada, bert, 60), move(bert, ada, 1)) == [
        "overdraft",
        "overdraft",
        "linked_failed",
    ]
    assert balances(ada, bert) == [100, 0]


def test_linked_transfers_are_judged_by_their_net_effect(ada: Account, bert: Account, fund: Fund) -> None:
    fund(bert, 50)
    assert codes(move(ada, bert, 50), move(bert, ada, 50)) == ["created", "created"]
    assert balances(ada, bert) == [0, 50]


def test_single_transfers_fail_alone(ada: Account, bert: Account, fund: Fund) -> None:
    fund(ada, 100)
    batch = [move(ada, bert, amount) for amount in (40, 0, 90, 60, 1)]
    assert codes(*batch, linked=False) == ["created", "amount_not_positive", "overdraft", "created", "overdraft"]
    assert balances(ada, bert) == [0, 100]
    assert codes(*batch, linked=False) == ["exists", "amount_not_positive", "overdraft", "exists", "overdraft"]


def test_a_long_batch_with_a_few_overdrafts_posts_the_rest(ada: Account, bert: Account, fund: Fund) -> None:
    fund(ada, 1_000)
    batch = [move(ada, bert, 5_000 if i % 100 == 7 else 1) for i in range(500)]
    result = codes(*batch, linked=False)
    assert [i for i, code in enumerate(result) if code == "overdraft"] == [7, 107, 207, 307, 407]
    assert balances(ada, bert) == [505, 495]


def test_a_batch_with_overdrafts_is_written_once(ada: Account, bert: Account, fund: Fund) -> None:
    fund(ada, 1_000)
    batch = [move(ada, bert, 5_000 if i % 100 == 7 else 1) for i in range(500)]
    codes(*batch, linked=False)
    numbers = list(Transfer.objects.filter(kind="test").order_by("seq").values_list("seq", flat=True))
    # What had been written and undone would have used numbers up.
    assert numbers == list(range(numbers[0], numbers[0] + 495))


def test_an_id_is_repeated_in_a_batch_with_overdrafts_too(ada: Account, bert: Account, fund: Fund) -> None:
    fund(ada, 10)
    transfer = move(ada, bert, 1)
    assert codes(transfer, move(ada, bert, 99), transfer, linked=False) == ["created", "overdraft", "id_repeated"]


def test_amounts_whose_sum_is_no_number_of_the_database_are_overdrafts(ada: Account, bert: Account) -> None:
    batch = [move(ada, bert, MAX_SUPPLY) for _ in range(5_000)]
    assert set(codes(*batch, linked=False)) == {"overdraft"}


def test_nothing_is_minted_beyond_the_cap(ada: Account) -> None:
    mint = accounts.system("mint")
    assert codes(move(mint, ada, MAX_SUPPLY)) == ["created"]
    assert codes(move(mint, ada, 1)) == ["supply_cap"]
    assert balances(mint, ada) == [-MAX_SUPPLY, MAX_SUPPLY]


def test_sums_beyond_64_bits_are_refused_not_wrapped(ada: Account, bert: Account) -> None:
    batch = [move(ada, bert, MAX_SUPPLY) for _ in range(5_000)]
    assert set(codes(*batch)) == {"overdraft"}


def test_post_all_names_what_was_refused(ada: Account, bert: Account, fund: Fund) -> None:
    with pytest.raises(InsufficientFunds) as short:
        post_all([move(ada, bert, 1)], now=NOW)
    assert (short.value.code, short.value.status) == ("insufficient_funds", 402)
    fund(ada, 10)
    with pytest.raises(PostingRefused) as refused:
        post_all([move(ada, bert, 1), move(ada, ada, 1)], now=NOW)
    assert refused.value.code == "same_account"


@pytest.mark.django_db(transaction=True)
def test_posting_needs_an_open_transaction(ada: Account, bert: Account) -> None:
    with pytest.raises(RuntimeError, match="open transaction"):
        post([move(ada, bert, 1)], now=NOW)


def test_an_empty_batch_is_nothing(db: None) -> None:
    assert post([], now=NOW) == []


def execute(statement: str, *values: object) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, values)


@pytest.fixture
def posted(ada: Account, bert: Account, fund: Fund) -> UUID:
    fund(ada, 100)
    transfer = move(ada, bert, 30)
    post_all([transfer], now=NOW)
    return transfer.id


@pytest.mark.parametrize("change", ["update ledger_{} set id = id", "delete from ledger_{}"])
@pytest.mark.parametrize("table", ["transfer", "entry"])
def test_history_is_never_changed(posted: UUID, table: str, change: str) -> None:
    with pytest.raises(IntegrityError, match="never changed"):
        execute(change.format(table))


def test_a_balance_is_not_written_by_hand(posted: UUID, ada: Account) -> None:
    with pytest.raises(IntegrityError, match="by entries alone"):
        execute("update ledger_account set balance = 1000 where id = %s", ada.pk)
    with pytest.raises(IntegrityError, match="by entries alone"):
        Account.objects.create(kind="wallet", owner="eve", balance=1)


def test_entries_that_do_not_sum_to_zero_are_refused(posted: UUID, ada: Account) -> None:
    seq = Transfer.objects.get(pk=posted).seq
    with pytest.raises(IntegrityError, match="sum to zero"):
        execute("insert into ledger_entry (transfer_id, account_id, amount) values (%s, %s, 5)", seq, ada.pk)
    assert Entry.objects.filter(transfer_id=seq).count() == 2


def test_entries_of_nothing_are_refused(posted: UUID, ada: Account) -> None:
    write = "insert into ledger_entry (transfer_id, account_id, amount) values (%s, %s, 5), (%s, %s, -5)"
    with pytest.raises(IntegrityError, match="does not exist"):
        execute(write, 10**9, ada.pk, 10**9, ada.pk)
    seq = Transfer.objects.get(pk=posted).seq
    with pytest.raises(IntegrityError, match="no account 987654321"):
        execute(write, seq, ada.pk, seq, 987_654_321)


def test_a_transfer_between_unknown_accounts_is_refused(ada: Account) -> None:
    with pytest.raises(IntegrityError, match="does not exist"):
        execute(
            "insert into ledger_transfer (id, debit_id, credit_id, amount, kind, memo, authorisation, at)"
            " values (%s, %s, 987654321, 1, 'x', '', %s, %s)",
            uuid4(),
            ada.pk,
            '{"by": "x"}',
            NOW,
        )


@pytest.mark.parametrize(
    "change", ["update ledger_account set kind = 'mint' where id = %s", "delete from ledger_account where id = %s"]
)
def test_an_account_keeps_its_name(posted: UUID, ada: Account, change: str) -> None:
    with pytest.raises(IntegrityError, match="never changed"):
        execute(change, ada.pk)


def test_burnt_tokens_stay_burnt(ada: Account, fund: Fund) -> None:
    burn = accounts.system("burn")
    fund(burn, 10)
    with pytest.raises(IntegrityError, match="stay burnt"), transaction.atomic():
        post([move(burn, ada, 1)], now=NOW)


def test_an_unauthorised_transfer_is_refused(ada: Account, bert: Account, fund: Fund) -> None:
    fund(ada, 10)
    with pytest.raises(IntegrityError), transaction.atomic():
        execute(
            "insert into ledger_transfer (id, debit_id, credit_id, amount, kind, memo, authorisation, at)"
            " values (%s, %s, %s, 1, 'x', '', '{}', %s)",
            uuid4(),
            ada.pk,
            bert.pk,
            NOW,
        )


def test_times_are_those_given(posted: UUID, now: datetime) -> None:
    assert Transfer.objects.get(pk=posted).at == now
