"""Challenges of the proof-of-work that need no storing: their time, and a stamp that binds them to a subject."""

from datetime import datetime
from typing import Any

from django.utils.crypto import constant_time_compare, salted_hmac

from apps.core import parameters
from apps.operators.errors import ChallengeInvalid, PowInvalid
from workers.protocol import pow as proof_of_work
from workers.protocol.clock import unix_ms

LIFE_MS = 600_000


def _stamp(subject: str, issued_ms: int) -> str:
    return salted_hmac("apps.operators.work", f"{subject}:{issued_ms}", algorithm="sha256").hexdigest()[:40]


def issue(subject: str, now: datetime) -> dict[str, Any]:
    """A challenge for a subject, and the difficulty that is governed now: `challenge` and `zeros`."""
    issued = unix_ms(now)
    return {"challenge": f"{issued}.{_stamp(subject, issued)}", "zeros": parameters.get("operators.pow_zeros")}


def check(challenge: str, subject: str, key: str, nonce: str, now: datetime) -> None:
    """The challenge is ours, fresh and of this subject, and the nonce solves it for the key (base64).

    The difficulty is that of now: a network that is flooded and asks for more refuses less at once. Raises
    ChallengeInvalid or PowInvalid.
    """
    issued, _, stamp = challenge.partition(".")
    written = issued.isascii() and issued.isdigit() and len(issued) < 20
    if not written or not constant_time_compare(stamp, _stamp(subject, int(issued))):
        raise ChallengeInvalid
    if not 0 <= unix_ms(now) - int(issued) <= LIFE_MS:
        raise ChallengeInvalid
    if not proof_of_work.check(challenge, key, nonce, parameters.get("operators.pow_zeros")):
        raise PowInvalid
