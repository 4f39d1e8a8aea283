"""Rounds between real side-lane processes, over the broker and the node API."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django.live_server_helper import LiveServer
from redis import Redis

from apps.core import parameters, platform_keys
from apps.core.models import FaultEvidence
from apps.pool import broker
from apps.pool.node_api.keys import directory
from apps.trading import faults, rounds
from apps.trading.models import Round, RoundMessage
from tests.apps.trading import oracles
from tests.apps.trading.fault_cast import STAKE, balances, staked
from workers.consensus import certificate as certificates
from workers.consensus import evidence as proofs
from workers.protocol.clock import utcnow

pytestmark = [pytest.mark.urls("meshwork.node_urls"), pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def stage(nodes_broker: Redis, platform_redis: Redis, transactional_db: None) -> Iterator[None]:
    platform_keys.create(utcnow())
    for cache in (parameters.forget_cached, rounds.committee_of.cache_clear, directory.forget):
        cache()
    yield
    parameters.forget_cached()


def begin() -> Round:
    return rounds.start(None, oracles.SUBJECT, oracles.measurements(), utcnow())


def said(row: Round, machine: oracles.cast.Machine, step: str) -> bool:
    return RoundMessage.objects.filter(round=row, node=machine.node, step=step).exists()


def test_oracles_agree_catch_who_signs_twice_survive_kills_and_go_on_without_them(
    live_server: LiveServer, tmp_path: Path
) -> None:
    machines = [staked(name).machine for name in oracles.NAMES]
    with oracles.side_lanes(machines, tmp_path, live_server.url, twin=2) as lanes:
        row = oracles.ended(begin())
        assert row.status == "CERTIFIED", [lane.log() for lane in lanes]
        assert row.outcome == {**row.outcome, "action": "BUY", "symbol": "BTC-USD", "price": str(10_700 * 10**8)}
        verdict = certificates.verify(row.certificate, pinned_block_hash=row.block_hash)
        assert verdict.ok, verdict.checks
        case = oracles.until(FaultEvidence.objects.first)
        member = rounds.committee_of(row.pk).by_owner[machines[2].node.operator_id]
        assert (case.accused, FaultEvidence.objects.count()) == (member.owner, 1)
        assert proofs.verify(case.evidence, member)

        # Two of five killed: nobody can agree before they are back.
        row = begin()
        for n in (0, 1):
            oracles.until(lambda row=row, n=n: said(row, machines[n], "commit"))
            lanes[n].kill()
        for n in (0, 1):
            lanes[n].start()
        row = oracles.ended(row)
        assert row.status == "CERTIFIED", [lane.log() for lane in lanes]
        assert certificates.verify(row.certificate).ok
        assert {case.accused for case in FaultEvidence.objects.all()} == {member.owner}

        # The broker forgets everything: accounts stay, queues and inboxes are gone.
        row = begin()
        broker.client().flushdb()
        rounds.sweep(oracles.soon(3))
        assert oracles.ended(row).status == "CERTIFIED"

        # What was filed is slashed, once for each round; the four others go on.
        assert faults.sweep(utcnow()) == FaultEvidence.objects.filter(status="slashed").count() > 0
        assert balances(machines[2].node.operator.user)["escrow"] == STAKE
        row = begin()
        assert [one["owner"] for one in row.members if one["owner"] == member.owner] == []
        assert (len(row.members), oracles.ended(row).status) == (4, "CERTIFIED")
