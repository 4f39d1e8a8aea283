"""What each kind of task takes, promises and joins."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.pool import kinds, pricing
from apps.pool.errors import InputRefused, KindUnknown
from tests.apps.pool.cast import MESH, embed, frame, generate
from workers.protocol.frames import encode_tensors

MANIFEST = {"dimensions": 4}
pytestmark = pytest.mark.django_db


def vectors(array: np.ndarray, name: str = "vectors") -> bytes:
    return encode_tensors({"kind": "embed"}, {name: array})


def test_an_embed_job_is_cut_into_chunks_of_up_to_n_inputs() -> None:
    chunks = kinds.Embed().split(embed(*"abcde", chunk_size=2))
    assert [json.loads(c.payload)["inputs"] for c in chunks] == [["a", "b"], ["c", "d"], ["e"]]
    assert [c.items for c in chunks] == [2, 2, 1]


@given(st.lists(st.text(alphabet="abc", min_size=1), min_size=1, max_size=40), st.integers(1, 50))
def test_vectors_come_back_in_the_order_of_the_inputs(texts: list[str], size: int) -> None:
    kind = kinds.Embed()
    parts = [frame(json.loads(c.payload)["inputs"]) for c in kind.split(embed(*texts, chunk_size=size))]
    assert np.array_equal(kind.join(parts), kinds.Embed.vectors(frame(texts)))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"", "frame"),
        (vectors(np.zeros((2, 4), np.float32), "other"), "float32 vectors"),
        (vectors(np.zeros((2, 4), np.float16)), "float32 vectors"),
        (vectors(np.zeros((1, 4), np.float32)), "2 vectors of 4"),
        (vectors(np.zeros((2, 3), np.float32)), "2 vectors of 4"),
        (vectors(np.array([[1, 2, 3, np.nan], [1, 2, 3, 4]], np.float32)), "not finite"),
        (vectors(np.array([[1, 2, 3, np.inf], [1, 2, 3, 4]], np.float32)), "not finite"),
    ],
)
def test_an_answer_of_another_shape_is_refused(answer: bytes, message: str) -> None:
    with pytest.raises(kinds.ResultInvalid, match=message):
        kinds.Embed().check(answer, 2, MANIFEST)


def test_an_answer_of_the_right_shape_is_taken() -> None:
    kinds.Embed().check(frame(["a", "b"]), 2, MANIFEST)


@pytest.mark.parametrize(
    ("request_", "pointer"),
    [
        (embed(" ", "a"), "/inputs/0"),
        (kinds.JobRequest("embed", "m"), "/inputs"),
        (kinds.JobRequest("embed", "m", inputs=("a",), prompt="b"), "/prompt"),
        (kinds.JobRequest("embed", "m", inputs=("a",), options={"x": 1}), "/options"),
        (embed("x" * 20_001), "/inputs/0"),
        (embed("a", "\ud800"), "/inputs/1"),
        (embed("a", "b\x00"), "/inputs/1"),
    ],
)
def test_an_embed_job_that_is_wrong_is_refused_with_its_field(request_: kinds.JobRequest, pointer: str) -> None:
    with pytest.raises(InputRefused) as refused:
        kinds.Embed().split(request_)
    assert refused.value.errors[0]["pointer"] == pointer


def test_a_prompt_is_one_chunk_with_its_options() -> None:
    [chunk] = kinds.Generate().split(generate("Say it.", options={"temperature": 0.5, "stop": ["."], "format": "json"}))
    assert json.loads(chunk.payload) == {"prompt": "Say it.", "temperature": 0.5, "stop": ["."], "format": "json"}


def test_answers_of_a_prompt_are_joined_in_order() -> None:
    answers = [json.dumps({"response": word}).encode() for word in ("one", "two", "three")]
    assert kinds.Generate().join(answers) == "one two three"


@pytest.mark.parametrize("answer", [b"", b"[]", b'{"response": 1}', b"\xff"])
def test_an_answer_without_text_is_refused(answer: bytes) -> None:
    with pytest.raises(kinds.ResultInvalid):
        kinds.Generate().check(answer, 1, {})


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (rb'{"response": "\ud800"}', "not valid Unicode"),
        (b"[" * 100_000, "not JSON"),
        (b'{"response": "a", "eval_count": 9223372036854775808}', "64 bits"),
        (b'{"response": "a", "eval_count": "1"}', "something else than response"),
        (b'{"response": "a", "eval_count": true}', "something else than response"),
        (b'{"response": "a", "more": 1}', "something else than response"),
        (b'{"response": "a", "eval_count": 1e999}', "not finite"),
        (b'{"response": "a", "model": ' + b"[" * 40 + b"]" * 40 + b"}", "too deeply"),
    ],
)
def test_an_answer_that_could_not_be_sent_on_is_refused(answer: bytes, message: str) -> None:
    with pytest.raises(kinds.ResultInvalid, match=message):
        kinds.Generate().check(answer, 1, {})


def test_an_answer_of_the_nodes_own_engines_is_taken() -> None:
    said = {"response": "é", "done_reason": "stop", "model": "tiny", "eval_count": 2**63 - 1, "prompt_eval_count": 0}
    kinds.Generate().check(json.dumps(said).encode(), 1, {})


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 3},
        {"temperature": float("nan")},
        {"temperature": True},
        {"top_p": -0.1},
        {"top_k": 1.5},
        {"num_predict": 0},
        {"stop": "."},
        {"stop": [""]},
        {"system": 1},
        {"format": "xml"},
        {"stream": True},
        {"temperature": 10**400},
    ],
)
def test_options_outside_their_range_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(InputRefused) as refused:
        kinds.Generate().split(generate("x", options=options))
    assert refused.value.errors[0]["pointer"] == f"/options/{next(iter(options))}"


@pytest.mark.parametrize("text", ["\x00", "a\ud800", "\udfffb"])
@pytest.mark.parametrize("name", ["system", "stop"])
def test_an_option_that_is_no_text_is_refused(name: str, text: str) -> None:
    with pytest.raises(InputRefused) as refused:
        kinds.checked_options({name: text if name == "system" else ["a", text]})
    assert refused.value.errors[0]["pointer"] == f"/options/{name}"


@pytest.mark.parametrize("name", ["\x00", "\ud800"])
def test_an_options_name_that_is_no_text_is_not_repeated(name: str) -> None:
    with pytest.raises(InputRefused) as refused:
        kinds.checked_options({name: 1})
    assert refused.value.errors[0]["pointer"] == "/options"
    assert name not in refused.value.detail


@pytest.mark.parametrize(
    "request_",
    [generate(" "), generate("x", chunk_strategy="by-moon"), generate("\ud800"), generate("a\x00b")],
)
def test_a_prompt_that_is_wrong_is_refused(request_: kinds.JobRequest) -> None:
    with pytest.raises(InputRefused):
        kinds.Generate().split(request_)


def test_an_unknown_kind_names_those_that_are() -> None:
    with pytest.raises(KindUnknown, match="embed, generate"):
        kinds.get("paint")


@pytest.mark.parametrize(
    ("weights", "factor"),
    [(10**6, 1), (7 * 10**9, 1), (7 * 10**9 + 1, 2), (13 * 10**9, 2), (70 * 10**9, 5), (71 * 10**9, 10)],
)
def test_larger_models_cost_more(weights: int, factor: int) -> None:
    assert pricing.price(weights, 50, 100) == factor * MESH // 10


@pytest.mark.parametrize(
    ("busy", "slots", "cents"), [(0, 10, 5), (49, 100, 5), (50, 100, 10), (80, 100, 15), (95, 100, 20), (0, 0, 20)]
)
def test_a_busier_network_costs_more(busy: int, slots: int, cents: int) -> None:
    assert pricing.price(10**6, busy, slots) == cents * MESH // 100
