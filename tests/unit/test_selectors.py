"""Selectors: who survives, and the figures that say why."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest
from pydantic import ValidationError

from evoagent.models.roles import Models
from evoagent.plugins.manager import PluginManager
from evoagent.population.base import Population
from evoagent.records import Candidate, Instruction, Score, Verdict
from evoagent.runs.loading import directed
from evoagent.selectors.by_score import All, Threshold, ThresholdConfig, Top, TopConfig

PARENT = Instruction(id="p", instruction="Name a tree.")


def row(*values: float | None) -> list[Candidate]:
    return [
        Candidate(
            id=f"c{number}",
            instruction="x",
            parent=PARENT,
            operator="deepening",
            round=1,
            scores={"ifd": Score(value, None if value is not None else "no response")},
        )
        for number, value in enumerate(values)
    ]


def chosen(selector: All | Threshold | Top, candidates: list[Candidate]) -> list[Verdict]:
    async def select() -> list[Verdict]:
        found = selector.select(Population.of(candidates), Population.of([]), cast(Models, None))
        return [verdict async for verdict in found]

    return asyncio.run(select())


def kept(selector: All | Threshold | Top, candidates: list[Candidate]) -> list[int]:
    return [number for number, verdict in enumerate(chosen(selector, candidates)) if verdict.kept]


def top(**config: object) -> Top:
    return Top(TopConfig(by="ifd", **config))  # type: ignore[arg-type]


def threshold(**config: object) -> Threshold:
    return Threshold(ThresholdConfig(by="ifd", **config))  # type: ignore[arg-type]


def test_all() -> None:
    assert kept(All(), row(0.1, None)) == [0, 1]


def test_threshold_includes_its_bounds() -> None:
    assert kept(threshold(min=0.2, max=0.8), row(0.1, 0.2, 0.5, 0.8, 0.9)) == [1, 2, 3]


def test_threshold_says_figure_and_bound() -> None:
    low, high = chosen(threshold(min=0.2, max=0.8), row(0.1, 0.9))
    assert (low.figure, low.threshold, low.rule) == (0.1, 0.2, "threshold")
    assert (high.figure, high.threshold) == (0.9, 0.8)


def test_a_missing_score_is_rejected_with_its_reason_or_kept() -> None:
    (found,) = chosen(threshold(min=0.2), row(None))
    assert (found.kept, found.figure) == (False, None)
    assert "no response" in found.detail
    assert kept(threshold(min=0.2, missing="keep"), row(None)) == [0]
    assert kept(top(count=1), row(None, 0.5)) == [1]
    assert kept(top(count=1, missing="keep"), row(None, 0.5)) == [0, 1]
    assert "was not scored" in chosen(Threshold(ThresholdConfig(by="reward", min=1)), row(0.5))[0].detail


def test_top_by_count_and_share() -> None:
    values = row(0.3, 0.9, 0.1, 0.7)
    assert kept(top(count=2), values) == [1, 3]
    assert kept(top(share=0.5), values) == [1, 3]
    assert kept(top(count=9), values) == [0, 1, 2, 3]
    assert kept(top(share=0.5, direction="ascending"), values) == [0, 2]


@pytest.mark.parametrize(
    ("share", "total", "expected"), [(0.1, 30, 3), (0.25, 3, 1), (0.01, 5, 1), (1, 7, 7), (0.5, 0, 0)]
)
def test_shares_round_up_and_are_of_all(share: float, total: int, expected: int) -> None:
    assert len(kept(top(share=share), row(*(float(number) for number in range(total))))) == expected


def test_top_says_where_it_cut() -> None:
    verdicts = chosen(top(count=2), row(0.3, 0.9, 0.1, 0.7))
    assert {verdict.threshold for verdict in verdicts} == {0.7}
    assert [verdict.figure for verdict in verdicts] == [0.3, 0.9, 0.1, 0.7]


def test_equal_scores_go_by_id() -> None:
    assert kept(top(count=2), row(0.5, 0.5, 0.5)) == [0, 1]
    assert kept(top(count=2), list(reversed(row(0.5, 0.5, 0.5)))) == [1, 2]


def test_drop_above_leaves_the_place_to_the_next() -> None:
    verdicts = chosen(top(count=2, drop_above=1.0), row(1.4, 0.9, 1.0, 0.2))
    assert [verdict.kept for verdict in verdicts] == [False, True, True, False]
    assert (verdicts[0].figure, verdicts[0].threshold) == (1.4, 1.0)
    assert kept(top(count=2, drop_above=0.1), row(1.4, 0.9)) == []


@pytest.mark.parametrize("config", [{}, {"share": 0.5, "count": 2}, {"share": 0}, {"share": 1.2}, {"count": 0}])
def test_top_wants_one_sensible_size(config: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        TopConfig(by="ifd", **config)  # type: ignore[arg-type]


@pytest.mark.parametrize("config", [{}, {"min": 2, "max": 1}])
def test_threshold_wants_sensible_bounds(config: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        ThresholdConfig(by="ifd", **config)  # type: ignore[arg-type]


def test_direction_is_the_scorers_where_none_is_given() -> None:
    manager = PluginManager().load()
    top_spec, duplicates = manager.get("selector", "top"), manager.get("rule", "near_duplicate")
    assert directed(top_spec, {"by": "length"}, manager)["direction"] == "ascending"
    assert directed(top_spec, {"by": "length", "direction": "descending"}, manager)["direction"] == "descending"
    assert "direction" not in directed(top_spec, {"by": "ic_ifd"}, manager)
    assert "direction" not in directed(top_spec, {"by": "a-score-of-nobody"}, manager)
    assert directed(duplicates, {"by": "instruction_loss"}, manager)["direction"] == "ascending"
    assert directed(duplicates, {}, manager) == {}
