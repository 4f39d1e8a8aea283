import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workers.consensus.cast import observation
from workers.consensus.errors import ObservationRefused
from workers.consensus.outcome import ACTIONS, check, decide, weighted_median

SEEN = st.builds(
    lambda action, confidence, price: observation(action=action, confidence_bp=confidence, price=str(price)),
    st.sampled_from(ACTIONS),
    st.integers(0, 10_000),
    st.integers(0, 10**20),
)
PAIRS = st.lists(st.tuples(SEEN, st.integers(1, 2**40)), min_size=1, max_size=9)


def test_the_action_with_more_than_half_of_the_weight_wins():
    pairs = [(observation(action="SELL"), 3), (observation(), 1), (observation(action="HOLD"), 1)]
    assert decide(pairs, "rnd_1")["action"] == "SELL"


def test_a_tie_is_held():
    outcome = decide([(observation(), 2), (observation(action="SELL"), 2)], "rnd_1")
    assert (outcome["action"], outcome["confidence_bp"]) == ("HOLD", 0)


def test_the_largest_share_without_a_majority_is_held():
    pairs = [(observation(), 4), (observation(action="SELL"), 3), (observation(action="HOLD", confidence_bp=7), 3)]
    assert decide(pairs, "rnd_1") == {**observation(action="HOLD", confidence_bp=7), "round": "rnd_1"}


def test_confidence_and_price_are_weighted_medians_of_those_who_chose_the_winner():
    pairs = [
        (observation(confidence_bp=5000, price="100"), 1),
        (observation(confidence_bp=6000, price="200"), 1),
        (observation(confidence_bp=9000, price="300"), 5),
        (observation(action="SELL", confidence_bp=1, price="1"), 4),
    ]
    outcome = decide(pairs, "rnd_1")
    assert (outcome["confidence_bp"], outcome["price"]) == (9000, "300")


def test_one_wild_price_does_not_move_the_outcome():
    pairs = [(observation(price="100"), 1), (observation(price="101"), 1), (observation(price="9" * 30), 1)]
    assert decide(pairs, "rnd_1")["price"] == "101"


@given(PAIRS, st.randoms())
def test_the_outcome_does_not_depend_on_the_order(pairs, random):
    shuffled = list(pairs)
    random.shuffle(shuffled)
    assert decide(shuffled, "rnd_1") == decide(pairs, "rnd_1")


@given(PAIRS)
def test_the_price_is_one_that_somebody_saw(pairs):
    assert decide(pairs, "rnd_1")["price"] in {seen["price"] for seen, _ in pairs}


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(1, 9)), min_size=1))
def test_the_median_is_that_of_every_value_repeated_by_its_weight(pairs):
    repeated = sorted(value for value, weight in pairs for _ in range(weight))
    assert weighted_median(pairs) == repeated[(len(repeated) - 1) // 2]


@pytest.mark.parametrize(
    "changed",
    [
        {"action": "LONG"},
        {"price": "1.5"},
        {"price": 15},
        {"price": "-1"},
        {"price": "01"},
        {"confidence_bp": 10_001},
        {"confidence_bp": -1},
        {"confidence_bp": 0.5},
        {"confidence_bp": True},
        {"horizon_s": "900"},
        {"symbol": ""},
        {"more": 1},
    ],
)
def test_what_is_no_observation_is_refused(changed):
    with pytest.raises(ObservationRefused):
        check(observation(**changed))
