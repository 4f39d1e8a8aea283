"""The platform's part of a round: who sits in it, what it takes from whom, what it passes on, how it ends."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from django.db import connection
from redis import Redis

from apps.core import parameters, platform_keys
from apps.core.models import Event, FaultEvidence
from apps.operators.models import Node, NodeStatus, Operator, Stake, Tier
from apps.pool import broker
from apps.pool.node_api.keys import directory
from apps.trading import committee, rounds, rounds_silence
from apps.trading.models import Prediction, Round, RoundMessage
from apps.trading.rounds_errors import CommitteeTooSmall, SubjectRefused
from apps.trading.tasks import sweep_rounds
from tests.apps.pool import cast
from tests.apps.pool.node_link import stranger, tamper
from tests.apps.trading import oracles
from tests.apps.trading.oracles import Voice
from workers.consensus import certificate as certificates
from workers.consensus import evidence as proofs
from workers.consensus.journal import MemoryJournal
from workers.consensus.machine import Machine
from workers.consensus.messages import DsseCodec
from workers.protocol.clock import unix_ms, utcnow

pytestmark = [pytest.mark.urls("meshwork.node_urls"), pytest.mark.django_db(transaction=True)]
VALUE = "ab" * 32
OTHER = "cd" * 32
SEEN = {"symbol": "BTC-USD", "action": "BUY", "horizon_s": 900, "confidence_bp": 9000, "price": "1070000000000"}


@pytest.fixture(autouse=True)
def stage(nodes_broker: Redis, platform_redis: Redis, transactional_db: None) -> Iterator[None]:
    platform_keys.create(utcnow())
    for cache in (parameters.forget_cached, rounds.committee_of.cache_clear, directory.forget):
        cache()
    yield
    parameters.forget_cached()


@pytest.fixture
def voices() -> list[Voice]:
    return [Voice(oracles.oracle(name)) for name in oracles.NAMES[:4]]


@pytest.fixture
def row(voices: list[Voice]) -> Round:
    return rounds.start(None, oracles.SUBJECT, oracles.measurements(), utcnow())


def inbox(voice: Voice, row: Round) -> list[Any]:
    """What waits for a node in the round, the oldest first."""
    found: Any = broker.client().lrange(rounds.inbox(voice.machine.node.pk, row.pk), 0, -1)
    return [json.loads(one) for one in reversed(found)]


def machines(row: Round, voices: list[Voice]) -> list[Machine]:
    """The voices' machines, in this process."""
    frozen = rounds.committee_of(row.pk)
    return [Machine(frozen, voice.owner, DsseCodec(frozen, voice.document), MemoryJournal()) for voice in voices]


def talk(row: Round, voices: list[Voice], silent: int | None = None) -> list[tuple[Voice, dict[str, Any]]]:
    """Carry messages through the platform until every machine has a certificate; returns who has which."""
    pairs = [(v, m) for n, (v, m) in enumerate(zip(voices, machines(row, voices), strict=True)) if n != silent]
    now = unix_ms(utcnow())
    for voice, machine in pairs:
        assert voice.post(row, *machine.begin(SEEN, bytes(32), now).messages)[1]["refused"] == []
    for turn in range(60):
        for voice, machine in pairs:
            said: list[Any] = []
            for wire in voice.post(row, missed=True)[1]["missed"]:
                said += machine.receive(wire, now + 200 * turn).messages
            said += machine.tick(now + 200 * turn).messages
            voice.post(row, *said)
        if all(machine.certificate for _, machine in pairs):
            break
    return [(voice, machine.certificate) for voice, machine in pairs if machine.certificate]


def test_one_seat_for_each_oracle_owner_with_stake_and_a_node_online() -> None:
    best = oracles.oracle("ada", reputation=60)
    oracles.oracle("ada-old", best.node.operator, reputation=40)
    oracles.oracle("bert", reputation=30)
    oracles.oracle("unstaked", staked=False)
    oracles.stake(oracles.oracle("left", staked=False).node.operator, Stake.Status.RELEASED)
    oracles.oracle("away", status=NodeStatus.OFFLINE, reason="gone")
    oracles.oracle("web", transport=Node.Transport.HTTP)
    oracles.oracle("distrusted", reputation=0)
    for name, fields in {
        "guardian": {"tier": Tier.GUARDIAN},
        "suspended": {"status": Operator.Status.SUSPENDED, "reason": "x"},
    }.items():
        oracles.stake(cast.operator(name, **fields))
        oracles.oracle(f"{name}-node", Operator.objects.get(user__name=name))
    found = committee.frozen()
    assert {(member.node, member.weight) for member in found} >= {(best.node.pk, 5000 * 60)}
    assert sorted(member.weight for member in found) == [5000 * 30, 5000 * 60]


