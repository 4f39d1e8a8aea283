"""Money and an account that closes at this moment: whoever comes second waits, and is refused."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, transaction

from apps.core.errors import MeshError
from apps.core.models import User
from apps.ledger import accounts, faucet, user_transfers
from apps.ledger.amounts import MESH
from apps.ledger.models import Account, Block
from apps.operators import account_deletion
from apps.operators.account_errors import AccountObstacle
from tests.apps.ledger.cast import NOW, Fund, balances
from tests.apps.ledger.signing import Hand, known
from tests.apps.ledger.waits import until_somebody_waits_for_me

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def hands(ada: Account, bert: Account, started: Block, fund: Fund) -> Iterator[list[Hand]]:
    made = [Hand(User.objects.get(email=f"{name}@example.org")) for name in ("ada", "bert")]
    fund(ada, 100 * MESH)
    with known(*made):
        yield made


def send(payer: Hand, payee: Hand) -> Callable[[], object]:
    document = payer.document("transfer", to=payee.address, amount="1", memo="")
    signature = payer.sign(document)
    return lambda: user_transfers.send(payer.user, document, signature, NOW)


def grant(user: User) -> Callable[[], object]:
    staff = User.objects.create_superuser("root@example.org", "long-enough-1")
    return lambda: faucet.treasury_grant(user, MESH, staff, "", NOW)


def outcome(act: Callable[[], object]) -> str:
    try:
        act()
    except MeshError as error:
        return error.code
    finally:
        connection.close()
    return "done"


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("pay", "signer_unknown"),
        ("be paid", "payee_unknown"),
        ("claim", "reward_not_earned"),
        ("be granted", "grant_refused"),
    ],
)
def test_money_waits_for_a_deletion_and_is_refused_after_it(hands: list[Hand], what: str, code: str) -> None:
    leaver, other = hands if what == "pay" else hands[::-1]
    acts: dict[str, Callable[[], Callable[[], object]]] = {
        "pay": lambda: send(leaver, other),
        "be paid": lambda: send(other, leaver),
        "claim": lambda: lambda: faucet.claim(leaver.user, "wallet_connect", NOW),
        "be granted": lambda: grant(leaver.user),
    }
    act = acts[what]()
    wallets = [accounts.wallet(hand.user) for hand in hands]
    before = balances(*wallets)
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            assert User.objects.locked(leaver.user.pk)
            answer = pool.submit(outcome, act)
            until_somebody_waits_for_me()
            # What the deletion does, which nobody else has seen yet.
            User.objects.filter(pk=leaver.user.pk).update(is_active=False)
        assert answer.result() == code
    assert balances(*wallets) == before


def test_a_deletion_waits_for_money_on_its_way(hands: list[Hand]) -> None:
    ada, bert = hands
    seen: list[int] = []

    def look(user: User) -> AccountObstacle | None:
        seen.append(accounts.balance(user))
        return None

    account_deletion.refuse_while(look)
    try:
        with ThreadPoolExecutor(1) as pool:
            with transaction.atomic():
                send(ada, bert)()
                answer = pool.submit(outcome, lambda: account_deletion.delete(bert.user, NOW))
                until_somebody_waits_for_me()
            assert answer.result() == "done"
    finally:
        account_deletion._checks.remove(look)
    # Whatever stands in a deletion's way is asked when nothing moves any more.
    assert seen == [MESH]


def test_two_who_pay_each_other_at_once_never_wait_for_each_other(hands: list[Hand], fund: Fund) -> None:
    ada, bert = hands
    fund(accounts.wallet(bert.user), 100 * MESH)
    order: list[list[int]] = []
    for payer, payee in ((ada, bert), (bert, ada)):
        with transaction.atomic():
            locked: list[int] = []
            with connection.execute_wrapper(noted(locked)):
                send(payer, payee)()
        order.append(locked)
    assert order[0] == order[1] == [ada.user.pk, bert.user.pk]


def noted(locked: list[int]) -> Callable[..., object]:
    """Keep the users whose rows are locked, in their order."""

    def look(
        execute: Callable[..., object], sql: str, params: tuple[object, ...], many: bool, context: object
    ) -> object:
        if "core_user" in sql and "FOR NO KEY UPDATE" in sql:
            locked.extend(value for value in params if type(value) is int)
        return execute(sql, params, many, context)

    return look
