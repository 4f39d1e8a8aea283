"""An oracle's part in one round: one task from its start to its certificate, fed by its own mailbox on the broker."""

import json
import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from workers.consensus.committee import Committee, Member
from workers.consensus.errors import ConsensusError
from workers.consensus.machine import Machine, Step
from workers.consensus.messages import DsseCodec, new_salt
from workers.consensus.outcome import subject_sha256
from workers.node.api import NodeApi
from workers.node.cache import ArtifactCache
from workers.node.equivocating import Twin
from workers.node.errors import NodeError, PlatformRefused
from workers.node.identity import Identity
from workers.node.journal import SqliteJournal
from workers.node.observing import observe
from workers.node.served import prediction_of
from workers.protocol import canonical
from workers.protocol.clock import unix_ms, utcnow
from workers.protocol.envelope import sign_document
from workers.protocol.keys import SigningKey

logger = logging.getLogger("node.oracle")
LONGEST_WAIT_S = 1.0
# After so long without a word, the platform is asked for what may have been lost on the way.
QUIET_MS = 1_000
SHORTEST_WAIT_S = 0.001
AWAY_S = 0.3
OPEN, CERTIFIED = "OPEN", "CERTIFIED"


class RoundRefused(ConsensusError):
    """The start of the round is not one that this node takes part in."""

    code = "start_refused"


@dataclass
class Part:
    """One round under way: what is still to be posted, and when somebody was last heard (unix ms)."""

    round: str
    machine: Machine
    deadline_at: int
    outgoing: list[Any] = field(default_factory=list)
    wake_at: int | None = None
    heard_at: int = 0
    missed: bool = False
    status: str = OPEN

    def took(self, step: Step) -> None:
        """Note what a call of the machine led to."""
        self.outgoing += step.messages
        self.wake_at = step.wake_at_ms

    @property
    def certificate(self) -> dict[str, Any] | None:
        """Once there is one."""
        return self.machine.certificate


