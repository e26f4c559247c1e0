from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from evoagent_map_elites.config import MapElitesConfig
from evoagent_map_elites.selectors import MapElites
from pydantic import ValidationError

from conftest import candidate
from evoagent import Candidate, Population, Verdict
from evoagent.testing import collect

NO_MODELS: Any = None


async def select(selector: MapElites, candidates: list[Candidate], survivors: list[Candidate]) -> list[Verdict]:
    return await collect(selector.select(Population.of(candidates), Population.of(survivors), NO_MODELS))


async def test_the_best_of_each_cell_survives() -> None:
    found = await select(MapElites(), [candidate("a", 0.2), candidate("b", 0.3), candidate("c", 0.1, 0.9)], [])
    assert [verdict.kept for verdict in found] == [False, True, True]
    assert found[0].figure == 0.2
    assert found[0].threshold == 0.3
    assert found[0].detail == "cell constraints × ifd 0.4–0.6 is held by a better one, b"
    assert found[1].detail == "new in cell constraints × ifd 0.4–0.6"
    assert found[1].threshold is None


async def test_a_candidate_must_beat_the_elite_among_the_survivors() -> None:
    survivors = [candidate("old", 0.3), candidate("older", 0.25)]
    better, worse, same = await select(
        MapElites(), [candidate("x", 0.31), candidate("y", 0.29), candidate("z", 0.31)], survivors
    )
    assert better.kept
    assert better.threshold == 0.3
    assert better.detail == "better than old in cell constraints × ifd 0.4–0.6"
    assert not worse.kept
    assert not same.kept
    assert same.detail == "cell constraints × ifd 0.4–0.6 is held by one as good, x"


async def test_rows_are_operators_or_families() -> None:
    pair = [candidate("a", 0.2), candidate("b", 0.1, operator="deepening")]
    assert [verdict.kept for verdict in await select(MapElites(), pair, [])] == [True, True]
    families = MapElites(MapElitesConfig(rows="family"))
    found = await select(families, pair, [])
    assert [verdict.kept for verdict in found] == [True, False]
    assert found[0].detail == "new in cell depth × ifd 0.4–0.6"


async def test_a_low_objective_can_be_the_better_one() -> None:
    selector = MapElites(MapElitesConfig(direction="ascending"))
    low, high = await select(selector, [candidate("a", 0.2), candidate("b", 0.3)], [])
    assert low.kept
    assert not high.kept
    assert (high.figure, high.threshold) == (0.3, 0.2)
    figures = await selector.measure(Population.of([candidate("a", 0.2), candidate("c", 0.1, 0.9)]), NO_MODELS)
    assert figures["best"] == 0.1
    assert figures["qd_score"] == pytest.approx(-0.3)


@pytest.mark.parametrize(
    ("difficulty", "cell"),
    [
        (0.0, "0–0.2"),
        (0.2, "0.2–0.4"),
        (0.4, "0.4–0.6"),
        (0.6, "0.6–0.8"),
        (1.0, "0.8–1"),
        (-3.0, "0–0.2"),
        (7.0, "0.8–1"),
        (1e300, "0.8–1"),
        (-1e300, "0–0.2"),
    ],
)
async def test_bounds_belong_to_the_upper_bin_and_the_ends_are_open(difficulty: float, cell: str) -> None:
    (found,) = await select(MapElites(), [candidate("a", 0.2, difficulty)], [])
    assert found.detail == f"new in cell constraints × ifd {cell}"


async def test_another_axis() -> None:
    config = MapElitesConfig(difficulty="words", low=10, high=50, bins=4)
    scores = {**candidate("a", 0.2).scores, "words": replace(candidate("a", 0.2).scores["ifd"], value=30.0)}
    (found,) = await select(MapElites(config), [candidate("a", 0.2, scores=scores)], [])
    assert found.detail == "new in cell constraints × words 30–40"


async def test_a_cell_may_hold_several() -> None:
    selector = MapElites(MapElitesConfig(per_cell=2))
    survivors = [candidate("old", 0.3)]
    found = await select(selector, [candidate("a", 0.4), candidate("b", 0.2), candidate("c", 0.5)], survivors)
    assert [verdict.kept for verdict in found] == [True, False, True]
    assert found[0].threshold == 0.3
    assert found[1].threshold == 0.4
    figures = await selector.measure(Population.of([*survivors, candidate("a", 0.4), candidate("c", 0.5)]), NO_MODELS)
    assert figures == {
        "coverage": pytest.approx(1 / 5),
        "qd_score": pytest.approx(0.9),
        "elites": 2,
        "best": 0.5,
    }


