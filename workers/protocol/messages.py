"""The bodies of messages, one struct a kind; unknown or missing fields and values beyond their limits are refused."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from workers.protocol.errors import UnknownField, WrongKind

Count = Annotated[int, Meta(ge=0, le=2**53 - 1)]
# Unix ms up to 2100: every moment in it can be a date, whatever time zone and whatever is added to it.
Moment = Annotated[int, Meta(ge=0, le=4_102_444_800_000)]
# As wide as the column in which it is kept.
Int32 = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Word = Annotated[str, Meta(max_length=200)]
Text = Annotated[str, Meta(max_length=2000)]
Hash = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", max_length=64)]
Units = Annotated[str, Meta(pattern="^(0|[1-9][0-9]{0,24})$", max_length=25)]
Words = Annotated[list[Word], Meta(max_length=10_000)]
Slots = Annotated[dict[Word, Count], Meta(max_length=100)]


class Body(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What all bodies share: strictness."""


class File(Body):
    """One file of a model: SHA-256, size in bytes, address."""

    name: Word
    sha256: Hash
    size: Count
    url: Text


class Usage(Body):
    """What an attempt used: items of work, tokens read, tokens written."""

    items: Int32
    tokens_in: Int32
    tokens_out: Int32


class Fault(Body):
    """Why an attempt failed."""

    code: Word
    detail: Text


class NodeRegister(Body):
    """Enrolment: token, keys (base64), probe, and the solved proof-of-work."""

    token: Word
    name: Word
    sign_public: Word
    seal_public: Word
    probe: dict[str, Any]
    challenge: Word
    nonce: Word


class NodeHello(Body):
    """The first words on the socket."""

    challenge: Word
    version: Count
    models: Words
    lanes: Slots
    running: Words


class NodeLimits(Body):
    """What an owner keeps a machine from: 0 is no cap, `paused_until` in unix ms (0: until resumed), `at` when it was
    set. Memory in MiB, power in W."""

    paused: bool = False
    paused_until: Moment = 0
    quiet_hours: Annotated[list[Word], Meta(max_length=20)] = []
    time_zone: Word = ""
    memory_cap_mb: Count = 0
    power_cap_w: Count = 0
    at: Count = 0


class NodeHeartbeat(Body):
    """Load in percent, free slots by lane, free memory in MiB, tasks under way, times in unix ms; why it takes nothing
    (`held`) and until when, the limits of its own settings, and by which transport it takes work."""

    load: Count
    slots: Slots
    memory_free_mb: Count
    running: Words
    sent_at: Count
    draining: bool = False
    models: Words = []
    held: Annotated[list[Word], Meta(max_length=10)] = []
    held_until: Moment = 0
    limits: NodeLimits | None = None
    transport: Word = ""


class NodeRotate(Body):
    """New keys (base64) in place of those that sign this, and the new key's own signature of `rotation_proof`."""

    sign_public: Word
    seal_public: Word
    proof: Word


class TaskClaim(Body):
    """A request for work."""

    lane: Word
    max: Count


class TaskRun(Body):
    """Work for one attempt; times in unix ms; `sealed` is the payload, HPKE-sealed to the node, in base64."""

    job: Word
    task: Word
    attempt: Count
    kind: Word
    lane: Word
    model: Word
    version: Word
    files: Annotated[list[File], Meta(max_length=1000)]
    params: dict[str, Any]
    payload_sha256: Hash
    sealed: str
    lease_expires_at: Count
    deadline: Count


class TaskStarted(Body):
    """The attempt runs."""

    task: Word
    attempt: Count


class TaskHandback(Body):
    """The node cannot finish the attempt."""

    task: Word
    attempt: Count
    reason: Text


class TaskResult(Body):
    """What came of an attempt; the hashes are of the plain result and of the sealed bytes beside it."""

    job: Word
    task: Word
    attempt: Count
    ok: bool
    error: Fault | None
    result_sha256: Hash
    sealed_sha256: Hash
    usage: Usage
    duration_ms: Int32


class ControlCancel(Body):
    """These tasks are no longer the node's."""

    tasks: Words


