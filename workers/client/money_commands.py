"""`mesh wallet send | stake | unstake | mandate | mandates | revoke`: orders that a wallet of this machine signs."""

import time
from typing import Annotated, Any
from uuid import uuid4

import typer

from workers.client import credentials, wallets
from workers.client.account_commands import Json, Url
from workers.client.client import MeshClient
from workers.client.output import print_fields, print_json, print_table, say
from workers.protocol.amounts import spelled
from workers.protocol.keys import fingerprint

LIFE_MS = 600_000
DAY_MS = 86_400_000
Wallet = Annotated[str, typer.Option("--wallet", help="Which wallet of this machine signs.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Id = Annotated[
    str | None, typer.Option("--id", help="Your word for this order: given again, it is the same order, done once.")
]
# Spelled before it is shown, asked about and signed, since orders write an amount in one way.
Amount = Annotated[str, typer.Argument(help="MESH, such as 1.25.", parser=spelled, metavar="AMOUNT")]


def hand_in(mesh: MeshClient, path: str, name: str, purpose: str, **fields: Any) -> dict[str, Any]:
    """Sign an order with the wallet's next nonce and hand it in."""
    key = wallets.load(name)
    address = fingerprint(key.public)
    said = mesh.get(f"/api/v1/wallets/{address}/nonce")
    now = int(time.time() * 1000)
    order = {
        "net": said["net"],
        "purpose": purpose,
        "wallet": address,
        "nonce": said["nonce"],
        "deadline": now + LIFE_MS,
        "id": fields.pop("id") or str(uuid4()),
        **fields,
    }
    return mesh.post(path, {"document": order, "signature": wallets.signed(key, order)["signature"]})


def ask(question: str, *, yes: bool) -> None:
    """Go on only if the person wants it."""
    if not yes:
        typer.confirm(question, abort=True, err=True)


def send(
    to: Annotated[str, typer.Argument(help="A wallet's address, or an account such as wallet:user:7.")],
    amount: Amount,
    memo: Annotated[str, typer.Option("--memo", help="Everybody can read it in the ledger.")] = "",
    wallet: Wallet = "default",
    order_id: Id = None,
    yes: Yes = False,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Send MESH to another wallet. It cannot be taken back."""
    ask(f"Send {amount} MESH to {to}?", yes=yes)
    with credentials.client(url) as mesh:
        sent = hand_in(mesh, "/api/v1/transfers", wallet, "transfer", id=order_id, to=to, amount=amount, memo=memo)
    print_json(sent) if as_json else print_fields(
        {"transfer": sent["id"], "to": sent["payee"], "amount": f"{sent['amount']} MESH", "state": sent["code"]}
    )


def stake(
    amount: Amount,
    wallet: Wallet = "default",
    order_id: Id = None,
    yes: Yes = False,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Lock MESH at stake. It can be slashed for proven misbehaviour."""
    ask(f"Lock {amount} MESH at stake?", yes=yes)
    with credentials.client(url) as mesh:
        locked = hand_in(mesh, "/api/v1/stakes", wallet, "stake", id=order_id, amount=amount)
    print_json(locked) if as_json else print_fields({"transfer": locked["id"], "locked": f"{locked['amount']} MESH"})


def unstake(
    amount: Amount,
    wallet: Wallet = "default",
    order_id: Id = None,
    yes: Yes = False,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Begin to take stake back. It can be slashed until it is free."""
    ask(f"Take {amount} MESH of your stake back?", yes=yes)
    with credentials.client(url) as mesh:
        begun = hand_in(mesh, "/api/v1/stakes", wallet, "unstake", id=order_id, amount=amount)
    print_json(begun) if as_json else print_fields(
        {"id": begun["id"], "amount": f"{begun['amount']} MESH", "free at": begun["release_at"]}
    )


def mandate(
    spender: Annotated[str, typer.Argument(help="Who may spend: a wallet's address, or an account.")],
    cap: Annotated[str, typer.Argument(help="At most so much MESH.", parser=spelled, metavar="CAP")],
    days: Annotated[int, typer.Option("--days", min=1, max=3650, help="How long it holds.")] = 30,
    wallet: Wallet = "default",
    order_id: Id = None,
    yes: Yes = False,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Let an account's jobs be paid by your wallet, up to a cap, for some days."""
    ask(f"Let {spender} spend up to {cap} MESH for {days} days?", yes=yes)
    expires = int(time.time()) * 1000 + days * DAY_MS
    with credentials.client(url) as mesh:
        given = hand_in(
            mesh, "/api/v1/mandates", wallet, "mandate", id=order_id, spender=spender, cap=cap, expires=expires
        )
    print_json(given) if as_json else print_fields(
        {"mandate": given["id"], "cap": f"{given['cap']} MESH", "until": given["expires_at"]}
    )


def mandates(url: Url = None, as_json: Json = False) -> None:
    """The mandates that you gave or may spend."""
    with credentials.client(url) as mesh:
        found: Any = mesh.get("/api/v1/mandates")
    if as_json:
        print_json(found)
    elif found:
        columns = ["id", "payer", "spender", "used", "cap", "expires_at", "revoked_at"]
        print_table(columns, [[str(row[name] or "") for name in columns] for row in found])
    else:
        say("There are no mandates. Give one with `mesh wallet mandate`.")


def revoke(
    mandate_id: Annotated[str, typer.Argument(help="mdt_…")], yes: Yes = False, url: Url = None, as_json: Json = False
) -> None:
    """Revoke a mandate of yours. Nothing more can be held on it."""
    ask(f"Revoke {mandate_id}?", yes=yes)
    with credentials.client(url) as mesh:
        ended = mesh.post(f"/api/v1/mandates/{mandate_id}/revoke", {})
    print_json(ended) if as_json else print_fields({"mandate": ended["id"], "revoked": ended["revoked_at"]})
