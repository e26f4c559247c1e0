"""Texts that models really write when something goes wrong."""

from __future__ import annotations

import math
from typing import Any

import pytest
from evoagent_diversity.lexical import Lexical
from evoagent_diversity.self_bleu import SelfBleu
from evoagent_diversity.vendi import Vendi

from conftest import candidate, measure, score_all
from evoagent import PopulationScorer

TEXTS = [
    "",
    " \t\r\n",
    "\x00\x07\x1b[31m\x7f\u202e",
    "word " * 4000,
    "a" * 20_000,
    "\n" * 20_000,
    "(" * 10_000 + ".,;:!?" * 1000,
    "\ud800 alone",
    "天空为什么是蓝色的",
    "e" + "\u0301" * 5000,
]


@pytest.mark.parametrize(
    "scorer", [Vendi(), Lexical(Lexical.Config(min_words=2)), SelfBleu()], ids=lambda s: type(s).__name__
)
async def test_every_text_has_a_score_or_a_reason(scorer: PopulationScorer, known: Any) -> None:
    models = known(**{text: [len(text) + 1, number, 1] for number, text in enumerate(TEXTS)})
    members = [candidate(number, text) for number, text in enumerate(TEXTS)]
    scores = await score_all(scorer, members, members[:3], models)
    assert len(scores) == len(members)
    for score in scores:
        assert score.reason if score.value is None else math.isfinite(score.value)
    assert all(math.isfinite(figure) for figure in (await measure(scorer, members, models)).values())
