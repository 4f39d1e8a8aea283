"""Cutting prompts into chunks, for any prompt."""

from typing import Self, SupportsIndex

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from apps.pool import chunking

PROMPTS = st.text(alphabet=st.characters(codec="utf-8"), max_size=400) | st.text(alphabet="ab \n", max_size=400)
SIZES = st.integers(1, 60)


class Counted(str):
    """A text that counts how many of its characters are copied."""

    copied: list[int]

    def __new__(cls, text: str, copied: list[int]) -> Self:
        made = super().__new__(cls, text)
        made.copied = copied
        copied.append(len(text))
        return made

    def __getitem__(self, key: SupportsIndex | slice) -> str:
        part = super().__getitem__(key)
        return Counted(part, self.copied) if isinstance(key, slice) else part

    def strip(self, chars: str | None = None, /) -> str:
        return Counted(super().strip(chars), self.copied)

    def lstrip(self, chars: str | None = None, /) -> str:
        return Counted(super().lstrip(chars), self.copied)

    def rstrip(self, chars: str | None = None, /) -> str:
        return Counted(super().rstrip(chars), self.copied)


def words(text: str) -> str:
    return "".join(text.split())


def test_without_a_strategy_there_is_one_chunk() -> None:
    assert chunking.split("a b c", "none", 2) == ["a b c"]


@pytest.mark.parametrize("strategy", chunking.STRATEGIES)
def test_a_short_prompt_is_one_chunk_as_it_is(strategy: str) -> None:
    assert chunking.split(" a\n\nb ", strategy, 6) == [" a\n\nb "]


def test_paragraphs_are_grouped_up_to_the_size() -> None:
    prompt = "one one\n\ntwo\n \nthree three three\n\n\nfour"
    assert chunking.split(prompt, "split-by-paragraph", 13) == ["one one\n\ntwo", "three three", "three\n\nfour"]


def test_cuts_are_at_word_boundaries() -> None:
    assert chunking.split("the quick brown fox jumps", "split-by-size", 10) == ["the quick", "brown fox", "jumps"]


def test_a_word_that_ends_at_the_limit_stays_whole() -> None:
    assert chunking.split("aaaa bbbb", "split-by-size", 4) == ["aaaa", "bbbb"]


def test_a_word_longer_than_a_chunk_is_cut() -> None:
    assert chunking.split("abcdefg hi", "split-by-size", 3) == ["abc", "def", "g", "hi"]


def test_a_text_splits_into_three_chunks() -> None:
    assert len(chunking.split("x" * 10 + " " + "y" * 10 + " " + "z" * 10, "split-by-size", 10)) == 3


def test_an_unknown_strategy_is_refused() -> None:
    with pytest.raises(ValueError, match="no strategy"):
        chunking.split("a b c", "by-moon", 2)


def test_a_chunk_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        chunking.split("a b c", "split-by-size", 0)


@example("0\n\n0 \n\n0", 5, "split-by-paragraph")
@given(PROMPTS, SIZES, st.sampled_from(["split-by-paragraph", "split-by-size"]))
def test_chunks_fit_and_nothing_but_space_is_lost(prompt: str, size: int, strategy: str) -> None:
    chunks = chunking.split(prompt, strategy, size)
    if len(prompt) <= size:
        assert chunks == [prompt]
        return
    assert all(0 < len(chunk) <= size for chunk in chunks)
    assert all(chunk == chunk.strip() for chunk in chunks)
    assert words("".join(chunks)) == words(prompt)


@given(st.lists(st.text(alphabet="abc", min_size=1, max_size=8), min_size=1, max_size=60), st.integers(8, 60))
def test_words_that_fit_are_never_cut(said: list[str], size: int) -> None:
    chunks = chunking.split(" ".join(said), "split-by-size", size)
    assert " ".join(chunks).split() == said


@given(st.lists(st.text(alphabet="abc ", min_size=1, max_size=8).map(str.strip).filter(bool), min_size=1, max_size=30))
def test_paragraphs_that_fit_are_never_cut(paragraphs: list[str]) -> None:
    chunks = chunking.split("\n\n".join(paragraphs), "split-by-paragraph", 8)
    whole = [paragraph for chunk in chunks for paragraph in chunk.split("\n\n")]
    assert whole == paragraphs


def test_a_text_of_many_chunks_is_copied_a_few_times_and_not_once_for_each() -> None:
    copied: list[int] = []
    text = Counted("a b " * 1000, copied)
    assert chunking.split(text, "split-by-size", 1) == ["a", "b"] * 1000
    assert sum(copied) < 5 * len(text)


@pytest.mark.parametrize("strategy", ["split-by-paragraph", "split-by-size"])
def test_no_more_chunks_are_cut_than_show_that_there_are_too_many(strategy: str) -> None:
    prompt = "a b\n\n" * 1000
    assert chunking.split(prompt, strategy, 1, most=3) == ["a", "b", "a", "b"]
    assert chunking.split("a b c", strategy, 1, most=3) == ["a", "b", "c"]
    copied: list[int] = []
    chunking.split(Counted(prompt, copied), "split-by-size", 1, most=3)
    assert len(copied) < 12


def test_answers_are_joined_with_a_space() -> None:
    assert chunking.join(["one", "two", "three"]) == "one two three"
