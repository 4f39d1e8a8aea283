"""Text generation: the graph with its cache equals an independent forward pass without one."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.workers.engines import tiny_gguf
from tests.workers.engines.gemma_reference import Reference, pieces
from workers.engines import Engines, PayloadRefused
from workers.engines.gguf_weights import GgufFile
from workers.engines.onnx_generate import PIECE, Cache, OnnxGenerate
from workers.engines.packaging import FILES, package
from workers.engines.sampling import Options

LONG = list(np.random.default_rng(3).integers(4, 350, 300))
TEXTS = ["the inn", "and then in the end", "  two  spaces", "a\n\nb\n", "thetheand", "", " ", "~|{}"]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packages as the registry has them: the file in two parts, and its sum."""
    folder = tmp_path_factory.mktemp("gguf")
    tiny_gguf.write(folder / "whole")
    data = (folder / "whole").read_bytes()
    for index, part in enumerate((data[:50_000], data[50_000:])):
        home = folder / f"part{index}"
        home.mkdir()
        (home / f"tiny.gguf.part0{index}").write_bytes(part)
    (folder / "main").mkdir()
    (folder / "main" / "GEMMA_TERMS.html").write_text("<p>The terms.</p>")
    (folder / "main" / "NOTICE.md").write_text("# NOTICE\n\nWhere it comes from.\n")
    (folder / "main" / "SHA256SUMS").write_text(f"{sha256(data).hexdigest()}  tiny.gguf\n")
    return folder


