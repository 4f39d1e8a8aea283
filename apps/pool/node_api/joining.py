"""Enrolment over HTTP: a challenge for a token, then a node's first signed message."""

import logging
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from redis.exceptions import RedisError

from apps.core import parameters, platform_keys
from apps.models import catalog
from apps.operators import enrolment, hardware, sybil
from apps.operators.errors import ProbeRefused
from apps.operators.models import Node
from apps.pool import broker
from apps.pool.node_api.errors import TokenRequired
from apps.pool.node_api.http import answer, body_of
from apps.pool.replay import DatabaseReplayGuard
from workers.protocol.clock import utcnow
from workers.protocol.envelope import Envelope, KnownKey, open_envelope, sign_envelope, unverified_payload
from workers.protocol.errors import EnvelopeMalformed, ProtocolError
from workers.protocol.keys import KEY_BYTES, kid_of, unb64
from workers.protocol.messages import NodeRegister, decode_body
from workers.protocol.sealing import seal

logger = logging.getLogger(__name__)
MOST_SLOTS = 64
TAGS = {"cuda": "cuda", "apple_metal": "metal"}


def challenge(request: HttpRequest) -> HttpResponse:
    """`{"token"}` → `{"challenge", "zeros"}`. Raises TokenRequired, or what the token lacks."""
    token = body_of(request).get("token")
    if not isinstance(token, str) or not token:
        raise TokenRequired
    return answer(enrolment.challenge(token, utcnow()))


def register(request: HttpRequest) -> HttpResponse:
    """A DSSE `node.register`, signed by the key that it announces → a DSSE `platform.registered`, 201.

    Whatever is refused changes nothing: the token stays good.
    """
    raw, now = body_of(request), utcnow()
    public = announced_key(raw)
    secret = broker.new_secret()
    with transaction.atomic():
        envelope = open_self_signed(raw, public, now)
        address = sybil.address_of(request)
        node = enrolment.enrol(enrolment_of(envelope), now, broker_sha256=broker.digest_of(secret), address=address)
    try:
        broker.open_account(node.pk, node.broker_sha256)
    except RedisError as error:
        # The row is the truth: the dispatcher makes the account from its hash as soon as the broker is back.
        logger.warning("A broker account waits for the broker", extra={"node": node.pk, "error": str(error)[:200]})
    logger.info("Node enrolled", extra={"node": node.pk, "operator": node.operator_id})
    return answer(registered(node, broker.account(node.pk, secret), now), status=201)


def announced_key(raw: dict[str, Any]) -> bytes:
    """The public key that an enrolment announces, 32 bytes; raises TokenRequired where there is no envelope, or one
    without a token."""
    if "payload" not in raw:
        raise TokenRequired
    body = unverified_payload(raw).get("body")
    if not isinstance(body, dict) or not body.get("token"):
        raise TokenRequired
    public = unb64(body.get("sign_public", ""))
    if len(public) != KEY_BYTES:
        raise EnvelopeMalformed("sign_public is not an Ed25519 key.")
    return public


def open_self_signed(raw: dict[str, Any], public: bytes, now: datetime) -> Envelope:
    """Open the message with the key that it announces: proof that the sender holds it."""
    kid = kid_of(public)
    return open_envelope(
        raw,
        net=platform_keys.network_id(),
        to="platform",
        kinds={"node.register"},
        resolve=lambda signer: KnownKey(public, kid) if signer == kid else None,
        now=now,
        replay=DatabaseReplayGuard(),
    )


def enrolment_of(envelope: Envelope) -> enrolment.Enrolment:
    """The message's body as an enrolment; raises ProtocolErrors."""
    body = decode_body(envelope.kind, envelope.body)
    if not isinstance(body, NodeRegister):
        raise EnvelopeMalformed
    seal_public = unb64(body.seal_public)
    if len(seal_public) != KEY_BYTES or not body.name or len(body.name) > 40:
        raise EnvelopeMalformed("A sealing key of 32 bytes and a name of 1 to 40 characters are needed.")
    try:
        seal(seal_public, b"", b"")
    except ValueError as error:
        raise EnvelopeMalformed("Nothing can be sealed to that key.") from error
    try:
        # Whatever is kept of it is computed with later, by those who also serve other nodes.
        probe = hardware.enrolled(body.probe)
    except ProbeRefused as error:
        raise EnvelopeMalformed(error.detail) from error
    return enrolment.Enrolment(
        token=body.token,
        name=body.name,
        sign_public=unb64(body.sign_public),
        seal_public=seal_public,
        probe=probe,
        lanes=lanes_of(body.probe),
        challenge=body.challenge,
        nonce=body.nonce,
    )


def lanes_of(probe: dict[str, Any]) -> dict[str, int]:
    """The lanes that a machine serves and its slots in each, from its probe."""
    slots = probe.get("slots", 1)
    if not isinstance(slots, int) or isinstance(slots, bool) or not 1 <= slots <= MOST_SLOTS:
        raise ProtocolError(f"A node has 1 to {MOST_SLOTS} slots.")
    return {f"inference.{TAGS.get(str(probe.get('gpu_type')), 'cpu')}": slots}


def registered(node: Node, account: broker.Account, now: datetime) -> dict[str, Any]:
    """The platform's signed answer: everything that a node needs, and only this node."""
    body = {
        "node_id": node.pk,
        "name": node.name,
        "broker": account.as_dict(),
        "gateway": settings.GATEWAY_URL,
        "node_api": settings.NODE_API_URL,
        "key_list": platform_keys.key_list(),
        "lanes": node.lanes,
        "models": offered(),
        "parameters": {"heartbeat_s": parameters.get("pool.heartbeat_s")},
    }
    return sign_envelope(
        "platform.registered",
        body,
        key=platform_keys.signing_key(),
        net=platform_keys.network_id(),
        sender="platform",
        to=node.kid,
        now=now,
    )


def offered() -> list[dict[str, Any]]:
    """The models that the network serves, with their files' addresses, so that a node can fetch them beforehand."""
    return [
        {
            "model": version.model.name,
            "version": version.version,
            "task": version.model.task,
            "min_memory_mb": version.min_memory_mb,
            "files": catalog.file_urls(version),
        }
        for version in catalog.active_versions()
    ]