async def test_a_candidate_without_a_score_is_rejected_with_the_reason() -> None:
    missing = [candidate("a", None), candidate("b", 0.2, None), candidate("c", 0.2, scores={})]
    found = await select(MapElites(), missing, [])
    assert [verdict.kept for verdict in found] == [False, False, False]
    assert found[0].detail == "no ic_ifd: the response is empty"
    assert found[1].detail == "no ifd: the response is empty"
    assert found[2].detail == "no ic_ifd: it was not scored; is it among critic.scorers?"
    keeping = MapElites(MapElitesConfig(missing="keep"))
    assert all(verdict.kept for verdict in await select(keeping, missing, []))
    assert await keeping.measure(Population.of(missing), NO_MODELS) == {"coverage": 0, "qd_score": 0, "elites": 0}
    assert (await select(keeping, [candidate("d", 0.1)], missing))[0].kept


async def test_categories_fix_the_grid() -> None:
    selector = MapElites(MapElitesConfig(categories=["constraints", "deepening"], bins=2))
    known, unknown = await select(selector, [candidate("a", 0.2), candidate("b", 0.2, operator="fusion")], [])
    assert known.kept
    assert not unknown.kept
    assert unknown.detail == "operator `fusion` is not among `categories`"
    assert (await selector.measure(Population.of([candidate("a", 0.2)]), NO_MODELS))["coverage"] == 1 / 4
    assert (await selector.measure(Population.of([]), NO_MODELS)) == {"coverage": 0, "qd_score": 0, "elites": 0}


async def test_nothing_to_choose_from() -> None:
    assert await select(MapElites(), [], [candidate("a", 0.2)]) == []
    assert await MapElites().measure(Population.of([]), NO_MODELS) == {"coverage": 0, "qd_score": 0, "elites": 0}


async def test_an_offset_makes_every_elite_count() -> None:
    selector = MapElites(MapElitesConfig(offset=-1))
    members = [candidate("a", -0.5), candidate("b", 0.25, 0.9)]
    assert (await selector.measure(Population.of(members), NO_MODELS))["qd_score"] == pytest.approx(0.5 + 1.25)


@pytest.mark.parametrize("per_cell", [1, 3])
@pytest.mark.parametrize("direction", ["descending", "ascending"])
async def test_rounds_agree_with_a_plain_reckoning(per_cell: int, direction: Any) -> None:
    random = np.random.default_rng(3)
    sign = 1 if direction == "descending" else -1
    config = MapElitesConfig(per_cell=per_cell, direction=direction, bins=4, categories=["x", "y", "z"])
    survivors: list[Candidate] = []
    cells: dict[tuple[str, int], list[float]] = defaultdict(list)
    last = -1.0
    for round in range(1, 7):
        # Few different values, so that equals meet.
        made = [
            candidate(
                f"{round}-{number:03}",
                float(random.integers(0, 20)) / 20,
                float(random.integers(-1, 11)) / 10,
                operator=str(random.choice(["x", "y", "z"])),
                round=round,
            )
            for number in range(40)
        ]
        verdicts = await select(MapElites(config), made, survivors)
        shuffled = [made[number] for number in random.permutation(len(made))]
        again = await select(MapElites(config), shuffled, survivors[::-1])
        assert {item.id: v for item, v in zip(shuffled, again, strict=True)} == {
            item.id: v for item, v in zip(made, verdicts, strict=True)
        }
        expected = set()
        for item in sorted(made, key=lambda item: (-sign * (item.scores["ic_ifd"].value or 0), item.id)):
            value = sign * (item.scores["ic_ifd"].value or 0)
            held = cells[item.operator, min(max(int((item.scores["ifd"].value or 0) * 4 + 1e-9), 0), 3)]
            if len(held) < per_cell or value > min(held):
                held.append(value)
                held.sort(reverse=True)
                del held[per_cell:]
                expected.add(item.id)
        kept = [item for item, verdict in zip(made, verdicts, strict=True) if verdict.kept]
        assert {item.id for item in kept} == expected
        survivors += kept
        elites = [value for held in cells.values() for value in held]
        figures = await MapElites(config).measure(Population.of(survivors), NO_MODELS)
        assert figures["coverage"] == pytest.approx(sum(map(bool, cells.values())) / 12)
        assert figures["elites"] == len(elites)
        assert figures["qd_score"] == pytest.approx(sum(elites))
        assert figures["best"] == pytest.approx(sign * max(elites))
        if sign > 0:
            assert figures["qd_score"] >= last
            last = figures["qd_score"]
    assert len(survivors) > len(elites)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"low": 1, "high": 1}, "expected low < high, found 1 and 1"),
        ({"low": 2, "high": 1}, "expected low < high"),
        ({"low": float("nan")}, "finite"),
        ({"bins": 0}, "greater than or equal to 1"),
        ({"per_cell": 0}, "greater than or equal to 1"),
        ({"objective": " "}, "at least 1 character"),
        ({"categories": []}, "at least 1 item"),
        ({"categories": ["a", "a"]}, "one of them twice"),
        ({"rows": "topic"}, "'operator' or 'family'"),
        ({"row": "operator"}, "Extra inputs"),
    ],
)
def test_wrong_parameters_are_explained(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        MapElitesConfig(**parameters)
