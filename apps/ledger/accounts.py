"""Who holds money: one account per kind and owner, made when first asked for."""

from django.db import models

from apps.core.models import User
from apps.ledger.models import Account, AccountKind, Hold, HoldStatus

SYSTEM = "system"


def owner_of(user: User) -> str:
    """The owner's name of a user's accounts."""
    return f"user:{user.pk}"


def account(kind: AccountKind | str, owner: str) -> Account:
    """The account of that kind and owner."""
    return Account.objects.get_or_create(kind=AccountKind(kind), owner=owner)[0]


def wallet(user: User) -> Account:
    """What a user may spend."""
    return account(AccountKind.WALLET, owner_of(user))


def wallet_address(user: User) -> str:
    """The name of a user's wallet in blocks and receipts, whether or not it was used yet."""
    return f"{AccountKind.WALLET}:{owner_of(user)}"


def stake(user: User) -> Account:
    """What a user has at stake."""
    return account(AccountKind.STAKE, owner_of(user))


def system(kind: AccountKind | str) -> Account:
    """An account of the network itself: treasury, burn, mint, faucet."""
    return account(kind, SYSTEM)


def held_for(payer: Account) -> Account:
    """Where the money of a payer's holds lies."""
    return account(AccountKind.HOLD, payer.owner)


def escrow(owner: str) -> Account:
    """What waits for somebody's time to come."""
    return account(AccountKind.ESCROW, owner)


def user_of(account: Account) -> User | None:
    """Whose account it is; None for those of the network."""
    kind, _, key = account.owner.partition(":")
    return User.objects.filter(pk=int(key)).first() if kind == "user" and key.isdecimal() else None


def lock(*held: Account) -> list[Account]:
    """The accounts as they are now, locked until commit; in the order in which postings lock them."""
    rows = Account.objects.select_for_update(no_key=True).filter(pk__in=[account.pk for account in held])
    found = {account.pk: account for account in rows.order_by("pk")}
    return [found[account.pk] for account in held]


def balance(user: User) -> int:
    """What a user may spend, in base units."""
    found = Account.objects.filter(kind=AccountKind.WALLET, owner=owner_of(user)).values_list("balance", flat=True)
    return found.first() or 0


def held(user: User) -> int:
    """What a user's open holds set aside, in base units."""
    holds = Hold.objects.filter(payer__owner=owner_of(user), payer__kind=AccountKind.WALLET, status=HoldStatus.OPEN)
    left = holds.aggregate(left=models.Sum(models.F("amount") - models.F("settled") - models.F("released")))["left"]
    return int(left or 0)
