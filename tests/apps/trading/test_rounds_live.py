"""Rounds between real side-lane processes, over the broker and the node API."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django.live_server_helper import LiveServer
from redis import Redis

from apps.core import parameters, platform_keys
from apps.core.models import FaultEvidence
from apps.trading import rounds
from tests.apps.trading import oracles
from workers.consensus import certificate as certificates
from workers.consensus import evidence as proofs
from workers.protocol.clock import utcnow

pytestmark = [pytest.mark.urls("meshwork.node_urls"), pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def stage(nodes_broker: Redis, platform_redis: Redis, transactional_db: None) -> Iterator[None]:
    platform_keys.create(utcnow())
    parameters.forget_cached()
    rounds.committee_of.cache_clear()
    yield
    parameters.forget_cached()


def test_five_oracles_agree_and_the_one_that_signs_twice_is_caught(live_server: LiveServer, tmp_path: Path) -> None:
    machines = [oracles.oracle(name) for name in oracles.NAMES]
    with oracles.side_lanes(machines, tmp_path, live_server.url, twin=2) as lanes:
        row = rounds.start(None, oracles.SUBJECT, oracles.measurements(), utcnow())
        row = oracles.ended(row)
        assert row.status == "CERTIFIED", [lane.log() for lane in lanes]
        assert row.outcome == {**row.outcome, "action": "BUY", "symbol": "BTC-USD", "price": str(10_700 * 10**8)}
        verdict = certificates.verify(row.certificate, pinned_block_hash=row.block_hash)
        assert verdict.ok, verdict.checks
        case = oracles.until(FaultEvidence.objects.first)
        member = rounds.committee_of(row.pk).by_owner[machines[2].node.operator_id]
        assert case.accused == member.owner
        assert proofs.verify(case.evidence, member)