class ControlDrain(Body):
    """Finish what runs, take nothing new."""


class ControlResume(Body):
    """Take work again."""


class ControlBanned(Body):
    """The node is kept out while a ban stands: its id, why, and until when (unix ms; None without an end)."""

    ban: Word
    reason: Text
    ends_at: Count | None


class ControlUnbanned(Body):
    """No ban stands against the node any more."""


class ControlRevoked(Body):
    """The node's keys count no longer."""

    reason: Text


class ControlWork(Body):
    """Work waits in a lane."""

    lane: Word


class ControlParameters(Body):
    """Governed parameters that concern nodes."""

    parameters: dict[str, Any]


class ControlLimits(Body):
    """What the node's owner has set on its page."""

    limits: NodeLimits


class PlatformHeartbeat(Body):
    """The answer to a heartbeat: the platform's time in unix ms, waiting tasks, and tasks that the node lost."""

    time: Count
    pending: Count
    cancel: Words
    drain: bool
    key_list_version: Count
    heartbeat_s: Count
    limits: NodeLimits | None = None
    banned: ControlBanned | None = None


class ScanRun(Body):
    """Measure the path to a host."""

    scan: Word
    host: Word
    method: Word = "udp"
    max_hops: Annotated[int, Meta(ge=1, le=64)] = 20


class Hop(Body):
    """One place of a path; both are missing where nobody answered, `masked` where the address is hidden."""

    hop: Count
    ip: Word | None
    rtt_ms: Word | None
    masked: bool


class ScanResult(Body):
    """A measured path: times are decimal text in ms, `measured_at` is unix ms."""

    scan: Word
    host: Word
    method: Word
    address: Word | None
    measured_at: Count
    hops: Annotated[list[Hop], Meta(max_length=64)]
    total_rtt_ms: Word | None
    error: Fault | None


class ConsensusStart(Body):
    """A round begins: what is asked, what to judge it by, who votes with what weight, until when (unix ms)."""

    round: Word
    subject: dict[str, Any]
    observe: dict[str, Any]
    members: Annotated[list[dict[str, Any]], Meta(max_length=256)]
    weights_sha256: Hash
    block: dict[str, Any]
    deadline_at: Count


class ConsensusMessages(Body):
    """Signed messages of a round, a certificate where there is one; `missed` asks for what the others sent."""

    round: Word
    messages: Annotated[list[dict[str, Any]], Meta(max_length=256)]
    certificate: dict[str, Any] | None = None
    missed: bool = False


class ConsensusPrediction(Body):
    """One MLPrediction: confidence in basis points, prices as text of whole 10^-8 USD, `market_at` in unix ms."""

    round: Word
    symbol: Word
    action: Word
    confidence_bp: Annotated[int, Meta(ge=0, le=10_000)]
    price: Units
    target_price: Units | None
    stop_loss: Units | None
    horizon_s: Count
    features_sha256: Hash
    model: Word
    version: Word
    market_at: Moment
    reasoning: Annotated[str, Meta(max_length=500)]


KINDS: dict[str, type[Body]] = {
    "node.register": NodeRegister,
    "node.hello": NodeHello,
    "node.heartbeat": NodeHeartbeat,
    "node.rotate": NodeRotate,
    "task.claim": TaskClaim,
    "task.run": TaskRun,
    "task.started": TaskStarted,
    "task.handback": TaskHandback,
    "task.result": TaskResult,
    "control.cancel": ControlCancel,
    "control.drain": ControlDrain,
    "control.resume": ControlResume,
    "control.revoked": ControlRevoked,
    "control.banned": ControlBanned,
    "control.unbanned": ControlUnbanned,
    "control.work": ControlWork,
    "control.parameters": ControlParameters,
    "control.limits": ControlLimits,
    "platform.heartbeat": PlatformHeartbeat,
    "consensus.start": ConsensusStart,
    "consensus.messages": ConsensusMessages,
    "consensus.prediction": ConsensusPrediction,
    "scan.run": ScanRun,
    "scan.result": ScanResult,
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