@pytest.fixture(scope="module")
def packaged(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("version")
    package([source / "part1", source / "main", source / "part0"], target)
    return target


@pytest.fixture(scope="module")
def engine(packaged: Path) -> OnnxGenerate:
    engine = Engines().get("tiny", "1", {name: packaged / name for name in FILES})
    assert isinstance(engine, OnnxGenerate)
    return engine


@pytest.fixture(scope="module")
def reference(packaged: Path) -> Reference:
    file = GgufFile(packaged / "model.gguf")
    return Reference(dict(file), blocks=tiny_gguf.BLOCKS, window=tiny_gguf.WINDOW, base=tiny_gguf.BASE)


def all_logits(engine: OnnxGenerate, cache: Cache, ids: list[int]) -> np.ndarray:
    tokens, logits = cache.read(engine.session, ids)
    assert sorted(tokens) == list(range(len(tokens)))
    return logits[np.argsort(tokens)]


@pytest.mark.parametrize("length", [1, 5, tiny_gguf.WINDOW, tiny_gguf.WINDOW + 1, 40, PIECE + 20])
def test_a_text_read_at_once_equals_the_reference(engine: OnnxGenerate, reference: Reference, length: int) -> None:
    got = all_logits(engine, Cache(engine.session), LONG[:length])
    np.testing.assert_allclose(got, reference.logits(LONG[:length]), atol=2e-4)


def test_a_text_read_token_by_token_equals_the_reference_at_every_token(
    engine: OnnxGenerate, reference: Reference
) -> None:
    cache = Cache(engine.session)
    for length in range(1, 30):
        got = all_logits(engine, cache, LONG[length - 1 : length])
        np.testing.assert_allclose(got, reference.logits(LONG[:length]), atol=2e-4)


def test_greedy_tokens_are_the_same_with_and_without_a_cache(engine: OnnxGenerate, reference: Reference) -> None:
    ids = engine.tokenizer.encode("and then in the").ids
    cached = list(engine.tokens(ids, Options(num_predict=40)))
    written = list(ids)
    for _ in range(40):
        written.append(int(np.argmax(reference.logits(written))))
    assert cached == written[len(ids) :]


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_cut_into_the_pieces_that_sentencepiece_would_join(engine: OnnxGenerate, text: str) -> None:
    tokens, kinds, scores = tiny_gguf.vocabulary()
    normal = {t: s for t, k, s in zip(tokens, kinds, scores, strict=True) if k == tiny_gguf.NORMAL}
    expected: list[str] = []
    rest = text
    while rest:
        found = next((t for t in ("\n\n", "\n", "  ") if rest.startswith(t)), "")
        if found:
            expected, rest = [*expected, found], rest[len(found) :]
            continue
        ends = [at for at in (rest.find("\n"), rest.find("  ")) if at > 0]
        plain = rest[: min(ends, default=len(rest))]
        expected, rest = expected + pieces(plain, normal), rest[len(plain) :]
    assert engine.tokenizer.encode(text).tokens == ["<bos>", *expected]


@pytest.mark.parametrize("text", [*TEXTS, "Kätzchen 猫 🐈", "tab\there", "<eos> is text"])
def test_every_text_comes_back_from_its_tokens(engine: OnnxGenerate, text: str) -> None:
    ids = engine.tokenizer.encode(text).ids
    assert ids[0] == 2
    assert 1 not in ids
    assert engine.tokenizer.decode(ids) == text


def answer(engine: OnnxGenerate, **payload: Any) -> dict[str, Any]:
    result = engine.run("generate", json.dumps(payload).encode(), {})
    got: dict[str, Any] = json.loads(result.payload)
    assert (result.items, result.tokens_in, result.tokens_out) == (1, got["prompt_eval_count"], got["eval_count"])
    return got


def test_a_task_gives_so_many_tokens_and_says_how_many_it_read(engine: OnnxGenerate) -> None:
    got = answer(engine, prompt="the inn", num_predict=9)
    assert (got["eval_count"], got["done_reason"], got["model"]) == (9, "length", "tiny")
    assert got["prompt_eval_count"] == len(engine.tokenizer.encode("the inn").ids)
    assert got == answer(engine, prompt="the inn", num_predict=9)


def test_a_stop_text_ends_the_answer_before_it(engine: OnnxGenerate) -> None:
    whole = answer(engine, prompt="the inn", num_predict=30)["response"]
    stop = whole[7:9]
    got = answer(engine, prompt="the inn", num_predict=30, stop=[stop, "never said"])
    assert got["response"] == whole[: whole.find(stop)]
    assert got["done_reason"] == "stop"
    assert got["eval_count"] < 30


def test_the_end_token_ends_the_answer(packaged: Path, engine: OnnxGenerate) -> None:
    ids = engine.tokenizer.encode("the inn").ids
    written = list(engine.tokens(ids, Options(num_predict=30)))
    at = next(at for at, token in enumerate(written) if token != written[0])
    files = {name: packaged / name for name in FILES}
    got = OnnxGenerate("tiny", files, context=100, end=written[at]).generate("the inn", Options())
    assert (got["eval_count"], got["done_reason"]) == (at, "stop")


def test_a_seed_repeats_a_text_and_another_gives_another(engine: OnnxGenerate) -> None:
    texts = [answer(engine, prompt="the", temperature=1.5, seed=s, num_predict=20)["response"] for s in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_a_system_text_stands_before_the_prompt(engine: OnnxGenerate) -> None:
    joined = answer(engine, prompt="in\n\nthe", num_predict=5)
    assert answer(engine, prompt="the", system="in", num_predict=5) == joined


def test_a_text_ends_where_the_context_does_and_a_longer_prompt_is_refused(packaged: Path) -> None:
    small = OnnxGenerate("tiny", {name: packaged / name for name in FILES}, context=10, end=1)
    got = small.generate("the in", Options(num_predict=50))
    assert got["prompt_eval_count"] + got["eval_count"] == 10
    with pytest.raises(PayloadRefused, match="tokens"):
        small.generate("the in " * 9, Options())


def test_a_format_is_refused_since_nothing_holds_the_model_to_it(engine: OnnxGenerate) -> None:
    with pytest.raises(PayloadRefused):
        answer(engine, prompt="the", format="json")


def test_the_known_answer_is_the_engines_own_and_the_files_the_same_each_time(
    source: Path, packaged: Path, engine: OnnxGenerate, tmp_path: Path
) -> None:
    again = package([source], tmp_path)
    assert again == json.loads((packaged / "version.json").read_text())
    for name in again["files"]:
        assert (tmp_path / name).read_bytes() == (packaged / name).read_bytes()


def test_the_terms_go_with_the_weights_and_say_what_was_changed(packaged: Path) -> None:
    files = json.loads((packaged / "version.json").read_text())["files"]
    assert files == [*FILES, "GEMMA_TERMS.html", "NOTICE.md"]
    assert (packaged / "GEMMA_TERMS.html").read_text() == "<p>The terms.</p>"
    notice = (packaged / "NOTICE.md").read_text()
    assert "Where it comes from." in notice
    assert "converted" in notice


def test_parts_of_another_file_are_refused(source: Path, tmp_path: Path) -> None:
    (tmp_path / "x.gguf.part00").write_bytes(b"x")
    with pytest.raises(ValueError, match="SHA256SUMS"):
        package([source / "main", source / "part0", tmp_path], tmp_path / "out")


@pytest.mark.parametrize("other", [{"architecture": "llama"}, {"kv_heads": 2}])
def test_another_architecture_is_refused(tmp_path: Path, other: dict[str, Any]) -> None:
    tiny_gguf.write(tmp_path / "x.gguf.part00", **other)
    data = (tmp_path / "x.gguf.part00").read_bytes()
    (tmp_path / "SHA256SUMS").write_text(sha256(data).hexdigest())
    with pytest.raises(ValueError, match=r"Gemma 3|share one key"):
        package([tmp_path], tmp_path / "out")