def test_three_oracles_make_no_round() -> None:
    for name in oracles.NAMES[:3]:
        oracles.oracle(name)
    with pytest.raises(CommitteeTooSmall, match="at least 4"):
        rounds.start(None, oracles.SUBJECT, oracles.measurements(), utcnow())
    assert not Round.objects.exists()


def test_what_has_no_canonical_form_is_not_asked(voices: list[Voice]) -> None:
    with pytest.raises(SubjectRefused):
        rounds.start(None, oracles.SUBJECT, {**oracles.measurements(), "price": 1.5}, utcnow())
    assert not Round.objects.exists()


def test_a_start_reaches_every_member_and_binds_what_is_judged(voices: list[Voice], row: Round) -> None:
    assert len(row.members) == 4
    for voice in voices:
        [envelope] = broker.waiting(voice.machine.node.pk, "consensus")
        body = oracle_opens(voice, envelope)
        assert body["weights_sha256"] == rounds.committee_of(row.pk).weights_sha256
        assert body["subject"]["observed_sha256"] == row.subject["observed_sha256"]
        assert body["deadline_at"] == unix_ms(row.started_at + timedelta(seconds=60))


def oracle_opens(voice: Voice, envelope: dict[str, Any]) -> dict[str, Any]:
    from workers.protocol.envelope import KnownKey, open_envelope

    key = platform_keys.signing_key()
    return open_envelope(
        envelope,
        net=platform_keys.network_id(),
        to=voice.machine.node.pk,
        kinds={"consensus.start"},
        resolve=lambda kid: KnownKey(key.public, "platform") if kid == key.kid else None,
        now=utcnow(),
        replay=None,
    ).body


def test_machines_that_speak_through_the_platform_certify(voices: list[Voice], row: Round) -> None:
    made = talk(row, voices, silent=3)
    assert len(made) == 3
    assert len({json.dumps(found["outcome"], sort_keys=True) for _, found in made}) == 1
    voice, found = made[0]
    status, answer = voice.post(row, certificate=found)
    assert (status, answer["status"], answer["refused"]) == (200, "CERTIFIED", [])
    row.refresh_from_db()
    assert row.outcome["action"] == "BUY"
    assert certificates.verify(row.certificate, pinned_block_hash=row.block_hash).ok
    assert {"certificate": row.certificate} in inbox(voices[1], row)
    assert made[1][0].post(row, certificate=made[1][1])[1]["status"] == "CERTIFIED"
    assert Event.objects.filter(kind="round.certified", subject=row.pk).count() == 1


def test_a_message_goes_to_the_others_once(voices: list[Voice], row: Round) -> None:
    wire = voices[0].vote(row)
    assert voices[0].post(row, wire)[1]["refused"] == []
    assert voices[0].post(row, wire, wire)[1]["refused"] == []
    assert voices[1].post(row, wire)[1]["refused"] == []
    assert [inbox(voice, row) for voice in voices] == [[], [wire], [wire], [wire]]
    assert RoundMessage.objects.count() == 1
    assert 0 < broker.client().ttl(rounds.inbox(voices[1].machine.node.pk, row.pk)) <= rounds.KEPT_S


def test_what_a_restarted_oracle_missed_is_in_the_answer(voices: list[Voice], row: Round) -> None:
    mine, theirs = voices[0].vote(row), voices[1].vote(row)
    voices[0].post(row, mine)
    voices[1].post(row, theirs)
    assert voices[0].post(row, missed=True)[1]["missed"] == [theirs]
    assert voices[0].post(row)[1]["missed"] == []


def test_the_unstaked_have_no_voice(voices: list[Voice], row: Round) -> None:
    outsider = Voice(oracles.oracle("zoe", staked=False))
    status, answer = outsider.post(row, outsider.vote(row))
    assert (status, answer["code"]) == (403, "not_seated")
    outsider.post(row, outsider.vote(row))
    status, answer = voices[0].post(row, outsider.vote(row))
    assert (status, [one["code"] for one in answer["refused"]]) == (200, ["unknown_key"])
    assert not RoundMessage.objects.exists()
    noted = (
        Event.objects.filter(kind="round.message_refused", subject=row.pk).order_by("pk").values_list("data", flat=True)
    )
    assert list(noted) == [
        {"node": outsider.machine.node.pk, "code": "not_seated"},
        {"node": voices[0].machine.node.pk, "code": "unknown_key"},
    ]


