"""A stage on which every address of the site leads somewhere: people, what is theirs, and what is everybody's."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

from allauth.usersessions.models import UserSession

from apps.core import platform_keys
from apps.core.models import FaultEvidence, User
from apps.ledger import accounts, genesis
from apps.ledger.audit import runs
from apps.ledger.models import AuditRun, Mandate, Transfer, authorised_by_platform
from apps.ledger.slashing import slash
from apps.ledger.staking import stake, unstake
from apps.models.models import Model
from apps.operators.models import ApiKey, Ban, EnrolmentToken, ShardHost, SlashCase, Stake, Wallet
from apps.pool import submission
from apps.trading.models import Decision, Plan, Round, ScanTarget, Signal
from tests.apps.pool import cast
from tests.site import trading_cast
from workers.protocol.clock import utcnow
from workers.protocol.ids import new_id, show_uuid

MESH = cast.MESH
SEAT = "s" * 32


@dataclass(frozen=True)
class Stage:
    """Who asks, by name; and what the parameters of addresses stand for."""

    actors: dict[str, User | None]
    values: dict[str, Any]


def set_up() -> Stage:
    """Rita has a job, Olga a node and money at stake; Otto is another operator, Stella is staff."""
    platform_keys.create(utcnow())
    start = cast.NOW - timedelta(hours=1)
    genesis.write(genesis.document(network="mesh-test", testnet=True, timestamp=start, block_seconds=10), start)
    cast.publish(manifest={"max_tokens": 256})
    rita, olga, otto = (cast.requester(name) for name in ("rita", "olga", "otto"))
    stella = cast.user("stella", is_staff=True, is_superuser=True)
    trading_cast.full_stage()
    machine = cast.machine("olga-1", cast.operator("olga", user=olga))
    values = {
        **of_rita(rita, olga),
        **of_olga(olga, machine),
        **of_everybody(),
        "ban_id": ban(cast.machine("otto-1", cast.operator("otto", user=otto)), stella).pk,
    }
    people = {"requester": rita, "operator": olga, "other": otto, "staff": stella, "unproven": stella}
    return Stage({"visitor": None, **people}, values)


def ban(machine: cast.Machine, by: User) -> Ban:
    """A node that is kept out."""
    return Ban.objects.create(
        id=new_id("ban", cast.NOW),
        kind="node",
        node=machine.node,
        reason="It lied.",
        evidence="Two results.",
        at=cast.NOW,
        made_by=by,
    )


def of_rita(rita: User, olga: User) -> dict[str, Any]:
    """A job, a key, a session, and a mandate for somebody else."""
    now = utcnow()
    job = submission.submit(rita, cast.embed("a", "b"), now)
    key = ApiKey.objects.create(
        id=new_id("key", now), user=rita, name="k", prefix="mk_k", hash="1" * 64, created_at=now
    )
    seat = UserSession.objects.create(user=rita, session_key=SEAT, ip="127.0.0.1", user_agent="")
    mandate = Mandate.objects.create(
        id=uuid4(), payer=accounts.wallet(rita), spender=accounts.owner_of(olga), wallet="cd" * 32, cap=MESH,
        document={}, signature="s", created_at=now, expires_at=now + timedelta(days=1),
    )  # fmt: skip
    return {
        "job_id": job.pk,
        "key_id": key.pk,
        "seat_id": seat.pk,
        "mandate_id": show_uuid("mdt", mandate.pk),
    }


def of_olga(olga: User, machine: cast.Machine) -> dict[str, Any]:
    """A node that has done Rita's job, a token, a wallet, and a stake of which a part is on its way out."""
    now, operator = utcnow(), machine.node.operator
    machine.work(now)
    token = EnrolmentToken.objects.create(
        id=new_id("tok", now), operator=operator, name="next", hash="0" * 64, expires_at=now, created_at=now
    )
    wallet = Wallet.objects.create(id=new_id("wal", now), user=olga, address="ab" * 32, public="cHVi", created_at=now)
    host = ShardHost.objects.create(id=new_id("host", now), user=olga, wallet=wallet, name="shelf", joined_at=now)
    by = authorised_by_platform("test", user=olga.pk)
    moved = stake(olga, 100 * MESH, id=uuid4(), authorisation=by, now=now)
    Stake.objects.create(id=moved.pk, operator=operator, amount=moved.amount, locked_at=now)
    leaving = unstake(olga, 10 * MESH, id=uuid4(), authorisation=by, now=now)
    evidence = FaultEvidence.objects.get()
    slashed = slash(olga, f"equivocation:{evidence.digest}", 1_000, now, now)
    case = SlashCase.objects.create(slash=slashed, evidence=evidence, node=machine.node, what="Twice.", at=now)
    return {
        "node_id": machine.node.pk,
        "action": "drain",
        # Of a mailed link that leads nowhere any more, and of a passkey that nobody has.
        "key": "abc",
        "uidb36": "1",
        "pk": 1,
        "token_id": token.pk,
        "host_id": host.pk,
        "unbonding_id": show_uuid("unb", leaving.pk),
        "slash_id": case.public_id,
        "digest": evidence.digest,
        "reward": "wallet_connect",
        "wallet": wallet.address,
    }


def of_everybody() -> dict[str, Any]:
    """What is public: the chain, its audit, a model, and the desk."""
    runs.record(utcnow())
    first = {each: each.objects.order_by("pk").first() for each in (Signal, Decision, Round, Plan)}
    transfer = Transfer.objects.in_block(0).first()
    assert transfer is not None
    return {
        "transfer_id": show_uuid("txn", transfer.pk),
        "address": "treasury:system",
        "height": 0,
        "block": 0,
        "run_id": AuditRun.objects.latest("pk").pk,
        "name": Model.objects.get().name,
        "sha256": "ab" * 32,
        "signal_id": first[Signal].pk,
        "decision_id": first[Decision].pk,
        "round_id": first[Round].pk,
        "plan_id": first[Plan].pk,
        "host": ScanTarget.objects.order_by("pk")[0].host,
    }
