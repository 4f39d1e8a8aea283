"""Trading's part of the node API: rounds, predictions and scans. Every POST is a node's signed envelope."""

from dataclasses import asdict

from django.http import HttpRequest, HttpResponse

from apps.pool.node_api.http import answer, envelope_of
from apps.pool.node_api.keys import open_from_node
from apps.pool.node_api.working import node_of
from apps.trading import predictions, rounds_relay, scans
from apps.trading.rounds_errors import RoundMismatch
from workers.protocol.clock import utcnow
from workers.protocol.messages import ConsensusMessages, ConsensusPrediction, ScanResult

LARGEST = 4 * 2**20


def consensus(request: HttpRequest, round_id: str) -> HttpResponse:
    """A DSSE `consensus.messages` → `{"status", "refused", "missed"}`.

    No replay guard: a message counts once by its digest, and nodes send it again until they have an answer.
    """
    raw, now = envelope_of(request, LARGEST), utcnow()
    envelope, body = open_from_node(raw, ConsensusMessages, now, durable=False)
    if body.round != round_id:
        raise RoundMismatch
    received = rounds_relay.receive(
        round_id, body.messages, envelope.sender, now, certificate=body.certificate, missed=body.missed
    )
    return answer(asdict(received))


def prediction(request: HttpRequest, round_id: str) -> HttpResponse:
    """A DSSE `consensus.prediction` → `{"status": stored | duplicate}`."""
    raw, now = envelope_of(request), utcnow()
    envelope, body = open_from_node(raw, ConsensusPrediction, now, durable=False)
    if body.round != round_id:
        raise RoundMismatch
    return answer({"status": "stored" if predictions.store(body, envelope.sender, now) else "duplicate"})


def scan(request: HttpRequest) -> HttpResponse:
    """A DSSE `scan.result` → `{"status": stored | failed}`; `failed` where the node could not measure.

    No replay guard: one answer for one run, and nodes send it again until they have ours.
    """
    raw, now = envelope_of(request), utcnow()
    envelope, _ = open_from_node(raw, ScanResult, now, durable=False)
    stored = scans.ingest_node(envelope, node_of(envelope), now)
    return answer({"status": "failed" if stored is None else "stored"})