def test_forgeries_are_refused_and_named(voices: list[Voice], row: Round) -> None:
    voice, other = voices[0], voices[1]
    true = voice.vote(row, value=VALUE)
    wrong = {
        "bad_signature": tamper(true, lambda payload: payload["body"].update(value=OTHER)),
        "wrong_signer": voice.vote(row, body={"signer": other.owner}),
        "unknown_key": voice.vote(row, key=stranger()),
        "wrong_network": voice.vote(row, net="elsewhere"),
        "wrong_round": voice.vote(row, body={"round": "rnd_other"}),
        "malformed": voice.vote(row, value="short"),
        "too_far": voice.vote(row, view=900),
        "too_large": voice.vote(row, body={"more": "x" * 100_000}),
        "wrong_kind": voice.document("consensus.shout", {}),
        "envelope_malformed": {"payload": 1},
    }
    _, answer = voice.post(row, *wrong.values())
    assert {one["message"]: one["code"] for one in answer["refused"]} == dict(enumerate(wrong))
    assert not RoundMessage.objects.exists()
    assert inbox(other, row) == []
    assert not FaultEvidence.objects.exists()
    assert Event.objects.filter(kind="round.message_refused").count() == len(wrong)


def test_who_signs_twice_is_filed_once_with_proof(voices: list[Voice], row: Round) -> None:
    twin = voices[0]
    votes = [twin.vote(row, value=value) for value in (VALUE, OTHER, "")]
    twin.post(row, votes[0])
    voices[1].post(row, votes[1])
    twin.post(row, votes[2])
    case = FaultEvidence.objects.get()
    member = rounds.committee_of(row.pk).by_owner[twin.owner]
    assert (case.kind, case.accused) == ("consensus.equivocation", twin.owner)
    assert proofs.verify(case.evidence, member)
    assert not proofs.verify(case.evidence, rounds.committee_of(row.pk).by_owner[voices[1].owner])
    assert len(inbox(voices[2], row)) == 3
    twin.post(row, twin.vote(row, value=VALUE, view=1), twin.vote(row, value=OTHER, view=1))
    assert FaultEvidence.objects.count() == 2


def test_two_conflicting_votes_at_the_same_moment_are_seen_together(voices: list[Voice], row: Round) -> None:
    twin, barrier = voices[0], Barrier(2)

    def post(view: int, value: str) -> int:
        wire = twin.vote(row, value=value, view=view)
        barrier.wait()
        try:
            return Voice(twin.machine).post(row, wire)[0]
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        for view in range(8):
            assert list(pool.map(post, (view, view), (VALUE, OTHER))) == [200, 200]
    assert FaultEvidence.objects.count() == 8


def test_one_oracle_alone_does_not_move_the_rounds_view(voices: list[Voice], row: Round) -> None:
    voices[0].post(row, *(voices[0].vote(row, step, view=5) for step in ("prevote", "precommit")))
    row.refresh_from_db()
    assert row.view == 0
    voices[1].post(row, voices[1].vote(row, view=4))
    row.refresh_from_db()
    assert row.view == 4


def test_different_steps_and_views_are_no_fault(voices: list[Voice], row: Round) -> None:
    voice = voices[0]
    voice.post(row, voice.vote(row, value=VALUE), voice.vote(row, view=1), voice.vote(row, "precommit"))
    assert RoundMessage.objects.count() == 3
    assert not FaultEvidence.objects.exists()


def test_a_vote_that_comes_late_is_kept_and_can_still_prove_a_fault(voices: list[Voice], row: Round) -> None:
    voices[0].post(row, voices[0].vote(row, value=VALUE))
    assert rounds.sweep(row.deadline_at) == 1
    _, answer = voices[0].post(row, voices[0].vote(row, value=OTHER))
    assert answer["status"] == "FAILED"
    assert len(inbox(voices[1], row)) == 1
    assert FaultEvidence.objects.count() == 1


def test_a_round_whose_time_is_over_fails_once_and_says_who_was_silent(voices: list[Voice], row: Round) -> None:
    voices[0].post(row, voices[0].vote(row))
    assert rounds.sweep(row.deadline_at - timedelta(milliseconds=1)) == 0
    assert rounds.sweep(row.deadline_at) == 1
    assert rounds.sweep(row.deadline_at) == 0
    row.refresh_from_db()
    assert (row.status, row.reason) == ("FAILED", "Not agreed within 60 s: 1 of 4 oracles took part.")
    assert all(voice.owner in row.next_step for voice in voices[1:])
    assert voices[0].owner not in row.next_step


def test_silence_costs_reputation_once_and_only_where_somebody_was_heard(voices: list[Voice], row: Round) -> None:
    def scores() -> list[int]:
        return [Node.objects.get(pk=voice.machine.node.pk).reputation for voice in voices]

    full = scores()
    rounds.sweep(row.deadline_at)
    assert rounds_silence.judge(row.deadline_at) == 0
    voices[0].post(row, voices[0].vote(row))
    assert rounds_silence.judge(row.deadline_at - timedelta(milliseconds=1)) == 0
    assert rounds_silence.judge(row.deadline_at) == 3
    assert rounds_silence.judge(row.deadline_at + timedelta(minutes=1)) == 0
    assert scores() == [full[0], *(score - parameters.get("reputation.abandoned") for score in full[1:])]


