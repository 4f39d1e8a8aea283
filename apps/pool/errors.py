"""Refusals of the pool, each with its stable code.

PoolError
├── SubmissionRefused
│   ├── KindUnknown
│   ├── InputRefused
│   ├── BodyTooLarge
│   ├── NoNodeFits
│   ├── QueueFull
│   ├── TooManyJobs
│   ├── PriceAboveLimit
│   └── IdempotencyKeyReused
├── JobNotFound
├── JobNotFinished
├── NothingToCancel
├── JobIncomplete
├── ReceiptPending
├── NotAssigned
└── ResultRefused
"""

from apps.core.errors import MeshError


class PoolError(MeshError):
    """The pool refuses that."""

    code = "pool_error"


class SubmissionRefused(PoolError):
    """The job is refused."""

    code = "submission_refused"


class KindUnknown(SubmissionRefused):
    """There are no jobs of that kind."""

    code = "kind_unknown"


class InputRefused(SubmissionRefused):
    """The job's input is not valid."""

    code = "input_refused"


class BodyTooLarge(SubmissionRefused):
    """The request is larger than the network takes. Split it into several jobs."""

    code = "body_too_large"
    status = 413


class NoNodeFits(SubmissionRefused):
    """No node of the network can do this job at present."""

    code = "no_node_fits"
    status = 409


class QueueFull(SubmissionRefused):
    """The network's queue is full. Try again when it is shorter."""

    code = "queue_full"
    status = 503
    retry_after = 30


class TooManyJobs(SubmissionRefused):
    """You have submitted as many jobs as the network takes from one requester for now."""

    code = "too_many_jobs"
    status = 429

    def __init__(self, detail: str | None = None, *, retry_after: int = 60) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class PriceAboveLimit(SubmissionRefused):
    """The job costs more than the limit that you gave."""

    code = "price_above_limit"
    status = 409


class IdempotencyKeyReused(SubmissionRefused):
    """That idempotency key belongs to another request of yours."""

    code = "idempotency_key_reused"
    status = 422


class JobNotFound(PoolError):
    """There is no job of that id that you may see."""

    code = "job_not_found"
    status = 404


class NothingToCancel(PoolError):
    """The job has ended, or all of its chunks run: those end by themselves. Look again when they have."""

    code = "nothing_to_cancel"
    status = 409


class JobNotFinished(PoolError):
    """The job is not finished yet."""

    code = "job_not_finished"
    status = 409


class JobIncomplete(PoolError):
    """The job ended without all of its chunks, so there is no joined result."""

    code = "job_incomplete"
    status = 409


class ReceiptPending(PoolError):
    """The receipt is issued once the job is final and its transfers are sealed in blocks."""

    code = "receipt_pending"
    status = 409


class NotAssigned(PoolError):
    """That task is not known, or not this node's."""

    code = "not_assigned"
    status = 404


class ResultRefused(PoolError):
    """The result is refused; nothing has changed."""

    code = "result_refused"
    status = 422
