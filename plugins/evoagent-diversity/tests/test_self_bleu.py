from __future__ import annotations

from typing import Any

import pytest
from evoagent_diversity.self_bleu import SelfBleu

from conftest import candidate, measure, score_all

NO_MODELS: Any = None


async def test_copies_are_100_and_strangers_0() -> None:
    same = [candidate(number, "Name three colours of the sky.") for number in range(3)]
    assert [score.value for score in await score_all(SelfBleu(), same, [], NO_MODELS)] == [100, 100, 100]
    assert (await measure(SelfBleu(), same, NO_MODELS)) == {"score": 100, "texts": 3}
    strangers = [candidate(0, "one two three four"), candidate(1, "five six seven eight")]
    assert [score.value for score in await score_all(SelfBleu(), strangers, [], NO_MODELS)] == [0, 0]


async def test_a_value_by_hand() -> None:
    # Of "a b c d" in "a b c e": 3/4 words, 2/3 pairs, 1/2 triples, and 0/1 that is smoothed to 1/2.
    score, _ = await score_all(SelfBleu(), [candidate(0, "a b c d"), candidate(1, "a b c e")], [], NO_MODELS)
    assert score.value == pytest.approx(100 * (3 / 4 * 2 / 3 * 1 / 2 * 1 / 2) ** 0.25)
    assert score.details == {"references": 1}


async def test_earlier_survivors_are_references() -> None:
    (score,) = await score_all(SelfBleu(), [candidate(0, "a b c d")], [candidate(1, "a b c d")], NO_MODELS)
    assert score.value == 100


async def test_the_measure_is_the_mean_over_the_texts() -> None:
    members = [candidate(0, "a b c d"), candidate(1, "a b c e"), candidate(2, "v w x y z")]
    one = 100 * (3 / 4 * 2 / 3 * 1 / 2 * 1 / 2) ** 0.25
    assert (await measure(SelfBleu(), members, NO_MODELS))["score"] == pytest.approx(2 * one / 3)


async def test_all_candidates_meet_the_same_number_of_references() -> None:
    members = [candidate(number, f"a b c number{number}") for number in range(30)]
    scorer = SelfBleu(SelfBleu.Config(sample=5))
    scores = await score_all(scorer, members[:20], members[20:], NO_MODELS)
    assert {score.details["references"] for score in scores} == {5}
    again = await score_all(SelfBleu(SelfBleu.Config(sample=5)), members[19::-1], members[20:], NO_MODELS)
    assert scores == again[::-1]
    assert (await measure(scorer, members, NO_MODELS))["texts"] == 6


async def test_what_cannot_be_compared_says_why() -> None:
    (alone,) = await score_all(SelfBleu(), [candidate(0, "a")], [], NO_MODELS)
    assert alone.reason == "there is no other text to compare with"
    empty, other = await score_all(SelfBleu(), [candidate(0, " \n"), candidate(1, "a")], [], NO_MODELS)
    assert empty.reason == "the instruction is empty"
    assert other.value is None
    assert await measure(SelfBleu(), [], NO_MODELS) == {}
    assert await score_all(SelfBleu(), [], [], NO_MODELS) == []


async def test_scripts_without_spaces_are_compared_by_character() -> None:
    members = [candidate(0, "天空为什么是蓝色的"), candidate(1, "天空为什么是红色的")]
    by_word = await score_all(SelfBleu(), members, [], NO_MODELS)
    by_character = await score_all(SelfBleu(SelfBleu.Config(tokenize="char")), members, [], NO_MODELS)
    assert by_word[0].value == 0
    assert by_character[0].value > 50
