"""The Sybil guard at enrolment: work for one key, once; so many joins from one address in an hour."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connections

from apps.core import parameters
from apps.operators import enrolment, errors, work
from apps.operators.models import Join, Node, Operator
from apps.operators.sybil_errors import TooManyJoins
from tests.apps.operators.test_enrolment import prepared, worked
from workers.protocol import pow as proof_of_work
from workers.protocol.clock import utcnow
from workers.protocol.keys import SealingKey, SigningKey, b64

ELSEWHERE = "203.0.113.7"


def govern(name: str, value: int) -> None:
    parameters.set_parameter(name, value, actor=None, reason="Test.", now=utcnow())
    parameters.forget_cached()


@pytest.fixture(autouse=True)
def governed_anew() -> Any:
    yield
    parameters.forget_cached()


def join(operator: Operator, name: str, address: str | None = ELSEWHERE) -> Node:
    return enrolment.enrol(prepared(operator, name), utcnow(), address=address)


def test_work_for_one_key_enrols_no_other(operator: Operator) -> None:
    made = prepared(operator)
    with pytest.raises(errors.PowInvalid):
        enrolment.enrol(replace(made, sign_public=SigningKey.generate().public), utcnow())
    assert not Node.objects.exists()
    assert enrolment.enrol(made, utcnow()).name == "fra-1"


def test_the_difficulty_is_governed(operator: Operator) -> None:
    govern("operators.pow_zeros", 1)
    token = enrolment.issue_token(operator, "easy", utcnow())
    asked = enrolment.challenge(token, utcnow())
    assert asked["zeros"] == 1
    key = SigningKey.generate().public
    made = enrolment.Enrolment(token, "easy", key, SealingKey.generate().public, {}, {}, asked["challenge"], "")
    light = proof_of_work.solve(made.challenge, b64(key), 1)
    assert enrolment.enrol(replace(made, nonce=light), utcnow()).name == "easy"


@pytest.mark.parametrize("challenge", ["", "1", "1.x", "1.é", "٣.x", f"{'9' * 30}.x", "-1.x", "1."])
def test_what_is_no_challenge_of_ours_is_refused(challenge: str) -> None:
    with pytest.raises(errors.ChallengeInvalid):
        work.check(challenge, "subject", "key", "0", utcnow())


def test_a_challenge_is_good_for_ten_minutes_and_never_before_its_time(operator: Operator) -> None:
    made, now = prepared(operator), utcnow()
    for late in (timedelta(minutes=10, seconds=5), timedelta(minutes=-1)):
        with pytest.raises(errors.ChallengeInvalid):
            enrolment.enrol(made, now + late)
    assert enrolment.enrol(made, now + timedelta(minutes=9)).name == "fra-1"


def test_five_machines_join_from_one_address_in_an_hour_and_no_more(operator: Operator, other: Operator) -> None:
    for n in range(5):
        join(operator if n % 2 else other, f"n{n}")
    waiting = prepared(operator, "n5")
    with pytest.raises(TooManyJoins):
        enrolment.enrol(waiting, utcnow(), address=ELSEWHERE)
    assert Node.objects.count() == 5
    assert enrolment.find_token(waiting.token, utcnow()).used_at is None
    assert enrolment.enrol(waiting, utcnow(), address="203.0.113.8").name == "n5"


def test_after_the_hour_the_count_is_forgotten_with_the_address(operator: Operator) -> None:
    govern("operators.joins_per_hour", 1)
    now = utcnow()
    enrolment.enrol(worked_at(operator, "first", now), now, address=ELSEWHERE)
    soon, later = now + timedelta(minutes=59), now + timedelta(minutes=60)
    with pytest.raises(TooManyJoins):
        enrolment.enrol(worked_at(operator, "second", soon), soon, address=ELSEWHERE)
    enrolment.enrol(worked_at(operator, "third", later), later, address=ELSEWHERE)
    assert [row.at for row in Join.objects.all()] == [later]
    assert ELSEWHERE not in Join.objects.get().network


def worked_at(operator: Operator, name: str, now: datetime) -> enrolment.Enrolment:
    token = enrolment.issue_token(operator, name, now)
    key, asked = SigningKey.generate().public, enrolment.challenge(token, now)["challenge"]
    made = enrolment.Enrolment(token, name, key, SealingKey.generate().public, {}, {}, asked, "")
    return worked(made)


def test_a_join_that_fails_for_another_reason_is_not_counted(operator: Operator) -> None:
    made = prepared(operator)
    with pytest.raises(errors.PowInvalid):
        enrolment.enrol(replace(made, nonce="no"), utcnow(), address=ELSEWHERE)
    assert not Join.objects.exists()


def test_this_machine_itself_joins_as_often_as_it_likes_on_a_testnet_alone(operator: Operator, settings: Any) -> None:
    govern("operators.joins_per_hour", 0)
    for n, address in enumerate(("127.0.0.1", "::1", None)):
        join(operator, f"n{n}", address)
    settings.IS_TESTNET = False
    with pytest.raises(TooManyJoins):
        join(operator, "n3", "127.0.0.1")


@pytest.mark.django_db(transaction=True)
def test_eight_machines_that_join_at_once_are_five(operator: Operator, other: Operator) -> None:
    made = [prepared(operator if n % 2 else other, f"n{n}") for n in range(8)]

    def attempt(one: enrolment.Enrolment) -> str:
        try:
            return enrolment.enrol(one, utcnow(), address=ELSEWHERE).name
        except TooManyJoins as error:
            return error.code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(attempt, made))
    assert outcomes.count("too_many_joins") == 3
    assert (Node.objects.count(), Join.objects.count()) == (5, 5)
