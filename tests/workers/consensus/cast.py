"""Four or five oracles with real keys, their machines, and a network that loses nothing."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from workers.consensus.committee import Committee, Member
from workers.consensus.journal import MemoryJournal
from workers.consensus.machine import Machine, Step
from workers.consensus.messages import DsseCodec
from workers.protocol.envelope import sign_document
from workers.protocol.keys import SigningKey, b64

NET = "meshwork-test"
ROUND = "rnd_1"
BLOCK = "b" * 64
NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEYS = [SigningKey.from_bytes(bytes([number + 1]) * 32) for number in range(7)]
STRANGER = SigningKey.from_bytes(b"\xee" * 32)


def observation(**changed: Any) -> dict[str, Any]:
    """One observation."""
    said = {"symbol": "BTC-USD", "action": "BUY", "horizon_s": 900, "confidence_bp": 6000, "price": "9500000000000"}
    return {**said, **changed}


def committee(size: int = 4, weights: list[int] | None = None, round_id: str = ROUND) -> Committee:
    """Owners o0, o1, … of equal weight unless told otherwise."""
    members = tuple(
        Member(f"o{seat}", f"nod_{seat}", KEYS[seat].kid, b64(KEYS[seat].public), (weights or [1000] * size)[seat])
        for seat in range(size)
    )
    return Committee(NET, round_id, members, "a" * 64, 7, BLOCK)


def signer(key: SigningKey, net: str = NET) -> Callable[[str, dict[str, Any]], dict[str, Any]]:
    """What a node signs with."""
    return lambda kind, body: sign_document(kind, body, key=key, net=net, now=NOW)


def said(step: str, seat: int = 0, key: SigningKey | None = None, net: str = NET, **body: Any) -> dict[str, Any]:
    """A signed message as somebody on the wire would write it."""
    whole = {"round": ROUND, "view": 0, "step": step, "signer": f"o{seat}", **body}
    return signer(key or KEYS[seat], net)(f"consensus.{step}", whole)


class Table:
    """All machines of a round and the messages between them."""

    def __init__(self, size: int = 4, weights: list[int] | None = None) -> None:
        self.committee = committee(size, weights)
        self.journals = [MemoryJournal() for _ in range(size)]
        self.machines = [self.machine(seat) for seat in range(size)]
        self.queue: list[tuple[int, Any]] = []
        self.sent: list[Any] = []
        self.now = 0

    def machine(self, seat: int) -> Machine:
        """A new machine on the seat's journal."""
        codec = DsseCodec(self.committee, signer(KEYS[seat]))
        return Machine(self.committee, f"o{seat}", codec, self.journals[seat])

    def begin(self, seats: list[int] | None = None, **changed: Any) -> None:
        """These seats, or all, observe the same but for their confidence."""
        for seat in range(len(self.machines)) if seats is None else seats:
            mine = observation(confidence_bp=6000 + seat, **changed)
            self.post(seat, self.machines[seat].begin(mine, bytes([seat]) * 32, self.now))

    def post(self, seat: int, step: Step) -> None:
        """Put what a machine said on its way to all others."""
        self.sent += step.messages
        self.queue += [(to, wire) for wire in step.messages for to in range(len(self.machines)) if to != seat]

    def settle(self, absent: set[int] = frozenset()) -> None:  # type: ignore[assignment]
        """Deliver until nobody has anything to say."""
        while self.queue:
            seat, wire = self.queue.pop(0)
            if seat not in absent:
                self.post(seat, self.machines[seat].receive(wire, self.now))

    def wait(self, milliseconds: int, absent: set[int] = frozenset()) -> None:  # type: ignore[assignment]
        """Let time pass in small steps."""
        for _ in range(milliseconds // 50):
            self.now += 50
            for seat, machine in enumerate(self.machines):
                if seat not in absent and machine.certificate is None and machine.begun:
                    self.post(seat, machine.tick(self.now))
            self.settle(absent)

    def certificates(self) -> list[dict[str, Any]]:
        """Those that exist."""
        return [machine.certificate for machine in self.machines if machine.certificate is not None]
