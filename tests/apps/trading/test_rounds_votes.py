"""A vote for what a round agreed on is worth a point of reputation, once; no other vote is."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from redis import Redis

from apps.core import parameters, platform_keys
from apps.operators.models import Node, ReputationChange
from apps.pool.node_api.keys import directory
from apps.trading import rounds, rounds_silence
from apps.trading.models import Round, RoundMessage, RoundStatus
from apps.trading.tasks import sweep_rounds
from tests.apps.trading import oracles
from tests.apps.trading.oracles import Voice
from tests.apps.trading.test_rounds import talk
from workers.protocol.clock import utcnow

pytestmark = [pytest.mark.urls("meshwork.node_urls"), pytest.mark.django_db(transaction=True)]
MOMENT = timedelta(milliseconds=1)


@pytest.fixture(autouse=True)
def stage(nodes_broker: Redis, platform_redis: Redis, transactional_db: None) -> Iterator[None]:
    platform_keys.create(utcnow())
    for cache in (parameters.forget_cached, rounds.committee_of.cache_clear, directory.forget):
        cache()
    yield
    parameters.forget_cached()


@pytest.fixture
def voices() -> list[Voice]:
    found = [Voice(oracles.oracle(name)) for name in oracles.NAMES[:4]]
    Node.objects.update(reputation=50)
    return found


@pytest.fixture
def row(voices: list[Voice]) -> Round:
    return rounds.start(None, oracles.SUBJECT, oracles.measurements(), utcnow())


def scores(voices: list[Voice]) -> list[int]:
    return [Node.objects.get(pk=voice.machine.node.pk).reputation for voice in voices]


def agree(row: Round, voices: list[Voice], silent: int | None = None) -> None:
    """Hold the round to its certificate."""
    for voice, found in talk(row, voices, silent=silent):
        voice.post(row, certificate=found)
    row.refresh_from_db()
    assert row.status == RoundStatus.CERTIFIED


def test_who_voted_for_the_outcome_gains_a_point_once_when_the_rounds_time_is_over(
    voices: list[Voice], row: Round
) -> None:
    agree(row, voices, silent=3)
    assert rounds_silence.praise(row.deadline_at - MOMENT) == 0
    assert rounds_silence.praise(row.deadline_at) == 3
    assert rounds_silence.praise(row.deadline_at + MOMENT) == 0
    assert scores(voices) == [51, 51, 51, 50]
    lines = ReputationChange.objects.filter(kind="vote")
    assert {line.key for line in lines} == {f"vote:{row.pk}"}
    assert rounds_silence.judge(row.deadline_at) == 1
    assert scores(voices) == [51, 51, 51, 45]


def test_the_sweep_credits_by_itself(voices: list[Voice], row: Round) -> None:
    agree(row, voices)
    Round.objects.filter(pk=row.pk).update(deadline_at=utcnow())
    sweep_rounds()
    sweep_rounds()
    assert scores(voices) == [51, 51, 51, 51]


def test_a_round_that_agreed_on_nothing_credits_nobody(voices: list[Voice], row: Round) -> None:
    voices[0].post(row, voices[0].vote(row))
    rounds.sweep(row.deadline_at)
    assert rounds_silence.praise(row.deadline_at) == 0
    assert scores(voices) == [50] * 4


def test_a_late_vote_one_for_something_else_and_two_in_one_view_are_worth_nothing(
    voices: list[Voice], row: Round
) -> None:
    agree(row, voices)
    late, other, twice, good = (
        RoundMessage.objects.get(round=row, step="precommit", signer=voice.owner) for voice in voices
    )
    RoundMessage.objects.filter(pk=late.pk).update(received_at=row.deadline_at + MOMENT)
    wrong = voices[1].vote(row, value="cd" * 32)
    RoundMessage.objects.filter(pk=other.pk).update(envelope=wrong)
    twice.pk, twice.digest = None, "0" * 64
    twice.save(force_insert=True)
    assert rounds_silence.voters(row) == {good.node_id}
    assert rounds_silence.praise(row.deadline_at) == 1
    assert scores(voices) == [50, 50, 50, 51]