def test_a_certificate_after_the_deadline_certifies_nothing(voices: list[Voice], row: Round) -> None:
    voice, found = talk(row, voices)[0]
    Round.objects.filter(pk=row.pk).update(deadline_at=utcnow() - timedelta(seconds=1))
    assert voice.post(row, certificate=found)[1]["status"] == "OPEN"
    assert sweep_rounds() == 1
    row.refresh_from_db()
    assert row.status == "FAILED"


def test_a_certificate_that_does_not_prove_itself_is_refused(voices: list[Voice], row: Round) -> None:
    voice, found = talk(row, voices)[0]
    wrong = [
        {**found, "outcome": {**found["outcome"], "action": "SELL"}},
        {**found, "precommits": found["precommits"][:2]},
        {**found, "members": found["members"][:3]},
        {**found, "round": "rnd_other"},
        {**found, "block": {"height": 7, "hash": "00" * 32}},
        {},
    ]
    for certificate in wrong:
        _, answer = voice.post(row, certificate=certificate)
        assert (answer["status"], answer["refused"]) == ("OPEN", [{"message": None, "code": "bad_certificate"}])
    assert voice.post(row, certificate=found)[1]["status"] == "CERTIFIED"


def test_a_round_that_went_quiet_is_sent_again(voices: list[Voice], row: Round) -> None:
    wire = voices[0].vote(row)
    voices[0].post(row, wire)
    broker.client().flushdb()
    rounds.sweep(utcnow())
    assert inbox(voices[1], row) == []
    rounds.sweep(utcnow() + timedelta(seconds=3))
    assert [inbox(voice, row) for voice in voices] == [[], [wire], [wire], [wire]]
    rounds.sweep(utcnow() + timedelta(seconds=3))
    waiting = [len(broker.waiting(voice.machine.node.pk, "consensus")) for voice in voices]
    assert waiting == [0, 1, 1, 1]


def test_messages_for_another_address_or_no_round_are_refused(voices: list[Voice], row: Round) -> None:
    voice = voices[0]
    assert voice.post(row, round="rnd_other")[1]["code"] == "round_mismatch"
    body = {"round": "rnd_other", "messages": []}
    assert voice.send("/consensus/rnd_other", "consensus.messages", body)[1]["code"] == "round_unknown"
    assert voice.send(f"/consensus/{row.pk}", "consensus.messages", {"round": row.pk})[0] == 400
    assert voice.send(f"/api/v1/pool/consensus/{row.pk}", "consensus.messages", {**body, "round": row.pk})[0] == 200


def test_a_prediction_is_kept_once_from_those_who_sit_in_the_round(voices: list[Voice], row: Round) -> None:
    said = {
        "round": row.pk,
        "symbol": "BTC-USD",
        "action": "BUY",
        "confidence_bp": 5600,
        "price": "1070000000000",
        "target_price": "1075350000000",
        "stop_loss": None,
        "horizon_s": 900,
        "features_sha256": VALUE,
        "model": "msrr",
        "version": "1",
        "market_at": unix_ms(utcnow()),
        "reasoning": "score 0.1",
    }
    path = f"/consensus/{row.pk}/prediction"
    kind = "consensus.prediction"
    assert voices[0].send(path, kind, said) == (200, {"status": "stored"})
    assert voices[0].send(path, kind, said) == (200, {"status": "duplicate"})
    kept = Prediction.objects.get()
    assert (kept.price, kept.target_price, kept.stop_loss, kept.confidence) == (10_700.0, 10_753.5, None, 0.56)
    assert voices[1].send(path, kind, {**said, "symbol": "ETH-USD"})[1]["code"] == "prediction_refused"
    assert voices[1].send(path, kind, {**said, "action": "PRAY"})[1]["code"] == "prediction_refused"
    assert voices[1].send(path, kind, {**said, "price": "1.5"})[0] == 400
    outsider = Voice(oracles.oracle("zoe", staked=False))
    assert outsider.send(path, kind, said)[1]["code"] == "not_seated"
    assert Prediction.objects.count() == 1


def test_a_signal_has_one_round(voices: list[Voice]) -> None:
    from tests.site import trading_cast

    signal = trading_cast.signal()
    first = rounds.start(signal, oracles.SUBJECT, oracles.measurements(), utcnow())
    assert rounds.start(signal, oracles.SUBJECT, oracles.measurements(), utcnow()).pk == first.pk
    assert Round.objects.count() == 1
