"""The bodies of messages, one struct a kind; unknown or missing fields are refused."""

from typing import Any

import msgspec

from workers.protocol.errors import UnknownField, WrongKind


class Body(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What all bodies share: strictness."""


class File(Body):
    """One file of a model: SHA-256, size in bytes, address."""

    name: str
    sha256: str
    size: int
    url: str


class Usage(Body):
    """What an attempt used: items of work, tokens read, tokens written."""

    items: int
    tokens_in: int
    tokens_out: int


class Fault(Body):
    """Why an attempt failed."""

    code: str
    detail: str


class NodeRegister(Body):
    """Enrolment: token, keys (base64), probe, and the solved proof-of-work."""

    token: str
    name: str
    sign_public: str
    seal_public: str
    probe: dict[str, Any]
    challenge: str
    nonce: str


class NodeHello(Body):
    """The first words on the socket."""

    challenge: str
    version: int
    models: list[str]
    lanes: dict[str, int]
    running: list[str]


class NodeHeartbeat(Body):
    """Load in percent, free slots by lane, free memory in MiB, tasks under way, time of sending in unix ms."""

    load: int
    slots: dict[str, int]
    memory_free_mb: int
    running: list[str]
    sent_at: int
    draining: bool = False
    models: list[str] = []


class TaskClaim(Body):
    """A request for work."""

    lane: str
    max: int


class TaskRun(Body):
    """Work for one attempt; times in unix ms; `sealed` is the payload, HPKE-sealed to the node, in base64."""

    job: str
    task: str
    attempt: int
    kind: str
    lane: str
    model: str
    version: str
    files: list[File]
    params: dict[str, Any]
    payload_sha256: str
    sealed: str
    lease_expires_at: int
    deadline: int


class TaskStarted(Body):
    """The attempt runs."""

    task: str
    attempt: int


class TaskHandback(Body):
    """The node cannot finish the attempt."""

    task: str
    attempt: int
    reason: str


class TaskResult(Body):
    """What came of an attempt; the hashes are of the plain result and of the sealed bytes beside it."""

    job: str
    task: str
    attempt: int
    ok: bool
    error: Fault | None
    result_sha256: str
    sealed_sha256: str
    usage: Usage
    duration_ms: int


KINDS: dict[str, type[Body]] = {
    "node.register": NodeRegister,
    "node.hello": NodeHello,
    "node.heartbeat": NodeHeartbeat,
    "task.claim": TaskClaim,
    "task.run": TaskRun,
    "task.started": TaskStarted,
    "task.handback": TaskHandback,
    "task.result": TaskResult,
}


def decode_body(kind: str, body: dict[str, Any]) -> Body:
    """The body as its kind's struct; raises UnknownField with what is wrong, or WrongKind."""
    wanted = KINDS.get(kind)
    if wanted is None:
        raise WrongKind(f"There are no messages of kind {kind}.")
    try:
        return msgspec.convert(body, wanted)
    except msgspec.ValidationError as error:
        raise UnknownField(str(error)) from error
