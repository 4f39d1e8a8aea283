"""Submitting a job: quote, checks, and one transaction that holds the fee and fills the queue."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import uuid4

from django.db import IntegrityError, transaction

from apps.core import events, parameters
from apps.core.models import User
from apps.ledger import accounts, holds, mandates
from apps.ledger.amounts import show
from apps.ledger.errors import LedgerError
from apps.ledger.models import authorised_by_platform
from apps.ledger.retries import retried
from apps.models import catalog
from apps.models.models import ModelVersion
from apps.operators.account_errors import AccountGone
from apps.pool import classes, kinds, limits, pricing, queueing
from apps.pool.classes import Feasibility
from apps.pool.errors import IdempotencyKeyReused, InputRefused, NoNodeFits, PriceAboveLimit, SubmissionRefused
from apps.pool.kinds import Chunk, JobRequest
from apps.pool.models import Job, RequirementClass
from workers.protocol import canonical
from workers.protocol.ids import new_id

# The hold outlives the job's own time, so that a chunk which ends at the last moment can still be paid.
HOLD_MARGIN = timedelta(hours=1)


@dataclass(frozen=True)
class Quote:
    """What a job would cost in base units, and how it stands with the network."""

    tasks: int
    price_per_chunk: int
    feasibility: Feasibility

    @property
    def price(self) -> int:
        """For all chunks together."""
        return self.tasks * self.price_per_chunk


@dataclass(frozen=True)
class Plan:
    """A request that was found valid, split and priced."""

    request: JobRequest
    version: ModelVersion
    needs: RequirementClass
    chunks: Sequence[Chunk]
    quote: Quote


def plan(request: JobRequest, now: datetime) -> Plan:
    """Check, split and price a request. Raises ModelUnknown or SubmissionRefused."""
    kind = kinds.get(request.kind)
    if not kinds.is_text(request.model):
        raise kinds.refuse("model", kinds.NOT_TEXT)
    version = catalog.active_version(request.model, now)
    if version.model.task != kind.task:
        raise kinds.refuse("model", f"{request.model} does not do {kind.name} jobs.")
    chunks = kind.split(request)
    most = parameters.get("pool.max_tasks")
    if len(chunks) > most:
        raise kinds.refuse("chunk_size", f"A job has at most {most} chunks; this one has more. Use larger ones.")
    needs = classes.for_version(version, kind.name, now)
    stand = classes.feasibility(needs)
    each = pricing.price(version.model.parameters, stand.busy, stand.slots)
    return Plan(request, version, needs, chunks, Quote(len(chunks), each, stand))


def quote(request: JobRequest, now: datetime) -> Quote:
    """Price and feasibility, before anything is held. Raises ModelUnknown or SubmissionRefused."""
    return plan(request, now).quote


def submit(user: User, request: JobRequest, now: datetime, *, idempotency_key: str | None = None) -> Job:
    """Hold the whole fee and queue the job's chunks; the same idempotency key returns the same job.

    Raises ModelUnknown, a SubmissionRefused, a MandateError, AccountGone, or InsufficientFunds; nothing has happened
    then but a refusal counted.
    """
    digest = digest_of(request)
    earlier = _earlier(user, idempotency_key, digest)
    if earlier is not None:
        return earlier
    try:
        made = plan(request, now)
        _check(user, made, now)
        return _write(user, made, idempotency_key, digest, now)
    except IntegrityError:
        # Two requests with one key at the same moment: the other one won.
        earlier = _earlier(user, idempotency_key, digest)
        if earlier is None:
            raise
        return earlier
    except (SubmissionRefused, LedgerError) as refusal:
        if not isinstance(refusal, InputRefused):
            limits.count_refusal(request.model, refusal, now)
        raise


def digest_of(request: JobRequest) -> str:
    """SHA-256 of what was asked for, 64 hex digits."""
    described = asdict(request)
    described["options"] = [[name, repr(value)] for name, value in sorted(request.options.items())]
    try:
        return sha256(canonical.dumps(described)).hexdigest()
    except ValueError as error:
        raise InputRefused(str(error)) from error


def _earlier(user: User, idempotency_key: str | None, digest: str) -> Job | None:
    if idempotency_key is None:
        return None
    job = Job.objects.filter(requester=user, idempotency_key=idempotency_key).first()
    if job is not None and job.request_digest != digest:
        raise IdempotencyKeyReused
    return job


def _check(user: User, made: Plan, now: datetime) -> None:
    """Feasible, affordable by the caller's own limit, and within the network's limits."""
    asked = made.quote
    if not asked.feasibility.feasible:
        raise NoNodeFits(asked.feasibility.sentence())
    limit = made.request.max_price
    if limit is not None and asked.price > limit:
        raise PriceAboveLimit(f"The job costs {show(asked.price)} MESH, more than your limit of {show(limit)}.")
    limits.check_queue(asked.tasks)
    limits.check_rate(user, now)


@retried
@transaction.atomic(durable=True)
def _write(user: User, made: Plan, idempotency_key: str | None, digest: str, now: datetime) -> Job:
    request, asked = made.request, made.quote
    job = Job.objects.create(
        id=new_id("job", now),
        requester=user,
        kind=request.kind,
        model=request.model,
        version=made.version.version,
        options=dict(request.options),
        chunking=kinds.get(request.kind).chunking(request),
        priority=request.priority,
        price=asked.price,
        price_per_chunk=asked.price_per_chunk,
        hold_id=uuid4(),
        tasks_total=asked.tasks,
        idempotency_key=idempotency_key,
        request_digest=digest,
        created_at=now,
        expires_at=now + timedelta(seconds=parameters.get("pool.job_expiry_s")),
    )
    queueing.enqueue(job, made.chunks, made.needs, now)
    topics = [f"job.{job.pk}", f"user.{user.pk}", "network"]
    data = {"kind": job.kind, "model": job.model, "tasks": asked.tasks}
    events.emit("job.created", subject=job.pk, topics=topics, data=data, now=now, actor=user)
    # Last, since the payer's wallet stays locked from here until the commit.
    _hold(job, request.mandate, user, now)
    return job


def _hold(job: Job, mandate: str, user: User, now: datetime) -> None:
    """Set the job's fee aside: from the requester's wallet, or from the one behind a mandate that they may spend.

    Raises AccountGone where the requester's account was deleted meanwhile; a deletion that comes later finds the job.
    """
    assert job.hold_id is not None  # noqa: S101  only requests are submitted
    if User.objects.locked(user.pk) is None:
        raise AccountGone
    request, expires_at = f"job:{job.pk}", job.expires_at + HOLD_MARGIN
    if mandate:
        drawn = mandates.Draw(job.hold_id, job.price, "job", request, expires_at)
        mandates.place(mandate, user, drawn, now)
        return
    holds.place(
        id=job.hold_id,
        payer=accounts.wallet(user),
        amount=job.price,
        purpose="job",
        authorisation=authorised_by_platform(request, user=user.pk),
        expires_at=expires_at,
        now=now,
    )