@dataclass
class Oracle:
    """What a node needs to sit in rounds; `busy` are the rounds under way in this process."""

    identity: Identity
    key: SigningKey
    api: NodeApi
    cache: ArtifactCache
    journal: SqliteJournal
    mailbox: Redis
    twin: Twin
    stopping: threading.Event = field(default_factory=threading.Event)
    busy: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, start: Mapping[str, Any]) -> str:
        """Take part in a round until it is certified, refused or over; a second start of it is nothing new."""
        round_id, deadline = str(start["round"]), int(start["deadline_at"])
        with self.lock:
            if round_id in self.busy:
                return "under_way"
            self.busy.add(round_id)
        try:
            committee, owner = self.seat(start)
            if not self.journal.asked(round_id, start, deadline):
                return "ended"
            return self.take_part(start, committee, owner)
        finally:
            with self.lock:
                self.busy.discard(round_id)

    def resume(self) -> None:
        """Take up the rounds that a killed process left; each in a thread of its own."""
        for start in self.journal.unfinished(unix_ms(utcnow())):
            logger.info("A round is taken up again", extra={"round": start["round"]})
            threading.Thread(target=self.run, args=(start,), name=f"resume-{start['round']}", daemon=True).start()

    def seat(self, start: Mapping[str, Any]) -> tuple[Committee, str]:
        """The round's committee and the owner that this node votes for; raises ConsensusError."""
        committee = committee_of(start, self.identity.network)
        if committee.weights_sha256 != start["weights_sha256"]:
            raise RoundRefused("The weights do not have the hash that the start names.")
        if sha256(canonical.dumps(start["observe"])).hexdigest() != start["subject"].get("observed_sha256"):
            raise RoundRefused("The measurements do not have the hash that the subject names.")
        for member in committee.members:
            if member.node == self.identity.node_id and member.kid == self.key.kid:
                return committee, member.owner
        raise RoundRefused("This node has no seat in the round.")

    def take_part(self, start: Mapping[str, Any], committee: Committee, owner: str) -> str:
        """The round's loop: what the machine says is posted, what arrives is fed to it."""
        machine = Machine(committee, owner, DsseCodec(committee, self.sign), self.journal)
        # A restart says again what it said; it does not look anew.
        again = bool(self.journal.restore(committee.round))
        observation, prediction = ({}, None) if again else observe(start, prediction_of(self.cache))
        now = unix_ms(utcnow())
        part = Part(committee.round, machine, int(start["deadline_at"]), heard_at=now, missed=again)
        part.took(machine.begin(observation, new_salt(), now))
        while not self.stopping.is_set() and part.status == OPEN:
            self.post(part)
            if part.status != OPEN:
                break
            if unix_ms(utcnow()) >= part.deadline_at:
                part.status = "late"
                break
            self.listen(part)
        if part.status == OPEN:
            return "stopped"
        self.journal.end(part.round)
        logger.info("Round over", extra={"round": part.round, "status": part.status, "refused": str(machine.refused)})
        if prediction is not None:
            self.tell_prediction(part.round, prediction)
        return part.status

    def listen(self, part: Part) -> None:
        """Wait for one parcel or for the clock.

        Looking for a second one before posting would wait for the broker's clock, which ticks ten times a second.
        """
        now = unix_ms(utcnow())
        due = now + 1000 if part.wake_at is None else part.wake_at
        parcel = self.fetch(part.round, min(LONGEST_WAIT_S, max(SHORTEST_WAIT_S, (due - now) / 1000)))
        if parcel is not None:
            part.heard_at = unix_ms(utcnow())
            self.take_in(part, parcel)
        now = unix_ms(utcnow())
        if part.certificate is None and now >= due:
            part.took(part.machine.tick(now))
        if now - part.heard_at >= QUIET_MS:
            part.missed, part.heard_at = True, now

    def take_in(self, part: Part, parcel: Any) -> None:
        """A message of a member, or a certificate; all else is refused and counted by the machine."""
        now = unix_ms(utcnow())
        if isinstance(parcel, dict) and "certificate" in parcel:
            part.took(part.machine.learn(parcel["certificate"], now))
            return
        step = part.machine.receive(parcel, now)
        part.took(step)
        for evidence in step.evidence:
            said = {name: evidence[name] for name in ("signer", "view", "step")}
            logger.warning("An oracle signed twice", extra={"round": part.round, **said})

    def fetch(self, round_id: str, wait_s: float) -> Any:
        """The next parcel of the mailbox, or None after a while. What is no JSON is nobody's message."""
        try:
            found: Any = self.mailbox.brpop([f"{self.identity.broker.prefix}r:{round_id}"], timeout=wait_s)
        except (RedisError, OSError):
            # The platform is asked directly, as after any silence.
            time.sleep(wait_s)
            return None
        if found is None:
            return None
        try:
            return json.loads(found[1])
        except ValueError:
            return {}

    def post(self, part: Part) -> None:
        """Say it to the platform, which relays; what it did not answer for is said again."""
        if not part.outgoing and part.certificate is None and not part.missed:
            return
        body = {
            "round": part.round,
            "messages": self.twin.beside(part.outgoing, self.sign),
            "certificate": part.certificate,
            "missed": part.missed,
        }
        try:
            answer = self.api.post("consensus.messages", f"/consensus/{part.round}", body)
        except PlatformRefused as error:
            if error.status < 500 and error.status != 429:
                logger.warning("A post was refused", extra={"round": part.round, "code": error.code})
                part.status = error.code
            else:
                self.stopping.wait(AWAY_S)
            return
        except NodeError as error:
            logger.warning("The platform does not answer", extra={"round": part.round, "code": error.code})
            self.stopping.wait(AWAY_S)
            return
        part.outgoing, part.missed = [], False
        part.status = str(answer["status"])
        if part.status == OPEN:
            for wire in answer["missed"]:
                part.heard_at = unix_ms(utcnow())
                self.take_in(part, wire)

    def tell_prediction(self, round_id: str, prediction: dict[str, Any]) -> None:
        """Post what the model said, beside the round."""
        try:
            body = {"round": round_id, **prediction}
            self.api.post("consensus.prediction", f"/consensus/{round_id}/prediction", body)
        except NodeError as error:
            logger.warning("A prediction was not taken", extra={"round": round_id, "code": error.code})

    def sign(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        """A document of this node."""
        return sign_document(kind, body, key=self.key, net=self.identity.network, now=utcnow())


def committee_of(start: Mapping[str, Any], net: str) -> Committee:
    """The committee that a start names. Raises ConsensusError for one that cannot be."""
    try:
        return Committee(
            net=net,
            round=str(start["round"]),
            members=tuple(Member.load(member) for member in start["members"]),
            subject_sha256=subject_sha256(start["subject"]),
            block_height=int(start["block"]["height"]),
            block_hash=str(start["block"]["hash"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RoundRefused(f"The start of the round is not whole: {error}") from error
