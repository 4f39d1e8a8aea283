"""A node changes its keys: signed by the old one, proved by the new one; the broker's secret is new as well."""

import logging

from django.db import transaction
from django.http import HttpRequest, HttpResponse

from apps.core import platform_keys
from apps.operators import rotation
from apps.operators.models import Node
from apps.operators.node_errors import RotationRefused
from apps.pool import broker, leases, presence
from apps.pool.node_api.errors import KeyRetired, NodeUnknown
from apps.pool.node_api.http import answer, envelope_of
from apps.pool.node_api.keys import directory, open_from_node
from workers.protocol import rotation as announcing
from workers.protocol.clock import utcnow
from workers.protocol.envelope import sign_envelope
from workers.protocol.errors import EnvelopeMalformed, ProtocolError
from workers.protocol.keys import KEY_BYTES, unb64, verify
from workers.protocol.messages import NodeRotate
from workers.protocol.sealing import seal

logger = logging.getLogger(__name__)
WHY = "Its keys were changed."


def rotate(request: HttpRequest) -> HttpResponse:
    """A DSSE `node.rotate` → a DSSE `platform.rotated` with the new broker account. What the node held goes to others,
    and counts as nobody's fault."""
    raw, now = envelope_of(request), utcnow()
    envelope, body = open_from_node(raw, NodeRotate, now)
    sign_public, seal_public = read_keys(body)
    signed = announcing.proof(platform_keys.network_id(), envelope.sender, sign_public, seal_public)
    if not verify(sign_public, unb64(body.proof), signed):
        raise RotationRefused
    node = Node.objects.select_related("operator__user").filter(pk=envelope.sender).first()
    if node is None:
        raise NodeUnknown
    secret = broker.new_secret()
    with transaction.atomic(durable=True):
        if not rotation.rotate(node, envelope.kid, sign_public, seal_public, broker.digest_of(secret), now):
            raise KeyRetired
        # Inside: a broker that is away keeps everything as it was, with 503.
        broker.renew_account(node.pk, broker.digest_of(secret))
    directory.forget()
    presence.hang_up(node.pk)
    leases.release_node(node.pk, WHY, now, counted=False)
    logger.info("Keys were changed", extra={"node": node.pk})
    told = {"node_id": node.pk, "broker": broker.account(node.pk, secret).as_dict()}
    key, net = platform_keys.signing_key(), platform_keys.network_id()
    return answer(sign_envelope("platform.rotated", told, key=key, net=net, sender="platform", to=node.pk, now=now))


def read_keys(body: NodeRotate) -> tuple[bytes, bytes]:
    """The two announced keys; raises EnvelopeMalformed where nothing can be signed by or sealed to them."""
    sign_public, seal_public = unb64(body.sign_public), unb64(body.seal_public)
    if {len(sign_public), len(seal_public)} != {KEY_BYTES}:
        raise EnvelopeMalformed("Keys are 32 bytes each.")
    try:
        seal(seal_public, b"", b"")
    except (ValueError, ProtocolError) as error:
        raise EnvelopeMalformed("Nothing can be sealed to that key.") from error
    return sign_public, seal_public
