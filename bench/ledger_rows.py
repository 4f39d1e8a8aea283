"""A ledger of many transfers for figures: random payments between accounts, sealed in blocks, dated back in time."""

import random
from datetime import timedelta
from typing import Any
from uuid import UUID

BY = {"by": "platform", "request": "bench"}
BATCH = 1_000
ACCOUNTS = 2_000
SLOT_S = 600


def make(transfers: int, per_block: int = 5_000) -> None:
    """So many payments, `per_block` of them in each block, on a network that began long enough ago."""
    from django.db import connection, transaction

    from apps.ledger import accounts, blocks, genesis
    from apps.ledger.models import Account, Block
    from apps.ledger.posting import NewTransfer, post_all
    from workers.protocol.clock import utcnow

    start = utcnow() - timedelta(seconds=SLOT_S * (transfers // per_block + 20))
    if not genesis.exists():
        raise RuntimeError("The network has no genesis.")
    began: Any = Block.objects.get(pk=0).sealed_at
    wallets = Account.objects.bulk_create(Account(kind="wallet", owner=f"bench:{i}") for i in range(ACCOUNTS))
    ids, dice = [wallet.pk for wallet in wallets], random.Random(7)
    treasury = accounts.system("treasury").pk
    grants = [NewTransfer(UUID(int=dice.getrandbits(128)), treasury, to, 10**10, "grant.bench", BY) for to in ids]
    with transaction.atomic():
        post_all(grants, now=start)
    last = Block.objects.first()
    made, height = len(grants), 0
    while made < transfers:
        with transaction.atomic():
            post_all(payments(ids, dice, min(BATCH, transfers - made)), now=start)
        made += min(BATCH, transfers - made)
        if made % per_block < BATCH:
            height += 1
            with transaction.atomic():
                last = blocks.seal(height, last, began + timedelta(seconds=SLOT_S * height))
    with transaction.atomic():
        blocks.seal(height + 1, last, began + timedelta(seconds=SLOT_S * (height + 1)))
    with connection.cursor() as cursor:
        cursor.execute("vacuum analyze")


def payments(ids: list[int], dice: random.Random, count: int) -> list[Any]:
    """Payments by chance, of amounts too small to empty an account."""
    from apps.ledger.posting import NewTransfer

    made = []
    for _ in range(count):
        payer, payee = dice.sample(ids, 2)
        key = UUID(int=dice.getrandbits(128))
        made.append(NewTransfer(key, payer, payee, dice.randint(1, 1_000), "bench", BY, f"bench {key.hex[:8]}"))
    return made
