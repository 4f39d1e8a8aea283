"""Choosing a token: greedy unless told otherwise, and never one that the options leave out."""

import json
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.engines import PayloadRefused
from workers.engines.prompts import prompt_of
from workers.engines.sampling import Options, choose

TOKENS = np.array([7, 3, 9, 5])
LOGITS = np.log(np.array([0.2, 0.5, 0.1, 0.2], np.float32))


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def drawn(options: Options, times: int = 4000) -> Counter[int]:
    source = random()
    return Counter(choose(TOKENS, LOGITS, options, source) for _ in range(times))


def test_the_likeliest_token_is_taken_by_default() -> None:
    assert drawn(Options(), 5) == {3: 5}


def test_of_equal_tokens_the_lowest_is_taken_in_whatever_order_they_come() -> None:
    for order in ([0, 1, 2, 3], [3, 2, 1, 0]):
        flat = np.zeros(4, np.float32)
        assert choose(TOKENS[order], flat, Options(), random()) == 3


def test_a_temperature_of_one_draws_as_the_model_says() -> None:
    shares = drawn(Options(temperature=1))
    assert {token: round(count / 4000, 1) for token, count in shares.items()} == {3: 0.5, 5: 0.2, 7: 0.2, 9: 0.1}


def test_top_k_keeps_the_likeliest_and_of_equals_the_lowest() -> None:
    assert set(drawn(Options(temperature=2, top_k=2))) == {3, 5}


def test_top_p_keeps_the_token_that_crosses_it() -> None:
    assert set(drawn(Options(temperature=1, top_p=0.6))) == {3, 5}
    assert set(drawn(Options(temperature=1, top_p=0.0))) == {3}


def test_a_seed_repeats_a_text() -> None:
    options = Options(temperature=1)
    first, again = ([choose(TOKENS, LOGITS, options, source) for _ in range(20)] for source in (random(4), random(4)))
    assert first == again


@given(
    logits=st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=30),
    temperature=st.floats(0.01, 2),
    top_k=st.integers(1, 40),
    top_p=st.floats(0, 1),
)
def test_the_choice_is_always_among_the_top_k(
    logits: list[float], temperature: float, top_k: int, top_p: float
) -> None:
    values = np.array(logits, np.float32)
    options = Options(temperature=temperature, top_k=top_k, top_p=top_p)
    chosen = choose(np.arange(len(values)), values, options, random())
    assert np.sum(values > values[chosen]) < top_k


@pytest.mark.parametrize(
    "given",
    [
        {"temperature": 3},
        {"temperature": "hot"},
        {"temperature": float("nan")},
        {"top_p": -0.1},
        {"top_k": 0},
        {"num_predict": 0},
        {"num_predict": None},
        {"stop": [""]},
        {"stop": [1]},
        {"stop": 5},
        {"stop": "text"},
        {"seed": "x"},
    ],
)
def test_an_option_out_of_range_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(PayloadRefused):
        Options.of(given)


def test_a_payload_is_a_prompt_and_its_options() -> None:
    payload = json.dumps({"prompt": "x", "top_k": 3, "stop": ["\n"]}).encode()
    prompt, options = prompt_of("generate", payload)
    assert (prompt, Options.of(options)) == ("x", Options(top_k=3, stop=("\n",)))
    with pytest.raises(PayloadRefused):
        prompt_of("embed", payload)
