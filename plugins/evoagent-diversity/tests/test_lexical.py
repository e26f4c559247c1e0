from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
from evoagent_diversity.lexical import Lexical, distinct, hdd, mtld, words

from conftest import candidate, measure, score_all

NO_MODELS: Any = None
LONG = " ".join(f"word{number % 37}" for number in range(60))


def test_mtld_by_hand() -> None:
    # a b a falls to 2/3: one segment of three words, then "b" alone, which counts for nothing; 4 words / 1.
    assert mtld(["a", "b", "a", "b"]) == pytest.approx(4)
    # Both ways the ratio ends at 5/6: a part (1 - 5/6) / 0.28 of a segment.
    assert mtld(["a", "b", "c", "d", "e", "a"]) == pytest.approx(6 * 0.28 * 6)
    # Forwards: x x is a segment, then y z. Backwards: z y x, then x at 3/4, which is no end: (1 - 3/4) / 0.28 of one.
    assert mtld(["x", "x", "y", "z"]) == pytest.approx((4 / 1 + 4 * 0.28 / 0.25) / 2)


def test_mtld_needs_a_word_that_comes_again() -> None:
    assert mtld(["all", "of", "these", "are", "different"]) is None


def test_hdd_by_hand() -> None:
    assert hdd(["same"] * 42) == pytest.approx(1 / 42)
    assert hdd([str(number) for number in range(42)]) == pytest.approx(1)
    assert hdd(["few"] * 41) is None
    tokens = ("a " * 30 + "b " * 20 + "c").split()
    drawn = sum(1 - math.comb(51 - count, 42) / math.comb(51, 42) for count in Counter(tokens).values())
    assert hdd(tokens) == pytest.approx(drawn / 42)


def test_distinct_by_hand() -> None:
    # a b a | a: two different words of four; pairs within a text only: (a, b) and (b, a).
    assert distinct([["a", "b", "a"], ["a"]]) == (0.5, 1.0)
    assert distinct([["a"]]) == (1.0, None)
    assert distinct([]) == (None, None)


def test_words_are_runs_of_letters_in_lower_case() -> None:
    assert words("Don't stop: L'Été 2024!\x00\x1b[31m") == ["don", "t", "stop", "l", "été", "2024", "31m"]


async def test_a_short_text_says_why_it_has_no_score() -> None:
    long, short, unique = await score_all(
        Lexical(),
        [candidate(0, LONG), candidate(1, "Name a colour."), candidate(2, " ".join(f"w{n}" for n in range(60)))],
        [],
        NO_MODELS,
    )
    assert long.value == pytest.approx(mtld(LONG.split()))
    assert long.details == {"words": 60}
    assert short.value is None
    assert short.reason == "the instruction has 3 words, MTLD wants 50"
    assert unique.value is None
    assert "not defined" in unique.reason


async def test_responses_are_measured_on_request() -> None:
    member = candidate(0, "Short.", LONG)
    (score,) = await score_all(Lexical(Lexical.Config(text="response")), [member], [], NO_MODELS)
    assert score.value == pytest.approx(mtld(LONG.split()))
    (short,) = await score_all(Lexical(Lexical.Config(text="response")), [candidate(0, LONG)], [], NO_MODELS)
    assert short.reason == "the response has 0 words, MTLD wants 50"


async def test_figures_of_the_dataset() -> None:
    members = [candidate(0, LONG), candidate(1, "Name a colour.")]
    figures = await measure(Lexical(), members, NO_MODELS)
    assert figures["mtld"] == pytest.approx(mtld(LONG.split()))
    assert figures["mtld_rows"] == 1
    assert figures["distinct_1"] == pytest.approx(40 / 63)
    assert figures["distinct_2"] == pytest.approx(39 / 61)
    assert figures["hdd"] == pytest.approx(hdd([*LONG.split(), "name", "a", "colour"]))


async def test_figures_that_do_not_exist_are_left_out() -> None:
    assert await measure(Lexical(), [candidate(0, "!")], NO_MODELS) == {"mtld_rows": 0}
    assert await measure(Lexical(), [], NO_MODELS) == {"mtld_rows": 0}


async def test_a_large_dataset_is_sampled_in_the_same_way_each_time() -> None:
    members = [candidate(number, f"alpha beta word{number}") for number in range(40)]
    scorer = Lexical(Lexical.Config(sample=10))
    figures = await measure(scorer, members, NO_MODELS)
    assert figures["distinct_1"] == pytest.approx(12 / 30)
    assert await measure(Lexical(Lexical.Config(sample=10)), members[::-1], NO_MODELS) == figures
    assert (await measure(Lexical(Lexical.Config(sample=40)), members, NO_MODELS))["distinct_1"] == pytest.approx(
        42 / 120
    )
